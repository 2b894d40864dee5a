"""Headers of DICOM files: read with limits, flattened for each frame, and their values, whatever state they are in."""

import contextlib
import gzip
import io
import math
import re
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from brainsift.core.errors import BrainsiftError, ImageSizeError, UnreadableImageError, in_one_line, on_one_line
from brainsift.core.reasons import Reason
from brainsift.images.decode import Limits
from brainsift.volumes.signatures import DICOM_SUFFIXES, GZIP

if TYPE_CHECKING:
    from pydicom import Dataset
    from pydicom.uid import UID

"""Of files that are tried as DICOM even without the mark at their start."""
EXPORT_AGAIN = "Export it again, or leave it out."

LOOK = """
    Rows Columns BitsAllocated BitsStored HighBit PixelRepresentation PhotometricInterpretation SamplesPerPixel
    PixelSpacing PixelAspectRatio RescaleSlope RescaleIntercept WindowCenter WindowWidth VOILUTFunction
    ModalityLUTSequence VOILUTSequence PixelPaddingValue PixelPaddingRangeLimit
""".split()  # noqa: SIM905
PALETTE = [
    f"{kind}PaletteColorLookupTable{part}"
    for colour in ("Red", "Green", "Blue")
    for kind, part in ((colour, "Descriptor"), (colour, "Data"), (f"Segmented{colour}", "Data"))
]
PLACE = """
    Modality ImageType FrameType ComplexImageComponent BodyPartExamined SOPInstanceUID InstanceNumber
    ImagePositionPatient ImageOrientationPatient SliceLocation StackID EchoNumbers EchoTime EffectiveEchoTime
    InversionTime InversionTimes TemporalPositionIdentifier TemporalPositionIndex DiffusionBValue
    DiffusionGradientOrientation DimensionIndexValues AcquisitionNumber FlipAngle RepetitionTime TriggerTime
    SequenceName
""".split()  # noqa: SIM905
SERIES = """
    PatientID PatientName PatientBirthDate StudyInstanceUID SeriesInstanceUID SeriesNumber SeriesDescription Modality
    ProtocolName FrameOfReferenceUID Rows Columns
""".split()  # noqa: SIM905
CONTRAST = """
    AcquisitionContrast ScanningSequence EchoPulseSequence EchoPlanarPulseSequence InversionRecovery
""".split()  # noqa: SIM905
ORIGIN = "PatientAge IssuerOfPatientID StudyDate BurnedInAnnotation".split()  # noqa: SIM905
UNCHECKED = frozenset(
    """
    PatientAge PatientBirthDate StudyDate StudyInstanceUID SeriesInstanceUID SOPInstanceUID FrameOfReferenceUID
    """.split()  # noqa: SIM905
).union(CONTRAST)
"""Tags that only `plain_text_of` reads: pydicom's warnings quote a date, an age or a UID that the standard forbids."""
B_VALUES = ((0x0019, 0x0C, "SIEMENS"), (0x0043, 0x39, "GEMS_PARM"), (0x2001, 0x03, "PHILIPS IMAGING DD 001"))
"""Where makers keep b-values: group, element within the block that their mark reserves, and how the mark starts."""
COMPONENT = (0x0043, 0x2F, "GEMS_PARM")
"""Where GE keeps the part of a complex image, which its ImageType does not tell; given as in `B_VALUES`."""
FRAMES = ("NumberOfFrames", "PerFrameFunctionalGroupsSequence", "SharedFunctionalGroupsSequence")
_DIMENSIONS = "DimensionIndexSequence"
_PRIVATE = [
    tag for group, element, _ in (*B_VALUES, COMPONENT) for tag in (group << 16 | 0x10, group << 16 | 0x1000 | element)
]
HEADER: list[str | int] = [*LOOK, *PALETTE, *PLACE, *CONTRAST, *SERIES, *ORIGIN, *FRAMES, _DIMENSIONS, *_PRIVATE]
"""Tags that are read of a file before its pixels are."""

_GROUPS = {
    "PixelValueTransformationSequence": ("RescaleSlope", "RescaleIntercept"),
    "FrameVOILUTSequence": ("WindowCenter", "WindowWidth", "VOILUTFunction"),
    "PlanePositionSequence": ("ImagePositionPatient",),
    "PlaneOrientationSequence": ("ImageOrientationPatient",),
    "PixelMeasuresSequence": ("PixelSpacing",),
    "FrameContentSequence": ("StackID", "TemporalPositionIndex", "DimensionIndexValues"),
    "MRImageFrameTypeSequence": ("FrameType", "ComplexImageComponent", "AcquisitionContrast"),
    "MREchoSequence": ("EffectiveEchoTime",),
    "MRModifierSequence": ("InversionTimes", "InversionRecovery"),
    "MRTimingAndRelatedParametersSequence": ("RepetitionTime", "FlipAngle"),
    "MRDiffusionSequence": ("DiffusionBValue",),
}
_COMPONENTS_OF_GE = {1.0: "PHASE", 2.0: "REAL", 3.0: "IMAGINARY"}  # 0 is the magnitude, as most images are
_ALONG_THE_STACK = (0x00209057, 0x00200032)  # dimensions that number the slices of one stack
_CHUNK = 1 << 20


