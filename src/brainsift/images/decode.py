"""File or bytes to pixels: all decoding, and all limits on size."""

import contextlib
import io
import math
import os
import re
import stat
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from brainsift.core.errors import ImageSizeError, UnreadableImageError, UsageError, in_one_line
from brainsift.core.reasons import Reason
from brainsift.images.padding import without_padding
from brainsift.images.spikes import range_without_spikes
from brainsift.images.standard import cells_of

Pixels = npt.NDArray[np.uint8 | np.uint16]
Rescale = tuple[float, float]  # intercept and slope

# Formats whose decoders start no other program; the content of a file decides, not its extension.
FORMATS = ("JPEG", "PNG", "TIFF", "BMP", "GIF", "WEBP", "JPEG2000", "PPM")
CHANNELS = ("R", "G", "B")
TIFF_MARKS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")

_ORIENTATION = 0x0112
_TURNED_BY = {"exif", "xmp"}  # what of a JPEG file may hold it
_TIFF_INVERTED, _WHITE_IS_ZERO = 262, 0  # PhotometricInterpretation
_TIFF_SIGN, _SIGNED = 339, 2  # SampleFormat
_TIFF_BITS, _WIDE_FLOATS, _WIDE_INTEGERS = 258, (64,), (32,)  # BitsPerSample
_READABLE = "Hand over a JPEG, PNG, TIFF, BMP, GIF, WebP or JPEG 2000 image."
_SAVE_AGAIN = "Save it again, or leave it out."
_PNG_MARK = b"\x89PNG\r\n\x1a\n"
_PNG_PIXELS = (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"fdAT")  # the parts that pixels depend on
_JPEG_MARKER = re.compile(rb"\xff([^\x00\x01\xd0-\xd8\xff])")  # of those that no data of a scan holds
_JPEG_END = b"\xd9"
_JPEG_NEXT = re.compile(rb"\0*\xff\xd8\xff")  # another image of an MPO file
_ZERO_TAIL = 64  # bytes; compressed data does not end in more zeros than that
# Between these differences of the strongest and the weakest channel, luma gives way to the weakest channel.
_CHROMA_GREY = 32
_CHROMA_COLOUR = 64
_JPEG2000_TAKES = 8  # times as long as others to decode
_AS_IT_IS = (0.0, 1.0)
_SPIKE = 64.0  # times the usual range: below that, a thousand of 65536 greys are left for it
_LARGEST, _SMALLEST = 1e37, 1e-30  # numbers and ranges that float32 holds with room for sums and quotients
_TOO_NEAR = 2.0**-12  # a range this small, relative to its numbers, is coarse in float32


@dataclass(frozen=True)
class Limits:
    """What is decoded at all.

    Attributes:
        max_pixels: width times height, read from the header before anything is decoded.
        min_side: pixels; a shorter side is "tiny".
        max_aspect: the longer side relative to the shorter one.
        max_bytes: size of the file.
    """

    max_pixels: int = 100_000_000
    min_side: int = 16
    max_aspect: float = 50.0
    max_bytes: int = 512 * 1024 * 1024


LIMITS = Limits()


