"""Tables in Markdown: every figure of the results is in them, and what is missing is a dash."""

import math

from brainsift.auditing.findings import Findings, Probe, Totals
from brainsift.core.text import cell, markdown_table
from brainsift.evaluation.run_results import RunResults
from brainsift.reports.markdown import study_tables
from brainsift.stats.intervals import Interval
from brainsift.stats.scores import MeanScores
from brainsift.studies.study_records import StudyComparison, StudyRun, StudySummary
from brainsift.studies.study_results import StudyResults

SCORE, UNKNOWN = Interval(0.9512, 0.9021, 0.98), Interval(0.5)
METRICS = ("accuracy", "balanced_accuracy", "sensitivity", "specificity", "roc_auc", "calibration_error")
SCORES = dict.fromkeys(METRICS, SCORE)


def compared(score=SCORE, p_value=0.01234):
    return StudyComparison("roc_auc", score, p_value, "DeLong", "random", "x", "y")


def results(*, pooled=SCORES, external=True, comparisons=(), probes=()):
    twins = {"test": 44, **{f"same_{kind}{end}": 0.5 for kind in ("file", "pixels", "group") for end in ("", "_share")}}
    nothing = RunResults("", "", "", "", 0, 0, True, 0, 1.0, 0.5, {}, None, None, {})
    run = StudyRun("r", "random", 0, "compact", "standard", False, "r", 1, "", "", "", 1, 1.0, True, twins, nothing)
    outside = {"elsewhere": MeanScores(9, 4, 9, SCORES)} if external else {}
    kind = {"protocol": "random", "model": "compact", "recipe": "standard", "leaky": True}
    row = StudySummary(1, 44, 12, pooled, {}, {}, None, outside, **kind)
    audit = Findings("", {}, (), Totals(*[0] * 11), probes=probes)
    head = ("title", "", "", "", "", {}, 1.0, 1.0, math.nan, False, {}, audit, {})
    return StudyResults(*head, (run,), (row,), comparisons, (), ())


def test_every_table_is_there_and_leaky_is_said():
    probe = Probe("border", "grouped", SCORE, SCORE, SCORE, 10, 10, "")
    text = study_tables(results(comparisons=(compared(),), probes=(probe,)))
    for piece in ("random (leaky)", "95.1 (90.2–98.0)", "0.951 (0.902–0.980)", "elsewhere", "9 / 4", "border", "0.012"):
        assert piece in text
    assert text.count("\n## ") == 4


def test_missing_pieces_leave_no_empty_table():
    text = study_tables(results(pooled={**SCORES, "roc_auc": Interval(math.nan)}, external=False))
    assert "Comparisons" not in text and "External" not in text and "–" in text


def test_bounds_that_do_not_exist_are_dashes():
    text = study_tables(results(comparisons=(compared(UNKNOWN, math.nan),)))
    assert "| +0.500 (– to –) | – |" in text
    assert cell("accuracy", UNKNOWN) == "50.0 (–)"


def test_rows_have_as_many_cells_as_the_head():
    lines = markdown_table(("a", "b", "c"), [("1", "2", "3")]).splitlines()
    assert {line.count("|") for line in lines} == {4}