@contextlib.contextmanager
def dicom_errors(name: str) -> Iterator[None]:
    """Turns what pydicom raises into our errors; for calls of pydicom alone, so that no fault of ours looks like one.

    On broken files pydicom raises nearly every type, some of them when a value is first used.
    """
    try:
        yield
    except (BrainsiftError, MemoryError):
        raise
    except FileNotFoundError as error:
        raise UnreadableImageError(name, "no such file", "Check the path.", reason=Reason.MISSING_FILE) from error
    except Exception as error:
        raise UnreadableImageError(name, f"cannot be read as DICOM: {in_one_line(error)}", EXPORT_AGAIN) from error


def read_dataset(
    source: str | io.BytesIO, name: str, limits: Limits, *, tags: Sequence[str | int] | None = None
) -> "Dataset":
    """Reads a data set: all of it, or some tags of its header.

    Raises:
        UnreadableImageError: no DICOM file, or a broken one.
        ImageSizeError: it unpacks to more than ``limits``.
    """
    from pydicom import dcmread

    force = isinstance(source, str) and Path(source).suffix.lower() in DICOM_SUFFIXES
    with dicom_errors(name):
        source = _without_gzip(source, name, limits)
        _check_deflated(source, name, limits)
        wanted: Any = None if tags is None else list(tags)
        dataset = dcmread(source, force=force, stop_before_pixels=tags is not None, specific_tags=wanted)
        size = len(dataset)
    if not size:
        raise UnreadableImageError(name, "is no DICOM file", EXPORT_AGAIN, reason=Reason.NOT_AN_IMAGE)
    return dataset


def is_packed(path: str) -> bool:
    """Tells whether a file is packed by gzip."""
    with Path(path).open("rb") as file:
        return file.read(2) == GZIP


def _without_gzip(source: str | io.BytesIO, name: str, limits: Limits) -> str | io.BytesIO:
    """Unpacks a file that is packed by gzip, such as .dcm.gz."""
    if isinstance(source, io.BytesIO) or not is_packed(source):
        return source
    with gzip.open(source) as file:
        content = file.read(limits.max_bytes + 1)
    if len(content) > limits.max_bytes:
        raise ImageSizeError(name, f"unpacks to more than {limits.max_bytes} bytes", "Save it smaller.")
    return io.BytesIO(content)


def _check_deflated(source: str | io.BytesIO, name: str, limits: Limits) -> None:
    """Refuses a deflated data set that would fill the memory: pydicom unpacks all of it, even for its header."""
    from pydicom.filereader import read_dataset as read_elements
    from pydicom.filereader import read_preamble
    from pydicom.uid import DeflatedExplicitVRLittleEndian

    with contextlib.nullcontext(source) if isinstance(source, io.BytesIO) else Path(source).open("rb") as stream:
        read_preamble(stream, force=True)
        # The part before the data set is explicit, little endian and of group 2, DICOM PS3.10, 7.1.
        meta = read_elements(stream, False, True, stop_when=lambda tag, vr, length: tag >> 16 != 2)
        if meta.get("TransferSyntaxUID") == DeflatedExplicitVRLittleEndian:
            unpacker, size = zlib.decompressobj(-zlib.MAX_WBITS), 0
            while packed := unpacker.unconsumed_tail or stream.read(_CHUNK):
                size += len(unpacker.decompress(packed, _CHUNK))
                if size > limits.max_bytes:
                    raise ImageSizeError(name, f"unpacks to more than {limits.max_bytes} bytes", "Save it smaller.")
        stream.seek(0)


def flat_header(header: "Dataset", index: int) -> "Dataset":
    """Returns what a header says of one frame; what stands for all of the frames gives way to what is its own.

    What cannot be read of it is left out.
    """
    from pydicom import Dataset

    flat = Dataset()
    flat.set_original_encoding(None, header.original_encoding[1] is not False)  # lookup tables may be bytes
    _copy(header, (*LOOK, *PALETTE, *PLACE, *CONTRAST, *SERIES, *ORIGIN, *_PRIVATE), flat)
    own = value_of(header, FRAMES[1]) or []
    for groups in (*(value_of(header, FRAMES[2]) or [])[:1], *own[index : index + 1]):
        for sequence, tags in _GROUPS.items():
            for item in (value_of(groups, sequence) or [])[:1]:
                _copy(item, tags, flat)
                for direction in (value_of(item, "MRDiffusionGradientDirectionSequence") or [])[:1]:
                    _copy(direction, ("DiffusionGradientOrientation",), flat)
    dimensions = value_of(header, _DIMENSIONS) or []
    pointers = [value_of(dimension, "DimensionIndexPointer") for dimension in dimensions]
    values = values_of(flat, "DimensionIndexValues")
    if "DimensionIndexValues" in flat:
        del flat.DimensionIndexValues
    if len(pointers) == len(values):
        kept = zip(values, pointers, strict=True)
        flat.DimensionIndexValues = [int(value) for value, pointer in kept if pointer not in _ALONG_THE_STACK]
    return flat


