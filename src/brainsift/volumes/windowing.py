"""What a slice holds before any window, and what that means in the units of its file."""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from brainsift.images.decode import Rescale

_ALIKE = 1 / 1024  # of the range; nearer than that to a line, a window is one


@dataclass(frozen=True, eq=False)
class Values:
    """The whole range of a slice.

    Attributes:
        grey: (height, width) of any range; larger is brighter.
        rescale: turns a grey into the units of the file.
        ends: greys between which the window of the header lies: below the first all is black, above the second white.
    """

    grey: npt.NDArray[np.generic]
    rescale: Rescale = (0.0, 1.0)
    ends: tuple[float, float] = (-math.inf, math.inf)


def before_window(values: npt.NDArray[np.generic], windowed: npt.NDArray[np.generic]) -> Values:
    """Finds the window that was applied to the values of a file, which may invert them, too.

    Where it is no line between two ends (a lookup table, a sigmoid), what it made counts as the values.

    Args:
        values: (height, width), in the units of the file.
        windowed: (height, width), the same as they are to be shown; larger is brighter.
    """
    x, y = values.astype(np.float64).ravel(), windowed.astype(np.float64).ravel()
    black, white = y.min(), y.max()
    inside = np.flatnonzero((y > black) & (y < white))
    if not inside.size:
        return Values(windowed)
    one, other = inside[x[inside].argmin()], inside[x[inside].argmax()]
    slope = (y[other] - y[one]) / ((x[other] - x[one]) or math.inf)
    line = np.clip(y[one] + slope * (x - x[one]), black, white)
    if not slope or not np.abs(line - y).max() <= _ALIKE * (white - black):
        return Values(windowed)
    sign = math.copysign(1.0, slope)
    ends = (sign * float(x[one] + (end - y[one]) / slope) for end in (black, white))
    return Values((sign * x).reshape(values.shape), (0.0, sign), (next(ends), next(ends)))
