"""The baseline study's preprocessing, held to its steps."""

import sys

import numpy as np
import pytest
from PIL import Image

from brainsift.core.errors import MissingExtraError
from brainsift.images.baseline import baseline
from brainsift.images.decode import decode
from brainsift.images.phantom import draw

cv2 = pytest.importorskip("cv2", reason="needs train: pip install 'brainsift[train]'")


def grey_to_rgb(pixels):
    return np.repeat(pixels[..., None], 3, axis=2)


def test_shape_and_type():
    rgb = grey_to_rgb(draw(0, tumor=True).pixels)
    for size in (64, 128):
        result = baseline(rgb, size)
        assert (result.shape, result.dtype) == ((size, size, 3), np.uint8)


def test_a_bright_block_fills_the_square():
    rgb = np.zeros((128, 128, 3), np.uint8)
    rgb[30:70, 20:100] = 180
    result = baseline(rgb)
    assert (result > 0).mean() > 0.95


def test_the_largest_outline_is_taken():
    rgb = np.zeros((128, 128, 3), np.uint8)
    rgb[5:15, 5:15] = 255
    rgb[60:110, 60:110] = 150
    result = baseline(rgb)
    assert abs(int(np.median(result)) - 150) <= 1


def test_grey_stays_grey():
    result = baseline(grey_to_rgb(draw(1, tumor=False).pixels)).astype(int)
    assert np.ptp(result, axis=2).max() == 0


def test_faint_colour_is_blown_up():
    """The weakness of the study's last step: saturation is equalised, whatever little there is of it."""
    rgb = grey_to_rgb(draw(1, tumor=False).pixels).astype(int)
    rgb[..., 2] += np.random.default_rng(0).integers(0, 5, rgb.shape[:2])
    rgb = np.clip(rgb, 0, 255).astype(np.uint8)
    assert np.ptp(baseline(rgb).astype(int), axis=2).mean() > 5 * np.ptp(rgb.astype(int), axis=2).mean()


@pytest.mark.parametrize("value", [0, 255])
def test_uniform_images_come_back(value):
    assert (baseline(np.full((50, 40, 3), value, np.uint8)) == value).all()


def test_the_input_is_left_alone():
    rgb = grey_to_rgb(draw(2, tumor=True, size=128).pixels)
    before = rgb.copy()
    baseline(rgb)
    np.testing.assert_array_equal(rgb, before)


def test_without_opencv(monkeypatch):
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(MissingExtraError, match="train"):
        baseline(np.zeros((20, 20, 3), np.uint8))


def test_real_images(data):
    for path in sorted((data / "br35h" / "yes").iterdir())[:20]:
        result = baseline(decode(path).rgb())
        assert result.shape == (128, 128, 3)
        assert Image.fromarray(result).convert("L").getextrema()[1] > 50
