"""The pixels of a DICOM image, as its header wants them shown: rescale, window, lookup tables, inversion, spacing."""

import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from brainsift.core.errors import BrainsiftError, UnreadableImageError, in_one_line
from brainsift.core.reasons import Reason
from brainsift.images.components import Mask
from brainsift.images.decode import LIMITS, DecodedImage, Limits, check_size, from_array
from brainsift.images.padding import without_padding
from brainsift.volumes.dicom_header import (
    EXPORT_AGAIN,
    dicom_errors,
    flat_header,
    is_packed,
    number_of,
    read_dataset,
    text_of,
    transfer_syntax,
    value_of,
    values_of,
    vector_of,
)
from brainsift.volumes.slices import Loaded, coarse_of, slice_of_values, squared
from brainsift.volumes.windowing import Values, before_window

if TYPE_CHECKING:
    from pydicom import Dataset

_Array = npt.NDArray[Any]

_HEAD_LEVEL = 0.15  # of the way from the darkest to the brightest pixels, without the first and last percent
_MIN_SHOWN = 0.1  # of the pixels above that: fewer between black and white, and a window is of no use
_BROKEN_WINDOW = "its window or lookup table cannot be followed: its own range is shown"
_EMPTY_WINDOW = "its window leaves nothing of it: its own range is shown"
_USELESS_WINDOW = "its window leaves hardly any greys in it: its own range is shown"
_DARK_WINDOW = "its window leaves nearly all of it black"
_DECOMPRESS = "Decompress it first, with `gdcmconv --raw` or `dcmdjpeg`, or install python-gdcm."
_HIGH_THROUGHPUT = ("1.2.840.10008.1.2.4.201", "1.2.840.10008.1.2.4.202", "1.2.840.10008.1.2.4.203")  # JPEG 2000
_EXPORT_PLAIN = "Export it again without compression, or leave it out."  # no package decodes it for pydicom
_USUAL = {"SamplesPerPixel": 1, "PhotometricInterpretation": "MONOCHROME2", "PixelRepresentation": 0}
_LARGEST = 1e28  # slope or intercept: 32 bits times this is still a float32


def load_dataset(dataset: "Dataset", *, name: str = "dataset", limits: Limits = LIMITS) -> Loaded:
    """Renders a data set of one frame.

    Raises:
        UnreadableImageError: without pixels, with several frames, broken, or compressed in a way not read here.
        ImageSizeError: beyond ``limits``.
    """
    n_frames = number_of(dataset, "NumberOfFrames", 1)
    if n_frames > 1:
        raise UnreadableImageError(name, f"holds {n_frames:.0f} frames", "Save it, and pass its path to `predict`.")
    if not any(tag in dataset for tag in ("PixelData", "FloatPixelData", "DoubleFloatPixelData")):
        raise UnreadableImageError(name, "is a DICOM file without pixels", "Leave it out: it holds no image.")
    look, syntax = flat_header(dataset, 0), transfer_syntax(dataset)
    return _rendered(partial(_decoded, dataset, syntax, name), look, name, syntax, limits)


def load_file(path: str, limits: Limits) -> Loaded:
    """Renders a file of one frame; raises as `load_dataset` does."""
    return load_dataset(read_dataset(path, path, limits), name=path, limits=limits)


def load_frame(path: str, index: int, look: "Dataset", *, syntax: Any, name: str, limits: Limits) -> Loaded:
    """Renders one frame of a file.

    Args:
        path: of the file.
        index: of the frame, from 0.
        look: its own header, of `flat_header`.
        syntax: transfer syntax of the file.
        name: what errors call it.
        limits: what is decoded at all.
    """
    from pydicom.pixels import pixel_array
    from pydicom.uid import DeflatedExplicitVRLittleEndian

    _check_syntax(name, syntax)
    # pydicom finds a frame in a file by its place, which a file that is packed as a whole does not have.
    with dicom_errors(name):
        packed = syntax == DeflatedExplicitVRLittleEndian or is_packed(path)
    lacking = any(value_of(look, tag) in (None, "") for tag in (*_USUAL, "BitsStored"))
    if packed or lacking or _unused_below(look, syntax):
        source = read_dataset(path, name, limits)
        return _rendered(partial(_decoded, source, syntax, name, index=index), look, name, syntax, limits)
    return _rendered(partial(pixel_array, path, index=index), look, name, syntax, limits)


