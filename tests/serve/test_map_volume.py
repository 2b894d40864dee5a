"""The tumor map as NIfTI: the voxels of the file that was scored, in every orientation, and of a DICOM series."""

import gzip
import time
from itertools import permutations, product

import nibabel
import numpy as np
import pytest
import requests
from nibabel.orientations import axcodes2ornt, inv_ornt_aff, io_orientation, ornt_transform

from brainsift import __version__
from brainsift.inference.predictor import Predictor
from brainsift.volumes.nifti import nifti_slices

from ..page.scans import draw_volume, write_series

SPACING = (2.0, 2.0, 5.0)
AFFINE = np.array([[2.0, 0.0, 0.3, -90.0], [0.0, 2.0, 0.2, -70.0], [-0.1, 0.0, 5.0, 12.0], [0.0, 0.0, 0.0, 1.0]])
CODES = [
    "".join(pair[way] for pair, way in zip(order, ways, strict=True))
    for order in permutations(("RL", "AP", "SI"))
    for ways in product((0, 1), repeat=3)
]


def write_turned(path, voxels, codes, affine=AFFINE):
    """Writes voxels to the right, to the front and upwards, stored in another order of axes."""
    turn = ornt_transform(io_orientation(affine), axcodes2ornt(codes))
    stored = nibabel.orientations.apply_orientation(voxels, turn)
    nibabel.Nifti1Image(stored, affine @ inv_ornt_aff(turn, voxels.shape)).to_filename(path)
    return stored


def scored(url, *paths):
    """Scores files as one job; returns its address."""
    files = [("files", (path.name, path.read_bytes())) for path in paths]
    address = f"{url}/api/v1/jobs/{requests.post(f'{url}/api/v1/jobs', files=files).json()['id']}"
    while requests.get(address, params={"wait": 20}).json()["state"] != "done":
        time.sleep(0.05)
    return address


def saved(url, place=0):
    reply = requests.get(f"{url}/slices/{place}/map.nii.gz")
    assert reply.status_code == 200, reply.text
    assert reply.headers["Content-Disposition"].endswith('-tumor-map.nii.gz"')
    return nibabel.Nifti1Image.from_bytes(gzip.decompress(reply.content))


@pytest.mark.parametrize("codes", CODES)
def test_a_marker_comes_back_to_its_voxel_in_all_48_orientations(tmp_path, codes):
    voxels = np.zeros((24, 28, 7), np.int16)
    voxels[3:20, 4:25, 1:6] = 100
    voxels[17:19, 21:23, 4] = 900  # left or right, front, above the middle
    stored = write_turned(tmp_path / "marked.nii", voxels, codes)
    slices = nifti_slices(tmp_path / "marked.nii")
    greys = {place: np.float32(one.read().grey()) for place, one in enumerate(slices)}
    most = max(grey.max() for grey in greys.values())
    grid = slices[0].acquisition.grid
    found = grid.maps({place: (grey == most).astype(np.float32) for place, grey in greys.items()})
    assert found.shape == stored.shape and found.dtype == np.float32
    assert np.array_equal(found > 0.5, stored == 900)


@pytest.mark.parametrize("codes", ["RAS", "PIL"])
def test_the_map_has_shape_and_affine_of_its_file_and_its_tumor(served, bundle, tmp_path, codes):
    slices = draw_volume(12, 9)
    stored = write_turned(tmp_path / "head.nii", slices[:, ::-1, ::-1].transpose(2, 1, 0).astype(np.int16), codes)
    found = saved(scored(served.url, tmp_path / "head.nii"), 3)
    source = nibabel.load(tmp_path / "head.nii")
    assert found.shape == source.shape == stored.shape
    assert np.allclose(found.affine, source.affine, atol=1e-5)
    values = found.get_fdata()
    assert values.min() >= 0 and 0.5 < values.max() <= 1
    words = bytes(found.header["descrip"]).rstrip(b"\0").decode()
    assert words.startswith(f"brainsift {__version__} {bundle.name} ") and "0 to 1; 0: not scored" in words
    assert found.header.get_xyzt_units()[0] == "mm"
    predictions = list(Predictor(bundle, threads=1).predict([tmp_path / "head.nii"]))
    axis = codes.index("S") if "S" in codes else codes.index("I")
    by_slice = np.moveaxis(values, axis, 0)[:: 1 if "S" in codes else -1].max(axis=(1, 2))
    for shown, one in zip(by_slice, predictions, strict=True):
        if one.status != "ok":
            assert shown == 0
        else:
            assert shown == pytest.approx(float(one.tumor_map.max()), abs=0.05)


def test_the_map_of_a_series_lies_where_its_slices_lie(served, tmp_path):
    directions = [0, 1, 0, 0, 0, -1]  # sagittal
    write_series(tmp_path / "study", 8, 6, ImageOrientationPatient=directions, PixelSpacing=[1.5, 1.5])
    address = scored(served.url, *sorted((tmp_path / "study").iterdir()))
    found, answers = saved(address), requests.get(address).json()["answers"]
    assert found.shape == (96, 96, 6)
    for one in answers:
        middle = nibabel.affines.apply_affine(found.affine, [47.5, 47.5, one["id"]])
        assert np.allclose(middle * [-1, -1, 1], one["geometry"]["center_mm"], atol=1e-3)  # of DICOM: left, posterior
    z = int(found.get_fdata().max(axis=(0, 1)).argmax())
    assert answers[z]["decision"] == "tumor"


def test_what_has_no_map_says_so(served, tmp_path):
    write_series(tmp_path / "gap", 8, 8, PixelSpacing=[1.5, 1.5])
    for place in (3, 4):
        (tmp_path / "gap" / f"IM{place:04d}").unlink()
    uneven = scored(served.url, *sorted((tmp_path / "gap").iterdir()))
    reply = requests.get(f"{uneven}/slices/0/map.nii.gz")
    assert reply.status_code == 422 and "no stack of slices at even distances" in reply.json()["rule"]
    assert requests.get(f"{uneven}/slices/99/map.nii.gz").status_code == 404


@pytest.fixture(scope="module")
def bundle():
    from brainsift.inference.bundle import load_bundle

    return load_bundle()
