"""Draws a slice as the page shows it, and its tumor map at the same size, as PNG."""

import io

import numpy as np
import numpy.typing as npt
from PIL import Image

from brainsift.images import standard
from brainsift.inference.overlay import CONTOUR, YELLOW, edge_of, overlay
from brainsift.volumes.slices import Loaded

SIDE = 1024
_WINDOW = (0.5, 99.5)  # percentiles
DEEPEST = 65535


def picture_png(grey: standard.Grey, side: int = SIDE) -> bytes:
    """Draws a slice in 8-bit grey, between its 0.5th and 99.5th percentile.

    Args:
        grey: (height, width), the slice.
        side: largest width and height of the picture, pixels; smaller slices keep their size.
    """
    low, high = _window(grey)
    span = max(high - low, 1e-6)
    return _png(np.clip((grey.astype(np.float32) - np.float32(low)) * np.float32(255 / span), 0, 255), side)


def deep_png(loaded: Loaded, side: int = SIDE) -> tuple[bytes, dict[str, str]]:
    """Draws the whole range of a slice in 16 bits: red is the high byte, green the low byte.

    Browsers reduce a PNG file of 16 bits to 8, so the bytes are in two channels.

    Returns:
        The picture, and two headers, both in the units of the file: the values that 0 and 65535 stand for
        ("X-Values"), and the values between which `picture_png` draws the slice ("X-Window"). For a slice of 8 bits
        the picture of `picture_png`, and no headers.
    """
    if loaded.image.pixels.dtype == np.uint8:
        return picture_png(loaded.image.grey(), side), {}
    values = loaded.values()
    grey = np.nan_to_num(values.grey.astype(np.float32), nan=0.0, posinf=0.0, neginf=0.0)
    intercept, slope = values.rescale
    low, high = _window(np.clip(grey, *values.ends))
    shown = np.asarray(thumbnail(grey, side))
    least, most = float(shown.min()), float(shown.max())
    if most <= least:
        most = least + 1
    deep = np.rint((shown - np.float32(least)) * np.float32(DEEPEST / (most - least))).astype(np.uint16)
    window = (low, max(high, low + 1e-6))
    units = [(intercept + slope * one, intercept + slope * other) for one, other in ((least, most), window)]
    return packed(deep), deep_headers(*units)


def packed(deep: npt.NDArray[np.uint16]) -> bytes:
    """Returns grays of 16 bits as PNG: red is the high byte, green the low byte."""
    channels = np.stack([deep >> 8, deep & 255, np.zeros_like(deep)], axis=2).astype(np.uint8)
    return encoded(Image.fromarray(channels), compress_level=1)  # low bytes are noise: more effort saves little


def deep_headers(ends: tuple[float, float], window: tuple[float, float]) -> dict[str, str]:
    """Returns the headers of a picture of 16 bits; see `deep_png`."""
    return {name: ",".join(map(str, pair)) for name, pair in (("X-Values", ends), ("X-Window", window))}


def seen_png(grey: standard.Grey, tumor_map: npt.NDArray[np.floating], *, size: int, side: int = SIDE) -> bytes:
    """Draws a slice with its tumor map and the contour over it, in color; see `overlay`."""
    image = overlay(grey, tumor_map, size=size)
    if max(image.size) <= side:
        return encoded(image)
    image.thumbnail((side, side), Image.Resampling.LANCZOS)
    heat = Image.fromarray(standard.standard_map(grey, tumor_map, size).astype(np.float32))
    smaller = np.asarray(heat.resize(image.size, Image.Resampling.BILINEAR))
    pixels = np.array(image)
    pixels[edge_of(smaller >= CONTOUR)] = YELLOW  # the line of the large picture is too thin to be seen in a small one
    return encoded(Image.fromarray(pixels))


def map_png(grey: standard.Grey, tumor_map: npt.NDArray[np.floating], *, size: int) -> bytes:
    """Draws a tumor map at the size and place of its slice as `picture_png` draws it; 255 stands for a certain tumor.

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
    return encoded(thumbnail(np.rint(values).astype(np.uint8), side))


def thumbnail(pixels: npt.NDArray[np.uint8 | np.float32], side: int) -> Image.Image:
    """Returns pixels as an image that is no wider and no higher than ``side``."""
    image = Image.fromarray(pixels)
    image.thumbnail((side, side), Image.Resampling.LANCZOS)
    return image


def encoded(image: Image.Image, *, compress_level: int = 3) -> bytes:
    """Returns an image as PNG."""
    buffer = io.BytesIO()
    image.save(buffer, format="PNG", compress_level=compress_level)
    return buffer.getvalue()
