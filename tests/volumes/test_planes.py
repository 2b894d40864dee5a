"""The planes of a volume: a marker in the left frontal lobe comes out left and in front, whatever the file's axes."""

from itertools import permutations, product

import nibabel
import numpy as np
import pytest
from nibabel.orientations import axcodes2ornt, inv_ornt_aff, io_orientation, ornt_transform

from brainsift.core.errors import InputError
from brainsift.volumes.geometry import Geometry
from brainsift.volumes.nifti import nifti_slices
from brainsift.volumes.planes import PLANES, block_of

ORIENTATIONS = ["".join(codes) for axes in permutations(("RL", "AP", "SI")) for codes in product(*axes)]
SHAPE = (40, 48, 22)  # to the right, to the front, upwards
SPACING = np.array([1.0, 1.0, 4.0])
MARKER = np.array([8, 40, 15])  # a voxel of the left frontal lobe, above the middle
# of each plane: the side at the left and at the top, and how a place in RAS voxels becomes one of the picture
SIDES = {"axial": ("R", "L", "A", "P"), "coronal": ("R", "L", "S", "I"), "sagittal": ("A", "P", "S", "I")}
AXES = {"axial": (0, 1, 2), "coronal": (0, 2, 1), "sagittal": (1, 2, 0)}  # to the left, upwards, across


def write_marked(path, codes):
    """A dark head with one bright voxel, stored with its axes in the order of ``codes``."""
    voxels = np.full(SHAPE, 100, np.int16)
    voxels[tuple(MARKER)] = 1000
    affine = np.diag([*SPACING, 1.0])
    affine[0, 0] = -1.0  # axis 0 of the voxels goes to the left
    affine[:3, 3] = 20, -24, -44
    voxels = voxels[::-1]
    turn = ornt_transform(io_orientation(affine), axcodes2ornt(codes))
    stored = nibabel.orientations.apply_orientation(voxels, turn)
    nibabel.Nifti1Image(stored, affine @ inv_ornt_aff(turn, voxels.shape)).to_filename(path)
    return path, affine @ [SHAPE[0] - 1 - MARKER[0], MARKER[1], MARKER[2], 1.0]


def stack(slices):
    voxels = np.stack([one.read().grey().astype(float) for one in slices])
    block = block_of([one.acquisition.geometry for one in slices], voxels.shape[1:], "head.nii")
    return voxels, block


def place_mm(cut, place, row, column, shape):
    """The place of a pixel's center in mm, right, anterior and superior positive."""
    width_mm, height_mm = cut.first.size_mm
    found = np.array(cut.first.center_mm) + place * np.array(cut.step_mm)
    found = found + np.array(cut.first.right) * ((column + 0.5) / shape[1] - 0.5) * width_mm
    found = found + np.array(cut.first.down) * ((row + 0.5) / shape[0] - 0.5) * height_mm
    return found * (-1, -1, 1)


@pytest.mark.parametrize("codes", ORIENTATIONS)
def test_the_marker_of_a_nifti_volume_is_left_and_in_front_in_every_plane(tmp_path, codes):
    path, marker_mm = write_marked(tmp_path / "marked.nii", codes)
    voxels, block = stack(nifti_slices(path))
    for plane in PLANES:
        cut = block.cut(plane)
        assert cut.first.plane == plane and cut.first.sides == SIDES[plane]
        pictures = [block.pixels(voxels, plane, place) for place in range(cut.count)]
        place = int(np.argmax([picture.max() for picture in pictures]))
        picture = pictures[place]
        row, column = np.argwhere(picture == picture.max()).mean(axis=0)
        left, up, across = AXES[plane]
        assert place == MARKER[across]
        assert cut.count == SHAPE[across]
        # the patient's right, or front, is on the left of the picture; front, or top, is above
        assert (column < picture.shape[1] / 2) == (MARKER[left] > SHAPE[left] / 2)
        assert (row < picture.shape[0] / 2) == (MARKER[up] > SHAPE[up] / 2)
        assert place_mm(cut, place, row, column, picture.shape) == pytest.approx(marker_mm[:3], abs=SPACING.max() / 2)


def test_pictures_have_square_pixels_and_their_size_in_mm(tmp_path):
    voxels, block = stack(nifti_slices(write_marked(tmp_path / "marked.nii", "RAS")[0]))
    for plane in PLANES:
        cut = block.cut(plane)
        height, width = block.pixels(voxels, plane, 0).shape
        width_mm, height_mm = cut.first.size_mm
        assert width_mm / width == pytest.approx(height_mm / height)
        left, up, _ = AXES[plane]
        assert cut.first.size_mm == pytest.approx((SHAPE[left] * SPACING[left], SHAPE[up] * SPACING[up]))
    assert block.voxel_mm3 == pytest.approx(np.prod(SPACING))


def test_an_oblique_volume_is_cut_along_its_own_axes():
    down = (0.0, 0.8, 0.6)
    slices = [Geometry((1.0, 0.0, 0.0), down, (0.0, -1.2 * k, 1.6 * k), (20.0, 20.0)) for k in range(5)]
    block = block_of(slices, (10, 10), "oblique")
    assert block.cut("axial").first.sides == ("R", "L", "AI", "PS")
    assert block.cut("sagittal").first.sides == ("AI", "PS", "SA", "IP")
    assert block.cut("coronal").first.sides == ("R", "L", "SA", "IP")


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        (lambda slices: [*slices[:2], None, *slices[3:]], "where each of its slices lies"),
        (lambda slices: slices[:2], "fewer than 3"),
        (lambda slices: [*slices[:3], *slices[5:]], "uneven distances"),
        (lambda slices: [*slices[:-1], Geometry((0, 1, 0), (0, 0, -1), slices[-1].center_mm, (20, 20))], "directions"),
        (lambda slices: [Geometry(one.right, one.down, one.center_mm) for one in slices], "how far apart its pixels"),
        (
            lambda slices: [
                Geometry(one.right, one.down, (0, one.center_mm[2], one.center_mm[2]), (20, 20)) for one in slices
            ],
            "shifted",
        ),
    ],
)
def test_slices_that_are_no_block_are_refused(change, rule):
    slices = [Geometry((1, 0, 0), (0, 1, 0), (0, 0, 5.0 * k), (20, 20)) for k in range(8)]
    assert block_of(slices, (10, 10), "head").cut("axial").count == 8
    with pytest.raises(InputError, match=rule):
        block_of(change(slices), (10, 10), "head")
