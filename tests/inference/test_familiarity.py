"""An image is rejected where either measure lies beyond its limit; files of older bundles hold one measure only."""

import numpy as np
import pytest

from brainsift.inference.familiarity import Familiarity, NotHeads

N_FEATURES = 6


@pytest.fixture
def known():
    rng = np.random.default_rng(0)
    factor = rng.normal(0, 1, (N_FEATURES, N_FEATURES)).astype(np.float32)
    weights = np.zeros(2 * N_FEATURES, np.float32)
    weights[0], weights[N_FEATURES + 1] = 1, 1  # the first feature, and the square of the second one
    return Familiarity(np.ones(N_FEATURES, np.float32), factor, 3.0, NotHeads(weights, 4.0))


def features(known, **scaled):
    """Returns features of one image that are 0 once scaled, but for some of them."""
    wanted = np.zeros(N_FEATURES)
    for name, value in scaled.items():
        wanted["abcdef".index(name)] = value
    return (wanted @ np.linalg.inv(known.factor.astype(np.float64)) + known.mean)[None].astype(np.float32)


@pytest.mark.parametrize(
    ("scaled", "expected"),
    [
        ({}, False),
        ({"c": 6}, False),
        ({"c": 9}, True),  # far away
        ({"a": 4.5}, True),  # near, but no head
        ({"a": -4.5}, False),
        ({"b": 2.1}, True),
        ({"b": -2.1}, True),
        ({"b": 1.9}, False),
    ],
)
def test_either_measure_rejects(known, scaled, expected):
    assert known.unfamiliar(features(known, **scaled)).tolist() == [expected]


def test_what_is_very_far_along_one_axis_counts_no_more_than_what_is_far(known):
    far, further = (known.not_heads.odds(known.scaled(features(known, b=size))) for size in (5.5, 50))
    assert far[0] == pytest.approx(25, abs=0.01) and further[0] == pytest.approx(25, abs=0.01)


def test_both_measures_are_read_as_they_were_written(known, tmp_path):
    known.save(tmp_path / "scope.npz")
    again, some = Familiarity.load(tmp_path / "scope.npz"), features(known, a=2, b=1, c=3)
    assert again.limit == known.limit and again.not_heads.limit == known.not_heads.limit
    assert again.distances(some) == known.distances(some)
    assert again.not_heads.odds(again.scaled(some)) == known.not_heads.odds(known.scaled(some))


def test_a_file_of_an_older_bundle_rejects_by_distance_alone(known, tmp_path):
    np.savez(tmp_path / "scope.npz", mean=known.mean, factor=known.factor, limit=np.float64(known.limit))
    again = Familiarity.load(tmp_path / "scope.npz")
    assert again.not_heads is None
    both = np.concatenate([features(known, a=4.5), features(known, c=9)])
    assert again.unfamiliar(both).tolist() == [False, True]
    again.save(tmp_path / "again.npz")
    assert Familiarity.load(tmp_path / "again.npz").not_heads is None