@dataclass(frozen=True, eq=False)
class DecodedImage:
    """The pixels of one file, upright and opaque.

    Attributes:
        pixels: (height, width) or (height, width, 3), uint8 or uint16; not to be written to. Where the channels of
            a file are alike, they are one in memory.
        format: as found in the content: "JPEG", "PNG", "TIFF", ...
        mode: the file's own, in Pillow's words: "L", "RGB", "P", "RGBA", "I;16", ...
        rescale: turns a pixel back into the number that was decoded.
    """

    pixels: Pixels
    format: str
    mode: str
    rescale: Rescale = _AS_IT_IS

    def grey(self, channel: str = "") -> Pixels:
        """Returns one grey image.

        Args:
            channel: "R", "G" or "B" for one channel of a colour image; "" for its luma (ITU-R BT.601), where
                strongly colored pixels take their weakest channel: a yellow arrow is no bright anatomy.

        Returns:
            (height, width), of the dtype of ``pixels``. Grey images are returned as they are.

        Raises:
            UsageError: another channel.
        """
        if channel not in ("", *CHANNELS):
            raise UsageError("channel", f"must be one of {CHANNELS} or '', not {channel!r}", "Correct it.")
        if self.pixels.ndim == 2:
            return self.pixels
        if channel:
            return np.ascontiguousarray(self.pixels[..., CHANNELS.index(channel)])
        return self._grey

    @property
    def colourless(self) -> bool:
        """Tells whether the channels of all pixels are alike."""
        return self.pixels.ndim == 2 or self._alike

    @cached_property
    def _alike(self) -> bool:
        return self.pixels.strides[2] == 0 or _channels_alike(self.pixels)

    @cached_property
    def _grey(self) -> Pixels:
        return np.ascontiguousarray(self.pixels[..., 0]) if self._alike else _luma(self.pixels)

    @cached_property
    def cells(self) -> npt.NDArray[np.float32]:
        """What `standard.cells_of` returns for the grey image."""
        return cells_of(self.grey())

    def rgb(self) -> npt.NDArray[np.uint8]:
        """Returns (height, width, 3) uint8; 16-bit values are divided so that the greatest becomes 255."""
        pixels = _as_uint8(self.pixels)
        return np.ascontiguousarray(pixels) if pixels.ndim == 3 else np.repeat(pixels[..., None], 3, axis=2)


def decode(source: str | Path | bytes, *, name: str | None = None, limits: Limits = LIMITS) -> DecodedImage:
    """Decodes an image: its first page, upright, on black where it is transparent.

    Args:
        source: path, or the content of a file.
        name: what errors call it; the path by default.
        limits: what is decoded at all.

    Returns:
        The pixels. 16-bit grey keeps its values; wider integers and floats outside of uint16 are mapped linearly
        from their least and greatest value to the whole of it, after `padding.without_padding`.

    Raises:
        UnreadableImageError: missing, no image, or broken.
        ImageSizeError: beyond ``limits``.
    """
    label = name or ("image" if isinstance(source, bytes) else str(source))
    content = read_content(source, label, limits)
    with open_image(content, label, limits) as image:
        decoded = from_pillow(image, name=label, limits=limits)
        with decoder_errors(label, limits):  # where the list of further pages is broken, this page may be so too
            getattr(image, "n_frames", 1)
    check_whole(content, decoded.format, label)
    return decoded


