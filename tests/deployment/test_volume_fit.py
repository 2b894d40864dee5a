"""What decides volumes is fitted to series in which nothing but the tumor tells the class."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from brainsift.deployment.volume_fit import (
    draw_series,
    fit_line,
    fit_volumes,
    labels_of,
    left_out_log_odds,
    patients_of,
)
from brainsift.inference.decision import Prediction, Rule, expit
from brainsift.inference.volume_decision import summarise_volume

HEALTHY, TUMOR = -2.0, 2.5


def patient(number, *, tumor, rng, length=24, contrasts=("flair", "t1")):
    """Slices of a patient: tumor-free ones at the base, every second; the tumor above, in each slice."""
    rows = []
    first = int(rng.integers(8, 14))
    numbers = [*range(1, first, 2), *range(first + 3, length)] if tumor else list(range(1, length, 2))
    for contrast in contrasts:
        for slice_number in numbers:
            label = float(tumor and slice_number > first)
            logit = rng.normal(TUMOR if label else HEALTHY, 1.0)
            path = f"/scans/P{number}_19990101_{slice_number}.png"
            rows.append((path, contrast, "made", f"P{number}", contrast, "axial", label, logit))
    return rows


def images(*, n_tumor=8, n_free=6, seed=0):
    rng = np.random.default_rng(seed)
    rows = [row for number in range(n_tumor) for row in patient(number, tumor=True, rng=rng, length=20 + number)]
    rows += [row for number in range(n_free) for row in patient(100 + number, tumor=False, rng=rng, length=16)]
    columns = ["path", "channel", "source", "patient", "contrast", "plane", "label", "logit"]
    return pd.DataFrame(rows, columns=columns).sample(frac=1, random_state=seed).reset_index(drop=True)


@pytest.fixture(scope="module")
def table():
    return images()


@pytest.fixture(scope="module")
def fitted(table):
    return fit_volumes(table)


def test_neither_length_nor_level_nor_contrast_tells_the_class(table):
    drawn = draw_series(table)
    labels = labels_of(drawn)
    assert labels.mean() == 0.5
    for seen in (
        [len(one.rows) for one in drawn],
        [one.level for one in drawn],
        [one.contrast == "t1" for one in drawn],
    ):
        assert roc_auc_score(labels, seen) == pytest.approx(0.5, abs=0.06)
    whole = [rows for _, rows in table.groupby(["patient", "contrast"])]  # as they are, each of them tells it
    has_tumor = [rows["label"].any() for rows in whole]
    assert roc_auc_score(has_tumor, [len(rows) for rows in whole]) > 0.9


@pytest.mark.slow
def test_neighbours_lie_as_far_apart_in_both_classes_and_stand_in_order(table):
    steps = {0.0: [], 1.0: []}
    for one in draw_series(table):
        rows = table.loc[one.rows]
        numbers = rows["path"].str.extract(r"_(\d+)\.png")[0].astype(int).to_numpy()
        assert (np.diff(numbers) > 0).all() and rows["patient"].nunique() == rows["contrast"].nunique() == 1
        assert rows["label"].sum() >= 3 if one.has_tumor else not rows["label"].any()
        steps[float(one.has_tumor)].append(np.diff(numbers).min())
    assert min(steps[0.0]) == min(steps[1.0]) == 2


def test_the_line_is_calibrated_and_its_thresholds_come_from_patients_left_out(fitted):
    model, scores = fitted
    assert model.slope > 0 and model.stretch == 1.0
    assert set(model.thresholds) == {"balanced", "screening", "confirm", "even"}
    assert (
        model.suspicion <= model.thresholds["balanced"]
        and 0.5 <= model.thresholds["balanced"] <= model.thresholds["confirm"]
    )
    assert expit(model.log_odds(TUMOR)) > model.thresholds["balanced"] > expit(model.log_odds(HEALTHY))
    assert 4 <= scores.n_tumor <= 8 < scores.n_free <= 14
    assert scores.scores["roc_auc"].value > 0.97
    assert {"roc_auc", "calibration_error", "sensitivity", "specificity"} <= set(scores.before)


def test_what_was_fitted_decides_a_volume(fitted):
    model, _ = fitted
    rule = Rule(0.5, 0.0, model.thresholds["balanced"], model.suspicion, model)
    for logits, decision in (([HEALTHY] * 20, "no_tumor"), ([HEALTHY] * 10 + [TUMOR] * 4 + [HEALTHY] * 6, "tumor")):
        slices = [Prediction(str(n), "ok", one, "refer", volume="v") for n, one in enumerate(logits)]
        assert summarise_volume(slices, rule).decision == decision


def test_the_same_images_give_the_same_line_whatever_their_order(table, fitted):
    again, _ = fit_volumes(table.sample(frac=1, random_state=5).reset_index(drop=True))
    assert again == fitted[0]


def test_each_patient_is_scored_by_what_the_others_gave(table):
    drawn = draw_series(table)
    values = np.arange(len(drawn)) / len(drawn)
    (patient, *_) = patients = patients_of(drawn)
    held, others = patients == patient, [one for one in drawn if one.patient != patient]
    slope, intercept = fit_line(values[~held], others)
    assert left_out_log_odds(values, drawn)[held] == pytest.approx(slope * values[held] + intercept)


def test_a_tumor_with_smaller_logits_fits_nothing(table):
    turned = table.assign(logit=-table["logit"])
    assert fit_volumes(turned) is None


@pytest.mark.parametrize("counts", [{"n_tumor": 3, "n_free": 6}, {"n_tumor": 0, "n_free": 9}])
def test_too_few_patients_fit_nothing(counts):
    assert fit_volumes(images(**counts)) is None


def test_images_without_a_patient_or_an_order_fit_nothing(table):
    assert fit_volumes(table.assign(patient="")) is None
    assert fit_volumes(table.assign(path="/scans/7.png")) is None
