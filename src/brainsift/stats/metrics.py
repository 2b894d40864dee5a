"""Labels and probabilities -> scores with intervals, and tests of one model against another.

Images of one patient, and copies of one slice, are not independent: every interval here comes from resampling groups.
All scores have one weighted form, for many resamples at once; the tests compare it with scikit-learn. No torch.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.stats import norm, rankdata

from brainsift.core.errors import UsageError
from brainsift.core.labels import CLASS_NAMES
from brainsift.stats.intervals import Interval
from brainsift.stats.scores import Confusion

_OF_DECISIONS = ("accuracy", "balanced_accuracy", "precision", "sensitivity", "specificity", "f1", "mcc")
METRICS = (*_OF_DECISIONS, "roc_auc", "pr_auc", "brier_loss", "calibration_error")
CALIBRATION_BINS = 15
_RESAMPLES_AT_ONCE = 125  # bounds memory: 125 resamples of 10 000 images are 10 MB

Floats = npt.NDArray[np.float64]
Threshold = float | npt.NDArray[np.floating[Any]]
"""A probability of at least this counts as "tumor": one number for all images, or one per image (n,)."""


class DelongResult(NamedTuple):
    """Two areas under the ROC curve on the same images; the difference is ``auc_a - auc_b``."""

    auc_a: float
    auc_b: float
    difference: Interval
    p_value: float


class PairedDifference(NamedTuple):
    """The difference of a score, ``a - b``, on the same images."""

    difference: Interval
    p_value: float


def scores(labels: npt.ArrayLike, probabilities: npt.ArrayLike, *, threshold: Threshold = 0.5) -> dict[str, float]:
    """Computes every score in `METRICS`; ``calibration_error`` over 15 bins of equal mass, ties in one bin.

    Args:
        labels: (n,) 1 tumor, 0 no tumor.
        probabilities: (n,) probability of tumor.
        threshold: see `Threshold`.

    Returns:
        One number per metric; NaN where it is undefined (such as AUC with one class, precision without a positive).

    Raises:
        UsageError: arrays that do not fit together, or values out of range.

    Source:
        Naeini et al. 2015, Obtaining Well Calibrated Probabilities Using Bayesian Binning; equal mass: Nixon et al.
        2019, Measuring Calibration in Deep Learning.

    >>> scores([1, 1, 0, 0], [0.9, 0.4, 0.6, 0.1])["roc_auc"]
    0.75
    """
    y, p = _checked(labels, probabilities)
    weighted = _weighted_scores(y, p, np.ones((1, y.size)), threshold)
    return {name: float(values[0]) for name, values in weighted.items()}


def confusion(labels: npt.ArrayLike, probabilities: npt.ArrayLike, threshold: Threshold = 0.5) -> Confusion:
    """Counts true and false positives and negatives.

    >>> confusion([1, 1, 0, 0], [0.9, 0.4, 0.6, 0.1])
    Confusion(tp=1, fp=1, tn=1, fn=1)
    """
    y, p = _checked(labels, probabilities)
    positive = p >= threshold
    return Confusion(
        tp=int((positive & y).sum()),
        fp=int((positive & ~y).sum()),
        tn=int((~positive & ~y).sum()),
        fn=int((~positive & y).sum()),
    )


def classification_report(
    labels: npt.ArrayLike, probabilities: npt.ArrayLike, *, threshold: Threshold = 0.5
) -> dict[str, dict[str, float] | float]:
    """Returns scikit-learn's classification report, keyed by class name and average."""
    from sklearn.metrics import classification_report as sklearn_report

    y, p = _checked(labels, probabilities)
    names = {"labels": [False, True], "target_names": list(CLASS_NAMES)}
    return dict(sklearn_report(y, p >= threshold, **names, output_dict=True, zero_division=0))


