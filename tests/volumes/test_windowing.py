"""The whole range of a slice: what the page gets of it says the values of the file, and looks as the picture does."""

import io
from functools import partial

import nibabel
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

from brainsift.images.decode import from_array
from brainsift.images.phantom import draw
from brainsift.inference.predictor import Predictor
from brainsift.serve.scoring.slice_pictures import deep_png, picture_png
from brainsift.volumes.dicom_pixels import load_dataset
from brainsift.volumes.reader import find_slice
from brainsift.volumes.slices import Loaded, slice_of_values, squared
from brainsift.volumes.windowing import before_window

SIDE = 96
HEAD = (
    draw(4, tumor=True, size=SIDE).pixels.astype(np.int32) * 13 + np.arange(SIDE) % 13
)  # 12 bits, and all of them used
HEAD[2, 2] = 4095


def dicom(pixels=HEAD, **tags):
    """A slice of 12 bits; keywords add elements."""
    made = FileDataset("", {}, file_meta=FileMetaDataset(), preamble=b"\0" * 128)
    made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    made.Modality, (made.Rows, made.Columns) = "MR", pixels.shape
    made.SamplesPerPixel, made.PhotometricInterpretation = 1, "MONOCHROME2"
    made.BitsAllocated, made.BitsStored, made.HighBit, made.PixelRepresentation = 16, 12, 11, 0
    made.PixelData = pixels.astype(np.uint16).tobytes()
    for name, value in tags.items():
        setattr(made, name, value)
    return load_dataset(made)


