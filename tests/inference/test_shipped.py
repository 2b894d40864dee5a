"""The network that comes with the package: whole, small, and able to tell head slices from photographs."""

import numpy as np
import pytest

from brainsift.deployment.not_heads import KINDS, draw_not_head
from brainsift.images.phantom import draw
from brainsift.inference.bundle import load_bundle
from brainsift.inference.model_card import model_card
from brainsift.inference.predictor import Predictor
from brainsift.volumes.inputs import find_images


@pytest.fixture(scope="module")
def predictor():
    return Predictor(threads=1)


def test_it_is_whole_and_small():
    bundle = load_bundle()
    assert bundle.network.stat().st_size < 20 * 2**20
    assert {"balanced", "screening", "confirm", "even"} <= set(bundle.thresholds)
    assert bundle.familiarity() is not None
    assert "## Performance" in model_card(bundle)


def test_it_answers_for_arrays_with_a_map(predictor):
    answer = predictor.score(draw(1, tumor=True).pixels)
    assert 0 <= answer.probability <= 1 and answer.tumor_map.shape == (16, 16)


def test_blank_images_noise_and_colours_are_refused(predictor):
    chance = np.random.default_rng(0)
    for pixels in (np.full((128, 128), 9, np.uint8), chance.integers(0, 255, (128, 128, 3), dtype=np.uint8)):
        assert predictor.score(pixels).status == "not_brain_mri"


def test_drawings_that_are_no_heads_are_refused_and_drawn_heads_are_not(predictor):
    rng = np.random.default_rng(2026)
    drawn = [predictor.score(draw_not_head(kind, rng)).status for kind in KINDS for _ in range(5)]
    assert np.mean([status == "not_brain_mri" for status in drawn]) >= 0.9
    heads = [predictor.score(draw(seed, tumor=seed % 2 == 0).pixels).status for seed in range(100, 140)]
    assert set(heads) == {"ok"}


def test_photographs_and_radiographs_are_refused_and_head_slices_are_not(predictor, data):
    foreign = list(predictor.predict(list(find_images([data / "not_brain_mri"]))[::5]))
    heads = list(predictor.predict(list(find_images([data / "tumor_free"]))[::10]))
    assert np.mean([answer.status == "not_brain_mri" for answer in foreign]) >= 0.95
    assert np.mean([answer.status == "not_brain_mri" for answer in heads]) <= 0.05
