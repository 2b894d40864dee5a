"""The segmentations read back: the tumor map of each image, at its place, in the size of its stored pixels."""

import numpy as np
import pydicom
import pytest

from brainsift.dicom_results.result_set import ResultOptions
from brainsift.images.resample import resize
from brainsift.images.standard import standard_map
from brainsift.volumes.reader import read_slice

pytestmark = pytest.mark.slow

FRACTIONAL = ResultOptions(structured_report=False, segmentation=False, secondary_capture=False, fractional=True)


def expected_map(results, one):
    """Returns the tumor map over the stored pixels of a slice of a prediction."""
    path, _, frame = one.path.partition("#")
    header = pydicom.dcmread(path)
    stored = header.pixel_array[int(frame) - 1] if frame else header.pixel_array
    shown = standard_map(read_slice(one.path).grey(), one.tumor_map, results.predictor().bundle.size)
    return shown if shown.shape == stored.shape else resize(shown, *stored.shape)


def read_segmentation(made):
    from highdicom.seg import Segmentation

    return Segmentation.from_dataset(made.objects[0].dataset)


@pytest.mark.parametrize("name", ["axial", "sagittal", "coronal", "oblique", "anisotropic", "utf8"])
def test_its_pixels_are_the_tumor_map_of_each_instance(case, results, name):
    found = case(name)
    read = read_segmentation(found.results)
    uids = [pydicom.dcmread(one.path).SOPInstanceUID for one in found.volume.slices]
    pixels = read.get_pixels_by_source_instance(uids)[..., 0]
    expected = np.stack([expected_map(results, one) >= 0.5 for one in found.volume.slices])
    assert expected.any() and np.array_equal(pixels, expected)


def test_its_pixels_are_the_tumor_map_of_each_frame(case, results):
    found = case("enhanced")
    read = read_segmentation(found.results)
    pixels = read.get_pixels_by_source_frame("1.2.826.0.1.77.1.100", [1, 2, 3, 4])[..., 0]
    expected = np.stack([expected_map(results, one) >= 0.5 for one in found.volume.slices])
    assert expected.any() and np.array_equal(pixels, expected)


def test_a_fractional_one_holds_the_map_in_steps(case, results):
    found = case("anisotropic")
    read = read_segmentation(results.build(found.volume, options=FRACTIONAL))
    uids = [pydicom.dcmread(one.path).SOPInstanceUID for one in found.volume.slices]
    pixels = read.get_pixels_by_source_instance(uids)[..., 0]
    expected = np.stack([expected_map(results, one) for one in found.volume.slices])
    assert np.abs(pixels - expected).max() <= 0.5 / 255 + 1e-6 and expected.max() > 0.9


@pytest.mark.parametrize("name", ["axial", "sagittal", "oblique", "anisotropic", "enhanced"])
def test_its_geometry_is_that_of_the_images(case, results, name):
    found = case(name)
    whole = found.results.objects[0].dataset
    shared = whole.SharedFunctionalGroupsSequence[0]
    assert whole.FrameOfReferenceUID == "1.2.826.0.1.77.9"
    plane = results.planes.get(name, results.planes["axial"])
    assert np.allclose(shared.PlaneOrientationSequence[0].ImageOrientationPatient, plane)
    spacing = shared.PixelMeasuresSequence[0].PixelSpacing
    assert np.allclose(spacing, [2.0, 4.0] if name == "anisotropic" else [2.0, 2.0])
    if name != "enhanced":
        images = {header.SOPInstanceUID: header for header in map(pydicom.dcmread, found.folder.iterdir())}
        for frame in whole.PerFrameFunctionalGroupsSequence:
            uid = frame.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID
            position = frame.PlanePositionSequence[0].ImagePositionPatient
            assert np.allclose(position, images[uid].ImagePositionPatient)


def test_slices_that_are_no_head_have_no_frame(results, tmp_path):
    folder = results.write_series(tmp_path / "one")
    path = folder / "IM2.dcm"
    dark = pydicom.dcmread(path)
    dark.PixelData = bytes(len(dark.PixelData))
    dark.save_as(path)
    volume = results.predict(folder)
    assert [one.status for one in volume.slices] == ["ok", "not_brain_mri", "ok", "ok"]
    whole = results.build(volume).objects[0].dataset
    sources = {
        frame.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID
        for frame in whole.PerFrameFunctionalGroupsSequence
    }
    assert sources == {f"1.2.826.0.1.77.1.{number}" for number in (1, 3, 4)}


def test_what_a_lossy_image_lost_is_said(results, tmp_path):
    lossy = {
        "LossyImageCompression": "01",
        "LossyImageCompressionRatio": 12,
        "LossyImageCompressionMethod": "ISO_10918_1",
    }
    made = results.build(results.predict(results.write_series(tmp_path / "one", **lossy)))
    assert {one.kind for one in made.objects} == {"segmentation", "secondary-capture", "structured-report"}
    for one in made.objects[:-1]:
        whole = one.dataset
        assert {name: whole.get(name) for name in lossy} == lossy


def test_geometry_that_highdicom_cannot_use_leaves_the_report(results, tmp_path):
    folder = results.write_series(tmp_path / "one", ImageOrientationPatient=[1, 0, 0, 1, 0, 0])
    made = results.build(results.predict(folder))
    assert made.left_out[0].startswith("no segmentation: ") and made.report is not None
