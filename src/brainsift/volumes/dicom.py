"""DICOM files to slices: series apart and in order, as their headers say; pixels as their headers want them shown."""

import contextlib
import copy
import io
import math
import re
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import numpy.typing as npt

from brainsift.core.errors import BrainsiftError, ImageSizeError, UnreadableImageError, in_one_line
from brainsift.images.decode import LIMITS, DecodedImage, Limits, check_size, from_array
from brainsift.volumes.slices import Loaded, Slice, broken_slice, coarse_of, slice_of_values, squared
from brainsift.volumes.windowing import Values, before_window

if TYPE_CHECKING:
    from pydicom import Dataset

SUFFIXES = frozenset([".dcm", ".ima"])
"""Of files that are tried as DICOM even without the mark at their start."""

_Result = TypeVar("_Result")
_LOOK = """
    Rows Columns BitsStored PixelRepresentation PhotometricInterpretation SamplesPerPixel PixelSpacing
    RescaleSlope RescaleIntercept WindowCenter WindowWidth VOILUTFunction ModalityLUTSequence VOILUTSequence
""".split()  # noqa: SIM905
_PALETTE = [
    f"{kind}PaletteColorLookupTable{part}"
    for colour in ("Red", "Green", "Blue")
    for kind, part in ((colour, "Descriptor"), (colour, "Data"), (f"Segmented{colour}", "Data"))
]
_PLACE = """
    Modality ImageType BodyPartExamined SeriesInstanceUID SeriesNumber SeriesDescription InstanceNumber
    ImagePositionPatient ImageOrientationPatient EchoNumbers TemporalPositionIdentifier
""".split()  # noqa: SIM905
_GROUPS = {
    "PixelValueTransformationSequence": ("RescaleSlope", "RescaleIntercept"),
    "FrameVOILUTSequence": ("WindowCenter", "WindowWidth", "VOILUTFunction"),
    "PlanePositionSequence": ("ImagePositionPatient",),
    "PlaneOrientationSequence": ("ImageOrientationPatient",),
    "PixelMeasuresSequence": ("PixelSpacing",),
}
_FRAMES = ("NumberOfFrames", "PerFrameFunctionalGroupsSequence", "SharedFunctionalGroupsSequence")
_HEADS = "HEAD BRAIN SKULL NECK CRAN CEREB ENCEPH HIRN KOPF SCHAEDEL SCHÄDEL TETE TÊTE CERVEAU FACE ORBIT PITUIT SELLA"
_WHOLE = "WHOLEBODY WHOLE BODY"
_SAYS_NOTHING = frozenset(["", "OTHER", "UNKNOWN", "UNDEFINED", "NONE"])
_MAX_FRAMES = 65_535
_FRAME_BYTES = 16  # at least, whatever the compression
_CHUNK = 1 << 20
_WORD = 16  # characters of a code string in DICOM
_SAME_PLANE = 0.99  # cosine between the normals of slices that count as parallel
_BROKEN = "broken "
_REMEDY = "Export it again, or leave it out."
_DECOMPRESS = "Decompress it first, with `gdcmconv --raw` or `dcmdjpeg`, or install pylibjpeg with its plugins."


@dataclass(frozen=True, eq=False)
class _Frame:
    """One slice and what puts it in its place.

    Attributes:
        slice: without the name of its volume.
        series: SeriesInstanceUID.
        title: number and description of the series.
        position: (3,) mm, None where the header has none.
        normal: (3,), of the plane; None where the header has none.
        turn: (echo, time, instance, file, frame), for slices at one place.
    """

    slice: Slice
    series: str
    title: str
    position: npt.NDArray[np.float64] | None
    normal: npt.NDArray[np.float64] | None
    turn: tuple[float, float, float, str, int]


def dicom_slices(paths: Sequence[str | Path], *, limits: Limits = LIMITS) -> list[tuple[str, list[Slice]]]:
    """Lists the slices of files of one folder; only headers are read.

    Slices are sorted by their position along the normal of their plane, else by their instance number, else by name;
    echoes, times and planes of one series follow each other.

    Returns:
        The first of its files and the slices of each series, in the order of the first files. A file without a
        readable header stands alone, and says why when it is read.
    """
    series: dict[str, list[_Frame]] = {}
    first: dict[str, str] = {}
    for path in map(str, paths):
        try:
            frames = _guarded(path, partial(_frames, path, limits))
        except BrainsiftError as error:
            frames = [_Frame(broken_slice(path, "", error), _BROKEN + path, "", None, None, (0, 0, 0, path, 0))]
        series.setdefault(frames[0].series, []).extend(frames)
        first.setdefault(frames[0].series, path)
    names = _volume_names(series)
    return [
        (first[uid], [replace(piece, volume=names[uid]) for piece in _sorted(found)]) for uid, found in series.items()
    ]


