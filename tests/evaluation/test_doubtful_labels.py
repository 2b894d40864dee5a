"""Labels that a network contradicts: found among images whose labels were changed on purpose."""

import numpy as np
import pandas as pd
import pytest

from brainsift.core.errors import ManifestError, UsageError
from brainsift.datasets.manifest import write_manifest
from brainsift.evaluation.doubtful_labels import doubtful_labels


@pytest.fixture
def predicted(tmp_path):
    """A table of 200 images in groups of two, the labels of five groups flipped; a network that is mostly right."""
    generator = np.random.default_rng(0)
    group = np.arange(200) // 2
    truth = (group % 2).astype(float)
    flipped = group % 20 == 7
    table = pd.DataFrame(
        {
            "path": [str(tmp_path / f"{number}.png") for number in range(200)],
            "source": "one",
            "label": np.where(flipped, 1 - truth, truth),
            "group": [f"g{number}" for number in group],
            "probability": np.clip(0.15 + 0.7 * truth + generator.normal(0, 0.05, 200), 0, 1),
        }
    )
    write_manifest(table, tmp_path / "out_of_fold.csv")
    return tmp_path / "out_of_fold.csv", set(table.loc[flipped, "path"])


def test_flipped_labels_are_found_and_stand_by_group(predicted):
    path, flipped = predicted
    found = doubtful_labels([path])
    assert (found.n, found.n_groups, found.n_leaked) == (200, 100, 0)
    listed = set(found.table["path"])
    assert listed <= flipped and len(listed) >= 5  # about half of them lie above the mean of their class
    groups = found.table["group"].tolist()
    assert groups == sorted(groups, key=groups.index)
    assert found.table["copies"].tolist() == [1] * len(listed) and not found.table["conflict"].any()


def test_a_network_that_is_seldom_sure_casts_no_more_doubt(predicted):
    path, _ = predicted
    table = pd.read_csv(path)
    sure = len(doubtful_labels([path]).table)
    table["probability"] = 0.5 + 0.2 * (table["probability"] - 0.5)
    table.to_csv(path, index=False)
    assert len(doubtful_labels([path]).table) == sure


def test_a_group_with_both_labels_is_a_conflict(predicted):
    path, _ = predicted
    table = pd.read_csv(path)
    first = table["group"] == "g7"
    table.loc[first, ["label", "probability"]] = [[0.0, 0.99], [1.0, 0.99]]
    table.to_csv(path, index=False)
    top = doubtful_labels([path]).table.iloc[0]
    assert (top["group"], top["label"], top["copies"], bool(top["conflict"])) == ("g7", 0.0, 0, True)


def test_several_tables_are_averaged(predicted, tmp_path):
    path, _ = predicted
    table = pd.read_csv(path)
    table["probability"] = 1 - table["probability"]
    table.to_csv(tmp_path / "other.csv", index=False)
    with pytest.raises(ManifestError, match=r"no better than chance: 0\.1\d on average with a tumor, 0\.7\d without"):
        doubtful_labels([tmp_path / "other.csv"])
    table["probability"] = 1 - table["probability"] ** 2
    table.to_csv(tmp_path / "other.csv", index=False)
    one, both = doubtful_labels([path]), doubtful_labels([path, tmp_path / "other.csv"])
    assert both.n == 200 and (both.table["probability"].to_numpy()[:3] != one.table["probability"].to_numpy()[:3]).all()


def test_predictions_without_labels_take_those_of_a_manifest(predicted, tmp_path):
    path, _ = predicted
    table = pd.read_csv(path)
    table["path"] = [str(tmp_path / name) for name in table["path"]]
    table["status"] = ["ok"] * 199 + ["not_brain_mri"]
    table[["path", "probability", "status"]].to_csv(tmp_path / "predictions.csv", index=False)
    table[["path", "label", "group"]].to_csv(tmp_path / "labels.csv", index=False)
    found = doubtful_labels([tmp_path / "predictions.csv"], tmp_path / "labels.csv")
    assert found.n == 199
    assert set(found.table["path"]) <= set(doubtful_labels([path]).table["path"])
    with pytest.raises(ManifestError, match="label"):
        doubtful_labels([tmp_path / "predictions.csv"])


def test_the_test_set_of_a_run_is_checked(small_run):
    found = doubtful_labels([small_run])
    table = pd.read_csv(small_run / "predictions.csv")
    assert found.n == (table["part"] == "test").sum() and found.n_leaked == 0
    with pytest.raises(UsageError, match="holds its labels"):
        doubtful_labels([small_run], small_run / "split.csv")


def test_what_cannot_be_checked_is_refused(predicted, tmp_path):
    path, _ = predicted
    table = pd.read_csv(path)
    for changed, words in (
        (table.assign(probability=97), "within 0 and 1"),
        (table.assign(label=1), "the same of all images"),
        (table.drop(columns="probability"), "lacks the column probability"),
        (table.assign(part="train"), "holds images that its network trained on"),
        (table.assign(verdict=""), "holds a choice of images"),
    ):
        changed.to_csv(tmp_path / "wrong.csv", index=False)
        with pytest.raises(ManifestError, match=words):
            doubtful_labels([tmp_path / "wrong.csv"])
    table.assign(label=1 - table["label"]).to_csv(tmp_path / "other.csv", index=False)
    with pytest.raises(ManifestError, match="is listed with the label"):
        doubtful_labels([path, tmp_path / "other.csv"])
    with pytest.raises(UsageError, match="no run"):
        doubtful_labels([])
