"""Spikes: single values so far beyond all others that they leave hardly any greys for the head."""

from typing import Any

import numpy as np
import numpy.typing as npt

_OUTLIER = 4.0  # times the usual range
_SIDE = 128  # pixels, of what is looked at for the usual range


def range_without_spikes(
    values: npt.NDArray[Any], sample: npt.NDArray[Any], multiple: float = _OUTLIER
) -> tuple[float, float]:
    """Returns the least and the greatest value that is no spike.

    Args:
        values: finite.
        sample: some of them, which tell the usual range: without a thousandth of them at either end.
        multiple: of the usual range; further beyond it, a value is a spike.
    """
    low, high = float(values.min()), float(values.max())
    bottom, top = (float(end) for end in np.percentile(sample, (0.1, 99.9)))
    if bottom < top:
        low = max(low, bottom - multiple * (top - bottom))
    if low < top:
        high = min(high, low + multiple * (top - low))
    return low, high


def without_spikes(grey: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Returns an image whose spikes are cut off; 8 bits leave no room for any.

    Args:
        grey: (height, width), finite.
    """
    if grey.dtype.itemsize == 1:
        return grey
    step = max(1, min(grey.shape) // _SIDE)
    low, high = range_without_spikes(grey, grey[::step, ::step])
    if low <= grey.min() and high >= grey.max():
        return grey
    return np.clip(grey, np.ceil(low).astype(grey.dtype), np.floor(high).astype(grey.dtype))