def rescale_fault(look: "Dataset") -> str:
    """Tells why the rescaling of a header cannot be followed, so that the stored values are shown; "" where it can."""
    tables = value_of(look, "ModalityLUTSequence") or []
    if tables:
        whole = values_of(tables[0], "LUTDescriptor") and values_of(tables[0], "LUTData")
        return "" if whole else "its lookup table of the modality is empty"
    for tag in ("RescaleSlope", "RescaleIntercept"):
        if tag in look and vector_of(look, tag, 1) is None:
            return f"its {tag} is no number"
        if abs(number_of(look, tag)) > _LARGEST:
            return f"its {tag} is beyond all grey values"
    return "its RescaleSlope is 0" if number_of(look, "RescaleSlope", 1) == 0 else ""


def _decoded(dataset: "Dataset", syntax: Any, name: str, *, index: int | None = None) -> _Array:
    """Decodes the pixels, of one frame or of all; what the header lacks has its usual value."""
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.pixels import pixel_array

    if not syntax.is_compressed and "PixelData" in dataset and dataset["PixelData"].is_undefined_length:
        rule = "has compressed pixels, but does not say how they are compressed"
        raise UnreadableImageError(name, rule, EXPORT_AGAIN)
    whole = Dataset()  # the caller's keeps its header
    implicit, little_endian = dataset.original_encoding
    whole.set_original_encoding(implicit, little_endian, dataset.original_character_set)
    whole.update({tag: dataset.get_item(tag) for tag in dataset.keys()})  # noqa: SIM118 - elements are their own type
    whole.file_meta = FileMetaDataset()
    whole.file_meta.TransferSyntaxUID = syntax
    stored = int(number_of(dataset, "BitsStored", number_of(dataset, "BitsAllocated", 16)))
    unused = _unused_below(dataset, syntax)
    for tag, usual in {**_USUAL, "BitsStored": stored}.items():
        if tag not in whole or whole[tag].value in (None, ""):  # what is there and cannot be read is an error
            whole.add_new(tag, "CS" if isinstance(usual, str) else "US", usual)
    if unused:
        whole.add_new("BitsStored", "US", stored + unused)
        pixels = np.asarray(pixel_array(whole, index=index))
        if not (pixels & ((1 << unused) - 1)).any():
            return np.asarray(pixels >> unused)
        whole.add_new("BitsStored", "US", stored)  # the values lie at the right after all, and only HighBit is wrong
    return np.asarray(pixel_array(whole, index=index))


def _unused_below(look: "Dataset", syntax: Any) -> int:
    """Returns how many bits below the stored ones are not used, by HighBit, which pydicom does not look at."""
    allocated, stored, high = (number_of(look, tag) for tag in ("BitsAllocated", "BitsStored", "HighBit"))
    return int(high + 1 - stored) if not syntax.is_compressed and 0 < stored <= high < allocated else 0


def _rendered(decode: Callable[[], Any], look: "Dataset", name: str, syntax: Any, limits: Limits) -> Loaded:
    """Decodes the pixels and shows them as the header wants."""
    check_size((int(number_of(look, "Columns")), int(number_of(look, "Rows"))), name, limits)
    _check_syntax(name, syntax)
    try:
        raw = np.asarray(decode())
    except (BrainsiftError, MemoryError):
        raise
    except Exception as error:  # pydicom and its plugins raise nearly every type on broken pixels
        rule = f"cannot be decoded ({syntax.name}): {in_one_line(error)}"
        remedy = _decompressing(syntax) if syntax.is_compressed else EXPORT_AGAIN
        raise UnreadableImageError(name, rule, remedy) from error
    return _shown(raw, look, name, limits)


def _check_syntax(name: str, syntax: Any) -> None:
    from pydicom.pixels import get_decoder

    from brainsift.volumes import jpeg_lossless  # a plain image does without it

    jpeg_lossless.register()
    try:
        known = get_decoder(syntax).is_available
    except NotImplementedError:
        known = False
    if not known:
        kind = "in an unknown way" if syntax.name == syntax else f"as {syntax.name}"  # only what the standard names
        rule = f"is compressed {kind}, which is not decoded here"
        raise UnreadableImageError(name, rule, _decompressing(syntax), reason=Reason.UNSUPPORTED)


def _decompressing(syntax: Any) -> str:
    """Says which program or package decodes pixels that are compressed in a way that is not decoded here."""
    from pydicom.pixels import get_decoder

    if syntax in _HIGH_THROUGHPUT:  # GDCM and DCMTK do not know it
        return "Run `pip install pylibjpeg pylibjpeg-openjpeg`, which decode it."
    try:
        get_decoder(syntax)
    except NotImplementedError:
        return _EXPORT_PLAIN
    return _DECOMPRESS


