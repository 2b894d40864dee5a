"""Which files are volumes, by their first bytes and their names; a plain image imports no more than this."""

import re
import zlib

DICOM_SUFFIXES = frozenset([".dcm", ".ima"])
GZIP = b"\x1f\x8b"
HEADER_BYTES = 352
"""Of a NIfTI file, from its start, that hold its header."""
MGH_SUFFIXES = (".mgh", ".mgz")
_MGH_VERSION = b"\0\0\0\1"
_MAGICS = ((344, b"n+1\0"), (4, b"n+2\0"))  # where and what, of version 1 and 2
_SIZES_OF_2 = [(540).to_bytes(4, order) for order in ("little", "big")]


def is_volume(head: bytes, name: str) -> bool:
    """Tells whether a file is a volume that is read here, by its first bytes, 4096 or all, and by its name.

    The first bytes of MGH say too little for that.
    """
    if name.lower().endswith(MGH_SUFFIXES):
        return unpacked(head).startswith(_MGH_VERSION)
    return bool(nifti_version(unpacked(head))) or is_raw_volume(head)


def nifti_version(head: bytes) -> int:
    """Returns 1 or 2, from the first 352 bytes of a NIfTI file in one piece; 0 where they are of another file."""
    for version, (start, magic) in enumerate(_MAGICS, start=1):
        if head[start : start + 4] == magic:
            return version if version == 1 or head[:4] in _SIZES_OF_2 else 0  # of version 1, nibabel mends the size
    return 0


def is_raw_volume(head: bytes) -> bool:
    """Tells whether the first bytes of a file, 352 or all, are those of a MetaImage or NRRD file."""
    if head.startswith(b"NRRD000"):
        return True
    return b"NDims" in head and bool(re.search(rb"^NDims\s*=\s*\d", head, re.MULTILINE))


def unpacked(head: bytes) -> bytes:
    """Returns the first 352 bytes of what is in a file that is packed by gzip, from its first bytes."""
    if not head.startswith(GZIP):
        return head
    try:
        return zlib.decompressobj(wbits=31).decompress(head, HEADER_BYTES)
    except zlib.error:
        return b""
