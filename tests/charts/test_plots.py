"""Figures: well-formed, small, the same each time, in the page's colours, with what they should show."""

import math
import re
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest

from brainsift.charts import plots
from brainsift.charts.plots import Bar, Mark, TrialPoint
from brainsift.stats.intervals import Interval
from brainsift.stats.scores import Confusion


def sample(n=600, strength=1.5, seed=0):
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, 2, n)
    return labels, 1 / (1 + np.exp(-(2 * labels - 1) * strength - generator.normal(size=n)))


def curve(n=8):
    epochs = np.arange(1, n + 1)
    return pd.DataFrame(
        {"epoch": epochs, "validation_loss": 1 / epochs + 0.02 * epochs, "validation_auc": 1 - 0.4 / epochs}
    )


TRIALS = [TrialPoint(0, 1e-4, 0.4), TrialPoint(1, 1e-2, 0.3), TrialPoint(2, 1e-3, 0.2, pruned=True)]
BARS = [
    Bar("compact", Interval(0.947, 0.931, 0.96), 0),
    Bar("compact", Interval(0.989, 0.98, 0.995), 1, hollow=True),
    Bar("other $x_1$ & <b>", Interval(0.5, math.nan, math.nan), 0),
    Bar("nothing", Interval(math.nan, math.nan, math.nan), 0),
]
DRAWINGS = {
    "roc": lambda: plots.roc_curves({"a": sample(), "b & <b>": sample(strength=0.5)}),
    "pr": lambda: plots.pr_curves({"a": sample()}),
    "calibration": lambda: plots.calibration_plot({"a": sample()}),
    "confusion": lambda: plots.confusion_matrix(Confusion(tp=8, fp=1, tn=9, fn=0), "compact"),
    "no positives": lambda: plots.confusion_matrix(Confusion(tp=0, fp=1, tn=9, fn=0), "healthy"),
    "training": lambda: plots.training_curves({"a": curve(), "b": curve(3)}),
    "classes": lambda: plots.class_distribution({"br35h": {"tumor": 1500, "no tumor": 1500}, "x": {"unlabelled": 3}}),
    "forest": lambda: plots.forest(BARS, xlabel="accuracy", marks=[Mark("compact", 0.98)], names=("one", "two")),
    "tuning": lambda: plots.tuning(TRIALS, "learning_rate"),
    "no trials": lambda: plots.tuning([], "dropout"),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", DRAWINGS)
def test_every_figure(name):
    figure = DRAWINGS[name]()
    drawn = figure.svg
    root = ElementTree.fromstring(drawn)
    assert root.tag == "svg"
    assert root.get("role") == "img"
    assert root.get("width") is None
    assert root.get("viewBox")
    assert figure == DRAWINGS[name]()
    assert root.get("aria-label") == figure.name
    assert len(drawn) < 60_000
    assert "currentColor" in drawn
    assert not re.search(r"#(0072b2|d55e00|010203|040506|000000)|DejaVu|https?:|<metadata|<style", drawn)


def words_of(figure):
    return "\n".join(ElementTree.fromstring(figure.svg).itertext())


def test_two_figures_share_no_id():
    first, second = (set(re.findall(r'id="([^"]+)"', DRAWINGS[name]().svg)) for name in ("roc", "pr"))
    assert first
    assert not first & second


def test_every_reference_stays_inside_the_figure():
    drawn = DRAWINGS["forest"]().svg
    ids = set(re.findall(r'id="([^"]+)"', drawn))
    assert set(re.findall(r'(?:href="#|url\(#)([^")]+)', drawn)) <= ids


def test_curves_name_their_area():
    labels, probabilities = sample()
    from sklearn.metrics import roc_auc_score

    assert f"a ({roc_auc_score(labels, probabilities):.3f})" in words_of(
        plots.roc_curves({"a": (labels, probabilities)})
    )


def test_one_class_has_no_curve():
    assert plots.roc_curves({"healthy": ([0, 0], [0.1, 0.2])}) is None
    assert plots.pr_curves({}) is plots.calibration_plot({}) is None
    mixed = plots.roc_curves({"healthy": ([0, 0], [0.1, 0.2]), "both": sample()})
    assert "healthy" not in words_of(mixed)


def test_confusion_matrix_shows_counts_and_shares_of_a_row():
    words = words_of(DRAWINGS["confusion"]())
    for one in ("10.0 %", "90.0 %", "100.0 %", "compact", "prediction"):
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
