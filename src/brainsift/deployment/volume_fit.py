"""How a bundle decides volumes, fitted to series of validation patients.

A series is the slices of one patient, contrast and plane, in the order of the numbers in their names. Positive are
series of patients who have both kinds of slices; negative are the tumor-free slices of those, and of patients without
a tumor. Nothing but the tumor may tell the two classes apart:

- Length and level: sub-series of any length and place are drawn, positive ones with at least three tumor slices, and
  weighted so that length, level and contrast are alike in both classes (overlap weights).
- Distance: where collections list tumor-free slices more sparsely than those with a tumor, tumor slices are left out,
  so that neighbours lie as far apart in both classes.

Source: Li, Morgan & Zaslavsky 2018, Balancing covariates via propensity score weighting.
"""

import re
from dataclasses import dataclass
from pathlib import PurePath

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from brainsift.inference.decision import log_odds
from brainsift.inference.provenance import VolumeScores
from brainsift.inference.volume_model import ADJACENT, VolumeModel, largest_mean
from brainsift.stats import calibration, metrics
from brainsift.stats.intervals import Interval

_KEYS = ["source", "patient", "contrast", "plane", "channel"]
_LEAST_SLICES = 4
_LEAST_PATIENTS = 4  # of each class
_DRAWN_EACH = 100  # sub-series of a series, each class
_DRAWN = 1000  # sub-series of a class, after weighting
_SEED = 0
_SUSPICIOUS = 0.95  # sensitivity of the threshold from which on a volume is suspicious
_COMPARED = ("roc_auc", "brier_loss", "calibration_error", "sensitivity", "specificity")
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class SubSeries:
    """Slices of one series, in order.

    Attributes:
        patient: whose.
        contrast: of the series.
        has_tumor: whether slices with a tumor are among them.
        rows: their places in the table.
        level: mean of their numbers over the largest number of the series, 0 to 1: how high in the head they lie.
    """

    patient: str
    contrast: str
    has_tumor: bool
    rows: npt.NDArray[np.intp]
    level: float


def fit_volumes(table: pd.DataFrame) -> tuple[VolumeModel, VolumeScores] | None:
    """Fits what decides volumes, and scores it by leaving out one patient at a time.

    The thresholds are chosen as those of slices are, see `calibration.thresholds`, on the series of patients left out;
    `balanced` is at least even odds. Both classes weigh the same here, so below that no tumor is likelier, and so few
    patients cannot show that less is enough.

    Args:
        table: validation images: path, source, contrast, channel, label (1 or 0), and the calibrated logit; patient
            and plane where they are known.

    Returns:
        None where there are too few patients to fit anything, or where slices with a tumor have no larger logits.
    """
    drawn = draw_series(table)
    if not drawn:
        return None
    labels, patients = labels_of(drawn), patients_of(drawn)
    logits = table["logit"].to_numpy(np.float64)
    means = [largest_mean_logit(logits[one.rows]) for one in drawn]
    slope, intercept = fit_line(means, drawn)
    if slope <= 0:
        return None
    left_out = calibration.apply(left_out_log_odds(means, drawn), 1.0)
    thresholds = choose_thresholds(labels, left_out)
    reached = calibration.sensitivities(labels, left_out)
    wanted = max(threshold for sensitivity, threshold in reached if sensitivity >= _SUSPICIOUS)
    model = VolumeModel(slope, intercept, thresholds, min(wanted, thresholds["balanced"]), reached)
    tumor, free = (len(set(patients[labels == label])) for label in (1, 0))
    before = left_out_log_odds([rule_without_model(logits[one.rows]) for one in drawn], drawn)
    return model, VolumeScores(
        tumor, free, score_series(left_out_log_odds(means, drawn), drawn), score_series(before, drawn)
    )


def choose_thresholds(labels: Floats, probabilities: Floats) -> dict[str, float]:
    """Returns thresholds on the probability of a volume by name, see `fit_volumes`."""
    found = calibration.thresholds(labels, probabilities)
    balanced = max(found["balanced"], calibration.EVEN)
    return found | {"balanced": balanced, "confirm": max(found["confirm"], balanced), "even": calibration.EVEN}


def largest_mean_logit(logits: Floats) -> float:
    """Returns what decides: the largest mean logit over three adjacent slices."""
    return largest_mean(logits.tolist())[0]


def rule_without_model(logits: Floats) -> float:
    """Returns the log-odds of the largest mean probability over three adjacent slices: the rule without a model."""
    return log_odds(largest_mean(calibration.apply(logits, 1.0).tolist())[0])


def labels_of(drawn: list[SubSeries]) -> Floats:
    """Returns 1 for each sub-series with a tumor, 0 for each other."""
    return np.array([one.has_tumor for one in drawn], dtype=np.float64)


def patients_of(drawn: list[SubSeries]) -> npt.NDArray[np.str_]:
    """Returns whose each sub-series is."""
    return np.array([one.patient for one in drawn], dtype=str)


def fit_line(values: npt.ArrayLike, drawn: list[SubSeries]) -> tuple[float, float]:
    """Fits slope and intercept of a logistic regression; the sub-series together count as much as their series.

    Args:
        values: (n,) one per sub-series.
        drawn: (n,).
    """
    n_series = len({(one.patient, one.contrast, one.has_tumor) for one in drawn})
    weights = np.full(len(drawn), n_series / len(drawn))
    x = np.asarray(values, dtype=np.float64)[:, None]
    found = LogisticRegression(C=1.0).fit(x, labels_of(drawn), sample_weight=weights)
    return float(found.coef_[0, 0]), float(found.intercept_[0])


