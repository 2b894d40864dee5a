"""Planes over HTTP: cut from the served volume, with sides, sizes and the volume of the contour."""

import gzip
import io
import time

import nibabel
import numpy as np
import pytest
import requests
from PIL import Image

from brainsift.images.phantom import draw
from brainsift.images.standard import standard_map
from brainsift.inference.bundle import load_bundle
from brainsift.inference.predictor import Predictor
from brainsift.volumes.nifti import nifti_slices

SPACING = (1.5, 1.5, 5.0)
MARKER = (24, 60, 6)  # to the right, to the front, upwards: left frontal


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    """A drawn head with a tumor and one bright voxel."""
    head = draw(12, tumor=True, size=96).pixels
    voxels = np.repeat(head[::-1, ::-1].T[:, :, None], 9, axis=2).astype(np.int16)
    voxels[MARKER] = 900
    file = tmp_path_factory.mktemp("planes") / "head.nii"
    nibabel.Nifti1Image(voxels, np.diag([*SPACING, 1.0])).to_filename(file)
    return file


@pytest.fixture(scope="module")
def job(served, path):
    """The address of a job with the volume, scored."""
    reply = requests.post(
        f"{served.url}/api/v1/jobs", files=[("files", ("head.nii.gz", gzip.compress(path.read_bytes())))]
    )
    address = f"{served.url}/api/v1/jobs/{reply.json()['id']}"
    while requests.get(address, params={"wait": 20}).json()["state"] != "done":
        time.sleep(0.05)
    return address


def shades(reply):
    """The values of a picture of 16 bits, in the units of the file."""
    assert reply.status_code == 200, reply.text
    channels = np.asarray(Image.open(io.BytesIO(reply.content))).astype(int)
    low, high = map(float, reply.headers["x-values"].split(","))
    return low + (channels[..., 0] * 256 + channels[..., 1]) / 65535 * (high - low)


def test_the_marker_is_in_the_picture_of_its_place_in_every_plane(job):
    found = requests.get(f"{job}/slices/0/planes").json()
    assert found["scored"] == "axial" and found["voxel_mm3"] == pytest.approx(np.prod(SPACING))
    for plane, across in (("sagittal", 0), ("coronal", 1), ("axial", 2)):
        facts = next(one for one in found["planes"] if one["plane"] == plane)
        assert facts["count"] == (96, 96, 9)[across]
        shown = shades(requests.get(f"{job}/slices/0/planes/{plane}/{MARKER[across]}/picture.png"))
        assert 800 < shown.max() < 901  # between slices, rows are interpolated
        beside = shades(requests.get(f"{job}/slices/0/planes/{plane}/{MARKER[across] - 2}/picture.png"))
        assert beside.max() < 300
        width_mm, height_mm = facts["first"]["size_mm"]
        assert width_mm / shown.shape[1] == pytest.approx(height_mm / shown.shape[0])


def test_the_volume_of_the_contour_is_that_of_the_maps(job, path):
    found = requests.get(f"{job}/slices/0/planes").json()
    bundle, level = load_bundle(), 127
    above = 0
    for piece, prediction in zip(nifti_slices(path), Predictor(bundle, threads=1).predict([path]), strict=True):
        whole = standard_map(piece.read().grey(), prediction.tumor_map, bundle.size)
        above += int((np.rint(np.clip(whole, 0, 1) * 255) > level).sum())
    assert found["n_maps"] == 9
    assert above > 0 and found["voxels_above"][level] == above
    assert found["voxels_above"][255] == 0


def test_what_is_no_volume_has_no_planes(served, job):
    stream = io.BytesIO()
    Image.fromarray(draw(3, tumor=False, size=96).pixels).save(stream, "PNG")
    one = requests.post(f"{served.url}/api/v1/jobs", files=[("files", ("one.png", stream.getvalue()))]).json()["id"]
    while requests.get(f"{served.url}/api/v1/jobs/{one}", params={"wait": 20}).json()["state"] != "done":
        time.sleep(0.05)
    assert requests.get(f"{served.url}/api/v1/jobs/{one}/slices/0/planes").status_code == 404
    assert requests.get(f"{job}/slices/0/planes/axial/99/picture.png").status_code == 404
    assert requests.get(f"{job}/slices/0/planes/upward/0/picture.png").status_code == 400
