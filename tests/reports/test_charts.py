"""Figures: well-formed, small, the same each time, in the page's colours, with what they should show."""

import math
import re
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
from brainsift.reports.charts import Bar, Mark

from brainsift.reports import charts
from brainsift.stats.metrics import Interval


def sample(n=600, strength=1.5, seed=0):
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, 2, n)
    return labels, 1 / (1 + np.exp(-(2 * labels - 1) * strength - generator.normal(size=n)))


def curve(n=8):
    epochs = np.arange(1, n + 1)
    return pd.DataFrame(
        {"epoch": epochs, "validation_loss": 1 / epochs + 0.02 * epochs, "validation_auc": 1 - 0.4 / epochs}
    )


TRIALS = [
    {"number": 0, "value": 0.4, "state": "complete", "learning_rate": 1e-4, "dropout": 0.1},
    {"number": 1, "value": 0.3, "state": "complete", "learning_rate": 1e-2, "dropout": 0.5},
    {"number": 2, "value": 0.2, "state": "pruned", "learning_rate": 1e-3, "dropout": 0.3},
    {"number": 3, "value": None, "state": "failed", "learning_rate": 1e-3, "dropout": 0.3},
]
BARS = [
    Bar("compact", Interval(0.947, 0.931, 0.96), 0),
    Bar("compact", Interval(0.989, 0.98, 0.995), 1, hollow=True),
    Bar("other $x_1$ & <b>", Interval(0.5, math.nan, math.nan), 0),
    Bar("nothing", Interval(math.nan, math.nan, math.nan), 0),
]
DRAWINGS = {
    "roc": lambda: charts.roc_curves({"a": sample(), "b & <b>": sample(strength=0.5)}),
    "pr": lambda: charts.pr_curves({"a": sample()}),
    "calibration": lambda: charts.calibration_plot({"a": sample()}),
    "confusion": lambda: charts.confusion_matrix({"tp": 8, "fp": 1, "tn": 9, "fn": 0}, "compact"),
    "no positives": lambda: charts.confusion_matrix({"tp": 0, "fp": 1, "tn": 9, "fn": 0}, "healthy"),
    "training": lambda: charts.training_curves({"a": curve(), "b": curve(3)}),
    "classes": lambda: charts.class_distribution({"br35h": {"tumor": 1500, "no tumor": 1500}, "x": {"unlabelled": 3}}),
    "forest": lambda: charts.forest(BARS, xlabel="accuracy", marks=[Mark("compact", 0.98)], names=("one", "two")),
    "tuning": lambda: charts.tuning(TRIALS, "learning_rate"),
    "no trials": lambda: charts.tuning([], "dropout"),
}


@pytest.mark.parametrize("name", DRAWINGS)
def test_every_figure(name):
    drawn = DRAWINGS[name]()
    root = ElementTree.fromstring(drawn)
    assert root.tag == "svg"
    assert root.get("role") == "img"
    assert root.get("aria-label")
    assert root.get("width") is None
    assert root.get("viewBox")
    assert drawn == DRAWINGS[name]()
    assert len(drawn) < 60_000
    assert "currentColor" in drawn
    assert not re.search(r"#(0072b2|d55e00|010203|040506|000000)|DejaVu|https?:|<metadata|<style", drawn)


def words_of(drawn):
    return "\n".join(ElementTree.fromstring(drawn).itertext())


def test_two_figures_share_no_id():
    first, second = (set(re.findall(r'id="([^"]+)"', DRAWINGS[name]())) for name in ("roc", "pr"))
    assert first
    assert not first & second


def test_every_reference_stays_inside_the_figure():
    drawn = DRAWINGS["forest"]()
    ids = set(re.findall(r'id="([^"]+)"', drawn))
    assert set(re.findall(r'(?:href="#|url\(#)([^")]+)', drawn)) <= ids


def test_curves_name_their_area():
    labels, probabilities = sample()
    from sklearn.metrics import roc_auc_score

    assert f"a ({roc_auc_score(labels, probabilities):.3f})" in words_of(
        charts.roc_curves({"a": (labels, probabilities)})
    )


def test_one_class_has_no_curve():
    assert charts.roc_curves({"healthy": ([0, 0], [0.1, 0.2])}) == ""
    assert charts.pr_curves({}) == charts.calibration_plot({}) == ""
    mixed = charts.roc_curves({"healthy": ([0, 0], [0.1, 0.2]), "both": sample()})
    assert "healthy" not in words_of(mixed)


def test_confusion_matrix_shows_counts_and_shares_of_a_row():
    words = words_of(DRAWINGS["confusion"]())
    for one in ("10.0 %", "90.0 %", "100.0 %", "compact", "model says"):
        assert one in words


def test_forest_takes_names_as_they_are():
    words = words_of(DRAWINGS["forest"]())
    for one in ("other $x_1$ & <b>", "claimed", "one", "two", "nothing"):
        assert one in words


def test_tuning_marks_the_best_finished_trial_on_a_log_axis():
    words = words_of(DRAWINGS["tuning"]())
    assert "best" in words
    assert "0.001" in words
    assert "mathdefault" not in words


def test_drawing_leaves_the_callers_settings_alone():
    import matplotlib as mpl

    before = dict(mpl.rcParams)
    DRAWINGS["roc"]()
    assert dict(mpl.rcParams) == before
