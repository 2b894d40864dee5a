"""Run folders with predictions of known properties -> results."""

import json
import math

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit, logit

from brainsift.cli.main import main
from brainsift.core.errors import InputError, ManifestError, RunError, UsageError
from brainsift.datasets.csv_table import TEXT
from brainsift.evaluation.calibrated_run import calibrated_run
from brainsift.evaluation.compare_runs import compare_runs, summarise_runs
from brainsift.evaluation.evaluate import evaluate, evaluate_run
from brainsift.evaluation.evaluate_predictions import evaluate_predictions
from brainsift.evaluation.run_results import RunResults
from brainsift.inference.bundle import load_bundle
from brainsift.inference.decision import Prediction
from brainsift.stats import metrics

FAST = {"n_resamples": 100}


def predictions(n=400, *, seed=0, heat=3.0, shift=1.5, part=None, source=None, fold=0):
    """Rows of predictions.csv: groups of two images; logits too sure by the factor ``heat``."""
    generator = np.random.default_rng(seed)
    labels = np.repeat(generator.integers(0, 2, n // 2), 2)
    logits = heat * ((2 * labels - 1) * shift + generator.normal(scale=1.2, size=n))
    parts = part or np.repeat(np.resize(["train", "validation", "test", "test"], n // 2), 2)
    return pd.DataFrame(
        {
            "path": [f"/images/{fold}_{part or 'in'}_{i}.png" for i in range(n)],
            "channel": "",
            "source": source or np.where(np.arange(n) % 3 == 0, "br35h", "preet"),
            "label": labels.astype(float),
            "patient": "",
            "group": [f"{fold}_{part or 'in'}_{i // 2}" for i in range(n)],
            "part": parts,
            "logit": logits,
            "probability": expit(logits),
        }
    )


def run_folder(folder, table, **config):
    folder.mkdir(parents=True)
    table.to_csv(folder / "predictions.csv", index=False)
    config = {"model": "compact", "protocol": "grouped", "fold": 0, "seed": 0} | config
    (folder / "config.json").write_text(json.dumps(config))
    return folder


@pytest.fixture
def run(tmp_path):
    external = predictions(60, seed=9, part="external", source="btp")
    healthy = predictions(40, seed=8, part="external", source="healthy").assign(label=0.0)
    healthy["path"] = healthy["path"].str.replace("external", "healthy")
    return run_folder(tmp_path / "run", pd.concat([predictions(), external, healthy]))


def test_results_hold_what_the_docstring_says(run):
    results = evaluate_run(run, threshold="even", **FAST)
    assert results.validation.n == 100
    assert results.test.n == 200
    assert results.test.n_groups == 100
    assert results.model == "compact"
    assert results.recipe is None
    assert not results.leaky
    assert (results.threshold, results.threshold_name) == (0.5, "even")
    assert set(results.test.scores) == set(metrics.METRICS)
    assert set(results.test.sources) == {"br35h", "preet"}
    assert sum(results.test.confusion.to_json().values()) == 200
    assert set(results.external) == {"btp", "healthy"}
    assert results.external["healthy"].n_tumor == 0
    accuracy = results.test.scores["accuracy"]
    assert accuracy.low < accuracy.value < accuracy.high
    assert results.test.report["accuracy"] == pytest.approx(accuracy.value)


def test_file_is_strict_json_with_null_for_what_is_undefined(run):
    before = sorted(path.name for path in run.iterdir())
    evaluate_run(run, **FAST)
    assert sorted(path.name for path in run.iterdir()) == sorted([*before, "results.json"])
    text = (run / "results.json").read_text()
    assert "NaN" not in text
    assert json.loads(text)["external"]["healthy"]["scores"]["roc_auc"]["value"] is None


@pytest.mark.slow
def test_temperature_comes_from_validation_only_and_calibrates(tmp_path):
    run = run_folder(tmp_path / "hot", predictions(800, heat=8.0))
    results = evaluate_run(run, **FAST)
    assert results.temperature > 1.5
    assert results.test.scores["brier_loss"].value < results.test.uncalibrated["brier_loss"]
    table = pd.read_csv(run / "predictions.csv", keep_default_na=False)
    table.loc[table["part"] != "validation", "label"] = 1 - table.loc[table["part"] != "validation", "label"].astype(
        float
    )
    table.to_csv(run / "predictions.csv", index=False)
    again = evaluate_run(run, **FAST)
    assert (again.temperature, again.thresholds) == (results.temperature, results.thresholds)
    assert again.test.scores != results.test.scores


def test_images_without_a_group_stand_alone(tmp_path):
    folder = run_folder(tmp_path / "run", predictions().assign(group=""), protocol="random")
    results = evaluate_run(folder, **FAST)
    assert results.test.n_groups == results.test.n
    assert results.leaky


@pytest.mark.slow
def test_leaks_are_measured_not_declared(tmp_path):
    table = predictions()
    table.loc[table["part"] == "test", "part"] = np.resize(["test", "train"], 200)  # tears each group apart
    results = evaluate_run(run_folder(tmp_path / "torn", table), **FAST)
    assert results.leaky
    assert results.n_leaked == results.test.n == 100
    assert evaluate_run(run_folder(tmp_path / "whole", predictions()), **FAST).n_leaked == 0


def test_unlabelled_rows_are_left_out_and_missing_parts_are_null(tmp_path):
    table = predictions().query("part == 'test'").reset_index(drop=True)
    table.loc[:9, "label"] = math.nan
    results = evaluate_run(run_folder(tmp_path / "run", table), **FAST)
    assert results.validation is None
    assert results.temperature == 1.0
    assert results.test.n == 190
    assert results.external == {}


def test_broken_folders_say_what_is_wrong(tmp_path, run):
    with pytest.raises(RunError, match=r"config\.json"):
        evaluate_run(tmp_path / "nowhere")
    table = pd.read_csv(run / "predictions.csv", keep_default_na=False)
    table.drop(columns="logit").to_csv(run / "predictions.csv", index=False)
    with pytest.raises(RunError, match="logit"):
        evaluate_run(run)
    table.assign(logit=math.inf).to_csv(run / "predictions.csv", index=False)
    with pytest.raises(RunError, match="finite"):
        evaluate_run(run)
    (run / "predictions.csv").unlink()
    with pytest.raises(RunError, match=r"predictions\.csv"):
        evaluate_run(run)


def test_a_run_is_decided_where_predict_would_decide(run):
    """`export_run` puts these thresholds into the bundle, and `predict` takes `balanced` of it."""
    results = evaluate_run(run, **FAST)
    assert (results.threshold, results.threshold_name) == (results.thresholds["balanced"], "balanced")
    assert results.threshold != 0.5
    rows = calibrated_run(run).rows("test")
    called = rows["probability"] >= results.threshold
    assert results.test.confusion.tp == (called & (rows["label"] == 1)).sum()
    stored = json.loads((run / "results.json").read_text())
    assert (stored["threshold"], stored["threshold_name"]) == (results.threshold, "balanced")


@pytest.mark.slow
def test_another_threshold_can_be_asked_for(run):
    screening = evaluate_run(run, threshold="screening", **FAST)
    confirm = evaluate_run(run, threshold="confirm", **FAST)
    assert screening.test.scores["sensitivity"].value > confirm.test.scores["sensitivity"].value
    assert screening.test.scores["roc_auc"] == confirm.test.scores["roc_auc"]
    number = evaluate_run(run, threshold=0.9, **FAST)
    assert (number.threshold, number.threshold_name) == (0.9, "a number of your own")
    wanted = evaluate_run(run, sensitivity=0.95, **FAST)
    assert wanted.validation.scores["sensitivity"].value >= 0.95
    for wrong in ({"threshold": "screning"}, {"threshold": 97.0}, {"sensitivity": 0.9999}):
        with pytest.raises(UsageError, match=next(iter(wrong))):
            evaluate_run(run, **wrong)
    with pytest.raises(UsageError, match="one of the two"):
        evaluate_run(run, threshold=0.5, sensitivity=0.9)


def test_results_are_read_back_as_they_were_written(run):
    results = evaluate_run(run, **FAST)
    again = RunResults.read(run / "results.json")
    assert json.dumps(again.to_json()) == json.dumps(results.to_json())
    assert again.test.sources["preet"] == results.test.sources["preet"]
    assert math.isnan(again.external["healthy"].scores["roc_auc"].value)


def test_results_of_earlier_versions_are_read_and_those_of_later_ones_refused(run):
    evaluate_run(run, threshold="even", **FAST)
    stored = json.loads((run / "results.json").read_text())
    del stored["schema"], stored["threshold_name"]
    assert RunResults.from_json(stored).threshold_name == "even"
    with pytest.raises(InputError, match="has schema 2; this version reads schema 1"):
        RunResults.from_json({**stored, "schema": 2})
    with pytest.raises(InputError, match="lacks `test`"):
        RunResults.from_json({name: value for name, value in stored.items() if name != "test"})
    with pytest.raises(InputError, match="n_leaked: must be int, not 'many'"):
        RunResults.from_json({**stored, "n_leaked": "many"}, "results.json")


def test_users_own_predictions(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    truth = predictions(100).assign(path=lambda t: [str(tmp_path / f"{i}.png") for i in range(len(t))])
    truth.loc[0, "label"] = math.nan
    table = pd.DataFrame(
        {"path": [f"./{i}.png" for i in range(100)], "probability": truth["probability"].astype(object)}
    )
    table.loc[1, "probability"] = ""  # unreadable
    found = evaluate_predictions(table, truth, **FAST)
    assert (found.threshold, found.threshold_name) == (0.5, "even")  # nothing in the table says otherwise
    assert (found.n, found.n_missing, found.n_unlabelled) == (98, 1, 1)
    expected = metrics.scores(truth["label"][2:], truth["probability"][2:])
    assert found.scores["roc_auc"].value == pytest.approx(expected["roc_auc"])


def decided(at):
    """A table as `predict --csv` writes it, decided at a threshold, and its truth."""
    truth = predictions(100)
    named = np.where(truth["probability"] >= at, "tumor", "no_tumor")
    return truth[["path", "probability"]].assign(decision=named), truth


def test_predictions_are_scored_as_they_were_decided():
    shipped = load_bundle().thresholds
    for name in ("balanced", "confirm"):
        table, truth = decided(shipped[name])
        found = evaluate_predictions(table, truth, **FAST)
        right = (table["decision"] == "tumor") == (truth["label"] == 1)
        assert found.scores["accuracy"].value == pytest.approx(right.mean())
        assert (found.threshold_name == "balanced") == (name == "balanced")
    table.loc[table["probability"].idxmax(), "decision"] = "no_tumor"
    with pytest.raises(UsageError, match="several thresholds"):
        evaluate_predictions(table, truth, **FAST)
    asked = evaluate_predictions(table, truth, threshold="screening", **FAST)
    assert asked.threshold == shipped["screening"]


def test_a_threshold_for_each_image_is_taken_from_the_table():
    table, truth = decided(0.5)
    mixed = table.assign(threshold=np.where(np.arange(100) % 2, 0.2, 0.99))
    found = evaluate_predictions(mixed, truth.assign(threshold=0.7), **FAST)
    right = (mixed["probability"] >= mixed["threshold"]) == (truth["label"] == 1)
    assert found.scores["accuracy"].value == pytest.approx(right.mean())
    assert math.isnan(found.threshold) and "each image" in found.threshold_name


def test_a_threshold_that_is_none_or_is_missing_in_some_rows_is_refused(tmp_path):
    table, truth = decided(0.5)
    with pytest.raises(UsageError, match=r"threshold 43 is not within 0 and 1.*0\.43"):
        evaluate_predictions(table.assign(threshold=43), truth, **FAST)
    some = table.assign(threshold=[0.5] * 99 + [math.nan])
    with pytest.raises(UsageError, match="a threshold in 99 of 100 rows"):
        evaluate_predictions(some, truth, **FAST)
    some.to_csv(tmp_path / "mine.csv", index=False)
    with pytest.raises(UsageError, match="a threshold in 99 of 100 rows"):
        evaluate_predictions(tmp_path / "mine.csv", truth, **FAST)
    assert evaluate_predictions(some, truth, threshold=0.3, **FAST).threshold == 0.3
    unread = some.assign(probability=[*some["probability"][:99], math.nan])  # nothing there to decide
    assert evaluate_predictions(unread, truth, **FAST).n == 99


def test_referred_images_are_counted(tmp_path):
    table, truth = decided(0.5)
    table.loc[:4, "decision"] = "refer"
    table["status"] = ["not_brain_mri"] * 2 + ["ok"] * 98
    table.to_csv(tmp_path / "mine.csv", index=False)
    predictions = [
        Prediction(row.path, row.status, float(logit(row.probability)), row.decision) for row in table.itertuples()
    ]
    for given in (table, tmp_path / "mine.csv", predictions):
        found = evaluate_predictions(given, truth.assign(status="ok"), **FAST)
        assert (found.n, found.n_referred, found.n_not_brain_mri) == (100, 5, 2)


def test_a_manifest_needs_no_more_than_path_and_label():
    table, truth = decided(0.5)
    plain = evaluate_predictions(table, truth[["path", "label"]], **FAST)
    assert {name: one.n for name, one in plain.sources.items()} == {"manifest": 100}
    partly = truth[["path", "label"]].assign(source=["a"] * 60 + [math.nan] * 40, channel=math.nan)
    found = evaluate_predictions(table, partly, **FAST)
    assert found.n == 100 and {name: one.n for name, one in found.sources.items()} == {"a": 60, "manifest": 40}
    with pytest.raises(ManifestError, match=r"lacks the columns \['label'\]"):
        evaluate_predictions(table, truth[["path"]], **FAST)
    with pytest.raises(ManifestError, match="holds the label 2"):
        evaluate_predictions(table, truth.assign(label=2), **FAST)


@pytest.mark.slow
def test_one_function_evaluates_runs_and_tables(run, tmp_path):
    table, truth = decided(0.5)
    assert evaluate(run).test.n == 200
    assert evaluate(table, truth, threshold=0.5).n == 100
    table.to_csv(tmp_path / "mine.csv", index=False)
    truth.to_csv(tmp_path / "truth.csv", index=False)
    assert evaluate(str(tmp_path / "mine.csv"), tmp_path / "truth.csv").n == 100
    with pytest.raises(UsageError, match="manifest"):
        evaluate(table)
    answers = [
        Prediction(path, "ok", log_odds, decision)
        for path, log_odds, decision in zip(truth["path"], logit(truth["probability"]), table["decision"], strict=True)
    ]
    found = evaluate([*answers, Prediction("broken.png", "unreadable", None, "")], truth, threshold=0.5)
    expected = evaluate(table, truth, threshold=0.5)
    assert found.n == 100 and found.scores["brier_loss"] == pytest.approx(expected.scores["brier_loss"])


def test_users_mistakes(tmp_path):
    truth = predictions(20)
    with pytest.raises(UsageError, match="probability"):
        evaluate_predictions(truth[["path"]], truth)
    with pytest.raises(UsageError, match="within 0 and 1"):
        evaluate_predictions(truth[["path"]].assign(probability=2.0), truth)
    with pytest.raises(UsageError, match="one row"):
        evaluate_predictions(pd.concat([truth, truth])[["path", "probability"]], truth)
    with pytest.raises(ManifestError, match="none of the 20"):
        evaluate_predictions(truth.assign(path="x" + truth["path"])[["path", "probability"]], truth)


@pytest.mark.slow
def test_summary_pools_folds(tmp_path):
    external = predictions(60, seed=9, part="external", source="btp")
    folders = [
        run_folder(
            tmp_path / str(k), pd.concat([predictions(seed=k, fold=k), external.assign(logit=external["logit"] + k)])
        )
        for k in range(3)
    ]
    found = summarise_runs(folders, **FAST)
    assert (found.n_folds, found.n, found.n_groups) == (3, 600, 300)
    singles = [evaluate_run(folder, **FAST) for folder in folders]
    values = [single.test.scores["accuracy"].value for single in singles]
    assert found.fold_mean["accuracy"] == pytest.approx(np.mean(values))
    assert found.fold_sd["accuracy"] == pytest.approx(np.std(values, ddof=1))
    assert found.pooled["accuracy"].value == pytest.approx(np.mean(values))
    outside = [single.external["btp"].scores["accuracy"].value for single in singles]
    assert found.external["btp"].scores["accuracy"].value == pytest.approx(np.mean(outside))
    assert (found.external["btp"].n, found.external["btp"].n_groups) == (60, 30)


def test_summary_of_one_fold_equals_the_run(run):
    found, single = summarise_runs([run], **FAST), evaluate_run(run, **FAST)
    assert found.pooled == single.test.scores
    assert found.external["btp"].scores["roc_auc"] == pytest.approx(single.external["btp"].scores["roc_auc"])
    assert math.isnan(found.fold_sd["accuracy"])


def test_groups_that_hold_both_labels_are_told_apart(tmp_path):
    table = predictions()
    test, train = (table.index[table["part"] == part] for part in ("test", "train"))
    table.loc[test[0], "label"] = 1 - table.loc[test[0], "label"]  # its copy has the other label
    table.loc[train[0], ["group", "label"]] = [table.loc[test[2], "group"], 1 - table.loc[test[2], "label"]]
    found = summarise_runs([run_folder(tmp_path / "run", table)], threshold="even", **FAST)
    kept = table.loc[test[4:]]
    right = ((kept["logit"] > 0) == (kept["label"] == 1)).mean()
    assert (found.undisputed.n, found.undisputed.n_groups) == (196, 98)
    assert found.undisputed.accuracy.value == pytest.approx(right)


def test_comparison_of_a_good_and_a_bad_run(tmp_path):
    good = run_folder(tmp_path / "good", predictions())
    bad = run_folder(tmp_path / "bad", predictions(shift=0.4).sample(frac=1, random_state=0))
    found = compare_runs(good, bad, **FAST)
    by = {(one.metric, one.test): one for one in found.comparisons}
    assert (found.n, found.n_groups) == (200, 100)
    assert by["roc_auc", "DeLong"].p_value < 1e-3
    assert by["roc_auc", "paired bootstrap"].difference.low > 0
    assert by["accuracy", "paired bootstrap"].difference.value > 0.1
    assert by["brier_loss", "paired bootstrap"].difference.value < 0


@pytest.mark.slow
def test_each_run_is_compared_at_its_own_threshold(tmp_path):
    sure = run_folder(tmp_path / "sure", predictions())
    shifted = run_folder(tmp_path / "shifted", predictions().assign(logit=lambda t: t["logit"] + 2))
    points = [calibrated_run(folder).point.threshold for folder in (sure, shifted)]
    assert abs(points[0] - points[1]) > 0.05
    found = {one.metric: one.difference.value for one in compare_runs(sure, shifted, **FAST).comparisons}
    assert found["roc_auc"] == 0.0
    singles = [evaluate_run(folder, **FAST).test.scores["accuracy"].value for folder in (sure, shifted)]
    assert found["accuracy"] == pytest.approx(singles[0] - singles[1])


def test_relative_paths_are_taken_from_the_run_folder(tmp_path):
    table = predictions()
    far, near = tmp_path / "deep" / "er" / "a", tmp_path / "b"
    for folder, up in ((far, "../../../"), (near, "../")):
        run_folder(folder, table.assign(path=up + "pictures" + table["path"]))
    found = compare_runs(far, near, **FAST)
    assert found.n == 200
    assert all(one.p_value == 1.0 for one in found.comparisons)


def test_a_comparison_says_what_it_leaves_out(tmp_path, capsys):
    table = predictions()
    test = table.index[table["part"] == "test"]
    first = run_folder(tmp_path / "a", table.drop(index=test[:10]))
    second = run_folder(tmp_path / "b", table.drop(index=test[-4:]))
    found = compare_runs(first, second, **FAST)
    assert (found.n, found.n_only_first, found.n_only_second) == (len(test) - 14, 4, 10)
    assert main(["evaluate", str(first), str(second)]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert f"Left out: 4 test images of {first} alone, 10 of {second} alone." in said


@pytest.mark.parametrize(
    "content", [b"", b'\x89PNG\r\n\x1a\n\0\0"', b'path,logit\n"a,1\nb,2\n', b"path,logit\n1,2,3\n4\n5,6,7,8\n"]
)
def test_a_table_of_a_run_that_is_broken_says_so(tmp_path, content):
    run = run_folder(tmp_path / "run", predictions(40))
    (run / "predictions.csv").write_bytes(content)
    with pytest.raises(
        RunError, match=r"predictions.csv: (is no table of predictions|lacks the columns).*Train the run"
    ):
        calibrated_run(run)


def test_comparison_needs_common_images_and_labels(tmp_path):
    here = run_folder(tmp_path / "a", predictions())
    with pytest.raises(RunError, match="share no"):
        compare_runs(here, run_folder(tmp_path / "b", predictions(fold=1)))
    with pytest.raises(RunError, match="label"):
        compare_runs(here, run_folder(tmp_path / "c", predictions().assign(label=lambda t: 1 - t["label"])))
    with pytest.raises(RunError, match="more than once"):
        compare_runs([here, here], here)


def test_names_that_are_not_utf8_are_kept_whatever_else_is_installed(tmp_path):
    """With pyarrow, pandas stores strings in a way that cannot hold such names, unless the column says otherwise."""
    run = run_folder(tmp_path / "run", predictions(40))
    content = (run / "predictions.csv").read_bytes()
    (run / "predictions.csv").write_bytes(content.replace(b"0_in_3.png", b"h\xfcad.png"))
    table = calibrated_run(run).table
    assert table["path"].dtype == table["group"].dtype == TEXT
    assert "/images/h\udcfcad.png" in set(table["path"])


@pytest.mark.parametrize(
    ("column", "value", "words"),
    [
        ("probability", "90", r"probability 90 is not within 0 and 1.*write 0\.97, not 97"),
        ("probability", "nan?", r"probability nan\? is not within 0 and 1"),
        ("decision", "Tumor", "hold the decision 'Tumor', which is none of"),
    ],
)
def test_cells_that_mean_nothing_are_named(column, value, words):
    table = pd.DataFrame({"path": ["a.png", "b.png"], "probability": ["0.9", "0.1"], "decision": ["tumor", "no_tumor"]})
    table.loc[0, column] = value
    truth = pd.DataFrame({"path": ["a.png", "b.png"], "label": [1, 0]})
    with pytest.raises(UsageError, match=words):
        evaluate_predictions(table, truth)


def test_an_image_that_the_manifest_lists_twice_counts_once():
    table = pd.DataFrame({"path": ["a.png", "b.png"], "probability": [0.9, 0.1]})
    truth = pd.DataFrame({"path": ["a.png", "b.png", "./a.png"], "label": [1, 0, 1]})
    assert evaluate_predictions(table, truth, n_resamples=10).n == 2
    with pytest.raises(ManifestError, match=r"a\.png is listed with the label"):
        evaluate_predictions(table, truth.assign(label=[1, 0, 0]))
