"""Rules that give labels to names."""

import math
from pathlib import Path

import pandas as pd
import pytest

from brainsift.core.errors import ManifestError, UsageError
from brainsift.datasets.labelling import Labelling, parse_rules, read_verdicts


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


def test_verdicts_on_images_are_read_and_replace_labels(tmp_path):
    table = "path,label,verdict\na.png,1,0.0\nb.png,0,tumor\nc.png,0,skip\nd.png,1,\n"
    (tmp_path / "review.csv").write_text(table)
    verdicts = read_verdicts(tmp_path / "review.csv")
    a, b, c = (str(tmp_path / f"{name}.png") for name in "abc")
    assert verdicts == {a: 0, b: 1, c: "skip"}
    assert parse_rules(["sain=0"], tmp_path / "review.csv") == {"sain": 0, **verdicts}
    images = pd.DataFrame({"path": [a, b, c, str(tmp_path / "d.png")], "label": [1.0, 0.0, 0.0, 1.0], "mask": "m.png"})
    labelling = Labelling(verdicts)
    labelling.correct(images)
    assert images["label"].fillna(-1).tolist() == [0, 1, -1, 1]
    assert images["mask"].tolist() == ["", "m.png", "m.png", "m.png"]
    labelling.refuse_unused()


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ("a.png,maybe", "the verdict 'maybe' on .*a.png"),
        ("a.png,no", "the verdict 'no' on .*a.png"),
        ("a.png,1\na.png,0", "the verdicts 1 and 0"),
        ("a.png,", "holds no verdict"),
    ],
)
def test_verdicts_that_are_none_are_refused(tmp_path, rows, words):
    (tmp_path / "review.csv").write_text(f"path,verdict\n{rows}\n")
    with pytest.raises(ManifestError, match=words):
        read_verdicts(tmp_path / "review.csv")


def test_a_verdict_on_an_image_that_is_not_there_is_refused(tmp_path):
    labelling = Labelling({str(tmp_path / "a.png"): 1})
    labelling.correct(pd.DataFrame({"path": [str(tmp_path / "b.png")], "label": [0.0]}))
    with pytest.raises(UsageError, match="has a verdict in --corrections, but is not among the images"):
        labelling.refuse_unused()