def bootstrap_scores(
    labels: npt.ArrayLike,
    probabilities: npt.ArrayLike,
    groups: npt.ArrayLike,
    *,
    threshold: Threshold = 0.5,
    n_resamples: int = 1000,
    seed: int = 0,
) -> dict[str, Floats]:
    """Computes every score on resamples of the groups; the same groups and seed give the same resamples.

    Args are those of `score_intervals`.

    Returns:
        (n_resamples,) numbers per metric; NaN where a resample leaves it undefined.
    """
    y, p = _checked(labels, probabilities)
    weights = _resample_weights(_indices(groups, y.size), n_resamples, seed)
    chunks = [_weighted_scores(y, p, some, threshold) for some in weights]
    return {name: np.concatenate([chunk[name] for chunk in chunks]) for name in METRICS}


def score_intervals(
    labels: npt.ArrayLike,
    probabilities: npt.ArrayLike,
    groups: npt.ArrayLike,
    *,
    threshold: Threshold = 0.5,
    n_resamples: int = 1000,
    seed: int = 0,
    confidence: float = 0.95,
) -> dict[str, Interval]:
    """Computes every score with its interval: the percentile bootstrap over groups.

    A percentile interval has no width when every resample gives the same number (all groups right, or one group).
    Wilson's interval is used then, as if each group that bears on the score were one trial. For AUC and other scores
    that are not a plain proportion this is an approximation, too wide rather than too narrow. The calibration error of
    a resample is biased upwards; its interval is moved back by that bias.

    Args:
        labels: (n,) 1 tumor, 0 no tumor.
        probabilities: (n,) probability of tumor.
        groups: (n,) names of groups that are drawn whole.
        threshold: see `Threshold`.
        n_resamples: number of resamples.
        seed: of the random generator.
        confidence: of the interval.

    Returns:
        One interval per metric; NaN where the score is undefined.

    Source:
        Field & Welsh 2007, Bootstrapping clustered data; Wilson 1927.
    """
    values = scores(labels, probabilities, threshold=threshold)
    resampled = bootstrap_scores(labels, probabilities, groups, threshold=threshold, n_resamples=n_resamples, seed=seed)
    return intervals_from(values, resampled, labels, groups, confidence=confidence)


def mean_interval(
    values: npt.ArrayLike, groups: npt.ArrayLike, *, n_resamples: int = 1000, seed: int = 0, confidence: float = 0.95
) -> Interval:
    """Returns the mean of any share of single images, with an interval that resamples groups.

    Where every resample gives the same mean (one group, or all alike) Wilson's interval is used, as in
    `score_intervals`.

    Args:
        values: (n,) 0 to 1 on average.
        groups: (n,) what belongs together.
        n_resamples: of the bootstrap.
        seed: of the bootstrap.
        confidence: of the interval.

    >>> mean_interval([1, 0, 1, 1], ["a", "a", "b", "c"]).value
    0.75
    """
    x = np.asarray(values, dtype=np.float64)
    indices = _indices(groups, len(x))
    means = [weights @ x / weights.sum(axis=1) for weights in _resample_weights(indices, n_resamples, seed)]
    value, (low, high) = float(x.mean()), _percentiles(np.concatenate(means), confidence)
    if high - low < 1e-9:
        return wilson(min(max(value, 0.0), 1.0), len(np.unique(indices)), confidence)
    return Interval(value, low, high)


def intervals_from(
    values: dict[str, float],
    resampled: dict[str, Floats],
    labels: npt.ArrayLike,
    groups: npt.ArrayLike,
    *,
    confidence: float = 0.95,
) -> dict[str, Interval]:
    """Turns values and their resamples into intervals, as `score_intervals` does."""
    trials = _trials(np.asarray(labels, dtype=bool), np.asarray(groups))
    return {name: _interval(name, value, resampled[name], trials[name], confidence) for name, value in values.items()}


def wilson(value: float, trials: int, confidence: float = 0.95) -> Interval:
    """Returns Wilson's score interval of a proportion.

    >>> [round(bound, 3) for bound in wilson(1.0, 20)]
    [1.0, 0.839, 1.0]
    """
    z = float(norm.ppf(0.5 + confidence / 2))
    centre = (value + z**2 / (2 * trials)) / (1 + z**2 / trials)
    half = z / (1 + z**2 / trials) * np.sqrt(value * (1 - value) / trials + z**2 / (4 * trials**2))
    return Interval(value, min(max(0.0, float(centre - half)), value), max(min(1.0, float(centre + half)), value))