def from_pillow(image: Image.Image, *, name: str = "image", limits: Limits = LIMITS) -> DecodedImage:
    """Takes an open image at its current page, as `decode` takes its file; raises as that does."""
    image_format, mode = image.format or "", image.mode
    if image_format == "JPEG2000":  # its decoder lets no other thread run meanwhile
        limits = replace(limits, max_pixels=limits.max_pixels // _JPEG2000_TAKES)
    check_size(image.size, name, limits)
    with decoder_errors(name, limits):
        # The first load of a broken file raises, a second one may not: nothing that loads it, as `getexif` does, and
        # that catches errors may come before this.
        image.load()
        tags = getattr(image, "tag_v2", {}) if image_format == "TIFF" else {}
        image = opaque(_upright(image))
    if image.mode.startswith(("I", "F")):
        values = np.asarray(image)
        if tags.get(_TIFF_BITS) == _WIDE_FLOATS and np.isinf(values).any():  # Pillow makes them float32
            rule, remedy = "holds numbers that are infinite or beyond 32-bit floats", "Scale them, and save it again."
            raise UnreadableImageError(name, rule, remedy, reason=Reason.UNSUPPORTED)
        unsigned = _SIGNED not in np.atleast_1d(tags.get(_TIFF_SIGN, ()))
        if tags and unsigned and image.mode == "I" and tags.get(_TIFF_BITS) == _WIDE_INTEGERS:  # Pillow knows no such
            values = values.view(np.uint32)
        # Of these, Pillow leaves it to us to turn black and white; those of 8 bits it has turned already.
        wide, rescale = _inverted(values) if tags.get(_TIFF_INVERTED) == _WHITE_IS_ZERO else _as_uint16(values)
        return DecodedImage(wide, image_format, mode, rescale)
    if image.mode == "L" and _SIGNED in np.atleast_1d(tags.get(_TIFF_SIGN, ())):  # which Pillow does not look at
        wide, rescale = _as_uint16(np.asarray(image).view(np.int8).astype(np.int16))
        return DecodedImage(wide, image_format, mode, rescale)
    return DecodedImage(_as_uint8_channels(image), image_format, mode)


def import_formats() -> None:
    """Imports all formats of Pillow; call it before threads that decode start, since it imports one when it is met."""
    Image.init()


def read_content(source: str | Path | bytes, label: str, limits: Limits = LIMITS) -> bytes:
    """Returns the content of a file.

    Raises:
        UnreadableImageError: missing, not permitted, or empty.
        ImageSizeError: of too many bytes.
    """
    content = source if isinstance(source, bytes) else _file_content(source, label, limits)
    _check_bytes(len(content), label, limits)
    if not content:
        raise UnreadableImageError(label, "is empty: 0 bytes", _READABLE, reason=Reason.NOT_AN_IMAGE)
    return content


def open_image(content: bytes, label: str, limits: Limits = LIMITS) -> Image.Image:
    """Opens an image; of its content only the header is read.

    Raises:
        UnreadableImageError: no image, or a broken header.
        ImageSizeError: of far too many pixels.
    """
    with decoder_errors(label, limits):
        try:
            return Image.open(io.BytesIO(content), formats=FORMATS)
        except Image.UnidentifiedImageError:
            if not content.startswith(TIFF_MARKS):
                raise
            _teach_wide_floats()
            with contextlib.suppress(Image.UnidentifiedImageError):
                return Image.open(io.BytesIO(content), formats=("TIFF",))
    rule = "is a TIFF file that is broken, or of a kind that is not read here, such as 64-bit integers"
    remedy = "Save it with 8 or 16 bits, or as floats, with black as the least value."
    raise UnreadableImageError(label, rule, remedy, reason=Reason.UNSUPPORTED)


def _teach_wide_floats() -> None:
    """Lets Pillow read TIFF files of 64-bit floats: it has the unpackers, and no entry that leads to them."""
    from PIL.TiffImagePlugin import OPEN_INFO  # plain images do without it

    for order, unpacker in ((b"II", "F;64F"), (b"MM", "F;64BF")):
        for photometric in (_WHITE_IS_ZERO, 1):
            OPEN_INFO.setdefault((order, photometric, (3,), 1, _WIDE_FLOATS, ()), ("F", unpacker))


@contextlib.contextmanager
def decoder_errors(label: str, limits: Limits = LIMITS) -> Iterator[None]:
    """Turns what Pillow raises into our errors; for calls of Pillow alone, so that no fault of ours looks like one."""
    try:
        yield
    except MemoryError:  # says nothing of the file
        raise
    except Image.DecompressionBombError as error:
        raise ImageSizeError(label, in_one_line(error), f"The limit is {limits.max_pixels} pixels.") from error
    except Image.UnidentifiedImageError as error:
        rule = "is no image in a format that is read here"
        raise UnreadableImageError(label, rule, _READABLE, reason=Reason.NOT_AN_IMAGE) from error
    except Exception as error:  # Pillow's decoders raise nearly every type on broken files
        raise UnreadableImageError(label, f"cannot be decoded: {in_one_line(error)}", _SAVE_AGAIN) from error


def check_whole(content: bytes, image_format: str, label: str) -> None:
    """Refuses missing and changed data that Pillow's decoders pass over and draw wrong pixels for.

    JPEG, WebP, GIF and TIFF hold no checksums: single changed bytes in them cannot be noticed.

    Raises:
        UnreadableImageError: broken.

    Source: PNG specification, 5.3 (CRC); ITU-T T.81, B.1.1 (markers).
    """
    fault = ""
    if image_format == "PNG":
        view, place = memoryview(content), len(_PNG_MARK)
        while place + 12 <= len(content) and not fault:
            end = place + 8 + int.from_bytes(content[place : place + 4], "big")
            kind, stored = content[place + 4 : place + 8], int.from_bytes(content[end : end + 4], "big")
            if kind in _PNG_PIXELS and zlib.crc32(view[place + 4 : end]) != stored:
                fault = f"the checksum of its part {kind.decode()} is wrong"
            place = len(content) if kind == b"IEND" else end + 4
    elif image_format in ("JPEG", "MPO"):
        end = _jpeg_end(content, 0)
        while end > 0 and image_format == "MPO" and (following := _JPEG_NEXT.match(content, end)):
            end = _jpeg_end(content, following.start())
        if end < 0:
            fault = "its data ends before the end of the image"
    elif image_format == "WEBP" and content[12:16] in (b"VP8 ", b"VP8L"):
        data = content[: 8 + int.from_bytes(content[4:8], "little")]
        if len(data) - len(data.rstrip(b"\0")) > _ZERO_TAIL:
            fault = "its data ends in zeros"
    if fault:
        raise UnreadableImageError(label, f"is broken: {fault}", _SAVE_AGAIN)


def _jpeg_end(content: bytes, place: int) -> int:
    """Returns where a JPEG image ends that starts at ``place``, below 0 where it does not; no thumbnail counts."""
    while found := _JPEG_MARKER.search(content, place):
        if found[1] == _JPEG_END:
            return found.end()
        place = found.end() + int.from_bytes(content[found.end() : found.end() + 2], "big")
    return -1


def from_array(pixels: npt.NDArray[np.generic], *, name: str = "array", limits: Limits = LIMITS) -> DecodedImage:
    """Takes pixels that are decoded already.

    Args:
        pixels: (height, width), (1, height, width) or (height, width, 1) of any range, or (height, width, 3) uint8 or
            uint16. What a masked array hides counts as NaN.
        name: what errors call it.
        limits: what is accepted at all.

    Raises:
        UnreadableImageError: another shape, or no numbers.
        ImageSizeError: beyond ``limits``.
    """
    # Arithmetic of other kinds of arrays differs: a masked one skips pixels, a matrix multiplies otherwise.
    hides = isinstance(pixels, np.ma.MaskedArray) and np.ma.is_masked(pixels) and pixels.dtype.kind in "buif"
    pixels = np.ma.filled(pixels.astype(np.float64), np.nan) if hides else np.asarray(pixels)
    if pixels.ndim == 3 and pixels.shape[2] != 3 and 1 in (pixels.shape[0], pixels.shape[2]):
        pixels = pixels[..., 0] if pixels.shape[2] == 1 else pixels[0]
    if pixels.ndim not in (2, 3) or (pixels.ndim == 3 and pixels.shape[2] != 3) or pixels.dtype.kind not in "buif":
        rule = f"has the shape {pixels.shape} and the type {pixels.dtype}"
        raise UnreadableImageError(name, rule, "Pass numbers as (height, width), or (height, width, 3) for colors.")
    check_size((pixels.shape[1], pixels.shape[0]), name, limits)
    kept = pixels.dtype.kind == "u" and pixels.dtype.itemsize <= 2
    shown, rescale = (pixels, _AS_IT_IS) if kept else _as_uint16(pixels.astype(np.float64))
    return DecodedImage(shown, "array", str(pixels.dtype), rescale)  # type: ignore[arg-type]


def _file_content(path: str | Path, label: str, limits: Limits) -> bytes:
    try:
        # A Path and a buffer would cost more than the reading.
        with open(path, "rb", buffering=0, opener=without_waiting) as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode) and not stat.S_ISDIR(status.st_mode):
                rule = "is a pipe, a socket or a device"
                raise UnreadableImageError(label, rule, "Save the image as a file.", reason=Reason.NOT_AN_IMAGE)
            _check_bytes(status.st_size, label, limits)
            return file.read()
    except FileNotFoundError as error:
        raise UnreadableImageError(label, "no such file", "Check the path.", reason=Reason.MISSING_FILE) from error
    except PermissionError as error:
        remedy = "Check its permissions."
        raise UnreadableImageError(label, "may not be read", remedy, reason=Reason.NO_PERMISSION) from error
    except IsADirectoryError as error:
        remedy = "Use `brainsift predict`, or `predict_files` in Python, for the images in it."
        raise UnreadableImageError(label, "is a folder", remedy) from error
    except (OSError, ValueError) as error:  # a broken disk, a path with a null byte
        raise UnreadableImageError(label, f"cannot be read: {in_one_line(error)}", "Check the path.") from error


