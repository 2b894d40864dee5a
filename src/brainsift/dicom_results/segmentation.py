"""The tumor map, or what a reader drew, in the space of the images: as a binary and as a fractional segmentation.

Source: DICOM PS3.3, A.51 and C.8.20.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from brainsift import __version__
from brainsift.dicom_results.assembly import BANNER, NOTICE, Assembly
from brainsift.dicom_results.identity import MANUFACTURER, MODEL
from brainsift.dicom_results.result_set import Kind, ResultObject
from brainsift.dicom_results.sources import SourceSlice
from brainsift.images.resample import resize
from brainsift.images.standard import Floats, standard_map
from brainsift.inference.bundle import Bundle
from brainsift.inference.overlay import CONTOUR
from brainsift.volumes.voxel_grid import nearest

if TYPE_CHECKING:
    from pydicom import Dataset

_ROUNDING = 1e-3  # a map that is laid over an image is nowhere higher than before, but for rounding
_COLOR = (65.0, 60.0, 70.0)  # CIELab: orange
_DRAWN_COLOR = (72.0, 55.0, -30.0)  # CIELab: pink, as on the page


def map_on_source(one: SourceSlice, size: int, *, least: float = 0.0) -> Floats | None:
    """Returns the tumor map of a slice over its stored pixels.

    Args:
        one: the slice.
        size: side of the network's input, pixels.
        least: a map that is lower everywhere is of no interest, and is not looked at further.

    Returns:
        float32 (rows, columns), 0 to 1; None where the slice was not scored as one of a head, has no map, or one of no
        interest.

    Raises:
        InputError: the file is gone.
    """
    found = one.prediction
    if found.status != "ok" or found.tumor_map is None or found.tumor_map.max() < least - _ROUNDING:
        return None
    shown = standard_map(one.load().image.grey(), found.tumor_map, size)
    return shown if shown.shape == one.shape else resize(shown, *one.shape)  # oblong pixels are shown as square ones


def make_segmentation(assembly: Assembly, bundle: Bundle, *, fractional: bool) -> tuple[ResultObject | None, str]:
    """Makes a segmentation of the tumor map; slices without any of it have no frame.

    Args:
        assembly: what all objects have in common.
        bundle: that was used.
        fractional: the map itself, in steps of 1/255, instead of where it is 0.5 or more.

    Returns:
        The object and "", or None and why it cannot be made.

    Raises:
        InputError: a file is gone.
    """
    if fault := assembly.source.geometry_fault():
        return None, fault
    frames = _frames(assembly, bundle.size, fractional=fractional)
    if frames is None:
        return None, "the network draws no tumor map"
    if not frames.any():
        return None, f"the tumor map is {'0' if fractional else f'below {CONTOUR}'} everywhere"
    return _segmented(
        assembly,
        frames,
        _Words(
            kind="fractional" if fractional else "segmentation",
            algorithm="AUTOMATIC",
            segment="tumor map" if fractional else f"tumor map >= {CONTOUR}",
            tracking="tumor map",
            content="Where the network sees a tumor; no delineation.",
            label="TUMOR_MAP",
            color=_COLOR,
        ),
        bundle.name,
    )


def make_drawn_segmentation(
    assembly: Assembly, masks: Mapping[str, npt.NDArray[np.bool_]], network: str, *, from_network: bool
) -> tuple[ResultObject | None, str]:
    """Makes a segmentation of contours that a reader drew; slices without any of them have no frame.

    It does not say who drew them: that is not known.

    Args:
        assembly: what all objects have in common.
        masks: by the path of the prediction for a slice: (height, width) as the slice is shown.
        network: name of the network.
        from_network: whether the reader began with contours of the network.

    Returns:
        The object and "", or None and why it cannot be made.
    """
    if fault := assembly.source.geometry_fault():
        return None, fault
    slices = assembly.source.slices
    frames = np.zeros((len(slices), *slices[0].shape), np.bool_)
    for frame, one in zip(frames, slices, strict=True):
        if one.prediction.path in masks:
            frame[...] = nearest(masks[one.prediction.path], *one.shape)
    if not frames.any():
        return None, "all contours are empty"
    words = _Words(
        kind="drawn-segmentation",
        algorithm="SEMIAUTOMATIC" if from_network else "MANUAL",
        segment="tumor, drawn by a reader",
        tracking="drawn contour",
        content="Contours that a reader drew.",
        label="DRAWN_CONTOUR",
        color=_DRAWN_COLOR,
    )
    return _segmented(assembly, frames, words, network)


@dataclass(frozen=True)
class _Words:
    """How a segmentation and its segment are called.

    Attributes:
        kind: of the object.
        algorithm: "AUTOMATIC", "SEMIAUTOMATIC" or "MANUAL".
        segment: label of the segment.
        tracking: what the segment is tracked by.
        content: description of the object.
        label: of its content, a code string.
        color: of the segment, CIELab.
    """

    kind: Kind
    algorithm: str
    segment: str
    tracking: str
    content: str
    label: str
    color: tuple[float, float, float]


def _segmented(
    assembly: Assembly, frames: npt.NDArray[Any], words: _Words, network: str
) -> tuple[ResultObject | None, str]:
    """Makes the object of frames, (n, rows, columns)."""
    from highdicom.color import CIELabColor
    from highdicom.content import AlgorithmIdentificationSequence
    from highdicom.seg import SegmentAlgorithmTypeValues, Segmentation, SegmentDescription
    from pydicom.sr.codedict import codes

    algorithm = AlgorithmIdentificationSequence(
        name=f"{MODEL} {network}",
        family=codes.DCM.ArtificialIntelligence,
        version=__version__,
        source=MANUFACTURER,
        parameters={"network SHA-256": assembly.network, "notice": NOTICE},
    )
    segment = SegmentDescription(
        segment_number=1,
        segment_label=words.segment,
        segmented_property_category=codes.SCT.MorphologicallyAbnormalStructure,
        segmented_property_type=codes.SCT.Neoplasm,
        algorithm_type=SegmentAlgorithmTypeValues(words.algorithm),
        algorithm_identification=None if words.algorithm == "MANUAL" else algorithm,
        tracking_uid=assembly.uid("tracking", "segment"),
        tracking_id=words.tracking,
        anatomic_regions=[codes.SCT.Brain],
        display_color=CIELabColor(*words.color),
    )
    try:
        made = Segmentation(
            source_images=[assembly.stand_in_image(one) for one in assembly.source.slices],
            pixel_array=frames,
            segmentation_type="FRACTIONAL" if words.kind == "fractional" else "BINARY",
            segment_descriptions=[segment],
            series_instance_uid=assembly.uid("map series"),
            series_number=1,
            sop_instance_uid=assembly.uid("map"),
            instance_number=1,
            manufacturer=MANUFACTURER,
            manufacturer_model_name=MODEL,
            software_versions=__version__,
            device_serial_number=assembly.network,
            content_description=f"{BANNER}. {words.content}",
            content_label=words.label,
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:  # its words may quote what stands in a header
        return None, f"highdicom cannot use the geometry of the images ({type(error).__name__})"
    _complete(made, assembly, words.kind)
    return assembly.finish(made, words.kind), ""


def _frames(assembly: Assembly, size: int, *, fractional: bool) -> npt.NDArray[np.float32 | np.bool_] | None:
    """Returns what is stored for each slice, (n, rows, columns); None where no slice has a tumor map."""
    slices = assembly.source.slices
    if all(one.prediction.tumor_map is None for one in slices):
        return None
    frames: npt.NDArray[Any] = np.zeros((len(slices), *slices[0].shape), np.float32 if fractional else np.bool_)
    for frame, one in zip(frames, slices, strict=True):
        shown = map_on_source(one, size, least=0.0 if fractional else CONTOUR)
        if shown is not None:
            frame[...] = shown if fractional else shown >= CONTOUR
    return frames


def _complete(made: "Dataset", assembly: Assembly, kind: Kind) -> None:
    """Replaces what highdicom draws by lot, and what it takes from stand-ins."""
    organization = assembly.uid("dimensions", kind)
    for item in (*made.DimensionOrganizationSequence, *made.DimensionIndexSequence):
        item.DimensionOrganizationUID = organization
    for name in ("ContentCreatorName", "PositionReferenceIndicator"):
        setattr(made, name, "")
    for element in assembly.source.compression:
        made[element.tag] = element
