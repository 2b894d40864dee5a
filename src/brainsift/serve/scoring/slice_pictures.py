"""A slice as the page shows it, and its tumor map at the same size, as PNG."""

import io

import numpy as np
import numpy.typing as npt
from PIL import Image

from brainsift.images import standard
from brainsift.volumes.slices import Loaded

SIDE = 1024
_WINDOW = (0.5, 99.5)  # percentiles
_DEEPEST = 65535


def picture_png(grey: standard.Grey, side: int = SIDE) -> bytes:
    """Draws a slice: 8-bit grey between its 0.5th and 99.5th percentile, the longer side at most so many pixels."""
    low, high = _window(grey)
    span = max(high - low, 1e-6)
    return _png(np.clip((grey.astype(np.float32) - np.float32(low)) * np.float32(255 / span), 0, 255), side)


def deep_png(loaded: Loaded, side: int = SIDE) -> tuple[bytes, dict[str, str]]:
    """Packs the whole range of a slice: red is the high byte of 16 bits, green the low one.

    Browsers cut PNG of 16 bits to 8.

    Returns:
        The picture, and in the units of the file what 0 and 65535 stand for ("X-Values") and between which values
        `picture_png` shows the slice ("X-Window"). Of a slice of 8 bits that picture, and no more.
    """
    if loaded.image.pixels.dtype == np.uint8:
        return picture_png(loaded.image.grey(), side), {}
    values = loaded.values()
    grey = np.nan_to_num(values.grey.astype(np.float32), nan=0.0, posinf=0.0, neginf=0.0)
    intercept, slope = values.rescale
    low, high = _window(np.clip(grey, *values.ends))
    shown = np.asarray(_thumbnail(grey, side))
    least, most = float(shown.min()), float(shown.max())
    if most <= least:
        most = least + 1
    deep = np.rint((shown - np.float32(least)) * np.float32(_DEEPEST / (most - least))).astype(np.uint16)
    packed = np.stack([deep >> 8, deep & 255, np.zeros_like(deep)], axis=2).astype(np.uint8)
    told = {"X-Values": (least, most), "X-Window": (low, max(high, low + 1e-6))}
    headers = {name: ",".join(str(intercept + slope * one) for one in pair) for name, pair in told.items()}
    return _encoded(Image.fromarray(packed), compress_level=1), headers  # low bytes are noise, however hard one tries


def map_png(grey: standard.Grey, tumor_map: npt.NDArray[np.floating], *, size: int) -> bytes:
    """Draws a tumor map laid over its slice, as large as `picture_png` draws that: 255 is a tumor for certain.

    Args:
        grey: (height, width), the slice.
        tumor_map: (h, w), 0 to 1, over the network's input.
        size: side of the network's input, pixels.
    """
    return _png(np.clip(standard.standard_map(grey, tumor_map, size), 0, 1) * 255)


def _window(grey: standard.Grey) -> tuple[float, float]:
    low, high = np.percentile(grey, _WINDOW)
    if high <= low:  # hardly anything but background
        low, high = grey.min(), grey.max()
    return float(low), float(high)


def _png(values: npt.NDArray[np.float32], side: int = SIDE) -> bytes:
    return _encoded(_thumbnail(np.rint(values).astype(np.uint8), side))


def _thumbnail(pixels: npt.NDArray[np.uint8 | np.float32], side: int) -> Image.Image:
    image = Image.fromarray(pixels)
    image.thumbnail((side, side), Image.Resampling.LANCZOS)
    return image


def _encoded(image: Image.Image, *, compress_level: int = 3) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format="PNG", compress_level=compress_level)
    return buffer.getvalue()
