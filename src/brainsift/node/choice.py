"""Which images are scored: those of heads in MR, as the scanner made them, and no results of our own."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from brainsift.core.errors import InputError
from brainsift.dicom_results.identity import is_own_result
from brainsift.images.decode import LIMITS
from brainsift.volumes.dicom import header_reason
from brainsift.volumes.dicom_header import read_dataset, text_of, values_of

if TYPE_CHECKING:
    from pydicom import Dataset

_ELEMENTS = """
    Modality ImageType FrameType BodyPartExamined SeriesInstanceUID SOPInstanceUID Manufacturer ManufacturerModelName
    ContributingEquipmentSequence SharedFunctionalGroupsSequence
""".split()  # noqa: SIM905
# Third and later values of Image Type, PS3.3, C.8.3.1.1.1 and what makers write: images that are no plain slices.
_NO_SLICES = {
    "LOCALIZER": "a localizer",
    "PROJECTION IMAGE": "a projection",
    "MIP": "a maximum intensity projection",
    "MPR": "reformatted",
    "ADC": "a map of the diffusion coefficient",
    "FA": "a map of the diffusion anisotropy",
    "PHASE": "a phase image",
    "PHASE MAP": "a phase image",
    "P": "a phase image",
}


def choose(paths: Sequence[Path]) -> tuple[list[Path], str]:
    """Returns the files to score, and where there are none, why.

    A file whose header cannot be read is among them: the result then counts it as unreadable.

    Args:
        paths: the files of a series.
    """
    reasons = {path: _reason(path) for path in paths}
    chosen = [path for path in paths if not reasons[path]]
    return chosen, "" if chosen else Counter(reasons.values()).most_common(1)[0][0]


def _reason(path: Path) -> str:
    try:
        header = read_dataset(str(path), path.name, LIMITS, tags=_ELEMENTS)
    except InputError:
        return ""
    return skip_reason(header)


def skip_reason(header: "Dataset") -> str:
    """Tells why an image is not scored, without words of its header; "" where nothing speaks against it."""
    if sign := is_own_result(header):
        return f"a result of brainsift, known by its {sign}"
    if rejection := header_reason(header):
        return f"not MR of a head: {rejection.code}"
    types = [str(word).upper() for tag in ("ImageType", "FrameType") for word in values_of(header, tag)]
    if "DERIVED" in (text_of(header, tag).split("/")[0].upper() for tag in ("ImageType", "FrameType")):
        return "not an original image: derived"
    return next((f"not an original slice: {_NO_SLICES[word]}" for word in types if word in _NO_SLICES), "")
