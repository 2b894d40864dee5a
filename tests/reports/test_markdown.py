"""Tables in Markdown: every figure of the results stands in them, and what is missing is a dash."""

from brainsift.core.text import cell, markdown_table
from brainsift.reports.markdown import study_tables

SCORE = {"value": 0.9512, "low": 0.9021, "high": 0.98}


def results(**changes):
    scores = dict.fromkeys(("accuracy", "sensitivity", "specificity", "roc_auc", "calibration_error"), SCORE)
    row = {"protocol": "random", "model": "compact", "recipe": "standard", "leaky": True, "n_folds": 1, "n": 44}
    external = {"elsewhere": {**scores, "n": 9, "n_tumor": 4}}
    difference = {"metric": "roc_auc", "test": "DeLong", "difference": SCORE, "p_value": 0.01234}
    twins = {"test": 44, **{f"same_{kind}{end}": 0.5 for kind in ("file", "pixels", "group") for end in ("", "_share")}}
    return {
        "summary": [{**row, "n_groups": 12, "pooled": scores, "external": external}],
        "runs": [{"fold": 0, "protocol": "random", "twins": twins}],
        "comparisons": [{"protocol": "random", "a": "x", "b": "y", **difference}],
        "audit": {"probes": [{"name": "border", "protocol": "grouped", "balanced_accuracy": SCORE, **scores}]},
        **changes,
    }


def test_every_table_is_there_and_leaky_is_said():
    text = study_tables(results())
    for piece in ("random (leaky)", "95.1 (90.2–98.0)", "0.951 (0.902–0.980)", "elsewhere", "9 / 4", "border", "0.012"):
        assert piece in text
    assert text.count("\n## ") == 4


def test_missing_pieces_leave_no_empty_table():
    bare = results(comparisons=[], audit={"probes": []})
    bare["summary"][0]["external"] = {}
    bare["summary"][0]["pooled"]["roc_auc"] = {"value": None, "low": None, "high": None}
    text = study_tables(bare)
    assert "Comparisons" not in text and "External" not in text and "–" in text


def test_bounds_that_do_not_exist_are_dashes():
    unknown = {"value": 0.5, "low": None, "high": None}
    row = {"protocol": "random", "a": "x", "b": "y", "metric": "roc_auc", "test": "DeLong"}
    text = study_tables(results(comparisons=[{**row, "difference": unknown, "p_value": None}]))
    assert "| +0.500 (– to –) | – |" in text
    assert cell("accuracy", unknown) == "50.0 (–)"


def test_rows_have_as_many_cells_as_the_head():
    lines = markdown_table(("a", "b", "c"), [("1", "2", "3")]).splitlines()
    assert {line.count("|") for line in lines} == {4}
