"""Which side of the patient is where: a marker in the left frontal lobe, in every orientation that a file can have."""

from itertools import permutations, product

import nibabel
import numpy as np
import pydicom
import pytest
from nibabel.orientations import axcodes2ornt, inv_ornt_aff, io_orientation, ornt_transform
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage, generate_uid

from brainsift.inference.cautions import Caution, cautions_of
from brainsift.volumes.reader import slices_of

SIDES = (24, 30, 20)  # voxels to the right, to the front, upwards
SPACING = np.array([2.0, 1.5, 3.0])  # mm
MARKER = (6, 24, 14)  # left, front, up
FIRST = np.array([-20.0, -25.0, -15.0])  # mm of the first voxel: right, front, up
OPPOSITE = dict(zip("RASLPI", "LPIRAS", strict=True))
AXIS = {"L": (0, 1), "R": (0, -1), "P": (1, 1), "A": (1, -1), "S": (2, 1), "I": (2, -1)}


def head():
    """(right, front, up): a block with one bright voxel, and where that is in the coordinates of DICOM."""
    voxels = np.full(SIDES, 40, np.int16)
    voxels[MARKER] = 1000
    affine = np.diag([*SPACING, 1.0])
    affine[:3, 3] = FIRST
    return voxels, affine, np.array([-1, -1, 1]) * (FIRST + SPACING * MARKER)


def turned(affine, degrees):
    """An affine of a head that is tilted about all three axes."""
    matrix = np.eye(4)
    for axis, angle in enumerate(np.deg2rad([degrees, -degrees / 2, degrees / 3])):
        one, other = (number for number in range(3) if number != axis)
        turn = np.eye(4)
        turn[[one, one, other, other], [one, other, one, other]] = (
            np.cos(angle),
            -np.sin(angle),
            np.sin(angle),
            np.cos(angle),
        )
        matrix = matrix @ turn
    return matrix @ affine


def check(slices, place_mm):
    """The brightest pixel of all slices lies, by the geometry of its picture, at the place of the marker."""
    pictures = [one.load().image.grey().astype(float) for one in slices]
    number = int(np.argmax([picture.max() for picture in pictures]))
    picture, geometry = pictures[number], slices[number].acquisition.geometry
    rows, columns = np.nonzero(picture > picture.max() * 0.99)
    height, width = picture.shape
    pixel_mm = geometry.size_mm[0] / width, geometry.size_mm[1] / height
    across = (columns.mean() - (width - 1) / 2) * pixel_mm[0]
    downward = (rows.mean() - (height - 1) / 2) * pixel_mm[1]
    found = np.array(geometry.center_mm) + across * np.array(geometry.right) + downward * np.array(geometry.down)
    assert found == pytest.approx(place_mm, abs=0.75 * max(pixel_mm))
    # and on the side that the letters say, seen from the center of the picture
    away = np.array(place_mm) - geometry.center_mm
    left, right, top, bottom = geometry.sides
    for toward, shift in ((right if across > 0 else left, across), (bottom if downward > 0 else top, downward)):
        axis, sign = AXIS[toward[0]]
        assert abs(shift) < 2 or away[axis] * sign > 0
        assert OPPOSITE[left[0]] == right[0] and OPPOSITE[top[0]] == bottom[0]
    return geometry


@pytest.mark.parametrize("axes", list(permutations("RAS")))
def test_the_marker_of_a_nifti_volume_lies_left_in_all_48_orientations(tmp_path, axes):
    voxels, affine, place = head()
    for flips in product((False, True), repeat=3):
        codes = [OPPOSITE[axis] if flip else axis for axis, flip in zip(axes, flips, strict=True)]
        turn = ornt_transform(io_orientation(affine), axcodes2ornt(codes))
        stored = nibabel.orientations.apply_orientation(voxels, turn)
        path = tmp_path / f"{''.join(codes)}.nii"
        nibabel.Nifti1Image(stored, affine @ inv_ornt_aff(turn, voxels.shape)).to_filename(path)
        geometry = check(list(slices_of([path])), place)
        assert (geometry.plane, geometry.sides) == ("axial", ("R", "L", "A", "P"))  # radiological convention


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("degrees", [0, 12, 30])
def test_nifti_volumes_of_each_plane_and_tilted_ones(tmp_path, axis, degrees):
    voxels, _, _ = head()
    spacing = np.ones(3)
    spacing[axis] = 4.0  # cut across the thickest
    affine = turned(np.diag([*spacing, 1.0]), degrees)
    place = np.array([-1, -1, 1]) * (affine @ [*MARKER, 1.0])[:3]
    nibabel.Nifti1Image(voxels, affine).to_filename(tmp_path / "tilted.nii")
    geometry = check(list(slices_of([tmp_path / "tilted.nii"])), place)
    assert geometry.plane == ("sagittal", "coronal", "axial")[axis]
    assert max(map(len, geometry.sides)) == (1 if degrees < 20 else 2)


def test_a_nifti_volume_that_does_not_say_how_the_head_lies_has_no_sides(tmp_path):
    image = nibabel.Nifti1Image(head()[0], None)
    image.to_filename(tmp_path / "unknown.nii")
    assert {one.acquisition.geometry for one in slices_of([tmp_path / "unknown.nii"])} == {None}


