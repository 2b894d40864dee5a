"""What cannot be judged is told apart, with a reason; drawn heads are not."""

import numpy as np
import pytest
from PIL import Image

from brainsift.images.decode import from_array
from brainsift.images.phantom import draw
from brainsift.images.plausibility import _brightened, foreign_reason
from brainsift.images.standard import standard
from brainsift.inference.familiarity import Familiarity


def _reason(pixels):
    decoded = from_array(pixels)
    return foreign_reason(decoded, standard(decoded.grey(), 64))


def test_heads_pass():
    assert not any(_reason(draw(seed, tumor=seed % 2 == 0).pixels) for seed in range(12))


def test_blank_and_inverted_images_and_photographs_are_named():
    assert "blank" in _reason(np.full((64, 64), 7, np.uint8))
    assert "inverted" in _reason(255 - draw(3, tumor=True).pixels)
    y, x = np.mgrid[:96, :96]
    sky = np.stack([x, 255 - y * 2, np.full_like(x, 250)], axis=2).clip(0, 255).astype(np.uint8)
    assert "coloured" in _reason(sky)
    assert "a strip of" in _reason(np.tile(draw(1, tumor=False).pixels, (1, 4)))


def test_distances_are_those_of_mahalanobis(tmp_path):
    chance = np.random.default_rng(0)
    known = chance.normal(3, 2, (500, 4)).astype(np.float32)
    factor = np.linalg.cholesky(np.linalg.inv(np.cov(known.T))).astype(np.float32)
    familiarity = Familiarity(known.mean(axis=0), factor, 2.0)
    familiarity.save(tmp_path / "scope.npz")
    again = Familiarity.load(tmp_path / "scope.npz")
    assert again.limit == 2.0 and np.array_equal(again.factor, factor)
    assert (again.distances(known) ** 2).mean() == pytest.approx(1, rel=0.01)
    assert again.distances(known[:1] + 100)[0] > 40


def test_pillow_images_and_arrays_are_one_thing():
    pixels = draw(2, tumor=True).pixels
    assert np.array_equal(from_array(np.asarray(Image.fromarray(pixels))).pixels, pixels)


@pytest.mark.parametrize("brightest", [0, 1, 3, 100, 254, 255])
def test_looked_up_values_are_the_calculated_ones(brightest):
    grey = np.minimum(np.arange(256), brightest).astype(np.uint8).reshape(16, 16)
    np.testing.assert_array_equal(np.asarray(_brightened(grey)), np.asarray(_brightened(grey.astype(np.uint16))))
