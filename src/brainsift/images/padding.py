"""Padding around a picture becomes as dark as its darkest pixel, so that a head stands out from its background.

Scanners, registration and segmentation tools fill what lies outside of a head or of the field of view with one value:
NaN, -32768, or a 0 that lies in the middle of z-scored values. In signed data no value is black by itself: such a
filling would become grey, or would leave no contrast for the head.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from brainsift.images.components import Mask

_Array = npt.NDArray[Any]

_CORNER = 2  # pixels along each axis that are looked at in a corner
_CORNER_SHARE = 0.25  # of the pixels in all corners together, with one value
_MIN_SHARE = 0.01  # of all pixels, with that value
_NEAR = 0.05  # of the range of the picture
_AIR = 0.15  # share of the picture near its darkest pixel, where air within the field of view is the background
_FAR = 1.0  # of the range of the picture; a filling this far below it is never the background of a head


def without_padding(values: _Array, *, padding: Mask | None = None) -> _Array:
    """Returns values whose padding is as low as the lowest of the others; unsigned data stays as it is.

    Padding is what the header calls so, what is not finite, or, in signed data, the value that fills the corners. A
    filling that is the lowest value already stays, unless it lies so far below the picture that no contrast would be
    left, or air within the field of view is a background of its own.

    Args:
        values: (height, width) or (x, y, z); larger is brighter.
        padding: of the same shape, true where the header says that there is no picture; None where it says nothing.
    """
    low, high = values.min(), values.max()
    missing = None if np.isfinite(low) and np.isfinite(high) else ~np.isfinite(values)
    if missing is not None:
        low = np.min(values, where=~missing, initial=np.inf)
        if low >= 0:  # also where nothing is finite
            values, missing = np.where(missing, 0, values).astype(values.dtype), None
    declared = padding is not None
    if padding is None and low < 0:
        padding = _filling(values)
    outside = padding if missing is None else missing if padding is None else missing | padding
    if outside is None or outside.all():
        return values
    picture = values[~outside]
    lowest, highest = float(picture.min()), float(picture.max())
    if padding is not None and missing is None and padding.any():
        fill = float(values[padding].max())
        white = fill >= highest and not declared  # an inverted picture
        if white or fill == lowest or (fill < lowest and not _leaves_no_contrast(picture, fill, lowest, highest)):
            return values
    return np.where(outside, lowest, values).astype(values.dtype)


def _filling(values: _Array) -> Mask | None:
    """Finds the one value that fills the corners."""
    corners = values[np.ix_(*([*range(_CORNER), *range(-_CORNER, 0)] for _ in values.shape))]
    found, counts = np.unique(corners[np.isfinite(corners)], return_counts=True)
    if not found.size or counts.max() < _CORNER_SHARE * corners.size:
        return None
    filled = values == found[counts.argmax()]
    return filled if np.count_nonzero(filled) >= _MIN_SHARE * filled.size else None


def _leaves_no_contrast(picture: _Array, fill: float, lowest: float, highest: float) -> bool:
    """Tells whether a filling below the picture would be taken for the background, and its background for a head."""
    span = highest - lowest
    if lowest - fill > _FAR * span:
        return True
    return lowest - fill > _NEAR * span and float((picture <= lowest + _NEAR * span).mean()) > _AIR
