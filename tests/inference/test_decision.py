"""A prediction is exact until it is written, and a rule decides on the exact logit."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from brainsift.core.reasons import Reason
from brainsift.inference.decision import COLUMNS, KIND_COLUMNS, Prediction, Rule, expit, log_odds

LOGITS = st.floats(-27, 27)


@given(LOGITS)
def test_logits_and_probabilities_are_each_others_inverse(logit):
    assert log_odds(expit(logit)) == pytest.approx(logit, rel=1e-3, abs=1e-9)
    assert expit(-logit) == pytest.approx(1 - expit(logit), abs=1e-15)


@given(LOGITS)
def test_only_a_row_is_rounded(logit):
    one = Prediction("a.png", "ok", logit, "tumor", volume="v")
    assert one.probability == expit(logit) and one.logit == logit
    row = one.to_dict()
    assert tuple(row) == (*COLUMNS, *KIND_COLUMNS) and row["probability"] == round(expit(logit), 6)


def test_a_row_has_the_code_beside_the_words():
    one = Prediction("a.png", "unreadable", None, "", Reason.MISSING_FILE, "no such file. Check the path.")
    assert one.probability is None
    assert list(one.to_dict().values()) == [
        "a.png",
        "unreadable",
        None,
        "",
        "no such file. Check the path.",
        "",
        "missing_file",
        "",
        None,
        None,
    ]
    assert type(one.to_dict()["reason"]) is str


def test_numbers_that_differ_beyond_the_sixth_decimal_are_decided_apart():
    below, at = Rule(0.9).decide(log_odds(0.9 - 1e-9)), Rule(0.9).decide(log_odds(0.9 + 1e-9))
    assert (below, at) == ("no_tumor", "tumor")


@given(LOGITS, st.floats(0, 1), st.floats(0, 5))
def test_a_margin_refers_around_even_odds_and_a_lean_stays(logit, threshold, margin):
    rule = Rule(threshold, margin)
    lean = "tumor" if expit(logit) >= threshold else "no_tumor"
    assert rule.lean(expit(logit)) == lean
    assert rule.decide(logit) == ("refer" if abs(logit) < margin else lean)


def test_extreme_logits_neither_overflow_nor_warn():
    assert expit(1e6) == 1 and 0 <= expit(-1e6) < 1e-300 and math.isfinite(log_odds(0.0)) and log_odds(1.0) < 28
