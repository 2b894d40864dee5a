"""Masks of slices back in the voxels of their volume: NIfTI in all orientations, DICOM series, oblong pixels."""

import gzip
from itertools import permutations, product

import nibabel
import numpy as np
import pytest
from nibabel.orientations import axcodes2ornt, inv_ornt_aff, io_orientation, ornt_transform

from brainsift.volumes.planes import block_of
from brainsift.volumes.reader import slices_of
from brainsift.volumes.voxel_grid import VoxelGrid

from ..page.scans import write_series

OBLONG = [(2.0, 2.0, 5.0), (5.0, 2.0, 2.0), (2.0, 5.0, 2.0)]
CODES = ["".join(sides) for axes in permutations(("RL", "AP", "SI")) for sides in product(*axes)]


def read_back(content):
    return nibabel.Nifti1Image.from_bytes(gzip.decompress(content))


def marked_voxels():
    """(24, 32, 18) to the right, to the front and upwards, with a box that is no mirror image of itself."""
    voxels = np.random.default_rng(0).integers(20, 90, (24, 32, 18)).astype(np.int16)
    voxels[3:8, 20:29, 5:9] = 1000
    return voxels


def write_nifti(path, codes, spacing=(2.0, 2.0, 5.0)):
    affine = np.diag([*spacing, 1.0])
    affine[:3, 3] = (-31.0, -12.5, 40.0)
    turn = ornt_transform(io_orientation(affine), axcodes2ornt(codes))
    stored = nibabel.orientations.apply_orientation(marked_voxels(), turn)
    nibabel.Nifti1Image(stored, affine @ inv_ornt_aff(turn, marked_voxels().shape)).to_filename(path)
    return path


@pytest.mark.parametrize("spacing", [(1.0, 3.0, 9.0), *(pytest.param(one, marks=pytest.mark.slow) for one in OBLONG)])
@pytest.mark.parametrize("codes", CODES)
def test_a_mask_of_the_slices_is_a_volume_of_the_same_grid(tmp_path, codes, spacing):
    path = write_nifti(tmp_path / "scan.nii", codes, spacing)
    slices = list(slices_of([path]))
    values = {place: one.load().values() for place, one in enumerate(slices)}
    bright = {place: one.rescale[0] + one.rescale[1] * one.grey > 500 for place, one in values.items()}
    grid = slices[0].acquisition.grid
    source = nibabel.load(path)
    assert grid.n_slices == len(slices)
    made = read_back(grid.nifti(grid.masks(bright), "A mask"))
    assert made.shape == source.shape and np.allclose(made.affine, source.affine)
    assert np.array_equal(np.asarray(made.dataobj), np.asarray(source.dataobj) == 1000)


def test_a_file_that_does_not_say_how_the_head_lies_keeps_its_grid(tmp_path):
    made = nibabel.Nifti1Image(marked_voxels(), None)
    made.header.set_zooms((2.0, 2.0, 5.0))
    made.to_filename(tmp_path / "scan.nii")
    first = next(iter(slices_of([tmp_path / "scan.nii"])))
    grid = first.acquisition.grid
    source, mask = nibabel.load(tmp_path / "scan.nii"), read_back(grid.nifti(grid.masks({}), "A mask"))
    assert first.acquisition.geometry is None
    assert mask.shape == source.shape and np.allclose(mask.affine, source.affine)
    assert not mask.header["sform_code"] and not mask.header["qform_code"]


@pytest.mark.parametrize(
    "directions", [[1, 0, 0, 0, 1, 0], [0, 1, 0, 0, 0, -1], [1, 0, 0, 0, 0, -1], [0.8, 0.6, 0, 0, 0, -1]]
)
def test_the_grid_of_a_series_has_each_pixel_where_its_header_has_it(tmp_path, directions):
    write_series(
        tmp_path / "series", 8, 6, ImageOrientationPatient=directions, PixelSpacing=[1.5, 3.0], SliceThickness=4.0
    )
    slices = list(slices_of(sorted((tmp_path / "series").iterdir())))
    geometries = [one.acquisition.geometry for one in slices]
    grid = block_of(geometries, geometries[0].shape, "series").grid
    shown = slices[2].load().image.grey()
    assert grid.shape == (96, 96, 6) and shown.shape == (96, 192)
    drawn = np.zeros(shown.shape, bool)
    drawn[10, 2 * 70 : 2 * 71] = True  # one stored pixel, which is shown twice as wide
    made = read_back(grid.nifti(grid.masks({2: drawn}), "A mask"))
    (where,) = np.argwhere(np.asarray(made.dataobj))
    assert tuple(where) == (70, 10, 2)
    right, down = np.array(directions[:3], float), np.array(directions[3:], float)
    in_dicom = 5.0 * 2 * np.cross(right, down) + 70 * 3.0 * right + 10 * 1.5 * down
    assert np.allclose((made.affine @ [*where, 1])[:3], in_dicom * [-1, -1, 1], atol=1e-4)


def test_a_grid_goes_through_json():
    import json
    from dataclasses import asdict

    grid = VoxelGrid((4, 5, 6), tuple(map(tuple, np.eye(4).tolist())), (2, 1, 0), (1, -1, 1), oriented=False)
    assert VoxelGrid.of_dict(json.loads(json.dumps(asdict(grid)))) == grid
