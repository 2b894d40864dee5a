"""Logits -> calibrated probabilities, operating points, and when to refer; from the validation set only."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.optimize import minimize_scalar
from scipy.special import expit, rel_entr
from scipy.stats import binom

from brainsift.core.errors import UsageError
from brainsift.core.shares import check_share

COLDEST, HOTTEST = 0.05, 20.0
SCREENING, CONFIRM = 0.98, 0.98
EVEN = 0.5
"""The threshold `even`: "tumor" where it is more likely than not."""
_PROMISES = (0.005, 0.01, 0.02, 0.03, 0.05, 0.1)  # shares of wrong answers
_RISK = 0.1  # probability that the promise does not hold
_STEPS = 200
_STARTS = (0.5, 0.25)  # shares that are referred


@dataclass(frozen=True)
class OperatingPoint:
    """The threshold that decides, and what it is called.

    Attributes:
        name: "balanced", "screening", "confirm", "even", "sensitivity 0.95", or "a number of your own".
        threshold: a calibrated probability of at least this counts as "tumor".
    """

    name: str
    threshold: float


def fit_temperature(logits: npt.ArrayLike, labels: npt.ArrayLike) -> float:
    """Finds the most plausible temperature: the negative log-likelihood of ``labels`` plus a weak prior around 1.

    Without the prior, a perfectly separated sample leads to infinite confidence. The prior is standard normal in the
    logarithm of the temperature and weighs about as much as one image. Platt's targets, the other remedy, are biased
    towards doubt: on 400 images of a model that is 99 % right, with a true temperature of 1.5, they gave 2.9, the
    prior 1.4.

    Args:
        logits: (n,) network output before the sigmoid.
        labels: (n,) 1 or 0.

    Returns:
        A temperature between 0.05 and 20; 1 where there is only one class, which says nothing about it.

    Raises:
        UsageError: no images, values that are not finite, or lengths that differ.

    Source:
        Guo et al. 2017, On Calibration of Modern Neural Networks.

    >>> fit_temperature([2.0, 3.0], [1, 1])
    1.0
    """
    z, y = _checked(logits, labels)
    if y.min() == y.max():
        return 1.0

    def loss(log_temperature: float) -> float:
        scaled = z / np.exp(log_temperature)
        return float(np.sum(np.logaddexp(0.0, scaled) - y * scaled) + log_temperature**2 / 2)

    found = minimize_scalar(loss, bounds=(np.log(COLDEST), np.log(HOTTEST)), method="bounded")
    return float(np.clip(np.exp(found.x), COLDEST, HOTTEST))


def apply(logits: npt.ArrayLike, temperature: float) -> npt.NDArray[np.float64]:
    """Turns logits into calibrated probabilities.

    Args:
        logits: (n,) network output before the sigmoid.
        temperature: over 0; above 1 makes the model less confident.

    Returns:
        (n,) probability of tumor.

    Raises:
        UsageError: a temperature that is not over 0.

    >>> apply([0.0, 2.0], 2.0).round(3).tolist()
    [0.5, 0.731]
    """
    if not temperature > 0:
        raise UsageError("temperature", f"must be over 0, got {temperature}", "Fit it with `fit_temperature`.")
    return np.asarray(expit(np.asarray(logits, dtype=np.float64) / temperature), dtype=np.float64)


def thresholds(labels: npt.ArrayLike, probabilities: npt.ArrayLike) -> dict[str, float]:
    """Chooses operating thresholds on the validation set.

    Args:
        labels: (n,) 1 or 0.
        probabilities: (n,) calibrated probability of tumor.

    Returns:
        ``balanced``: the threshold of the largest sensitivity + specificity, midway between the two probabilities
        around it, the nearest to 0.5 among equals. ``screening``: the largest up to there with a sensitivity of 98 %.
        ``confirm``: the smallest from there on with a specificity of 98 %. All 0.5 where there is only one class.

    Raises:
        UsageError: no images, values that are not finite, or lengths that differ.

    Source:
        Youden 1950.

    >>> thresholds([0, 0, 1, 1], [0.1, 0.2, 0.4, 0.9])
    {'balanced': 0.3, 'screening': 0.3, 'confirm': 0.3}
    >>> thresholds([0, 1, 0, 1], [0.1, 0.2, 0.4, 0.9])
    {'balanced': 0.65, 'screening': 0.2, 'confirm': 0.65}
    """
    p, y = _checked(probabilities, labels)
    if y.min() == y.max():
        return dict.fromkeys(("balanced", "screening", "confirm"), 0.5)
    tumor_free = np.sort(p[y == 0])
    allowed = int((1 - CONFIRM) * tumor_free.size)
    confirm = min(float(tumor_free[tumor_free.size - 1 - allowed]) + 1e-6, 1.0)
    balanced, screening = _balanced(p, y), _threshold_of(p, y, SCREENING)
    return {
        "balanced": balanced,
        "screening": min(screening, balanced),
        "confirm": max(round(confirm, 12), balanced),
    }


def sensitivities(labels: npt.ArrayLike, probabilities: npt.ArrayLike) -> list[list[float]]:
    """Returns pairs of a sensitivity, 0.5 to 0.995, and the largest threshold that reaches it on the validation set.

    Args:
        labels: (n,) 1 or 0.
        probabilities: (n,) calibrated probability of tumor.

    Raises:
        UsageError: no images, values that are not finite, or lengths that differ.
    """
    p, y = _checked(probabilities, labels)
    if not y.any():
        return []
    return [[round(float(s), 3), _threshold_of(p, y, float(s))] for s in np.arange(0.5, 0.9951, 0.005)]


def choose(
    thresholds: Mapping[str, float],
    reached: Sequence[Sequence[float]],
    *,
    threshold: str | float | None = None,
    sensitivity: float | None = None,
) -> OperatingPoint:
    """Chooses the operating point that is wanted; `balanced`, as `predict` does, if none is.

    Args:
        thresholds: by name, from `thresholds`; "even" is known in any case.
        reached: from `sensitivities`.
        threshold: a name, or a number within 0 and 1.
        sensitivity: instead of a threshold: the one that reached it on the validation set.

    Raises:
        UsageError: both are given, a name or a sensitivity that is not known, or a number beyond 0 and 1.

    >>> choose({"balanced": 0.43}, [])
    OperatingPoint(name='balanced', threshold=0.43)
    >>> choose({"balanced": 0.43}, [[0.9, 0.3], [0.95, 0.2]], sensitivity=0.92).threshold
    0.2
    """
    if threshold is not None and sensitivity is not None:
        raise UsageError("threshold", "cannot be combined with a sensitivity", "Give one of the two.")
    if sensitivity is not None:
        check_share("sensitivity", sensitivity)
        enough = [at for share, at in reached if share >= sensitivity]
        if not enough:
            rule = f"no threshold is known for {sensitivity}"
            raise UsageError("sensitivity", rule, "Choose one from 0.5 to 0.995, such as 0.95.")
        return OperatingPoint(f"sensitivity {sensitivity:g}", max(enough))
    if isinstance(threshold, str | None):
        known, name = {**thresholds, "even": EVEN}, threshold or "balanced"
        if name not in known:
            rule = f"must be one of {', '.join(known)}, or a number; not {name!r}"
            raise UsageError("threshold", rule, "Choose one of these.")
        return OperatingPoint(name, known[name])
    return OperatingPoint("a number of your own", check_share("threshold", float(threshold)))


def margins(labels: npt.ArrayLike, logits: npt.ArrayLike, groups: npt.ArrayLike) -> dict[str, dict[str, float]]:
    """Finds how far a logit has to be from 0 so that few of the answers given are wrong.

    The answer is the sign of the logit: a threshold chosen on the same images would make the promise too good.

    Learn then test: it tests ever smaller margins, and stops at the first where the Hoeffding-Bentkus test does not
    reject that the share of wrong answers exceeds the promise. It does so twice, from where a half and from where a
    quarter is referred, with half of the risk each: at the first start few groups are left, so that one error can end
    it. Near-copies and slices of one patient are one observation.

    Args:
        labels: (n,) 1 or 0.
        logits: (n,) calibrated: divided by the temperature.
        groups: (n,) what belongs together.

    Returns:
        By share of wrong answers, for each that can be promised with 90 % confidence: ``margin`` and ``referred``, the
        share of the validation part that is then referred.

    Raises:
        UsageError: no images, values that are not finite, or lengths that differ.

    Source:
        Angelopoulos et al. 2021, Learn then Test.
    """
    z, y = _checked(logits, labels)
    wrong, far = ((z >= 0) != (y == 1)).astype(float), np.abs(z)
    table = pd.DataFrame({"wrong": wrong, "far": far, "group": np.asarray(groups)})
    steps = np.unique(np.quantile(far, np.linspace(0.5, 0, _STEPS)))[::-1]
    starts = [int((steps > np.quantile(far, share)).sum()) for share in _STARTS]
    risks, counts = np.zeros(len(steps)), np.zeros(len(steps))
    for place, step in enumerate(steps):
        means = table[table["far"] >= step].groupby("group")["wrong"].mean()
        risks[place], counts[place] = means.mean(), len(means)
    found = {}
    for share in _PROMISES:
        rejected = _hoeffding_bentkus_p_values(risks, counts, share) <= _RISK / len(starts)
        ends = [start + int(np.append(~rejected[start:], True).argmax()) - 1 for start in starts]
        accepted = [end for start, end in zip(starts, ends, strict=True) if end >= start]
        if accepted:
            margin = float(steps[max(accepted)])
            found[str(share)] = {"margin": margin, "referred": float((far < margin).mean())}
    return found


def _hoeffding_bentkus_p_values(
    risks: npt.NDArray[np.float64], counts: npt.NDArray[np.float64], share: float
) -> npt.NDArray[np.float64]:
    """Tests for each margin that the true risk exceeds ``share``: the smaller of two bounds on the p-value.

    Args:
        risks: (n,) mean losses between 0 and 1.
        counts: (n,) of how many losses each is the mean.
        share: the risk that is tested, between 0 and 1.

    Source:
        Angelopoulos et al. 2021, Learn then Test, section 3.1.
    """
    low = np.minimum(risks, share)
    hoeffding = np.exp(-counts * (rel_entr(low, share) + rel_entr(1 - low, 1 - share)))
    bentkus = np.e * binom.cdf(np.ceil(counts * risks), counts, share)
    return np.minimum(hoeffding, bentkus)


def _threshold_of(p: npt.NDArray[np.float64], y: npt.NDArray[np.float64], sensitivity: float) -> float:
    """Returns the largest threshold with this sensitivity; a probability at the threshold counts as tumor."""
    tumors = np.sort(p[y == 1])
    return float(tumors[int((1 - sensitivity) * tumors.size + 1e-9)])


def _balanced(p: npt.NDArray[np.float64], y: npt.NDArray[np.float64]) -> float:
    n_tumor = y.sum()
    values, index = np.unique(p, return_inverse=True)
    missed = np.cumsum(np.bincount(index, weights=y)) / n_tumor
    cleared = np.cumsum(np.bincount(index, weights=1 - y)) / (y.size - n_tumor)
    youden = (cleared - missed)[:-1]
    if not youden.size or youden.max() <= 0:
        return 0.5
    midway = (values[:-1] + values[1:]) / 2
    best = midway[youden >= youden.max() - 1e-12]
    return float(round(best[np.argmin(np.abs(best - 0.5))], 12))


def _checked(values: npt.ArrayLike, labels: npt.ArrayLike) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    z, y = np.asarray(values, dtype=np.float64), np.asarray(labels, dtype=np.float64)
    if z.ndim != 1 or z.shape != y.shape or not z.size:
        rule = f"must be two lists of one length, not empty; got shapes {z.shape} and {y.shape}"
        raise UsageError("values and labels", rule, "Pass one value per image of the validation set.")
    if not np.isfinite(z).all() or not np.isin(y, (0.0, 1.0)).all():
        raise UsageError("values and labels", "must be finite, labels 1 or 0; got others", "Leave such images out.")
    return z, y
