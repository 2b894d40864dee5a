"""Where a picture of a head lies: its plane, which side of the patient each of its sides shows, its size in mm."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

Plane = Literal["axial", "coronal", "sagittal"]
_PLANES: tuple[Plane, ...] = ("sagittal", "coronal", "axial")  # by the axis of the patient that they are cut across
_LETTERS = ("LR", "PA", "SI")  # of each axis, the side that it points to and the other one
_OBLIQUE = 0.34  # of a direction, along a second axis: about 20 degrees, from which a second letter is due
_Vector = tuple[float, float, float]


@dataclass(frozen=True)
class Geometry:
    """The place of a picture in the patient, in the coordinates of DICOM: left, posterior and superior are positive.

    Attributes:
        right: unit vector that points to the right side of the picture.
        down: unit vector that points to its bottom.
        center_mm: place of its center.
        size_mm: its width and height; None where the file does not tell the distance of the pixels.
        shape: height and width in stored pixels; None where that is not known.
    """

    right: _Vector
    down: _Vector
    center_mm: _Vector
    size_mm: tuple[float, float] | None = None
    shape: tuple[int, int] | None = None

    @property
    def plane(self) -> Plane:
        """The nearest of the three planes."""
        return _PLANES[int(np.abs(np.cross(self.right, self.down)).argmax())]

    @property
    def sides(self) -> tuple[str, str, str, str]:
        """The sides of the patient at the left, right, top and bottom of the picture, as R, L, A, P, S, I.

        >>> Geometry((1, 0, 0), (0, 0.8, -0.6), (0, 0, 0)).sides
        ('R', 'L', 'AS', 'PI')
        """
        return _side(self.right, -1), _side(self.right, 1), _side(self.down, -1), _side(self.down, 1)


def geometry_of(
    first_mm: npt.NDArray[np.float64],
    across: npt.NDArray[np.float64],
    downward: npt.NDArray[np.float64],
    shape: tuple[int, int],
    spacing_mm: tuple[float, float] | None,
) -> Geometry:
    """Returns the geometry of a picture from its first pixel.

    Args:
        first_mm: (3,), center of the pixel at the top left.
        across: (3,), unit vector from a pixel to the next one of its row.
        downward: (3,), unit vector from a pixel to the one below.
        shape: height and width, pixels.
        spacing_mm: distance of rows and of columns; None where it is not known.
    """
    height, width = shape
    rows_mm, columns_mm = spacing_mm or (0.0, 0.0)
    center = first_mm + across * columns_mm * (width - 1) / 2 + downward * rows_mm * (height - 1) / 2
    size_mm = (width * columns_mm, height * rows_mm) if spacing_mm else None
    return Geometry(_vector(across), _vector(downward), _vector(center), size_mm, shape)


def _vector(values: npt.NDArray[np.float64]) -> _Vector:
    x, y, z = (float(value) for value in values)
    return x, y, z


def _side(direction: _Vector, sign: int) -> str:
    parts = [(abs(part), _LETTERS[axis][part * sign < 0]) for axis, part in enumerate(direction)]
    longest, *others = sorted(parts, reverse=True)
    return longest[1] + "".join(letter for size, letter in others if size >= _OBLIQUE)