def delong_test(labels: npt.ArrayLike, a: npt.ArrayLike, b: npt.ArrayLike, *, confidence: float = 0.95) -> DelongResult:
    """Tests whether two models differ in ROC AUC on the same images.

    DeLong's test takes images as independent. Where groups hold several images, read `paired_bootstrap` with
    ``metric="roc_auc"`` beside it.

    Args:
        labels: (n,) 1 or 0, each at least twice.
        a: (n,) scores or probabilities of the first model.
        b: (n,) those of the second.
        confidence: of the interval of the difference.

    Returns:
        Both areas, their difference ``a - b`` with its interval, and the two-sided p-value; 1 where both models rank
        all images alike, NaN where the areas differ without any variance (such as 1 and 0.5 exactly).

    Raises:
        UsageError: fewer than two images of a class, or arrays that do not fit together.

    Source:
        DeLong, DeLong & Clarke-Pearson 1988; the fast form of Sun & Xu 2014.
    """
    y, first = _checked(labels, a, name="a", bounded=False)
    _, second = _checked(labels, b, name="b", bounded=False)
    n_tumor = int(y.sum())
    if min(n_tumor, y.size - n_tumor) < 2:
        rule = f"DeLong's test needs two images of each class, got {n_tumor} with and {y.size - n_tumor} without tumor"
        raise UsageError("labels", rule, "Compare accuracy instead.")
    (auc_a, auc_b), covariance = _delong_covariance(y == 1, np.stack([first, second]))
    contrast = np.array([1.0, -1.0])
    difference, variance = auc_a - auc_b, float(contrast @ covariance @ contrast)
    if variance < 1e-15:  # what rounding leaves of nil
        if abs(difference) < 1e-12:
            return DelongResult(auc_a, auc_b, Interval(0.0, 0.0, 0.0), 1.0)
        return DelongResult(auc_a, auc_b, Interval(difference, np.nan, np.nan), np.nan)
    error = float(np.sqrt(variance))
    half = float(norm.ppf(0.5 + confidence / 2)) * error
    p_value = float(2 * norm.sf(abs(difference) / error))
    return DelongResult(auc_a, auc_b, Interval(difference, difference - half, difference + half), p_value)


def _delong_covariance(tumor: npt.NDArray[np.bool_], scores: Floats) -> tuple[list[float], Floats]:
    """Returns the areas of (k, n) ``scores`` and the (k, k) covariance of their estimates: Sun & Xu 2014, Algorithm 2.

    The placement of an image is the share of images of the other class that its score ranks on the right side of; it
    comes from midranks, so that n log n steps do instead of one step per pair.
    """
    with_tumor, without = scores[:, tumor], scores[:, ~tumor]
    m, n = with_tumor.shape[1], without.shape[1]
    ranks = rankdata(np.hstack([with_tumor, without]), axis=1)
    areas = ranks[:, :m].sum(axis=1) / (m * n) - (m + 1) / (2 * n)
    placements = (ranks[:, :m] - rankdata(with_tumor, axis=1)) / n
    placements_without = 1 - (ranks[:, m:] - rankdata(without, axis=1)) / m
    return areas.tolist(), np.cov(placements) / m + np.cov(placements_without) / n