def load_dataset(dataset: "Dataset", *, name: str = "dataset", limits: Limits = LIMITS) -> Loaded:
    """Renders a data set of one frame.

    Raises:
        UnreadableImageError: without pixels, with several frames, broken, or compressed in a way not read here.
        ImageSizeError: beyond ``limits``.
    """
    return _guarded(name, partial(_load_dataset, dataset, name, limits))


def read_bytes(content: bytes, *, name: str = "image", limits: Limits = LIMITS) -> "Dataset":
    """Reads the content of a file; raises as `load_dataset` does."""
    return _dataset(io.BytesIO(content), name, limits)


def header_reason(header: "Dataset") -> str:
    """Tells why a header is not that of an MR slice of a head; "" where nothing in it speaks against that."""
    modality = _word(header.get("Modality"))
    if modality not in ("", "MR"):
        return f"its header says that it is {modality}, not MR"
    if "MOSAIC" in str(header.get("ImageType")):
        return "its header says that it is a mosaic of many slices"
    part = _word(header.get("BodyPartExamined"))
    if part in _SAYS_NOTHING or part in _WHOLE or any(word in part for word in _HEADS.split()):
        return ""
    return f"its header says that it shows {part}, not a head"


def _load_dataset(dataset: "Dataset", name: str, limits: Limits) -> Loaded:
    frames = _number(dataset.get("NumberOfFrames"), 1)
    if frames > 1:
        raise UnreadableImageError(name, f"holds {frames:.0f} frames", "Save it, and pass its path to `predict`.")
    _check_pixels(dataset, name, limits)
    return _rendered(partial(_decoded, dataset, _syntax(dataset)), _flat(dataset, 0), name, _syntax(dataset), limits)


def _frames(path: str, limits: Limits) -> list[_Frame]:
    if Path(path).stat().st_size > limits.max_bytes:
        raise ImageSizeError(path, f"has more than {limits.max_bytes} bytes", "Save it smaller.")
    header = _dataset(path, path, limits, tags=[*_LOOK, *_PALETTE, *_PLACE, *_FRAMES])
    count = int(_number(header.get("NumberOfFrames"), 1))
    if count > _MAX_FRAMES:
        raise ImageSizeError(path, f"has {count} frames, more than {_MAX_FRAMES}", "Split it.")
    if count > Path(path).stat().st_size // _FRAME_BYTES:
        raise UnreadableImageError(path, f"says that it has {count} frames, more than it has room for", _REMEDY)
    if count <= 1:
        return [_frame(header, path, 0, path, partial(_load_file, path, limits))]
    looks = (_flat(header, index) for index in range(count))
    names = (f"{path}#{number}" for number in range(1, count + 1))
    return [
        _frame(look, path, index, name, partial(_load_frame, path, index, look, name, limits))
        for index, (look, name) in enumerate(zip(looks, names, strict=True))
    ]


def _frame(look: "Dataset", path: str, index: int, name: str, load: "partial[Loaded]") -> _Frame:
    title = " ".join(str(look.get(tag)) for tag in ("SeriesNumber", "SeriesDescription") if look.get(tag))
    echo, time, instance = (
        _number(look.get(tag)) for tag in ("EchoNumbers", "TemporalPositionIdentifier", "InstanceNumber")
    )
    orientation = _vector(look.get("ImageOrientationPatient"), 6)
    normal = None if orientation is None else np.cross(orientation[:3], orientation[3:])
    if normal is not None and not normal.any():
        normal = None
    return _Frame(
        Slice(name, "", load, header_reason(look)),
        str(look.get("SeriesInstanceUID") or path),
        title,
        _vector(look.get("ImagePositionPatient"), 3),
        None if normal is None else normal / np.linalg.norm(normal),
        (echo, time, instance, _natural(path), index),
    )


def _sorted(frames: list[_Frame]) -> list[Slice]:
    planes: list[npt.NDArray[np.float64]] = []
    keyed = [(_place(frame, planes), frame) for frame in frames]
    return [frame.slice for _, frame in sorted(keyed, key=lambda pair: pair[0])]


def _place(frame: _Frame, planes: list[npt.NDArray[np.float64]]) -> tuple[int, float, float, float, float, str, int]:
    """Returns the key to sort by; ``planes`` gathers the normals met so far."""
    echo, time, instance, file, index = frame.turn
    if frame.position is None or frame.normal is None:
        return -1, echo, time, 0.0, instance, file, index
    parallel = (number for number, known in enumerate(planes) if float(known @ frame.normal) > _SAME_PLANE)
    number = next(parallel, len(planes))
    if number == len(planes):
        planes.append(frame.normal)
    # Positions along one normal, whichever way those of single slices were rounded.
    return number, echo, time, round(float(planes[number] @ frame.position), 3), instance, file, index


