"""Which images are scored, and which volumes get a result: original MR of heads, and no results of brainsift."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from brainsift.core.errors import InputError
from brainsift.dicom_results.identity import is_own_result
from brainsift.images.decode import LIMITS
from brainsift.inference.volume_decision import MIN_SCORED_SHARE, VolumePrediction
from brainsift.volumes.dicom import header_reason
from brainsift.volumes.dicom_header import read_dataset, text_of, values_of
from brainsift.volumes.slices import Slice

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


def no_head_reason(volume: VolumePrediction) -> str:
    """Tells why a volume is not one of a head, by its pixels; "" where it is.

    The network sees a head in each slice or refuses the slice. Of a head, it refuses few beside those at the nearly
    empty ends. A volume most of whose other slices it refuses shows something else, and what it sees in the rest says
    nothing: it gets no result, not even *refer*. Slices that cannot be read say nothing of what the volume shows.

    Args:
        volume: with its slices.
    """
    if not volume.n_scored:
        return "no slice looks like MR of a head"
    refused = sum(one.status == "not_brain_mri" and not one.nearly_empty for one in volume.slices)
    readable = volume.n_scored + refused
    if volume.n_scored < MIN_SCORED_SHARE * readable:
        return f"only {volume.n_scored} of {readable} slices look like MR of a head"
    return ""


def title_of(slices: Sequence[Slice]) -> str:
    """Returns number and description of a series, and what tells a stack from its others.

    "" where it has no description, or one that holds a part of the patient's name or number.

    Args:
        slices: of one volume; may be empty.
    """
    if not any(one.acquisition.description for one in slices):
        return ""
    return slices[0].volume.removeprefix(f"{Path(slices[0].name).parent}#")
