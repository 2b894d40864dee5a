"""Drawn images teach what no head slice is: also kinds of drawings that the fit did not see are rejected."""

import numpy as np
import pytest

from brainsift.deployment.features import features_of
from brainsift.deployment.not_heads import KINDS, draw_not_head
from brainsift.deployment.scope_fit import draw_not_heads, familiarity_of, fit_familiarity
from brainsift.images.phantom import draw
from brainsift.images.standard import standard
from brainsift.inference.bundle import load_bundle
from brainsift.training.recipes import make_config

SEEN, UNSEEN = KINDS[::2], KINDS[1::2]


def of(pixels):
    return features_of(load_bundle().network, pixels, np.arange(len(pixels)))


def heads(first, count):
    return np.stack(
        [standard(draw(seed, tumor=seed % 2 == 0, size=128).pixels) for seed in range(first, first + count)]
    )


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_drawn_the_same_from_the_same_state_and_otherwise_differently(kind):
    first, again, other = (draw_not_head(kind, np.random.default_rng(seed)) for seed in (3, 3, 4))
    assert np.array_equal(first, again) and first.dtype == np.uint8 and first.shape == other.shape
    assert first.std() > 2 and (first != other).mean() > 0.1


def test_a_small_fit_rejects_kinds_that_it_did_not_see_and_no_heads():
    taught, held, seen = of(heads(0, 100)), of(heads(1000, 50)), of(draw_not_heads(SEEN, 12, size=128))
    known = familiarity_of(taught, taught[:30], held, seen)
    unseen, others = of(draw_not_heads(UNSEEN, 6, size=128)), of(heads(2000, 40))
    by_odds = known.not_heads.odds(known.scaled(unseen)) > known.not_heads.limit
    assert by_odds.mean() > 0.8 and known.unfamiliar(unseen).mean() > 0.8
    assert known.unfamiliar(others).mean() <= 0.03
    assert not known.unfamiliar(held).any()


def test_a_network_whose_features_no_prediction_reads_gets_no_limit(parted, bundle_folder, tmp_path):
    config = make_config("compact", preprocessing="baseline", size=32)
    assert fit_familiarity(parted, config, bundle_folder / "network.onnx", tmp_path) is None