def _volume_names(series: dict[str, list[_Frame]]) -> dict[str, str]:
    names: dict[str, str] = {}
    for uid, frames in series.items():
        if frames[0].series == _BROKEN + frames[0].slice.name:
            names[uid] = ""
            continue
        name = f"{Path(frames[0].slice.name).parent}#{frames[0].title or uid}"
        names[uid] = f"{name} ({uid})" if name in names.values() else name
    return names


def _flat(header: "Dataset", index: int) -> "Dataset":
    """Returns what a header says of one frame; what stands for all of the frames gives way to what is its own."""
    from pydicom import Dataset

    flat = Dataset()
    flat.set_original_encoding(None, header.original_encoding[1] is not False)  # lookup tables may be bytes
    for tag in (*_LOOK, *_PALETTE, *_PLACE):
        if tag in header:
            flat[tag] = header[tag]
    own = header.get(_FRAMES[1]) or []
    for groups in (*(header.get(_FRAMES[2]) or [])[:1], *own[index : index + 1]):
        for sequence, tags in _GROUPS.items():
            for item in (groups.get(sequence) or [])[:1]:
                for tag in tags:
                    if tag in item:
                        flat[tag] = item[tag]
    return flat


def _load_file(path: str, limits: Limits) -> Loaded:
    return load_dataset(_dataset(path, path, limits), name=path, limits=limits)


def _load_frame(path: str, index: int, look: "Dataset", name: str, limits: Limits) -> Loaded:
    from pydicom.pixels import pixel_array

    header = _dataset(path, name, limits, tags=["Rows"])
    check_size((int(_number(look.get("Columns"))), int(_number(look.get("Rows")))), name, limits)
    return _rendered(partial(pixel_array, path, index=index), look, name, _syntax(header), limits)


def _dataset(source: str | io.BytesIO, name: str, limits: Limits, *, tags: list[str] | None = None) -> "Dataset":
    """Reads a data set: all of it, or some of its header."""
    from pydicom import dcmread

    force = isinstance(source, str) and Path(source).suffix.lower() in SUFFIXES

    def read() -> "Dataset":
        _check_deflated(source, name, limits)
        return dcmread(source, force=force, stop_before_pixels=tags is not None, specific_tags=tags)

    dataset = _guarded(name, read)
    if not len(dataset):
        raise UnreadableImageError(name, "is no DICOM file", _REMEDY)
    return dataset


def _guarded(name: str, action: Callable[[], _Result]) -> _Result:
    """Turns what pydicom raises into our errors: on broken files nearly every type, some when a value is first used."""
    try:
        return action()
    except BrainsiftError:
        raise
    except FileNotFoundError as error:
        raise UnreadableImageError(name, "no such file", "Check the path.") from error
    except Exception as error:
        raise UnreadableImageError(name, f"cannot be read as DICOM: {in_one_line(error)}", _REMEDY) from error


def _check_deflated(source: str | io.BytesIO, name: str, limits: Limits) -> None:
    """Refuses a deflated data set that would fill the memory: pydicom unpacks all of it, even for its header."""
    from pydicom.filereader import _read_file_meta_info, read_preamble
    from pydicom.uid import DeflatedExplicitVRLittleEndian

    with contextlib.nullcontext(source) if isinstance(source, io.BytesIO) else Path(source).open("rb") as stream:
        read_preamble(stream, force=True)
        if _read_file_meta_info(stream).get("TransferSyntaxUID") == DeflatedExplicitVRLittleEndian:
            unpacker, size = zlib.decompressobj(-zlib.MAX_WBITS), 0
            while packed := unpacker.unconsumed_tail or stream.read(_CHUNK):
                size += len(unpacker.decompress(packed, _CHUNK))
                if size > limits.max_bytes:
                    raise ImageSizeError(name, f"unpacks to more than {limits.max_bytes} bytes", "Save it smaller.")
        stream.seek(0)


def _check_pixels(dataset: "Dataset", name: str, limits: Limits) -> None:
    if not any(tag in dataset for tag in ("PixelData", "FloatPixelData", "DoubleFloatPixelData")):
        raise UnreadableImageError(name, "is a DICOM file without pixels", "Leave it out: it holds no image.")
    check_size((int(_number(dataset.get("Columns"))), int(_number(dataset.get("Rows")))), name, limits)


