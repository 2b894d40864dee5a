"""Shortcut probes: they find what they are named after, and nothing where there is nothing."""

import json

import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.model_selection import StratifiedKFold, cross_val_predict

from brainsift.auditing.findings import Probe
from brainsift.auditing.shortcuts import PROTOCOLS, probe, sample_groups
from brainsift.core.progress import Progress
from brainsift.stats.metrics import scores

NAMES = ("image size", "border", "nearest neighbor", "shuffled labels")


def collection(*, groups=60, copies=3, seed=0, width=(200, 200), rim=(0, 0)):
    """Draws noise: copies of a group differ little; classes differ only in what the arguments say (no tumor, tumor)."""
    random = np.random.default_rng(seed)
    group = np.repeat(np.arange(groups), copies)
    label = (group % 2).astype(float)
    frames = random.integers(40, 200, (groups, 64, 64))[group] + random.integers(-3, 4, (len(group), 64, 64))
    border = np.ones((64, 64), bool)
    border[3:-3, 3:-3] = False
    frames[:, border] += np.where(label == 1, rim[1], rim[0])[:, None]
    widths = np.where(label == 1, width[1], width[0])
    table = pd.DataFrame({"label": label, "group": group.astype(str), "width": widths, "height": 200})
    return table, frames.astype(np.uint8)


def run(**options):
    calls = []
    found = probe(*collection(**options), report=calls.append)
    return {(row.name, row.protocol): row for row in found}, calls


@pytest.fixture(scope="module")
def plain():
    """Probes of classes that differ in nothing, three copies of each image."""
    return run()


@pytest.fixture(scope="module")
def shortcuts():
    """Probes of classes that differ in size and at the rim."""
    return run(width=(200, 230), rim=(0, 40), copies=1)


def accuracy(found, name, protocol):
    return found[0][name, protocol].accuracy.value


@pytest.mark.slow
def test_every_probe_runs_under_both_protocols(plain):
    found, calls = plain
    assert list(found) == [(name, protocol) for name in NAMES for protocol in PROTOCOLS]
    assert calls == [Progress("probes", step, 8) for step in range(1, 9)]


@pytest.mark.slow
def test_entries_keep_their_contract(plain):
    for row in plain[0].values():
        assert Probe.from_json(json.loads(json.dumps(row.to_json(), allow_nan=False))) == row
        assert (row.n, row.n_groups) == (180, 60) and row.meaning
        for interval in (row.accuracy, row.balanced_accuracy, row.roc_auc):
            assert 0 <= interval.low <= interval.value <= interval.high <= 1


@pytest.mark.slow
@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("name", ["image size", "border"])
def test_a_shortcut_is_found(shortcuts, name, protocol):
    assert accuracy(shortcuts, name, protocol) > 0.95


@pytest.mark.slow
def test_size_alone_tells_nothing_where_sizes_are_equal(plain):
    found = plain[0]["image size", "grouped"]
    assert found.roc_auc.value == pytest.approx(0.5, abs=0.1)
    assert found.balanced_accuracy.value == pytest.approx(0.5, abs=0.1)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["nearest neighbor", "shuffled labels"])
def test_copies_leak_on_random_folds_only(plain, name):
    assert accuracy(plain, name, "random") > 0.9
    assert accuracy(plain, name, "grouped") == pytest.approx(0.5, abs=0.2)


@pytest.mark.slow
def test_shuffled_labels_stay_near_chance_without_copies(shortcuts):
    for protocol in PROTOCOLS:
        assert accuracy(shortcuts, "shuffled labels", protocol) == pytest.approx(0.5, abs=0.25)


@pytest.mark.slow
def test_labels_are_permuted_many_times(plain):
    for protocol, (lowest, highest) in {"random": (0.9, 1.0), "grouped": (0.45, 0.55)}.items():
        row = plain[0]["shuffled labels", protocol]
        value, spread = row.balanced_accuracy, row.spread["balanced_accuracy"]
        assert row.dealings == 100 and set(row.spread) == {"accuracy", "balanced_accuracy", "roc_auc"}
        assert lowest <= value.value <= highest
        assert spread["low"] <= value.value <= spread["high"] and "100 permutations" in row.meaning
    # the mean is better known than what one dealing gives
    assert value.high - value.low < (spread["high"] - spread["low"]) / 2
    assert plain[0]["border", "grouped"].spread is None


@pytest.mark.slow
def test_copies_are_fitted_once_with_the_same_result(shortcuts):
    table, frames = collection(width=(200, 230), rim=(0, 40), copies=1)
    table["width"] += np.random.default_rng(1).integers(0, 40, len(table))
    row = probe(table, frames)[0]
    folds = StratifiedKFold(5, shuffle=True, random_state=0)
    trees = ExtraTreesClassifier(100, random_state=0)
    sides = table[["width", "height"]].to_numpy(np.float32)
    expected = cross_val_predict(trees, sides, table["label"], cv=folds, method="predict_proba")[:, 1]
    assert 0.6 < row.accuracy.value < 0.95
    for metric in ("accuracy", "balanced_accuracy", "roc_auc"):
        assert getattr(row, metric).value == pytest.approx(scores(table["label"], expected)[metric], abs=1e-9)


@pytest.mark.slow
def test_the_nearest_neighbour_is_the_nearest_of_the_other_folds():
    table, frames = collection(groups=20, copies=1, seed=5)
    frames[1::2] = frames[::2] ^ 3  # each looks like one of the other class, which mostly is in another fold
    found = {(row.name, row.protocol): row for row in probe(table, frames)}
    assert found["nearest neighbor", "random"].accuracy.value < 0.35


def test_of_many_images_whole_groups_are_drawn():
    table, _ = collection(groups=50, copies=3)
    drawn = sample_groups(table, limit=40)
    assert len(drawn) == 39 and set(drawn.groupby("group").size()) == {3}
    assert sample_groups(table, limit=150) is table
    pd.testing.assert_frame_equal(drawn, sample_groups(table, limit=40))
    assert set(drawn["group"]) != set(sample_groups(table, limit=40, seed=1)["group"])


def test_too_few_groups_of_a_class_give_no_probes():
    assert run(groups=9, copies=8)[0] == {}  # four groups with tumor
    table, frames = collection(groups=20)
    assert probe(table.assign(label=1.0), frames) == []


@pytest.mark.slow
def test_same_seed_same_result():
    assert run(groups=20, copies=2)[0] == run(groups=20, copies=2)[0]
