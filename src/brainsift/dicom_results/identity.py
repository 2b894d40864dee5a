"""How objects of brainsift are named and known again: UIDs that carry a mark, manufacturer, contributing equipment."""

import hashlib
from typing import TYPE_CHECKING
from uuid import UUID

from brainsift.volumes.dicom_header import plain_text_of, text_of, value_of

if TYPE_CHECKING:
    from pydicom import Dataset

MANUFACTURER = "brainsift"
MODEL = "brainsift"
EQUIPMENT = ("Manufacturer", "ManufacturerModelName", "ContributingEquipmentSequence")
"""Elements that `is_own_result` looks at, beside the UIDs of the series and of the object."""
_MARK = b"brsift"  # the first six bytes of each UUID
_ROOT = "2.25."
_UID_LETTERS = frozenset("0123456789.")
_MARK_SHIFT = 128 - 8 * len(_MARK)


def make_uid(*parts: str) -> str:
    """Returns the UID of an object: always the same for the same parts.

    It is a UUID of version 8 below the root 2.25: six bytes of a mark, by which `is_own_result` knows it, and 74 bits
    of a hash.

    Args:
        parts: all that makes it another object.

    Source:
        RFC 9562, 5.8; DICOM PS3.5, B.2.

    >>> make_uid("series", "1") == make_uid("series", "1") != make_uid("series1", "")
    True
    """
    digest = hashlib.sha256("\0".join(parts).encode("utf-8", "surrogateescape")).digest()
    filled = bytearray(_MARK + digest[: 16 - len(_MARK)])
    filled[6] = 0x80 | filled[6] & 0x0F
    filled[8] = 0x80 | filled[8] & 0x3F
    return f"{_ROOT}{UUID(bytes=bytes(filled)).int}"


def is_own_result(dataset: "Dataset") -> str:
    """Tells whether a data set is a result of brainsift, so that it is never scored.

    Args:
        dataset: its header is enough.

    Returns:
        The sign by which it was recognised: "series", "manufacturer and model" or "contributing equipment"; "" where
        there is none.
    """
    if any(_is_marked(uid_of(dataset, tag)) for tag in ("SeriesInstanceUID", "SOPInstanceUID")):
        return "series"
    if _is_ours(dataset):
        return "manufacturer and model"
    if any(_is_ours(item) for item in value_of(dataset, EQUIPMENT[2]) or []):
        return "contributing equipment"
    return ""


def uid_of(header: "Dataset", name: str) -> str:
    """Returns a UID as it is, even one that the standard forbids; "" where there is none of digits and dots."""
    uid = plain_text_of(header, name)
    return uid if _UID_LETTERS.issuperset(uid) else ""


def _is_marked(uid: str) -> bool:
    number = uid.removeprefix(_ROOT)
    return uid != number and number.isdecimal() and int(number) >> _MARK_SHIFT == int.from_bytes(_MARK)


def _is_ours(equipment: "Dataset") -> bool:
    return tuple(text_of(equipment, name) for name in EQUIPMENT[:2]) == (MANUFACTURER, MODEL)