def nifti(folder, values, **header):
    """A volume of three slices, the middle one with the values."""
    stack = np.stack([values * 0, values, values // 2])[:, ::-1, ::-1].transpose(2, 1, 0)
    image = nibabel.Nifti1Image(stack, header.pop("affine", np.eye(4)))
    image.header.set_slope_inter(*header.pop("slope_inter", (1, 0)))
    image.to_filename(folder / "a.nii.gz")
    return find_slice(f"{folder / 'a.nii.gz'}#2").load()


def saved(folder, pixels, name):
    Image.fromarray(pixels).save(folder / name)
    return find_slice(folder / name).load()


def unpacked(loaded, side=1024):
    """The values that the page has, between which it shows them, and what one step of 16 bits is."""
    png, headers = deep_png(loaded, side)
    image = Image.open(io.BytesIO(png))
    assert image.mode == "RGB" and not np.asarray(image)[..., 2].any()
    red, green = np.asarray(image)[..., :2].astype(np.float64).transpose(2, 0, 1)
    (first, last), window = (tuple(map(float, headers[name].split(","))) for name in ("X-Values", "X-Window"))
    assert np.isfinite([first, last, *window]).all()
    return first + (red * 256 + green) / 65535 * (last - first), window, abs(last - first) / 65535


def looks(loaded):
    """How far the page is from the picture before a window is chosen, at each pixel, in greys of 255."""
    values, (black, white), _ = unpacked(loaded)
    shown = np.rint(np.clip(255 * (values - black) / (white - black), 0, 255))
    return np.abs(shown - np.asarray(Image.open(io.BytesIO(picture_png(loaded.image.grey())))))


RESCALED = {"RescaleSlope": "0.5", "RescaleIntercept": "-100"}
WINDOWED = {"WindowCenter": ["900", "9"], "WindowWidth": ["600", "9"]}
SIGNED = {"PixelRepresentation": 1, "BitsStored": 16, "HighBit": 15}


@pytest.mark.parametrize(
    ("tags", "slope", "intercept"),
    [
        ({}, 1, 0),
        (RESCALED, 0.5, -100),
        (WINDOWED, 1, 0),
        ({**WINDOWED, "VOILUTFunction": "LINEAR_EXACT"}, 1, 0),
        ({**RESCALED, **WINDOWED}, 0.5, -100),
        ({"RescaleSlope": "-0.5", "RescaleIntercept": "2000", **WINDOWED}, -0.5, 2000),
        ({"PhotometricInterpretation": "MONOCHROME1"}, 1, 0),
        ({"PhotometricInterpretation": "MONOCHROME1", **RESCALED, **WINDOWED}, 0.5, -100),
        ({**SIGNED, **WINDOWED}, 1, 0),
        ({"WindowCenter": "5", "WindowWidth": "0"}, 1, 0),
    ],
)
def test_a_dicom_slice_keeps_its_values_whatever_the_window(tags, slope, intercept):
    loaded = dicom(**tags)
    values, (black, white), _ = unpacked(loaded)
    stored = (values - intercept) / slope
    assert np.abs(stored - HEAD).max() < 0.5 and np.array_equal(np.rint(stored), HEAD)
    assert looks(loaded).max() <= 1
    assert (black > white) == ((slope < 0) != (tags.get("PhotometricInterpretation") == "MONOCHROME1"))


@settings(max_examples=40)
@given(center=st.floats(-100, 5000), width=st.floats(16, 6000), exact=st.booleans())
@example(center=3623.0, width=3291.0, exact=True)
@example(center=3623.0, width=3291.0, exact=False)
def test_the_first_look_is_the_picture_for_every_window(center, width, exact):
    function = "LINEAR_EXACT" if exact else "LINEAR"
    loaded = dicom(WindowCenter=f"{center:.6g}", WindowWidth=f"{width:.6g}", VOILUTFunction=function)
    _, (black, white), step = unpacked(loaded)
    # Where the page shows a few values of thousands, one step of its 16 bits is more than one grey.
    assert looks(loaded).max() <= 1 + 255 * step / abs(white - black)


def test_what_is_no_line_is_shown_as_its_header_wants():
    curve = Dataset()
    curve.LUTDescriptor, curve.LUTData = [4096, 0, 12], (np.sqrt(np.arange(4096) / 4095) * 4095).astype(int).tolist()
    for tags in ({**WINDOWED, "VOILUTFunction": "SIGMOID"}, {"VOILUTSequence": [curve]}):
        loaded = dicom(**tags)
        assert looks(loaded).max() <= 1
        assert len(np.unique(unpacked(loaded)[0])) > 256


@pytest.mark.parametrize("slope_inter", [(1, 0), (0.25, -7)])
def test_a_nifti_slice_keeps_its_values(tmp_path, slope_inter):
    loaded = nifti(tmp_path, HEAD.astype(np.int16), slope_inter=slope_inter)
    values, _, _ = unpacked(loaded)
    stored = (values - slope_inter[1]) / slope_inter[0]
    assert np.abs(stored - HEAD).max() < 0.5 and np.array_equal(np.rint(stored), HEAD)
    assert looks(loaded).max() <= 1


def test_plain_images_of_more_than_8_bits_keep_their_values(tmp_path):
    deep = (HEAD * 16).astype(np.uint16)
    for pixels, name in (
        (deep, "a.png"),
        (deep, "a.tif"),
        (HEAD.astype(np.int32) * 1000 - 7, "b.tif"),
        ((HEAD / 4095 - 0.5).astype(np.float32), "c.tif"),
    ):
        loaded = saved(tmp_path, pixels, name)
        values, _, step = unpacked(loaded)
        assert np.abs(values - pixels).max() <= 1.1 * step and looks(loaded).max() <= 1


def test_8_bits_stay_the_picture(tmp_path):
    grey = draw(4, tumor=True, size=SIDE).pixels
    stored = {"BitsAllocated": 8, "BitsStored": 8, "HighBit": 7, "PixelData": grey.tobytes()}
    colours = np.stack([grey, grey // 2, 255 - grey], axis=2)
    for loaded in (saved(tmp_path, grey, "a.png"), saved(tmp_path, colours, "b.png"), dicom(**stored)):
        assert deep_png(loaded) == (picture_png(loaded.image.grey()), {})
        assert deep_png(loaded, 48) == (picture_png(loaded.image.grey(), 48), {})


def test_oblong_pixels_and_large_slices_have_the_size_of_the_picture(tmp_path):
    flat = nifti(tmp_path, HEAD.astype(np.int16), affine=np.diag([1.0, 2.0, 3.0, 1.0]))
    large = Loaded(from_array(np.kron(HEAD, np.ones((24, 12))).astype(np.uint16)))
    assert looks(dicom(PixelSpacing=[2, 1])).max() <= 1 and looks(flat).max() <= 1
    assert np.median(looks(large)) <= 1  # what the picture clips is averaged with its neighbours before, not after
    values, _, _ = unpacked(flat)
    assert np.abs(values - squared(HEAD, (2, 1))).max() < 0.5 and values.shape == (2 * SIDE, SIDE)
    assert unpacked(dicom(PixelSpacing=[2, 1], **WINDOWED))[0].shape == (2 * SIDE, SIDE)
    assert unpacked(large, 64)[0].shape == (64, 32)


def test_uniform_and_broken_values_give_a_picture():
    for uniform in (dicom(HEAD * 0 + 7), Loaded(slice_of_values(np.full((SIDE, SIDE), -3.5), name="a"))):
        assert looks(uniform).max() == 0
    broken = HEAD.astype(np.float32)
    broken[0, :3] = np.nan, np.inf, -np.inf
    with np.errstate(invalid="ignore"):
        image = slice_of_values(broken, name="a")
        values, _, _ = unpacked(Loaded(image, unwindowed=partial(before_window, broken, broken)))
    assert np.abs(values - HEAD)[1:].max() < 0.5


OWN_RANGE = "its own range is shown"


@pytest.mark.parametrize(
    ("tags", "note"),
    [
        ({"WindowCenter": "40", "WindowWidth": "80"}, f"its window leaves hardly any greys in it: {OWN_RANGE}"),
        ({"WindowCenter": "700", "WindowWidth": "1"}, f"its window leaves hardly any greys in it: {OWN_RANGE}"),
        ({"WindowCenter": "-900", "WindowWidth": "80"}, f"its window leaves nothing of it: {OWN_RANGE}"),
        ({"WindowCenter": "9000", "WindowWidth": "80"}, f"its window leaves nothing of it: {OWN_RANGE}"),
        ({"WindowCenter": "700", "WindowWidth": "0"}, f"its window or lookup table cannot be followed: {OWN_RANGE}"),
    ],
)
@pytest.mark.parametrize("kind", ["MONOCHROME2", "MONOCHROME1"])
def test_a_useless_window_is_told_and_not_applied(tags, note, kind):
    pixels = HEAD if kind == "MONOCHROME2" else 4095 - HEAD
    if kind == "MONOCHROME1":
        tags = {**tags, "WindowCenter": str(4095 - int(tags["WindowCenter"]))}
    loaded = dicom(pixels, PhotometricInterpretation=kind, **tags)
    assert loaded.note == note
    assert np.array_equal(loaded.image.pixels, dicom(pixels, PhotometricInterpretation=kind).image.pixels)
    assert looks(loaded).max() <= 1


def test_a_window_that_leaves_nearly_all_black_is_told():
    loaded = dicom(WindowCenter="3900", WindowWidth="300")  # above all but a few pixels
    assert loaded.note == "its window leaves nearly all of it black"
    assert not np.array_equal(loaded.image.pixels, dicom().image.pixels)


@settings(max_examples=40)
@given(center=st.floats(600, 1800), width=st.floats(1200, 6000))
def test_a_window_that_shows_the_head_is_applied_without_a_note(center, width):
    assert dicom(WindowCenter=f"{center:.6g}", WindowWidth=f"{width:.6g}").note == ""


def test_the_note_on_a_window_stands_in_the_row(tmp_path):
    made = FileDataset("", {}, file_meta=FileMetaDataset(), preamble=b"\0" * 128)
    made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    made.Modality, (made.Rows, made.Columns), made.BodyPartExamined = "MR", HEAD.shape, "BRAIN"
    made.SamplesPerPixel, made.PhotometricInterpretation = 1, "MONOCHROME2"
    made.BitsAllocated, made.BitsStored, made.HighBit, made.PixelRepresentation = 16, 12, 11, 0
    made.PixelData = HEAD.astype(np.uint16).tobytes()
    made.save_as(tmp_path / "plain.dcm", enforce_file_format=False)
    made.WindowCenter, made.WindowWidth = "40", "80"
    made.save_as(tmp_path / "a.dcm", enforce_file_format=False)
    predictor = Predictor(threads=1)
    plain, answer = (predictor.score(tmp_path / name) for name in ("plain.dcm", "a.dcm"))
    assert OWN_RANGE in answer.note and OWN_RANGE in answer.detail and not plain.note
    assert answer.probability == plain.probability
