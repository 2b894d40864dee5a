"""The voxels of a volume as they are stored, so that what is drawn on its slices becomes a volume of the same grid."""

import gzip
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from brainsift.images.resample import Floats, resize

_MM = 2  # code of the unit in NIfTI
_LONGEST_DESCRIPTION = 79  # letters
_Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class VoxelGrid:
    """How the slices of a volume lie in its voxels.

    Attributes:
        shape: of the stored voxels, three axes.
        affine: four rows: from the stored voxels to mm to the right, to the front and upwards.
        axes: the stored axis that leads from slice to slice, from row to row, and from column to column.
        ways: for each of them 1 where it leads in the stored order, -1 where it leads against it.
        oriented: whether the file says how the head lies.
    """

    shape: tuple[int, int, int]
    affine: tuple[tuple[float, ...], ...]
    axes: tuple[int, int, int]
    ways: tuple[int, int, int]
    oriented: bool = True

    @classmethod
    def of_dict(cls, values: Mapping[str, Any]) -> "VoxelGrid":
        """Returns the grid that `dataclasses.asdict` made a dictionary of, also by way of JSON."""
        lists = {name: tuple(values[name]) for name in ("shape", "axes", "ways")}
        return cls(**lists, affine=tuple(map(tuple, values["affine"])), oriented=values["oriented"])

    @property
    def n_slices(self) -> int:
        """The number of slices."""
        return self.shape[self.axes[0]]

    def masks(self, slices: Mapping[int, _Mask]) -> npt.NDArray[np.uint8]:
        """Puts masks of slices back to where these were cut from.

        Args:
            slices: by the place of the slice, from 0: (height, width) as it is shown, with square pixels.

        Returns:
            uint8, of the stored shape: 1 inside of a mask, 0 elsewhere.
        """
        stored = np.zeros(self.shape, np.uint8)
        cut = self._slices_of(stored)
        rows, columns = cut.shape[1:]
        for place, mask in slices.items():
            cut[place] = nearest(mask, rows, columns)
        return stored

    def maps(self, slices: Mapping[int, Floats]) -> Floats:
        """Puts tumor maps of slices back to where these were cut from.

        Args:
            slices: by the place of the slice, from 0: (height, width) as it is shown, with square pixels, 0 to 1.

        Returns:
            float32, of the stored shape: 0 to 1, and 0 for the other slices.
        """
        stored = np.zeros(self.shape, np.float32)
        cut = self._slices_of(stored)
        rows, columns = cut.shape[1:]
        for place, shown in slices.items():
            cut[place] = np.clip(shown if shown.shape == (rows, columns) else resize(shown, rows, columns), 0, 1)
        return stored

    def _slices_of(self, stored: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Returns a view of stored voxels: (slices, rows, columns), as they are shown."""
        return stored.transpose(self.axes)[tuple(slice(None, None, way) for way in self.ways)]

    def nifti(self, voxels: npt.NDArray[np.uint8] | Floats, description: str) -> bytes:
        """Returns voxels of the stored shape as a NIfTI file, packed by gzip.

        Args:
            voxels: of the stored shape.
            description: what they are, in ASCII; NIfTI has room for 79 letters.
        """
        import nibabel

        image = nibabel.Nifti1Image(voxels, np.array(self.affine))
        image.set_sform(self.affine, int(self.oriented))
        image.set_qform(None, 0)
        image.header["xyzt_units"] = _MM
        image.header["descrip"] = description.encode("ascii")[:_LONGEST_DESCRIPTION]
        image.header["aux_file"] = b"Research use only."
        return gzip.compress(image.to_bytes(), mtime=0)


def nearest(mask: _Mask, height: int, width: int) -> _Mask:
    """Returns a mask in another size; each pixel is that of the nearest place."""
    if mask.shape == (height, width):
        return mask
    return np.asarray(Image.fromarray(mask).resize((width, height), Image.Resampling.NEAREST), dtype=bool)
