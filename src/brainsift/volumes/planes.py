"""The slices of a volume as one block, which can be cut in the other planes: axial, coronal, sagittal.

The block is cut along its own axes, not along the scanner's: the planes of an oblique volume are oblique as well, and
the letters at their sides say so. Nothing is interpolated but the longer side of oblong voxels.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import permutations
from typing import Any

import numpy as np
import numpy.typing as npt

from brainsift.core.errors import InputError
from brainsift.volumes.acquisition import Acquisition
from brainsift.volumes.geometry import Geometry, Plane
from brainsift.volumes.slices import squared
from brainsift.volumes.voxel_grid import VoxelGrid

PLANES: tuple[Plane, ...] = ("axial", "coronal", "sagittal")
_NORMAL = {"axial": 2, "coronal": 1, "sagittal": 0}  # axis of the patient across which a plane is cut
_TOWARDS = (-1, -1, 1)  # on each of these axes, slices are numbered to the right, to the front, upwards
_RIGHT = {"axial": (0, 1), "coronal": (0, 1), "sagittal": (1, 1)}  # axis and way, to the right side of the picture
_DOWN = {"axial": (1, 1), "coronal": (2, -1), "sagittal": (2, -1)}
_FEWEST = 3  # slices of a block
_UNEVEN = 0.25  # of the distance of slices: so far may one lie from its place
_UPRIGHT = 0.99  # cosine between the way from slice to slice and the normal of their plane
_REMEDY = "Look at its own slices."
_Array = npt.NDArray[Any]
_Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Cut:
    """The pictures of one plane.

    Attributes:
        plane: which one.
        count: number of pictures; to the right, to the front or upwards.
        first: place of the first one.
        step_mm: from the center of a picture to that of the next.
    """

    plane: Plane
    count: int
    first: Geometry
    step_mm: tuple[float, float, float]


@dataclass(frozen=True, eq=False)
class Block:
    """Where the voxels of a volume lie: parallel slices of one size at even distances.

    Attributes:
        shape: number of slices, their height and width in pixels.
        first: place of the first slice.
        step_mm: (3,), from the center of a slice to that of the next.
    """

    shape: tuple[int, int, int]
    first: Geometry
    step_mm: _Floats

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """The distance of slices, rows and columns."""
        assert self.first.size_mm is not None  # `block_of` has checked it
        width_mm, height_mm = self.first.size_mm
        return float(np.linalg.norm(self.step_mm)), height_mm / self.shape[1], width_mm / self.shape[2]

    @property
    def voxel_mm3(self) -> float:
        """The volume of a voxel."""
        return float(np.prod(self.spacing_mm))

    @cached_property
    def _directions(self) -> _Floats:
        """(3, 3): unit vectors from slice to slice, from row to row, from column to column."""
        step = self.step_mm / np.linalg.norm(self.step_mm)
        return np.array([step, self.first.down, self.first.right])

    @cached_property
    def _axes(self) -> tuple[int, int, int]:
        """The axis of the block that lies nearest to each axis of the patient; each is given once."""
        near = np.abs(self._directions)
        x, y, z = max(permutations(range(3)), key=lambda axes: sum(near[axis, one] for one, axis in enumerate(axes)))
        return x, y, z

    @property
    def grid(self) -> VoxelGrid:
        """The voxels as a volume of columns, rows and slices."""
        n_slices, height, width = self.shape
        _, rows_mm, columns_mm = self.spacing_mm
        across, downward = np.array(self.first.right) * columns_mm, np.array(self.first.down) * rows_mm
        corner = np.array(self.first.center_mm) - across * (width - 1) / 2 - downward * (height - 1) / 2
        to_ras = np.diag([-1.0, -1.0, 1.0]) @ np.column_stack([across, downward, self.step_mm, corner])
        rows = tuple(tuple(float(value) for value in row) for row in (*to_ras, (0.0, 0.0, 0.0, 1.0)))
        return VoxelGrid((width, height, n_slices), rows, axes=(2, 1, 0), ways=(1, 1, 1))

    def cut(self, plane: Plane) -> Cut:
        """Returns where the pictures of a plane lie."""
        across, right, down = self._across(plane)
        center = np.asarray(self.first.center_mm) + self.step_mm * (self.shape[0] - 1) / 2
        step = self._direction(across) * self.spacing_mm[across[0]]
        first = center - step * (self.shape[across[0]] - 1) / 2
        size_mm = tuple(self.shape[axis] * self.spacing_mm[axis] for axis, _ in (right, down))
        geometry = Geometry(
            _vector(self._direction(right)), _vector(self._direction(down)), _vector(first), (size_mm[0], size_mm[1])
        )
        return Cut(plane, self.shape[across[0]], geometry, _vector(step))

    def pixels(self, voxels: _Array, plane: Plane, place: int) -> _Array:
        """Cuts a picture with square pixels, as radiology shows it.

        Args:
            voxels: of the shape of the block.
            plane: which one.
            place: of the picture, from 0.
        """
        (across, way), (right, right_way), (down, down_way) = self._across(plane)
        cut = np.take(voxels, place if way > 0 else self.shape[across] - 1 - place, axis=across)
        if down > right:
            cut = cut.T
        return squared(cut[::down_way, ::right_way], (self.spacing_mm[down], self.spacing_mm[right]))

    def _across(self, plane: Plane) -> tuple[tuple[int, int], tuple[int, int], tuple[int, int]]:
        """Returns the block's axis and its way, 1 or -1: from picture to picture, to the right, downwards."""
        normal = _NORMAL[plane]
        wanted = ((normal, _TOWARDS[normal]), _RIGHT[plane], _DOWN[plane])
        found = [
            (self._axes[axis], 1 if self._directions[self._axes[axis], axis] * way >= 0 else -1) for axis, way in wanted
        ]
        return found[0], found[1], found[2]

    def _direction(self, axis_and_way: tuple[int, int]) -> _Floats:
        axis, way = axis_and_way
        direction: _Floats = self._directions[axis] * way
        return direction