def _shown(raw: _Array, look: "Dataset", name: str, limits: Limits) -> Loaded:
    from pydicom.pixels import apply_color_lut, apply_modality_lut

    kind = text_of(look, "PhotometricInterpretation") or "MONOCHROME2"
    if kind == "PALETTE COLOR":
        with dicom_errors(name):
            raw = np.asarray(apply_color_lut(raw, look))
    if raw.ndim == 3:
        colours = raw if raw.dtype in (np.uint8, np.uint16) else raw.astype(np.uint16)
        image = from_array(colours, name=name, limits=limits)
        return Loaded(_marked(image, kind), coarse_of(image.grey()))
    if raw.ndim != 2:
        raise UnreadableImageError(name, f"has pixels of the shape {raw.shape}", EXPORT_AGAIN)
    if raw.dtype == np.float64 and np.abs(raw, where=np.isfinite(raw), out=np.zeros_like(raw)).max() > _LARGEST:
        rule, remedy = "holds numbers beyond 32-bit floats", "Scale them, and save it again."
        raise UnreadableImageError(name, rule, remedy, reason=Reason.UNSUPPORTED)
    values = raw
    if not rescale_fault(look):
        with dicom_errors(name):
            values = np.asarray(apply_modality_lut(raw, look))
    values = _without_padding(values, _padding(raw, look), inverted=kind == "MONOCHROME1")
    brightness, (windowed, note) = values, _windowed(values, look, inverted=kind == "MONOCHROME1")
    if kind == "MONOCHROME1":  # the least value is white
        brightness, windowed = -values.astype(np.float32), windowed.max() - windowed.astype(np.float32)
    spacing = vector_of(look, "PixelSpacing", 2)
    if spacing is None:
        spacing = vector_of(look, "PixelAspectRatio", 2)
    square = (1.0, 1.0) if spacing is None else (float(spacing[0]), float(spacing[1]))
    image = slice_of_values(windowed, name=name, spacing=square, limits=limits)
    return Loaded(_marked(image, kind), coarse_of(brightness), partial(_unwindowed, values, windowed, square), note)


def _padding(raw: _Array, look: "Dataset") -> Mask | None:
    """Returns the pixels of which the header says that they are no picture; None where it says nothing."""
    value = number_of(look, "PixelPaddingValue", math.nan)
    limit = number_of(look, "PixelPaddingRangeLimit", value)
    if math.isnan(value):
        return None
    return np.asarray((raw >= min(value, limit)) & (raw <= max(value, limit)))


def _without_padding(values: _Array, padding: Mask | None, *, inverted: bool) -> _Array:
    """Makes padding as dark as the darkest pixel, which in an inverted image is the greatest value."""
    if not inverted:
        return without_padding(values, padding=padding)
    if padding is None and values.min() >= 0:
        return values
    negative = -values.astype(np.float64)
    darkened = without_padding(negative, padding=padding)
    return values if darkened is negative else -darkened


def _unwindowed(values: _Array, windowed: _Array, spacing: tuple[float, float]) -> Values:
    found = before_window(values, windowed)
    return replace(found, grey=squared(found.grey, spacing))


def _windowed(values: _Array, look: "Dataset", *, inverted: bool) -> tuple[_Array, str]:
    """Applies the first window or lookup table; returns a note where it is of no use, and so was not applied."""
    from pydicom.pixels import apply_voi_lut

    if "WindowWidth" not in look and "VOILUTSequence" not in look:
        return values, ""
    try:
        windowed = np.asarray(apply_voi_lut(values, look))
    except Exception:  # pydicom raises nearly every type on broken headers
        return values, _BROKEN_WINDOW
    black, white = windowed.min(), windowed.max()
    if black == white:
        return values, _EMPTY_WINDOW if np.ptp(values) else ""
    seen, shown = values[::2, ::2].astype(np.float64), windowed[::2, ::2]
    seen = -seen if inverted else seen
    low, high = np.percentile(seen, (1, 99))
    head = seen > low + _HEAD_LEVEL * (high - low)
    if not head.any() or np.mean((shown[head] > black) & (shown[head] < white)) >= _MIN_SHOWN:
        return windowed, ""
    dark = white if inverted else black
    if np.mean(shown[head] == dark) >= 1 - _MIN_SHOWN:  # an end of the head may be as dark in a good window
        return windowed, _DARK_WINDOW
    own = values[::2, ::2][head]
    useful = np.mean((own > values.min()) & (own < values.max())) >= _MIN_SHOWN
    return (values, _USELESS_WINDOW) if useful else (windowed, "")


def _marked(image: DecodedImage, kind: str) -> DecodedImage:
    return replace(image, format="DICOM", mode=kind)
