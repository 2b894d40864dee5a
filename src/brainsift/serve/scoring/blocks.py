"""Volumes cut in the planes that were not scored, and the volume of their contour.

The last volume that was looked at stays in memory, at most some 32 million voxels of it.
"""

import threading
from dataclasses import dataclass
from weakref import WeakKeyDictionary

import numpy as np
import numpy.typing as npt
from PIL import Image

from brainsift.core.errors import NotFoundError
from brainsift.images import standard
from brainsift.serve.scoring.job import Job
from brainsift.serve.scoring.slice_pictures import DEEPEST, deep_headers, encoded, packed, thumbnail
from brainsift.volumes.geometry import Plane
from brainsift.volumes.planes import Block, block_of

_MOST_VOXELS = 32_000_000  # finer slices are made smaller
_MOST_SIDE = 512
_WINDOW = (0.5, 99.5)  # percentiles
_LEVELS = 256


@dataclass(frozen=True, eq=False)
class StackedVolume:
    """A volume that can be cut.

    Attributes:
        block: where its voxels lie.
        voxels: uint16, of the shape of the block; larger is brighter.
        maps: uint8, of the shape of the block: the tumor maps; 255 stands for a certain tumor, 0 also for no map.
        ends: the values that 0 and 65535 stand for, in the units of the file.
        window: between which values to draw it at first.
        n_maps: number of slices with a map.
    """

    block: Block
    voxels: npt.NDArray[np.uint16]
    maps: npt.NDArray[np.uint8]
    ends: tuple[float, float]
    window: tuple[float, float]
    n_maps: int

    @property
    def voxels_above(self) -> list[int]:
        """The number of voxels whose map is above each of the levels 0 to 255."""
        counts = np.bincount(self.maps.ravel(), minlength=_LEVELS)
        return (self.maps.size - counts.cumsum()).tolist()

    def picture_png(self, plane: Plane, place: int) -> tuple[bytes, dict[str, str]]:
        """Draws a picture of a plane in 16 bits, with its headers, as `deep_png` does."""
        pixels = np.rint(np.asarray(self.block.pixels(self.voxels, plane, place), np.float32)).astype(np.uint16)
        return packed(pixels), deep_headers(self.ends, self.window)

    def map_png(self, plane: Plane, place: int) -> bytes:
        """Draws the tumor map of a picture of a plane, at its size."""
        pixels = np.rint(np.asarray(self.block.pixels(self.maps, plane, place), np.float32)).astype(np.uint8)
        return encoded(Image.fromarray(pixels))


class Blocks:
    """Stacks volumes, and keeps the last one. Any thread may use it.

    Args:
        size: side of the network's input, pixels.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._kept: WeakKeyDictionary[Job, tuple[int, StackedVolume]] = WeakKeyDictionary()  # a job that goes takes it
        self._lock = threading.Lock()

    def find(self, job: Job, place: int) -> StackedVolume:
        """Returns the volume that a slice belongs to.

        Raises:
            NotFoundError: the slice belongs to no volume, or the volume was never scored to its end.
            PendingError: the volume is still being scored.
            InputError: its slices cannot be stacked.
        """
        places = job.places_of_volume(place)
        with self._lock:  # one at a time: a volume may be large
            start, volume = self._kept.get(job, (-1, None))
            if volume is None or start != places.start:
                self._kept.clear()  # its memory is needed
                volume = self._stacked(job, places)
                self._kept[job] = places.start, volume
            return volume

    def _stacked(self, job: Job, places: range) -> StackedVolume:
        """Reads all slices of a volume; its voxels are in the units of the file, turned so that larger is brighter."""
        name = job.predictions[places.start].volume
        geometries = [job.acquisition(place).geometry for place in places]
        block_of(geometries, (1, 1), name)  # before anything is read
        side = min(_MOST_SIDE, int((_MOST_VOXELS / len(places)) ** 0.5))
        voxels, maps = np.zeros((0, 0, 0), np.float32), np.zeros((0, 0, 0), np.uint8)
        n_maps = 0
        bounds = (-np.inf, np.inf)
        sign = 1.0
        for number, place in enumerate(places):
            loaded, found = job.load(place), job.predictions[place]
            values = loaded.values()
            intercept, slope = values.rescale
            sign = -1.0 if slope < 0 else 1.0
            grey = np.nan_to_num(values.grey.astype(np.float32), nan=0.0, posinf=0.0, neginf=0.0)
            shown = np.asarray(thumbnail(grey, side)) * np.float32(abs(slope)) + np.float32(sign * intercept)
            if not number:
                voxels = np.zeros((len(places), *shown.shape), np.float32)
                maps = np.zeros(voxels.shape, np.uint8)
            if shown.shape != voxels.shape[1:]:
                raise NotFoundError("planes", "of slices of several sizes are not there", "Look at its own slices.")
            voxels[number] = shown
            low, high = (sign * intercept + abs(slope) * end for end in values.ends)
            bounds = max(bounds[0], low), min(bounds[1], high)
            if found.status == "ok" and found.tumor_map is not None:
                whole = standard.standard_map(loaded.image.grey(), found.tumor_map, self._size)
                maps[number] = np.rint(np.clip(np.asarray(thumbnail(whole, side)), 0, 1) * 255)
                n_maps += 1
        least, most = float(voxels.min()), float(voxels.max())
        most = most if most > least else least + 1
        sample = voxels[:, ::2, ::2]
        low, high = np.percentile(np.clip(sample, *bounds) if bounds[0] < bounds[1] else sample, _WINDOW)
        scaled = np.rint((voxels - np.float32(least)) * np.float32(DEEPEST / (most - least))).astype(np.uint16)
        ends, window = (sign * least, sign * most), (sign * float(low), sign * float(max(high, low + 1e-6)))
        return StackedVolume(block_of(geometries, scaled.shape[1:], name), scaled, maps, ends, window, n_maps)