def paired_bootstrap(
    labels: npt.ArrayLike,
    a: npt.ArrayLike,
    b: npt.ArrayLike,
    groups: npt.ArrayLike,
    metric: str = "accuracy",
    *,
    threshold: Threshold | tuple[Threshold, Threshold] = 0.5,
    n_resamples: int = 2000,
    seed: int = 0,
    confidence: float = 0.95,
) -> PairedDifference:
    """Compares two models on the same images and the same resamples of the groups.

    Args:
        labels: as in `score_intervals`.
        a: (n,) probabilities of the first model.
        b: (n,) those of the second.
        groups: as in `score_intervals`.
        metric: one of `METRICS`.
        threshold: as in `score_intervals`; a pair where the models have their own.
        n_resamples: as there.
        seed: as there.
        confidence: as there.

    Returns:
        The difference ``a - b`` with its percentile interval and the two-sided p-value, never under
        ``2 / (n_resamples + 1)``.

    Raises:
        UsageError: an unknown metric, or arrays that do not fit together.

    Source:
        Efron & Tibshirani 1993, chapter 15.
    """
    if metric not in METRICS:
        raise UsageError("metric", f"must be one of {', '.join(METRICS)}; got {metric!r}", "Choose one of these.")
    own = threshold if isinstance(threshold, tuple) else (threshold, threshold)
    both = [
        (
            scores(labels, p, threshold=at)[metric],
            bootstrap_scores(labels, p, groups, threshold=at, n_resamples=n_resamples, seed=seed)[metric],
        )
        for p, at in zip((a, b), own, strict=True)
    ]
    difference, resampled = both[0][0] - both[1][0], both[0][1] - both[1][1]
    resampled = resampled[np.isfinite(resampled)]
    if not resampled.size or not np.isfinite(difference):
        return PairedDifference(Interval(difference, np.nan, np.nan), np.nan)
    tail = min((resampled <= 0).sum(), (resampled >= 0).sum())
    low, high = _percentiles(resampled, confidence)
    return PairedDifference(Interval(difference, low, high), min(1.0, 2.0 * (tail + 1) / (resampled.size + 1)))


def _checked(
    labels: npt.ArrayLike, values: npt.ArrayLike, *, name: str = "probabilities", bounded: bool = True
) -> tuple[npt.NDArray[np.bool_], Floats]:
    y, p = np.asarray(labels, dtype=np.float64), np.asarray(values, dtype=np.float64)
    if y.ndim != 1 or y.shape != p.shape or not y.size:
        rule = f"must be lists of one length, not empty; got shapes {y.shape} and {p.shape}"
        raise UsageError(f"labels and {name}", rule, "Pass one value per image.")
    if not np.isin(y, (0.0, 1.0)).all():
        raise UsageError("labels", "must be 1 or 0; got another value or NaN", "Leave images of unknown label out.")
    if not np.isfinite(p).all() or (bounded and (p.min() < 0 or p.max() > 1)):
        rule = f"must be finite{' and within 0 and 1' if bounded else ''}; got {p.min()} to {p.max()}"
        raise UsageError(name, rule, "Pass probabilities, not logits; leave unscored images out.")
    return y.astype(bool), p


def _indices(groups: npt.ArrayLike, n: int) -> npt.NDArray[np.intp]:
    names = np.asarray(groups)
    if names.shape != (n,):
        raise UsageError("groups", f"must be one name per image, {n}; got shape {names.shape}", "Pass one per image.")
    return np.unique(names.astype(str), return_inverse=True)[1].astype(np.intp)


def _resample_weights(groups: npt.NDArray[np.intp], n_resamples: int, seed: int) -> Iterator[Floats]:
    """Yields (k, n) weights: how often each image's group was drawn in each resample."""
    generator = np.random.default_rng(seed)
    n_groups = int(groups.max()) + 1
    for start in range(0, n_resamples, _RESAMPLES_AT_ONCE):
        k = min(_RESAMPLES_AT_ONCE, n_resamples - start)
        drawn = generator.integers(0, n_groups, (k, n_groups)) + np.arange(k)[:, None] * n_groups
        counts = np.bincount(drawn.ravel(), minlength=k * n_groups).reshape(k, n_groups)
        yield counts.astype(np.float64)[:, groups]


