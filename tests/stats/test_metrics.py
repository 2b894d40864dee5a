"""Scores against scikit-learn, intervals against theory, DeLong against hand and literature."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from MLstatkit import Delong_test
from sklearn import metrics as sk

from brainsift.core.errors import UsageError
from brainsift.stats import metrics


def sample(n=400, n_groups=120, seed=0, ties=False):
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, 2, n)
    logits = 2.0 * (labels - 0.5) + generator.normal(size=n)
    probabilities = 1 / (1 + np.exp(-logits))
    if ties:
        probabilities = probabilities.round(1)
    return labels, probabilities, generator.integers(0, n_groups, n).astype(str)


def sklearn_scores(y, p, weights=None, threshold=0.5):
    called = p >= threshold
    w = {"sample_weight": weights}
    return {
        "accuracy": sk.accuracy_score(y, called, **w),
        "balanced_accuracy": sk.balanced_accuracy_score(y, called, **w),
        "precision": sk.precision_score(y, called, **w),
        "sensitivity": sk.recall_score(y, called, **w),
        "specificity": sk.recall_score(y, called, pos_label=0, **w),
        "f1": sk.f1_score(y, called, **w),
        "mcc": sk.matthews_corrcoef(y, called, **w),
        "roc_auc": sk.roc_auc_score(y, p, **w),
        "pr_auc": sk.average_precision_score(y, p, **w),
        "brier_loss": sk.brier_score_loss(y, p, **w),
    }


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("threshold", [0.3, 0.5])
def test_scores_are_those_of_scikit_learn(ties, threshold):
    y, p, _ = sample(ties=ties)
    ours = metrics.scores(y, p, threshold=threshold)
    assert tuple(ours) == metrics.METRICS
    for name, value in sklearn_scores(y, p, threshold=threshold).items():
        assert ours[name] == pytest.approx(value, abs=1e-12), name


@pytest.mark.slow
@given(st.integers(0, 10_000), st.booleans())
@settings(max_examples=30)
def test_integer_weights_equal_repetition(seed, ties):
    y, p, _ = sample(n=80, seed=seed, ties=ties)
    weights = np.random.default_rng(seed).integers(0, 4, (2, 80)).astype(float)
    rows = metrics._weighted_scores(y.astype(bool), p, weights, 0.5)
    for row in range(2):
        counts = weights[row].astype(int)
        repeated = sklearn_scores(np.repeat(y, counts), np.repeat(p, counts))
        for name, value in repeated.items():
            assert rows[name][row] == pytest.approx(value, abs=1e-12), name


def test_undefined_scores_are_nan():
    one_class = metrics.scores([1, 1], [0.2, 0.9])
    assert one_class["accuracy"] == 0.5
    assert one_class["sensitivity"] == 0.5
    undefined = ("balanced_accuracy", "specificity", "mcc", "roc_auc", "pr_auc")
    assert all(math.isnan(one_class[name]) for name in undefined)
    assert math.isnan(metrics.scores([1, 0], [0.1, 0.1])["precision"])


def test_calibration_error_is_zero_when_frequencies_agree_and_known_when_not():
    p = np.repeat([0.25, 0.75], 400)
    agree = np.concatenate([np.arange(400) % 4 == 0, np.arange(400) % 4 != 0]).astype(int)
    assert metrics.scores(agree, p)["calibration_error"] == pytest.approx(0.0, abs=1e-12)
    sure = np.where(p < 0.5, 0.05, 0.95)
    assert metrics.scores(agree, sure)["calibration_error"] == pytest.approx(0.2, abs=1e-12)


@pytest.mark.slow
def test_interval_covers_the_truth_about_as_often_as_promised():
    """200 samples of correlated groups: the group bootstrap covers, the image bootstrap would not."""
    generator = np.random.default_rng(1)
    covered = {"groups": 0, "images": 0}
    for trial in range(200):
        right = np.repeat(generator.random(60) < 0.8, 8)  # a group is right or wrong as a whole
        labels = generator.integers(0, 2, right.size)
        p = np.where(right, labels, 1 - labels).astype(float)
        for unit, groups in (("groups", np.repeat(np.arange(60), 8)), ("images", np.arange(right.size))):
            found = metrics.score_intervals(labels, p, groups, n_resamples=200, seed=trial)["accuracy"]
            covered[unit] += found.low <= 0.8 <= found.high
    assert covered["groups"] >= 0.88 * 200
    assert covered["images"] < 0.7 * 200


@given(st.integers(0, 1000), st.integers(1, 40))
@settings(max_examples=25)
def test_intervals_hold_their_value_and_have_width(seed, n_groups):
    y, p, groups = sample(n=90, n_groups=n_groups, seed=seed)
    found = metrics.score_intervals(y, p, groups, n_resamples=200)
    for name in ("accuracy", "sensitivity", "specificity", "roc_auc", "calibration_error"):
        assert found[name].low <= found[name].value <= found[name].high, name
        assert found[name].high > found[name].low, name


def test_perfect_predictions_get_wilsons_bound_on_groups():
    labels = np.tile([0, 1], 100)
    groups = np.repeat(np.arange(20), 10)
    found = metrics.score_intervals(labels, labels.astype(float), groups)
    assert found["accuracy"] == metrics.wilson(1.0, 20)
    assert 0.83 < found["roc_auc"].low < 0.85
    assert found["mcc"].low == pytest.approx(2 * metrics.wilson(1.0, 20).low - 1)


def test_wilson_agrees_with_scipy():
    from scipy.stats import binomtest

    known = binomtest(17, 20).proportion_ci(method="wilson")
    assert metrics.wilson(0.85, 20)[1:] == pytest.approx((known.low, known.high))


def test_same_seed_same_interval_other_seed_other():
    y, p, groups = sample()
    first, again, other = (metrics.score_intervals(y, p, groups, n_resamples=100, seed=s) for s in (0, 0, 1))
    assert first == again
    assert first["accuracy"] != other["accuracy"]


def test_confusion_and_report():
    y, p, _ = sample()
    cells = metrics.confusion(y, p, 0.5)
    tn, fp, fn, tp = sk.confusion_matrix(y, p >= 0.5).ravel()
    assert cells.to_json() == {"tp": tp, "fp": fp, "tn": tn, "fn": fn}
    report = metrics.classification_report(y, p)
    assert report["tumor"]["recall"] == pytest.approx(metrics.scores(y, p)["sensitivity"])
    assert report["no_tumor"]["support"] == (y == 0).sum()


def delong_by_hand(y, a, b):
    """DeLong et al. 1988, equations 4 to 8, by their definition: every pair, no ranks."""
    psi = [np.array([[(u > v) + 0.5 * (u == v) for v in s[y == 0]] for u in s[y == 1]], dtype=float) for s in (a, b)]
    v10, v01 = np.stack([m.mean(1) for m in psi]), np.stack([m.mean(0) for m in psi])
    covariance = np.cov(v10) / v10.shape[1] + np.cov(v01) / v01.shape[1]
    difference = psi[0].mean() - psi[1].mean()
    variance = covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1]
    return psi[0].mean(), psi[1].mean(), 1 - math.erf(abs(difference) / math.sqrt(2 * variance))


@pytest.mark.parametrize("ties", [False, True])
def test_delong_equals_its_definition(ties):
    y, a, _ = sample(n=70, seed=3, ties=ties)
    b = np.clip(a + np.random.default_rng(4).normal(scale=0.3, size=70), 0, 1)
    found = metrics.delong_test(y, a, b)
    auc_a, auc_b, p_value = delong_by_hand(y, a, b)
    assert (found.auc_a, found.auc_b, found.p_value) == pytest.approx((auc_a, auc_b, p_value), abs=1e-9)
    assert found.difference.value == pytest.approx(auc_a - auc_b)


@pytest.mark.parametrize("seed", range(20))
def test_delong_equals_another_implementation(seed):
    generator = np.random.default_rng(seed)
    y, a, _ = sample(n=int(generator.integers(10, 400)), seed=seed, ties=bool(seed % 2))
    b = np.clip(a + generator.normal(scale=0.3, size=y.size), 0, 1)
    found = metrics.delong_test(y, a, b)
    _, p_value, _, _, auc_a, auc_b, info = Delong_test(y, a, b)
    half = 1.959963984540054 * math.sqrt(info["var_diff"])
    assert (found.auc_a, found.auc_b, found.p_value) == (auc_a, auc_b, p_value)
    assert found.difference == pytest.approx((auc_a - auc_b, auc_a - auc_b - half, auc_a - auc_b + half), abs=1e-14)


def test_delong_of_models_that_rank_alike():
    y, a, _ = sample()
    assert metrics.delong_test(y, a, a**3).p_value == 1.0
    assert metrics.delong_test(y, a, a).difference.value == 0.0


def test_delong_without_variance_makes_no_claim():
    found = metrics.delong_test([0, 0, 1, 1], [0, 0, 1, 1], [0.5, 0.5, 0.5, 0.5])
    assert found.difference.value == 0.5
    assert math.isnan(found.p_value)


def test_delong_p_values_are_uniform_under_the_null():
    generator, low = np.random.default_rng(0), 0
    for _ in range(300):
        y = generator.integers(0, 2, 120)
        shared = y + generator.normal(size=120)
        a, b = (shared + generator.normal(scale=0.7, size=120) for _ in range(2))
        low += metrics.delong_test(y, a, b).p_value < 0.1
    assert 0.05 < low / 300 < 0.16


def test_paired_bootstrap_finds_a_difference_and_its_sign():
    y, good, groups = sample(n=600, n_groups=200)
    bad = np.clip(good + np.random.default_rng(2).normal(scale=0.5, size=600), 0, 1)
    for metric in ("accuracy", "roc_auc"):
        found = metrics.paired_bootstrap(y, good, bad, groups, metric, n_resamples=500)
        back = metrics.paired_bootstrap(y, bad, good, groups, metric, n_resamples=500)
        assert found.difference.low > 0
        assert found.p_value < 0.02
        assert back.difference.value == -found.difference.value
        assert back.p_value == found.p_value
    same = metrics.paired_bootstrap(y, good, good, groups, n_resamples=100)
    assert same.p_value == 1.0


def test_paired_bootstrap_and_delong_agree_on_single_images():
    y, a, _ = sample(n=300, seed=5)
    b = np.clip(a + np.random.default_rng(6).normal(scale=0.15, size=300), 0, 1)
    boot = metrics.paired_bootstrap(y, a, b, np.arange(300), "roc_auc", n_resamples=2000)
    delong = metrics.delong_test(y, a, b)
    assert boot.difference.low == pytest.approx(delong.difference.low, abs=0.01)
    assert boot.difference.high == pytest.approx(delong.difference.high, abs=0.01)


@pytest.mark.parametrize(
    ("labels", "probabilities", "word"),
    [
        ([1, 0], [0.1], "one length"),
        ([], [], "not empty"),
        ([2, 0], [0.1, 0.2], "1 or 0"),
        ([math.nan, 0], [0.1, 0.2], "NaN"),
        ([1, 0], [1.2, 0.2], "1.2"),
        ([1, 0], [math.nan, 0.2], "finite"),
    ],
)
def test_wrong_input_names_the_rule(labels, probabilities, word):
    with pytest.raises(UsageError, match=word):
        metrics.scores(labels, probabilities)


def test_wrong_groups_metric_and_one_class():
    with pytest.raises(UsageError, match="one name per image"):
        metrics.score_intervals([1, 0], [0.9, 0.1], ["a"])
    with pytest.raises(UsageError, match="kappa"):
        metrics.paired_bootstrap([1, 0], [0.9, 0.1], [0.9, 0.1], ["a", "b"], "kappa")
    with pytest.raises(UsageError, match="each class"):
        metrics.delong_test([1, 1], [0.9, 0.1], [0.9, 0.1])


def test_a_mean_of_one_group_claims_no_certainty():
    alone = metrics.mean_interval([0.4, 0.6], ["a", "a"])
    assert alone == metrics.wilson(0.5, 1)
    assert alone.low < 0.1 and alone.high > 0.9
    several = metrics.mean_interval([1.0] * 20, range(20))
    assert several == metrics.wilson(1.0, 20)
    assert metrics.mean_interval([0.2, 0.4, 0.9], ["a", "b", "c"]).low == pytest.approx(0.2)