def write_dicom(folder, directions, **tags):
    """A series cut across the third axis of (3, 3) unit vectors: along rows, along columns, from slice to slice."""
    folder.mkdir()
    across, down, step = np.asarray(directions, float)
    height, width, count = 28, 22, 9
    series = generate_uid()
    start = np.array([-30.0, 12.0, 5.0])
    for number in range(count):
        meta = FileMetaDataset()
        meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = MRImageStorage, generate_uid()
        meta.TransferSyntaxUID = ExplicitVRLittleEndian
        made = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
        made.SOPClassUID, made.SOPInstanceUID = MRImageStorage, meta.MediaStorageSOPInstanceUID
        made.Modality, made.SeriesInstanceUID, made.InstanceNumber = "MR", series, number + 1
        made.ImageOrientationPatient = [*across, *down]
        made.ImagePositionPatient = list(start + 4.0 * number * step)
        made.PixelSpacing = [1.5, 1.5]
        made.Rows, made.Columns = height, width
        made.SamplesPerPixel, made.PhotometricInterpretation = 1, "MONOCHROME2"
        made.BitsAllocated, made.BitsStored, made.HighBit, made.PixelRepresentation = 16, 12, 11, 0
        for name, value in tags.items():
            setattr(made, name, value)
        pixels = np.full((height, width), 40, np.uint16)
        if number == 6:
            pixels[5, 17] = 1000
        made.PixelData = pixels.tobytes()
        pydicom.dcmwrite(folder / f"IM{number + 1}", made, enforce_file_format=True)
    return start + 4.0 * 6 * step + 1.5 * (17 * across + 5 * down)


AXIAL = [(1, 0, 0), (0, 1, 0), (0, 0, 1)]
CASES = {
    "axial": AXIAL,
    "coronal": [(1, 0, 0), (0, 0, -1), (0, 1, 0)],
    "sagittal": [(0, 1, 0), (0, 0, -1), (-1, 0, 0)],
    "axial, from the top": [(-1, 0, 0), (0, 1, 0), (0, 0, -1)],
    "oblique": turned(np.eye(4), 25)[:3, :3].T,
}


@pytest.mark.parametrize("name", CASES)
def test_the_marker_of_a_dicom_series_lies_where_its_header_says(tmp_path, name):
    place = write_dicom(tmp_path / "series", CASES[name])
    slices = list(slices_of(sorted((tmp_path / "series").iterdir())))
    geometry = check(slices, place)
    wanted = {
        "axial": ("axial", ("R", "L", "A", "P")),
        "coronal": ("coronal", ("R", "L", "S", "I")),
        "sagittal": ("sagittal", ("A", "P", "S", "I")),
        "axial, from the top": ("axial", ("L", "R", "A", "P")),
    }
    if name in wanted:
        assert (geometry.plane, geometry.sides) == wanted[name]
    else:
        assert geometry.plane == "axial" and max(map(len, geometry.sides)) == 2
    assert geometry.size_mm == (22 * 1.5, 28 * 1.5)


@pytest.mark.parametrize(
    ("tags", "wanted"),
    [
        ({}, []),
        ({"PatientAge": "012Y"}, [Caution.CHILD]),
        ({"PatientAge": "018Y"}, []),
        ({"PatientAge": "040W"}, [Caution.CHILD]),
        ({"PatientBirthDate": "20200101", "StudyDate": "20260101"}, [Caution.CHILD]),
        ({"PatientBirthDate": "1960", "StudyDate": "20260101"}, []),
        ({"BurnedInAnnotation": "YES"}, [Caution.BURNED_IN]),
        ({"SeriesDescription": "ax DWI b1000"}, [Caution.OTHER_CONTRAST]),
        ({"SeriesDescription": "ax t1 post"}, []),
        ({"ImageType": ["DERIVED", "PRIMARY", "DIFFUSION", "ADC"]}, [Caution.OTHER_CONTRAST]),
    ],
)
def test_what_a_header_says_against_a_series(tmp_path, tags, wanted):
    write_dicom(tmp_path / "series", AXIAL, **tags)
    slices = list(slices_of(sorted((tmp_path / "series").iterdir())))
    assert [cautions_of(one.acquisition) for one in slices] == [wanted] * len(slices)
    assert {one.acquisition.description for one in slices} == {tags.get("SeriesDescription", "")}


def test_a_series_with_a_gap_is_incomplete(tmp_path):
    write_dicom(tmp_path / "series", AXIAL)
    (tmp_path / "series" / "IM5").unlink()
    slices = list(slices_of(sorted((tmp_path / "series").iterdir())))
    assert {Caution.INCOMPLETE} == {one for piece in slices for one in cautions_of(piece.acquisition)}


def test_a_description_that_names_the_patient_is_not_shown(tmp_path):
    for number, (text, wanted) in enumerate([("MRI DOE axial", ""), ("ax t1 7731", ""), ("ax t1", "ax t1")]):
        tags = {"SeriesDescription": text, "PatientName": "Doe^John", "PatientID": "7731"}
        write_dicom(tmp_path / str(number), AXIAL, **tags)
        (piece, *_) = slices_of(sorted((tmp_path / str(number)).iterdir()))
        assert piece.acquisition.description == wanted