def _weighted_scores(
    labels: npt.NDArray[np.bool_], probabilities: Floats, weights: Floats, threshold: Threshold
) -> dict[str, Floats]:
    """Scores under (k, n) weights, one number per row; a weight of 2 counts an image twice."""
    positive = probabilities >= threshold
    cells = np.stack([labels & positive, ~labels & positive, ~labels & ~positive, labels & ~positive], axis=1)
    tp, fp, tn, fn = (weights @ cells.astype(np.float64)).T
    errors = (probabilities - labels) ** 2
    with np.errstate(invalid="ignore", divide="ignore"):
        sensitivity, specificity = tp / (tp + fn), tn / (tn + fp)
        roots = np.sqrt(tp + fp) * np.sqrt(tp + fn) * np.sqrt(tn + fp) * np.sqrt(tn + fn)
        one_class = ((tp + fn) == 0) | ((tn + fp) == 0)
        mcc = np.where(one_class, np.nan, np.where(roots > 0, (tp * tn - fp * fn) / roots, 0.0))
        roc_auc, pr_auc = _areas(labels, probabilities, weights)
        return {
            "accuracy": (tp + tn) / (tp + fp + tn + fn),
            "balanced_accuracy": (sensitivity + specificity) / 2,
            "precision": tp / (tp + fp),
            "sensitivity": sensitivity,
            "specificity": specificity,
            "f1": 2 * tp / (2 * tp + fp + fn),
            "mcc": mcc,
            "roc_auc": roc_auc,
            "pr_auc": pr_auc,
            "brier_loss": weights @ errors / weights.sum(axis=1),
            "calibration_error": _calibration_errors(labels, probabilities, weights),
        }


def _areas(labels: npt.NDArray[np.bool_], probabilities: Floats, weights: Floats) -> tuple[Floats, Floats]:
    """ROC AUC (ties count half) and average precision (step-wise) under (k, n) weights."""
    order = np.argsort(-probabilities, kind="stable")
    starts = np.flatnonzero(np.diff(probabilities[order], prepend=np.inf))
    positive = np.add.reduceat(weights[:, order] * labels[order], starts, axis=1)
    negative = np.add.reduceat(weights[:, order] * ~labels[order], starts, axis=1)
    above, false = np.cumsum(positive, axis=1), np.cumsum(negative, axis=1)
    n_positive, n_negative = above[:, -1], false[:, -1]
    roc_auc = (negative * (above - positive / 2)).sum(axis=1) / (n_positive * n_negative)
    precision = np.divide(above, above + false, out=np.zeros_like(above), where=above > 0)
    pr_auc = np.where(n_negative > 0, (positive * precision).sum(axis=1) / n_positive, np.nan)
    return roc_auc, pr_auc


def _calibration_errors(labels: npt.NDArray[np.bool_], probabilities: Floats, weights: Floats) -> Floats:
    edges = np.quantile(probabilities, np.linspace(0, 1, CALIBRATION_BINS + 1)[1:-1])
    bins = np.eye(CALIBRATION_BINS)[np.searchsorted(edges, probabilities, side="right")]
    gaps = weights @ (bins * (labels - probabilities)[:, None])
    return np.abs(gaps).sum(axis=1) / weights.sum(axis=1)


def _trials(labels: npt.NDArray[np.bool_], groups: npt.NDArray[Any]) -> dict[str, int]:
    """Number of groups that bear on each score."""
    tumor, free = len(np.unique(groups[labels])), len(np.unique(groups[~labels]))
    of_class = {"sensitivity": max(1, tumor), "specificity": max(1, free)}
    of_all = dict.fromkeys(("accuracy", "brier_loss", "calibration_error"), len(np.unique(groups)))
    return dict.fromkeys(METRICS, max(1, min(tumor, free))) | of_class | of_all


def _interval(name: str, value: float, resampled: Floats, trials: int, confidence: float) -> Interval:
    resampled = resampled[np.isfinite(resampled)]
    if not np.isfinite(value) or not resampled.size:
        return Interval(value, np.nan, np.nan)
    low, high = _percentiles(resampled, confidence)
    if high - low < 1e-9 and name == "mcc":  # of -1 to 1
        _, low, high = wilson((value + 1) / 2, trials, confidence)
        return Interval(value, 2 * low - 1, 2 * high - 1)
    if high - low < 1e-9:
        return wilson(min(max(value, 0.0), 1.0), trials, confidence)
    if name == "calibration_error":
        bias = float(np.mean(resampled)) - value
        return Interval(value, min(max(0.0, low - bias), value), max(high - bias, value))
    return Interval(value, low, high)


def _percentiles(resampled: Floats, confidence: float) -> tuple[float, float]:
    low, high = np.percentile(resampled, (50 - 50 * confidence, 50 + 50 * confidence))
    return float(low), float(high)
