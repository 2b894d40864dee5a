"""What fills the outside of a head is background, whatever its value; unsigned pictures stay as they are."""

import io

import nibabel
import numpy as np
import pytest
from PIL import Image

from brainsift.images.decode import decode, from_array
from brainsift.images.padding import without_padding
from brainsift.images.phantom import draw
from brainsift.images.standard import head_box, standard
from brainsift.inference.decision import Rule
from brainsift.inference.predictor import Predictor
from brainsift.inference.volume_decision import summarise_volumes

SIDE = 128


def stripped(seed=4, tumor=True):
    """A drawn head on a background of 0, and where it is."""
    pixels = draw(seed, tumor=tumor, size=SIDE).pixels.astype(np.float32) * 3
    top, bottom, left, right = head_box(pixels)
    y, x = np.mgrid[:SIDE, :SIDE]
    middle, centre = (top + bottom) / 2, (left + right) / 2
    inside = ((y - middle) / (bottom - top)) ** 2 + ((x - centre) / (right - left)) ** 2 < 0.23
    return np.where(inside, np.maximum(pixels, 1), 0), inside


def scored(values, inside):
    """The usual z-scores of segmentation tools: of the head alone, 0 outside."""
    return np.where(inside, (values - values[inside].mean()) / values[inside].std(), 0).astype(np.float32)


def nearly(one, other):
    """Alike, but for the box of the head, which may move by a pixel."""
    return np.corrcoef(one.ravel().astype(float), other.ravel().astype(float))[0, 1] > 0.9


def tiff(values):
    buffer = io.BytesIO()
    Image.fromarray(values.astype(np.float32)).save(buffer, "TIFF")
    return decode(buffer.getvalue()).grey()


@pytest.mark.parametrize("seed", range(6))
def test_z_scores_show_the_same_head(seed):
    values, inside = stripped(seed)
    expected = standard(from_array(values).grey())
    z = scored(values, inside)
    for filling in (0, np.nan, -np.inf, -32768, -1000, float(z[inside].min())):
        filled = np.where(inside, z, np.float32(filling)).astype(np.float32)
        assert nearly(standard(from_array(filled).grey()), expected), filling
        assert nearly(standard(tiff(filled)), expected), filling
    whole = (values - values.mean()) / values.std()
    assert nearly(standard(tiff(whole)), expected)


@pytest.mark.parametrize("filling", [-32768, -2000, -500])
def test_corners_outside_the_field_of_view_are_background(filling):
    values = draw(5, tumor=True, size=SIDE).pixels.astype(np.int16) * 5
    y, x = np.mgrid[:SIDE, :SIDE]
    outside = (y - SIDE / 2) ** 2 + (x - SIDE / 2) ** 2 > (SIDE / 2) ** 2
    expected = standard(from_array(np.where(outside, values.min(), values)).grey())
    assert nearly(standard(from_array(np.where(outside, filling, values).astype(np.int16)).grey()), expected)


@pytest.mark.parametrize("stray", [np.nan, np.inf, -np.inf])
def test_one_pixel_that_is_not_finite_changes_no_other(stray):
    values, inside = stripped()
    z = scored(values, inside)
    inverted = np.where(inside, -z, (-z)[inside].max() + 1).astype(np.float32)
    dark = np.where(inside, z, z[inside].min() - 0.1).astype(np.float32)
    for picture in (inverted, dark):
        hurt = picture.copy()
        hurt[60, 60] = stray
        found = without_padding(hurt)
        assert without_padding(picture) is picture and np.isfinite(found).all()
        hurt[60, 60] = found[60, 60]
        np.testing.assert_array_equal(found, hurt)


def test_unsigned_data_stays_as_it_is():
    values, _ = stripped()
    for kept in (values, values.astype(np.uint16), values.astype(np.int16), values - values.min()):
        assert without_padding(kept) is kept
    signed = np.random.default_rng(0).normal(0, 5, (40, 40))  # noise without any filling
    assert without_padding(signed) is signed
    inverted = np.where(np.eye(40) > 0, -3.0, 5.0)
    assert without_padding(inverted) is inverted


def test_what_is_not_finite_is_0_where_nothing_is_negative():
    values = np.array([[50.0, np.nan, np.inf], [-np.inf, 60.0, 70.0]])
    np.testing.assert_array_equal(without_padding(values), [[50, 0, 0], [0, 60, 70]])
    assert not without_padding(np.full((3, 3), np.nan)).any()


def test_declared_padding_counts_in_unsigned_data_too():
    values = np.array([[65535, 65535, 10], [20, 30, 65535]], np.uint16)
    np.testing.assert_array_equal(without_padding(values, padding=values == 65535), [[10, 10, 10], [20, 30, 10]])
    low = np.array([[0, 0, 3], [20, 30, 900]], np.uint16)
    assert without_padding(low, padding=low == 0) is low  # it is the background already


def test_a_volume_gives_the_same_probabilities_raw_and_z_scored(tmp_path):
    slices = [stripped(seed) for seed in range(4, 10)]
    values, inside = (np.stack([one[place] for one in slices], axis=2) for place in (0, 1))
    z = scored(values, inside)
    predictor, found = Predictor(threads=1), {}
    for name, volume in {"raw": values, "z": z, "nan": np.where(inside, z, np.nan)}.items():
        path = tmp_path / f"{name}.nii"
        nibabel.Nifti1Image(volume.astype(np.float32), np.diag([1.0, 1.0, 5.0, 1.0])).to_filename(path)
        found[name] = list(predictor.predict([path]))
    raw = found.pop("raw")
    assert all(one.status == "ok" for one in raw)
    for other in found.values():
        assert [one.decision for one in other] == [one.decision for one in raw]
        assert [one.probability for one in other] == pytest.approx([one.probability for one in raw], abs=0.05)
        assert summarise_volumes(other, Rule(0.5))[0].probability == pytest.approx(
            summarise_volumes(raw, Rule(0.5))[0].probability, abs=0.02
        )