def block_of(geometries: Sequence[Geometry | None], shape: tuple[int, int], name: str) -> Block:
    """Returns where the slices of a volume lie as a whole.

    Args:
        geometries: of the slices, in their order.
        shape: height and width of a slice, pixels.
        name: what errors call the volume.

    Raises:
        InputError: they cannot be stacked: too few, at unknown or uneven places, not parallel, of unknown size.
    """
    rule = ""
    known = [one for one in geometries if one is not None]
    if len(known) < len(geometries):
        rule = "does not say where each of its slices lies"
    elif len(known) < _FEWEST:
        rule = f"has fewer than {_FEWEST} slices"
    elif any(one.size_mm is None for one in known):
        rule = "does not say how far apart its pixels are"
    else:
        rule = _fault(known)
    if rule:
        raise InputError(name, f"{rule}: it cannot be cut in other planes", _REMEDY)
    centers = np.array([one.center_mm for one in known])
    return Block((len(known), *shape), known[0], (centers[-1] - centers[0]) / (len(known) - 1))


def grid_of(acquisitions: Sequence[Acquisition], name: str) -> VoxelGrid | None:
    """Returns the stored voxels of a volume; None where its slices are no stack at even distances.

    Args:
        acquisitions: of the slices, in their order.
        name: of the volume.
    """
    if grid := acquisitions[0].grid:
        return grid
    geometries = [one.geometry for one in acquisitions]
    shapes = {one.shape for one in geometries if one}
    shape = shapes.pop() if len(shapes) == 1 else None
    try:
        return block_of(geometries, shape, name).grid if shape else None
    except InputError:
        return None


def _fault(known: Sequence[Geometry]) -> str:
    """Tells why slices are no block; "" where they are."""
    first = known[0]
    centers = np.array([one.center_mm for one in known])
    step = (centers[-1] - centers[0]) / (len(known) - 1)
    length = float(np.linalg.norm(step))
    ways = np.array([(one.right, one.down) for one in known])
    if (ways * ways[0]).sum(axis=2).min() < _UPRIGHT or any(
        not np.allclose(one.size_mm, first.size_mm, rtol=1e-3) for one in known if one.size_mm and first.size_mm
    ):
        return "has slices of several sizes or directions"
    even = centers[0] + np.arange(len(known))[:, None] * step
    if not length or np.linalg.norm(centers - even, axis=1).max() > _UNEVEN * length:
        return "has slices at uneven distances"
    if abs(float(np.cross(first.right, first.down) @ step)) < _UPRIGHT * length:
        return "has slices that are shifted against each other"
    return ""


def _vector(values: _Floats) -> tuple[float, float, float]:
    x, y, z = (float(value) for value in values)
    return x, y, z
