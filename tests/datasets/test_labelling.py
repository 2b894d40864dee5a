"""Rules that give labels to names."""

import math
from pathlib import Path

import pytest

from brainsift.core.errors import ManifestError, UsageError
from brainsift.datasets.labelling import Labelling, parse_rules


def test_rules_are_read_from_words():
    assert parse_rules(["Grad 4=1", "a=b=0", "pred = Skip"]) == {"Grad 4": 1, "a=b": 0, "pred": "skip"}
    for wrong in ("sain", "sain=", "=1", "sain=2", "sain=no"):
        with pytest.raises(UsageError, match="none of NAME=1, NAME=0 and NAME=skip"):
            parse_rules([wrong])
    with pytest.raises(UsageError, match=r"--map sain=1: contradicts --map sain=0"):
        parse_rules(["sain=0", "sain=1"])


def test_a_rule_with_a_wildcard_goes_before_one_for_the_folder():
    labelling = Labelling({"mixed": 0, "t_*.png": 1, "mixed/b/*": "skip"})
    root = Path("data")
    assert labelling.of_file(root / "mixed" / "x.png", root) == 0
    assert labelling.of_file(root / "mixed" / "T_1.PNG", root) == 1
    assert labelling.of_file(root / "mixed" / "b" / "x.png", root) == "skip"
    assert labelling.of_file(root / "other" / "x.png", root) is None
    labelling.refuse_unused()


def test_cells_are_numbers_known_names_or_rules():
    labelling = Labelling({"gesund": 0, "?": "skip"})
    found = labelling.of_cells(["1", "0", "1.0", "0,0", "glioma", "Normal", "Gesund", "", "nan", "?"], "list.csv")
    assert found[:7] == [1.0, 0.0, 1.0, 0.0, 1.0, 0.0, 0.0]
    assert all(math.isnan(value) for value in found[7:])
    for wrong in ("2", "perhaps", "-1", "inf", "0.5", "tumor 0", "tumor=0", "0 tumors", "no_tumor 1"):
        with pytest.raises(ManifestError, match=rf"list\.csv: holds the label '{wrong}'.*--map '{wrong}=1'"):
            labelling.of_cells([wrong], "list.csv")