def without_waiting(path: str, flags: int) -> int:
    """Opens a file for `open`; a pipe that nobody writes to does not hold it up."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _check_bytes(size: int, label: str, limits: Limits) -> None:
    if size > limits.max_bytes:
        raise ImageSizeError(label, f"has {size} bytes, more than {limits.max_bytes}", "Save it smaller.")


def check_size(size: tuple[int, int], label: str, limits: Limits = LIMITS) -> None:
    """Refuses (width, height) in pixels that are not decoded at all.

    Raises:
        ImageSizeError: beyond ``limits``.
    """
    width, height = size
    if width * height > limits.max_pixels:
        rule = f"has {width} x {height} pixels, more than {limits.max_pixels} in all"
        raise ImageSizeError(label, rule, "Scale it down; nothing was decoded.")
    if min(size) < limits.min_side:
        rule = f"is tiny: {width} x {height} pixels, where each side needs at least {limits.min_side}"
        raise ImageSizeError(label, rule, "Hand over the image in its full size.", reason=Reason.TINY)
    if max(size) > limits.max_aspect * min(size):
        rule = f"is a strip: {width} x {height} pixels, one side more than {limits.max_aspect:g} times the other"
        raise ImageSizeError(label, rule, "Hand over a picture of a head.")


def _upright(image: Image.Image) -> Image.Image:
    if image.format == "JPEG" and not image.info.keys() & _TURNED_BY:  # looking for it would cost more than asking
        return image
    try:
        turned = image.getexif().get(_ORIENTATION, 1) != 1
    except Exception:  # broken EXIF says nothing about the pixels, which are loaded already
        turned = False
    return ImageOps.exif_transpose(image) if turned else image


def opaque(image: Image.Image) -> Image.Image:
    """Returns an image of mode L, RGB, or of wide integers or floats, on black where it is transparent."""
    if image.mode.startswith(("I", "F")):
        return image
    wanted = "L" if image.mode in ("1", "L", "LA", "La") else "RGB"
    if image.has_transparency_data:
        opaque = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", opaque.size, (0, 0, 0, 255)), opaque)
    return image if image.mode == wanted else image.convert(wanted)


def _as_uint8_channels(image: Image.Image) -> Pixels:
    """Returns the pixels of an image of mode L or RGB; channels that are alike are one in memory."""
    height, width = image.height, image.width
    if image.mode == "L":
        return np.frombuffer(image.tobytes(), np.uint8).reshape(height, width)
    red = image.tobytes("raw", "R")
    if all(image.tobytes("raw", channel) == red for channel in ("G", "B")):
        return np.ndarray((height, width, 3), np.uint8, red, strides=(width, 1, 0))
    return np.frombuffer(image.tobytes(), np.uint8).reshape(height, width, 3)


def _as_uint8(pixels: Pixels) -> npt.NDArray[np.uint8]:
    if pixels.dtype == np.uint8:
        return pixels.astype(np.uint8, copy=False)
    return np.rint(pixels * np.float32(255 / max(int(pixels.max()), 1))).astype(np.uint8)


def _as_uint16(values: npt.NDArray[np.generic]) -> tuple[npt.NDArray[np.uint16], Rescale]:
    if values.dtype.kind == "u" and values.dtype.itemsize == 2:
        return values.astype(np.uint16), _AS_IT_IS
    wide = without_padding(values.astype(np.float64))
    low, high = float(wide.min()), float(wide.max())
    if values.dtype.kind in "iu" and low >= 0 and high <= np.iinfo(np.uint16).max:
        return wide.astype(np.uint16), _AS_IT_IS
    span = (high - low) or 1.0
    if math.isinf(span) or math.isinf(65535 / span):
        single, moved = in_float32(wide)
        pixels, rescale = _as_uint16(single)
        return pixels, chained(rescale, moved)
    if span > np.iinfo(np.uint16).max or values.dtype.kind == "f":
        low, high = range_without_spikes(wide, wide, _SPIKE)
        span = (high - low) or 1.0
    greys = np.minimum(np.maximum((wide - low) * (65535 / span), 0), 65535)
    return np.rint(greys).astype(np.uint16), (low, span / 65535)


def in_float32(values: npt.NDArray[np.generic]) -> tuple[npt.NDArray[np.float32], Rescale]:
    """Returns numbers as float32, and what turns them back.

    Numbers beyond float32, or so near to each other that it could not tell them apart, are first mapped linearly so
    that the least becomes 0 and the greatest 1. What is not finite stays so.
    """
    low, high = float(values.min()), float(values.max())
    if not (math.isfinite(low) and math.isfinite(high)):
        finite = np.isfinite(values)
        low = float(np.min(values, where=finite, initial=np.inf))
        high = float(np.max(values, where=finite, initial=-np.inf))
    largest, span = max(abs(low), abs(high)), high / 2 - low / 2
    coarse = values.dtype != np.float32 and span < largest * _TOO_NEAR
    if not low < high or (largest < _LARGEST and span > _SMALLEST and not coarse):
        return values.astype(np.float32, copy=False), _AS_IT_IS
    return ((values.astype(np.float64) / 2 - low / 2) / span).astype(np.float32), (low, 2 * span)


def chained(first: Rescale, second: Rescale) -> Rescale:
    """Returns what does two steps of turning back, one after the other."""
    return second[0] + second[1] * first[0], second[1] * first[1]


def _inverted(values: npt.NDArray[np.generic]) -> tuple[npt.NDArray[np.uint16], Rescale]:
    """Maps values of which the least is white, as `_as_uint16` maps others."""
    if values.dtype.kind == "u" and values.dtype.itemsize == 2:
        return np.iinfo(np.uint16).max - values.astype(np.uint16), (np.iinfo(np.uint16).max, -1.0)
    wide, (intercept, slope) = _as_uint16(-values.astype(np.float64))
    return wide, (-intercept, -slope)


def _channels_alike(pixels: Pixels) -> bool:
    values = pixels.reshape(-1)
    same = values[1:] == values[:-1]
    same[2::3] = True  # of two pixels
    return bool(same.all())


def _luma(pixels: Pixels) -> Pixels:
    red, green, blue = (np.ascontiguousarray(pixels[..., channel]) for channel in range(3))
    # Pillow's own fixed-point weights, so that grey JPEGs and their RGB copies agree.
    wide = red * np.uint32(19595) + green * np.uint32(38470)
    wide += blue * np.uint32(7471)
    wide += np.uint32(0x8000)
    wide >>= np.uint32(16)
    luma = wide.astype(pixels.dtype)
    weakest = np.minimum(np.minimum(red, green), blue)
    chroma = np.maximum(np.maximum(red, green), blue) - weakest
    unit = 1 if pixels.dtype == np.uint8 else 257
    colored = chroma > _CHROMA_GREY * unit
    if colored.any():
        share = (chroma[colored].astype(np.float32) / unit - _CHROMA_GREY) / (_CHROMA_COLOUR - _CHROMA_GREY)
        grey = wide[colored]
        nearer = (weakest[colored] - grey.astype(np.float32)) * np.minimum(share, 1)
        luma[colored] = np.rint(grey + nearer).astype(pixels.dtype)
    return luma
