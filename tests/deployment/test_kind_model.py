"""The model of the kind of tumor: learns drawn kinds, abstains from noise, and is measured on what it has not seen."""

import math
import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from brainsift.core.errors import BundleError, ManifestError
from brainsift.deployment.export import export_run
from brainsift.deployment.kind_model import RIGHT, KnownKinds, add_kinds, fit_kinds, make_kinds, score_kinds
from brainsift.deployment.site_calibration import SiteCases, adapt
from brainsift.inference.bundle import Bundle, load_bundle, write_bundle
from brainsift.inference.model_card import model_card
from brainsift.inference.predictor import Predictor
from brainsift.training.runs import read_split

KINDS = np.array(["glioma", "meningioma", "other"])


def drawn(*, signal, look=0.0, n=900, seed=0):
    """Features of two collections: three tell the kind, three the kind within a collection, the rest nothing."""
    random = np.random.default_rng(seed)
    kinds, source = random.integers(0, 3, n), random.integers(0, 2, n)
    features = random.normal(size=(n, 20))
    features[np.arange(n), kinds] += signal
    features[np.arange(n), 3 + (kinds + source) % 3] += look
    rows = pd.DataFrame(
        {
            "source": np.array(["one", "two"])[source],
            "contrast": "t1",
            "group": np.arange(n).astype(str),
            "part": np.array(["train", "train", "validation"])[random.integers(0, 3, n)],
            "kind": KINDS[kinds],
        }
    )
    return KnownKinds(features.astype(np.float32), rows)


def test_drawn_kinds_are_learned_with_calibrated_probabilities():
    kinds, unseen = fit_kinds(drawn(signal=2.5)), drawn(signal=2.5, seed=1)
    found = kinds.probabilities(unseen.features)
    right = np.array(kinds.names)[found.argmax(axis=1)] == unseen.rows["kind"].to_numpy()
    assert right.mean() > 0.85
    assert found.max(axis=1).mean() == pytest.approx(right.mean(), abs=0.05)
    named = found.max(axis=1) >= kinds.limit
    assert right[named].mean() > RIGHT - 0.04 and named.mean() > 0.8


def test_noise_is_hardly_ever_named():
    kinds = fit_kinds(drawn(signal=0.0))
    assert (kinds.probabilities(drawn(signal=0.0, seed=1).features).max(axis=1) >= kinds.limit).mean() < 0.05


def test_what_is_told_by_the_look_of_a_collection_is_wrong_where_it_is_left_out():
    honest, honest_figures = make_kinds(drawn(signal=2.5))
    fooled, figures = make_kinds(drawn(signal=0.0, look=2.5))
    inside, outside = ([one.accuracy for one in figures if one.left_out is left_out] for left_out in (False, True))
    assert len(inside) == len(outside) == 2
    assert max(outside) < 0.3 and min(inside) > 0.42
    assert fooled.elsewhere < 0.3 and honest.elsewhere > 0.8
    assert min(one.accuracy for one in honest_figures) > 0.8


def test_images_of_the_test_set_change_nothing():
    known = drawn(signal=2.0)
    rows = pd.concat([known.rows, known.rows.assign(part="test", kind="glioma")], ignore_index=True)
    before, after = make_kinds(known), make_kinds(KnownKinds(np.concatenate([known.features] * 2), rows))
    assert (before[0].weights == after[0].weights).all() and before[0].limit == after[0].limit
    assert before[1] == after[1]


def test_a_collection_with_many_images_of_a_patient_does_not_stand_for_its_kind():
    known = drawn(signal=1.0, n=300)
    copies = known.where(known.rows["kind"] == "glioma").where
    many = copies(pd.Series(True, range(int((known.rows["kind"] == "glioma").sum()))))
    rows = pd.concat([known.rows, *[many.rows] * 20], ignore_index=True)
    features = np.concatenate([known.features, *[many.features] * 20])
    rows.loc[300:, "part"] = rows.loc[300:, "part"].where(rows.loc[300:, "part"] == "train", "")
    counts = [one.recall for one in score_kinds(fit_kinds(KnownKinds(features, rows)), drawn(signal=1.0, seed=1))]
    assert min(recall[name] for recall in counts for name in KINDS) > 0.35


def test_two_kinds_are_enough_and_one_is_not():
    known = drawn(signal=2.5)
    two = known.where(known.rows["kind"] != "other")
    kinds = fit_kinds(two)
    assert kinds.names == ("glioma", "meningioma")
    (first, second) = score_kinds(kinds, two)
    assert (
        min(first.accuracy, second.accuracy) > 0.85 and math.isnan(first.recall["other"]) and first.counts["other"] == 0
    )
    with pytest.raises(ManifestError, match="tumors of 1 known kinds"):
        fit_kinds(known.where(known.rows["kind"] == "other"))


def test_a_network_without_features_is_refused(tmp_path):
    (tmp_path / "network.onnx").write_bytes(b"a network")
    write_bundle(Bundle(tmp_path, "baseline-cnn", "baseline", 64, 1.0, {"balanced": 0.5}))
    with pytest.raises(BundleError, match="without features, baseline-cnn"):
        add_kinds(tmp_path, pd.DataFrame(), tmp_path)


@pytest.mark.slow
def test_an_export_tells_kinds_only_if_it_is_wanted(small_run, tmp_path):
    shutil.copytree(small_run, tmp_path / "run")
    split = read_split(small_run)
    split.loc[split["label"] == 1, "kind"] = "glioma"
    split.loc[(split["label"] == 1) & (split["path"].str[-5].isin(list("02468"))), "kind"] = "Schwannoma"
    split.to_csv(tmp_path / "run" / "split.csv", index=False)
    bundle = export_run(tmp_path / "run", tmp_path / "bundle", cache=small_run.parent / "cache", kinds=True)
    assert bundle.kinds().names == ("glioma", "other")
    figures = bundle.facts.kinds
    assert not any(one.left_out for one in figures)  # there is only one collection
    assert sum(one.n for one in figures) == ((split["label"] == 1) & (split["part"] == "validation")).sum()
    assert "## Kind of tumor" in model_card(bundle)
    path = split["path"][split["label"] == 1].iloc[0]
    assert set(Predictor(bundle, threads=1).score(path).kinds.probabilities) == {"glioma", "other"}
    again = export_run(tmp_path / "run", tmp_path / "bundle", cache=small_run.parent / "cache")
    assert again.kinds() is None and not again.facts.kinds and "Kind of tumor" not in model_card(again)


@pytest.mark.slow
def test_a_bundle_adapted_to_a_site_keeps_its_kinds(tmp_path):
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "network.onnx").write_bytes(b"a network")
    fit_kinds(drawn(signal=2.0)).save(tmp_path / "old" / "kinds.npz")
    bundle = Bundle(tmp_path / "old", "compact", "standard", 64, 1.5, {"balanced": 0.5})
    random = np.random.default_rng(0)
    labels = random.integers(0, 2, 80).astype(float)
    cases = SiteCases(labels, random.normal(2 * labels - 1), np.arange(80).astype(str))
    adapt(bundle, cases, tmp_path / "new")
    assert load_bundle(tmp_path / "new").kinds().names == tuple(KINDS)
    bundle.kinds_model.unlink()
    adapt(replace(bundle), cases, tmp_path / "new")
    assert load_bundle(tmp_path / "new").kinds() is None
