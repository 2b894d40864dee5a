"""Temperature and thresholds on samples whose truth is known."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mapie.risk_control.methods import compute_hoeffding_bentkus_p_value

from brainsift.core.errors import UsageError
from brainsift.stats import calibration
from brainsift.stats.metrics import scores


def calibrated_sample(n=6000, seed=0):
    generator = np.random.default_rng(seed)
    logits = generator.normal(scale=2.0, size=n)
    return logits, (generator.random(n) < calibration.apply(logits, 1.0)).astype(int)


@pytest.mark.parametrize("true", [0.4, 1.0, 3.0])
def test_finds_the_temperature_that_was_applied(true):
    logits, labels = calibrated_sample()
    assert calibration.fit_temperature(logits * true, labels) == pytest.approx(true, rel=0.08)


def test_overconfident_model_becomes_calibrated():
    logits, labels = calibrated_sample()
    before = scores(labels, calibration.apply(logits * 4, 1.0))
    after = scores(labels, calibration.apply(logits * 4, calibration.fit_temperature(logits * 4, labels)))
    assert after["calibration_error"] < 0.03 < before["calibration_error"]
    assert after["roc_auc"] == pytest.approx(before["roc_auc"])


def test_separable_sample_stays_modest():
    labels = np.tile([0, 1], 50)
    for scale in (0.1, 5.0, 400.0):
        temperature = calibration.fit_temperature(scale * (2 * labels - 1), labels)
        assert calibration.COLDEST <= temperature <= calibration.HOTTEST
    assert calibration.fit_temperature(10.0 * (2 * labels - 1), labels) == pytest.approx(1.0, abs=0.1)


def test_few_errors_do_not_bias_towards_doubt():
    generator, found = np.random.default_rng(0), []
    for _ in range(40):
        labels = generator.integers(0, 2, 400)
        true_logits = 5.0 * ((2 * labels - 1) * 2.5 + generator.normal(size=400))  # 99 % right
        found.append(calibration.fit_temperature(1.5 * true_logits, labels))
    assert 1.2 < np.mean(found) < 1.7


def test_one_class_leaves_logits_as_they_are():
    assert calibration.fit_temperature([1.0, -1.0], [0, 0]) == 1.0
    assert set(calibration.thresholds([1, 1], [0.2, 0.3]).values()) == {0.5}


def test_apply_survives_huge_logits():
    assert calibration.apply([-1e6, 1e6], 0.05).tolist() == [0.0, 1.0]


@pytest.mark.slow
@given(st.integers(0, 10_000))
@settings(max_examples=40)
def test_balanced_threshold_is_not_beaten(seed):
    generator = np.random.default_rng(seed)
    labels = np.concatenate([[0, 1], generator.integers(0, 2, 40)])
    p = np.clip(0.3 * labels + generator.random(42) * 0.7, 0, 1).round(2)
    chosen = calibration.thresholds(labels, p)["balanced"]
    best = max(scores(labels, p, threshold=t)["balanced_accuracy"] for t in np.unique(p))
    assert scores(labels, p, threshold=chosen)["balanced_accuracy"] == pytest.approx(best)


def test_worse_than_chance_gives_the_plain_threshold():
    assert calibration.thresholds([1, 1, 0, 0], [0.1, 0.2, 0.8, 0.9])["balanced"] == 0.5


@pytest.mark.parametrize(("logits", "labels"), [([], []), ([1.0], [1, 0]), ([math.inf, 0.0], [1, 0]), ([1, 2], [2, 0])])
def test_wrong_input(logits, labels):
    with pytest.raises(UsageError):
        calibration.fit_temperature(logits, labels)


def test_wrong_temperature():
    with pytest.raises(UsageError, match="over 0"):
        calibration.apply([1.0], 0.0)


def _cases(n=2000, seed=0, copies=1):
    """Calibrated logits with their labels; each case `copies` times in one group."""
    chance = np.random.default_rng(seed)
    logits = chance.normal(0, 4, n)
    labels = (chance.random(n) < 1 / (1 + np.exp(-logits))).astype(float)
    return np.repeat(labels, copies), np.repeat(logits, copies), np.repeat(np.arange(n), copies)


def test_named_thresholds_reach_what_they_promise():
    labels, logits, _ = _cases()
    p = calibration.apply(logits, 1.0)
    found = calibration.thresholds(labels, p)
    assert (p[labels == 1] >= found["screening"]).mean() >= 0.98
    assert (p[labels == 0] < found["confirm"]).mean() >= 0.98
    assert found["screening"] < found["balanced"] < found["confirm"]


@given(st.integers(0, 10_000))
@settings(max_examples=40)
def test_named_thresholds_keep_their_order(seed):
    generator = np.random.default_rng(seed)
    labels = np.concatenate([[0, 1], generator.integers(0, 2, 40)])
    p = np.clip(generator.uniform(0, 1) * labels + generator.random(42) * 0.5, 0, 1).round(2)
    found = calibration.thresholds(labels, p)
    assert found["screening"] <= found["balanced"] <= found["confirm"]
    assert (p[labels == 1] >= found["screening"]).mean() >= 0.98
    assert (p[labels == 0] < found["confirm"]).mean() >= 0.98


def test_each_sensitivity_has_its_largest_threshold():
    labels, logits, _ = _cases()
    p = calibration.apply(logits, 1.0)
    for wanted, threshold in calibration.sensitivities(labels, p):
        assert (p[labels == 1] >= threshold).mean() >= wanted
        assert (p[labels == 1] > threshold).mean() < wanted + 1e-9
    assert calibration.sensitivities([0, 0], [0.1, 0.2]) == []


@pytest.mark.slow
def test_the_promised_share_of_errors_holds_on_new_cases():
    """The promise may fail with probability 0.1; of 40 draws more than 10 failures would have a chance of 0.1 %."""
    failures, referred = 0, []
    new_labels, new_logits, _ = _cases(50_000, seed=999)
    for seed in range(40):
        found = calibration.margins(*_cases(1500, seed=seed))["0.05"]
        answered = np.abs(new_logits) >= found["margin"]
        wrong = (new_logits >= 0) != (new_labels == 1)
        failures += wrong[answered].mean() > 0.05
        referred.append(found["referred"])
        assert abs((~answered).mean() - found["referred"]) < 0.06
    assert failures <= 10
    assert 0 < np.mean(referred) < 0.5


def test_copies_prove_nothing_more():
    once, many = (calibration.margins(*_cases(300, copies=copies)) for copies in (1, 5))
    assert {key: value["margin"] for key, value in once.items()} == pytest.approx(
        {key: value["margin"] for key, value in many.items()}, rel=0.1
    )


def test_p_values_equal_another_implementation():
    generator = np.random.default_rng(0)
    counts = generator.integers(1, 3000, 500).astype(float)
    for share in (0.005, 0.01, 0.05, 0.1, 0.5):
        risks = np.r_[0.0, 1.0, share, generator.uniform(0, 2 * share, 497)]
        found = calibration._hoeffding_bentkus_p_values(risks, counts, share)
        with np.errstate(divide="ignore", invalid="ignore"):
            known = compute_hoeffding_bentkus_p_value(risks, counts, share)[:, 0]
        np.testing.assert_allclose(found, known, rtol=1e-10)


def test_a_risk_of_nil_has_the_p_value_that_can_be_told_by_hand():
    """No error among n: Hoeffding's bound is (1 - share)^n; Bentkus' is e times that."""
    for n, share in ((10.0, 0.1), (44.0, 0.05), (500.0, 0.005)):
        found = calibration._hoeffding_bentkus_p_values(np.zeros(1), np.array([n]), share)
        assert found == pytest.approx((1 - share) ** n)


def test_an_error_among_few_sure_answers_does_not_end_every_promise():
    """Four groups are wrong: too many of the 400 that are left where half is referred, not of the 600 of a quarter."""
    far = np.linspace(8, 0.1, 800)
    wrong = np.zeros(800, bool)
    wrong[[3, 50, 100, 150]] = True
    labels = np.arange(800) % 2
    logits = np.where(labels == 1, far, -far) * np.where(wrong, -1, 1)
    found = calibration.margins(labels, logits, np.arange(800))["0.02"]
    assert found["referred"] < 0.25
    # Of half as many groups, the same errors are too many at both starts.
    kept = slice(0, 400)
    assert "0.02" not in calibration.margins(labels[kept], logits[kept], np.arange(400))


def test_ties_and_few_distinct_values_are_taken():
    labels, logits, groups = _cases(1500)
    found = calibration.margins(labels, np.round(logits), groups)
    assert found and all(value["margin"] in np.abs(np.round(logits)) for value in found.values())
    assert set(calibration.margins(labels, np.where(labels == 1, 3.0, -3.0), groups)) >= {"0.05", "0.1"}


def test_few_cases_promise_little():
    assert calibration.margins(*_cases(20)) == {}