def _syntax(dataset: "Dataset") -> Any:
    """Returns the transfer syntax; a file without its first part is of the plain kind that its encoding shows."""
    from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

    meta = getattr(dataset, "file_meta", None) or {}
    plain = ExplicitVRLittleEndian if dataset.original_encoding[0] is False else ImplicitVRLittleEndian
    return meta.get("TransferSyntaxUID") or plain


def _decoded(dataset: "Dataset", syntax: Any) -> npt.NDArray[np.generic]:
    from pydicom.dataset import FileMetaDataset
    from pydicom.pixels import pixel_array

    whole = copy.copy(dataset)  # the caller's keeps its header
    whole.file_meta = FileMetaDataset()
    whole.file_meta.TransferSyntaxUID = syntax
    return np.asarray(pixel_array(whole))


def _rendered(decode: "partial[Any]", look: "Dataset", name: str, syntax: Any, limits: Limits) -> Loaded:
    _check_syntax(name, syntax)
    try:
        return _shown(np.asarray(decode()), look, name, limits)
    except BrainsiftError:
        raise
    except Exception as error:  # as above
        rule = f"cannot be decoded ({syntax.name}): {in_one_line(error)}"
        raise UnreadableImageError(name, rule, _DECOMPRESS if syntax.is_compressed else _REMEDY) from error


def _check_syntax(name: str, syntax: Any) -> None:
    from pydicom.pixels import get_decoder

    try:
        known = get_decoder(syntax).is_available
    except NotImplementedError:
        known = False
    if not known:
        kind = "in an unknown way" if syntax.name == syntax else f"as {syntax.name}"  # only what the standard names
        raise UnreadableImageError(name, f"is compressed {kind}, which is not decoded here", _DECOMPRESS)


def _shown(raw: npt.NDArray[np.generic], look: "Dataset", name: str, limits: Limits) -> Loaded:
    from pydicom.pixels import apply_color_lut, apply_modality_lut

    kind = str(look.get("PhotometricInterpretation") or "MONOCHROME2")
    if kind == "PALETTE COLOR":
        raw = apply_color_lut(raw, look)
    if raw.ndim == 3:
        colours = raw if raw.dtype in (np.uint8, np.uint16) else raw.astype(np.uint16)
        image = from_array(colours, name=name, limits=limits)
        return Loaded(_marked(image, kind), coarse_of(image.grey()))
    values = np.asarray(apply_modality_lut(raw, look))
    brightness, windowed = values, _windowed(values, look)
    if kind == "MONOCHROME1":  # the least value is white
        brightness, windowed = -values.astype(np.float32), windowed.max() - windowed.astype(np.float32)
    spacing = _vector(look.get("PixelSpacing"), 2)
    square = (1.0, 1.0) if spacing is None else (float(spacing[0]), float(spacing[1]))
    image = slice_of_values(windowed, name=name, spacing=square, limits=limits)
    return Loaded(_marked(image, kind), coarse_of(brightness), partial(_unwindowed, values, windowed, square))


def _unwindowed(
    values: npt.NDArray[np.generic], windowed: npt.NDArray[np.generic], spacing: tuple[float, float]
) -> Values:
    found = before_window(values, windowed)
    return replace(found, grey=squared(found.grey, spacing))


def _windowed(values: npt.NDArray[np.generic], look: "Dataset") -> npt.NDArray[np.generic]:
    """Applies the first window or lookup table; a broken one says nothing about the pixels."""
    from pydicom.pixels import apply_voi_lut

    try:
        windowed = np.asarray(apply_voi_lut(values, look))
    except Exception:  # as above
        return values
    return windowed if np.ptp(windowed) else values


def _marked(image: DecodedImage, kind: str) -> DecodedImage:
    return replace(image, format="DICOM", mode=kind)


def _word(value: Any) -> str:
    """Returns a code of a header; what is longer than codes are is cut off."""
    return "".join(letter for letter in str(value or "") if letter.isprintable()).upper().strip()[:_WORD]


def _number(value: Any, otherwise: float = 0.0) -> float:
    first = value[0] if isinstance(value, Sequence) and not isinstance(value, str) and value else value
    try:
        number = float(first)
    except (TypeError, ValueError):
        return otherwise
    return number if math.isfinite(number) else otherwise


def _vector(value: Any, length: int) -> npt.NDArray[np.float64] | None:
    try:
        vector = np.array([float(one) for one in value])
    except (TypeError, ValueError):
        return None
    return vector if vector.shape == (length,) and np.isfinite(vector).all() else None


def _natural(path: str) -> str:
    """Returns a key that puts IM2 before IM10."""
    return re.sub(r"\d+", lambda found: found[0].zfill(12), path)