def left_out_log_odds(values: npt.ArrayLike, drawn: list[SubSeries]) -> Floats:
    """Returns the log-odds of a tumor, (n,): for each patient by the slope and the intercept that the others gave.

    Args:
        values: (n,) one per sub-series.
        drawn: (n,).
    """
    x, patients = np.asarray(values, dtype=np.float64), patients_of(drawn)
    found = np.zeros_like(x)
    for patient in np.unique(patients):
        held = patients == patient
        slope, intercept = fit_line(x[~held], [one for one in drawn if one.patient != patient])
        found[held] = slope * x[held] + intercept
    return found


def score_series(found: Floats, drawn: list[SubSeries], threshold: float | None = None) -> dict[str, Interval]:
    """Scores the log-odds of sub-series, (n,), with intervals that resample patients.

    Args:
        found: the log-odds.
        drawn: (n,).
        threshold: on the probability; None for `balanced`, chosen on these very series.
    """
    labels, probabilities = labels_of(drawn), calibration.apply(found, 1.0)
    at = choose_thresholds(labels, probabilities)["balanced"] if threshold is None else threshold
    scores = metrics.score_intervals(labels, probabilities, patients_of(drawn), threshold=at)
    return {name: scores[name] for name in _COMPARED}


def draw_series(table: pd.DataFrame) -> list[SubSeries]:
    """Draws sub-series, as many of each class, in which length, level and contrast do not tell the class.

    Args:
        table: as for `fit_volumes`; the logits are not looked at.

    Returns:
        Empty where there are too few patients of a class.
    """
    random = np.random.default_rng(_SEED)
    places = np.arange(len(table))
    missing = {name: "" for name in ("patient", "plane") if name not in table}  # in runs of older versions
    keyed = table.assign(**missing).reset_index(drop=True)
    known = keyed[(keyed["patient"] != "") & keyed["label"].notna()]
    found = []
    for key, rows in known.groupby(_KEYS, sort=True):
        numbers = np.array([_number(path) for path in rows["path"]])
        if len(np.unique(numbers)) < len(numbers):  # the order is not known
            continue
        order = np.argsort(numbers)
        numbers, tumor, rows_in_order = numbers[order], rows["label"].to_numpy()[order] == 1, places[rows.index][order]
        free = np.flatnonzero(~tumor)
        if len(free) < 2:  # without them nobody knows what the scanner shows where there is no tumor
            continue
        shown = _thinned(np.flatnonzero(tumor), numbers, step=int(np.diff(numbers[free]).min()))
        patient, contrast = f"{key[0]} {key[1]}", str(key[2])
        for has_tumor in (False, True):
            if len(shown) < ADJACENT if has_tumor else len(free) < _LEAST_SLICES:
                continue
            for _ in range(_DRAWN_EACH):
                taken = _cut(free, shown if has_tumor else shown[:0], random)
                if not has_tumor or tumor[taken].sum() >= ADJACENT:
                    level = float(numbers[taken].mean() / max(numbers[-1], 1))
                    found.append(SubSeries(patient, contrast, has_tumor, rows_in_order[taken], level))
    for has_tumor in (False, True):
        if len({one.patient for one in found if one.has_tumor == has_tumor}) < _LEAST_PATIENTS:
            return []
    return _balanced(found, random)


def _number(path: str) -> int:
    """Returns the last number in the name of a file: that of the slice."""
    digits = re.findall(r"\d+", PurePath(path).stem)
    return int(digits[-1]) if digits else 0


def _thinned(places: npt.NDArray[np.intp], numbers: npt.NDArray[np.int64], step: int) -> npt.NDArray[np.intp]:
    """Leaves out slices that are nearer to the one before than a step."""
    kept: list[int] = []
    for place in places:
        if not kept or numbers[place] - numbers[kept[-1]] >= step:
            kept.append(int(place))
    return np.array(kept, dtype=np.intp)


def _cut(free: npt.NDArray[np.intp], shown: npt.NDArray[np.intp], random: np.random.Generator) -> npt.NDArray[np.intp]:
    """Draws a piece of a series: of its tumor slices a run of three or more, of all that a run of four or more."""
    kept = free
    if len(shown):
        count = random.integers(ADJACENT, len(shown) + 1)
        first = random.integers(0, len(shown) - count + 1)
        kept = np.sort(np.concatenate([free, shown[first : first + count]]))
    count = random.integers(_LEAST_SLICES, len(kept) + 1)
    first = random.integers(0, len(kept) - count + 1)
    return kept[first : first + count]


def _balanced(found: list[SubSeries], random: np.random.Generator) -> list[SubSeries]:
    """Draws as many of each class, with the overlap weights of length, level and contrast."""
    labels = labels_of(found)
    level, length = np.array([[one.level, np.log(len(one.rows))] for one in found]).T
    contrasts = [[one.contrast == name for one in found] for name in sorted({one.contrast for one in found})[1:]]
    seen = np.column_stack([level, level**2, length, length**2, level * length, *contrasts]).astype(np.float64)
    keys = pd.Series([f"{one.patient}\n{one.contrast}\n{one.has_tumor}" for one in found])
    own = 1 / keys.groupby(keys).transform("size").to_numpy(np.float64)  # each series counts once
    guess = make_pipeline(StandardScaler(), LogisticRegression(C=1e3, max_iter=5000))
    share = guess.fit(seen, labels, logisticregression__sample_weight=own).predict_proba(seen)[:, 1]
    weights = own * np.where(labels == 1, 1 - share, share)
    drawn = []
    for label in (0, 1):
        places = np.flatnonzero(labels == label)
        chosen = random.choice(places, _DRAWN, p=weights[places] / weights[places].sum())
        drawn += [found[place] for place in np.sort(chosen)]
    return drawn
