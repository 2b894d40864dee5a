"""A slice as the page shows it, and its tumor map at the same size, as PNG."""

import io

import numpy as np
import numpy.typing as npt
from PIL import Image

from brainsift import intensity

SIDE = 1024
_WINDOW = (0.5, 99.5)  # percentiles


def picture_png(grey: intensity.Grey, side: int = SIDE) -> bytes:
    """Draws a slice: 8-bit grey between its 0.5th and 99.5th percentile, the longer side at most so many pixels."""
    low, high = np.percentile(grey, _WINDOW)
    if high <= low:  # hardly anything but background
        low, high = grey.min(), grey.max()
    span = max(float(high - low), 1e-6)
    return _png(np.clip((grey.astype(np.float32) - np.float32(low)) * np.float32(255 / span), 0, 255), side)


def map_png(grey: intensity.Grey, tumor_map: npt.NDArray[np.floating], *, size: int) -> bytes:
    """Draws a tumor map laid over its slice, as large as `picture_png` draws that: 255 is a tumor for certain.

    Args:
        grey: (height, width), the slice.
        tumor_map: (h, w), 0 to 1, over the network's input.
        size: side of the network's input, pixels.
    """
    return _png(np.clip(intensity.standard_map(grey, tumor_map, size), 0, 1) * 255)


def _png(values: npt.NDArray[np.float32], side: int = SIDE) -> bytes:
    image = Image.fromarray(np.rint(values).astype(np.uint8))
    image.thumbnail((side, side), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    image.save(buffer, format="PNG", compress_level=3)
    return buffer.getvalue()