def _copy(source: "Dataset", tags: Sequence[str | int], target: "Dataset") -> None:
    for tag in tags:
        with contextlib.suppress(Exception):  # a broken value, which pydicom finds out now
            if tag in source:
                target[tag] = source.get_item(tag) if tag in UNCHECKED else source[tag]


def value_of(header: "Dataset", tag: str | int) -> Any:
    """Returns a value of a header; None where there is none, or none that pydicom understands."""
    try:
        found = header.get(tag)
    except Exception:  # of what is broken pydicom raises nearly every type
        return None
    return found if isinstance(tag, str) or found is None else found.value


def values_of(header: "Dataset", tag: str) -> list[Any]:
    """Returns the values of a header under one tag, none, one or several."""
    value = value_of(header, tag)
    if value is None or value == "":
        return []
    return list(value) if isinstance(value, Sequence) and not isinstance(value, str | bytes) else [value]


def number_of(header: "Dataset", tag: str, otherwise: float = 0.0) -> float:
    """Returns a number of a header, the first of several."""
    return next(iter(_numbers(values_of(header, tag)[:1])), otherwise)


def vector_of(header: "Dataset", tag: str, length: int) -> npt.NDArray[np.float64] | None:
    """Returns (length,) finite numbers; None where the header has others."""
    vector = np.array(_numbers(values_of(header, tag)))
    return vector if vector.shape == (length,) else None


def _numbers(values: Sequence[Any]) -> list[float]:
    """Returns values as finite numbers; none at all where one is not."""
    try:
        numbers = [float(value) for value in values]
    except (TypeError, ValueError):
        return []
    return numbers if all(map(math.isfinite, numbers)) else []


def times_of(header: "Dataset") -> dict[str, float]:
    """Returns the echo time and the inversion time in ms, as "TE" and "TI", as far as a header has them."""
    tags = {"TE": ("EffectiveEchoTime", "EchoTime"), "TI": ("InversionTimes", "InversionTime")}
    found = {kind: [number_of(header, tag, -1.0) for tag in names] for kind, names in tags.items()}
    return {kind: next(time for time in times if time >= 0) for kind, times in found.items() if max(times) >= 0}


def component_of(header: "Dataset") -> str:
    """Returns which part of a complex image it is; "" where the header does not tell it."""
    number = _private_number(header, *COMPONENT)
    of_maker = _COMPONENTS_OF_GE.get(number, "") if number else ""
    return text_of(header, "ComplexImageComponent") or of_maker


def b_value_of(header: "Dataset") -> float | None:
    """Returns the b-value in s/mm2: of the standard, of the maker, or from the name of the sequence."""
    standard = vector_of(header, "DiffusionBValue", 1)
    if standard is not None:
        return float(standard[0])
    for place in B_VALUES:
        value = _private_number(header, *place)
        if value is not None:
            return value % 100_000  # GE adds a billion where directions are averaged
    named = re.search(r"_b(\d+)", text_of(header, "SequenceName"))
    return float(named[1]) if named else None


def _private_number(header: "Dataset", group: int, element: int, mark: str) -> float | None:
    """Returns a number of the block that a maker's mark reserves, the first of several; None where there is none."""
    if not str(value_of(header, group << 16 | 0x10)).upper().startswith(mark):
        return None
    value = value_of(header, group << 16 | 0x1000 | element)
    first = value[0] if isinstance(value, Sequence) and not isinstance(value, str | bytes) and value else value
    try:
        return float(first)
    except (TypeError, ValueError):
        return None


def text_of(header: "Dataset", tag: str) -> str:
    """Returns a text of a header, printable and on one line; several values are joined by "/"."""
    return on_one_line("/".join(str(value) for value in values_of(header, tag)))


def plain_text_of(header: "Dataset", tag: str) -> str:
    """Returns a text as it stands in a header, such as a UID, printable and on one line; "" where there is none.

    pydicom neither decodes nor checks it, and so no warning quotes it: each of its bytes is one letter.
    """
    if tag not in header:
        return ""
    value = header.get_item(tag).value
    return on_one_line(value.decode("latin-1") if isinstance(value, bytes) else str(value or ""))


def transfer_syntax(dataset: "Dataset") -> "UID":
    """Returns the transfer syntax; a file without its first part is of the plain kind that its encoding shows."""
    from pydicom.uid import UID, ExplicitVRLittleEndian, ImplicitVRLittleEndian

    meta = getattr(dataset, "file_meta", None)
    plain = ExplicitVRLittleEndian if dataset.original_encoding[0] is False else ImplicitVRLittleEndian
    named = (None if meta is None else value_of(meta, "TransferSyntaxUID")) or plain
    # Of another type than UI in a broken file: what is then no known syntax is refused where pixels are decoded.
    return UID(named.decode("latin-1").rstrip("\0 ") if isinstance(named, bytes) else str(named))
