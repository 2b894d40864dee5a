"""The study: one call from folders to results, which goes on where it was interrupted."""

import json
import shutil

import pandas as pd
import pytest
from PIL import Image

from brainsift.auditing.findings import Findings, Totals
from brainsift.core.errors import RunError, UsageError
from brainsift.core.files import read_json
from brainsift.datasets.manifest import read_manifest, write_manifest
from brainsift.images import phantom
from brainsift.reports.write import write_study_report
from brainsift.studies import study
from brainsift.studies.study import StudyConfig, run_study, usable_external
from brainsift.studies.study_results import StudyResults
from brainsift.training import recipes
from brainsift.training.searches import Search

CONFIG = StudyConfig(models=("compact",), quick=True, threads=1)
RUNS = ["random-compact-standard-fold0", "grouped-compact-standard-fold0"]
COPIES = 3
NOTHING = Findings("", {}, (), Totals(*[0] * 11))
TOP = """
    schema title created command commit version hardware seconds training_seconds peak_memory_mb phantom config audit
    external_overlap runs summary comparisons tuning claims
""".split()  # noqa: SIM905
OF_A_RUN = """
    name protocol fold model recipe tuned folder parameters pretrained precision commit epochs seconds leaky
    twins results
""".split()  # noqa: SIM905


@pytest.fixture(scope="module")
def one_epoch():
    with pytest.MonkeyPatch.context() as patch:
        for model in study._QUICK_EPOCHS:
            patch.setitem(study._QUICK_EPOCHS, model, 1)
        yield


@pytest.fixture(scope="module")
def outside(phantoms, tmp_path_factory):
    """Another collection: heads drawn anew, and some files copied from the study's own collection."""
    folder = tmp_path_factory.mktemp("outside")
    for number in range(12):
        place = folder / ("yes" if number % 2 else "no") / f"new{number}.png"
        place.parent.mkdir(exist_ok=True)
        Image.fromarray(phantom.draw(5_000 + number, tumor=bool(number % 2)).pixels).save(place)
    for path in sorted((phantoms / "tumor").iterdir())[:COPIES]:
        shutil.copy(path, folder / "yes" / f"copy-{path.name}")
    return folder


class Done:
    """A study that was interrupted in its second run, went on, and was called once more."""

    def __init__(self, phantoms, outside, folder):
        self.folder = folder
        data = ([f"phantom={phantoms}"], folder, CONFIG)
        settings = {"external": [f"outside={outside}"], "title": "Tiny", "command": "again", "phantom": True}
        with pytest.raises(KeyboardInterrupt):
            run_study(*data, **settings, report=self._stop)
        self.at_interruption = self._times()
        self.said: list[str] = []
        self.results = run_study(*data, **settings, report=self._note)
        self.at_end, self.said_at_end = self._times(), list(self.said)
        self.again = run_study(*data, **settings, report=self._note)
        self.at_second_end = self._times()

    def _stop(self, progress):
        if progress.stage.startswith(RUNS[1]):
            raise KeyboardInterrupt

    def _note(self, progress):
        self.said.append(progress.stage)

    def _times(self):
        kept = ("manifest.csv", "weights.safetensors", "predictions.csv", "external.csv")
        found = (path for path in self.folder.rglob("*") if path.name in kept)
        return {path.relative_to(self.folder).as_posix(): path.stat().st_mtime_ns for path in found}


@pytest.fixture(scope="module")
def done(one_epoch, phantoms, outside, tmp_path_factory):
    return Done(phantoms, outside, tmp_path_factory.mktemp("study"))


@pytest.mark.slow
def test_an_interrupted_study_goes_on_with_the_run_at_hand(done):
    assert f"runs/{RUNS[0]}/weights.safetensors" in done.at_interruption
    assert f"runs/{RUNS[1]}/weights.safetensors" not in done.at_interruption
    assert done.at_interruption.items() <= done.at_end.items()
    assert f"runs/{RUNS[1]}/weights.safetensors" in done.at_end
    assert done.said_at_end
    assert all(words.startswith(f"{RUNS[1]}: ") for words in done.said_at_end)


@pytest.mark.slow
def test_a_finished_study_trains_nothing_again(done):
    assert done.at_second_end == done.at_end
    assert done.said == done.said_at_end
    volatile = {"created", "seconds", "peak_memory_mb", "commit", "hardware"}
    first, again = done.results.to_json(), done.again.to_json()
    for key in set(TOP) - volatile:
        assert again[key] == first[key], key
    assert again["seconds"] >= first["seconds"] > first["training_seconds"]  # of all starts


@pytest.mark.slow
def test_a_folder_of_a_study_of_other_images_is_refused(done, phantoms, tmp_path):
    with pytest.raises(RunError, match="other settings: data, external"):
        run_study([f"phantom={tmp_path / 'other'}"], done.folder, CONFIG)


@pytest.mark.slow
def test_results_have_their_schema_and_stand_in_the_folder(done):
    results = read_json(done.folder / "results.json")
    assert results == json.loads(json.dumps(done.again.to_json()))
    assert StudyResults.read(done.folder / "results.json").to_json() == results
    assert sorted(results) == sorted(TOP)
    assert (results["schema"], results["title"], results["command"]) == (1, "Tiny", "again")
    assert results["phantom"] is True
    assert StudyConfig(**{key: tuple(v) if isinstance(v, list) else v for key, v in results["config"].items()}) == (
        CONFIG.quickened()
    )
    assert [run["name"] for run in results["runs"]] == RUNS
    for run in results["runs"]:
        assert sorted(run) == sorted(OF_A_RUN)
        assert run["epochs"] == 1
        assert run["results"] == read_json(done.folder / run["folder"] / "results.json")
        assert (run["results"]["threshold"], run["results"]["threshold_name"]) == (0.5, "even")
    assert {claim["model"]: claim["accuracy"] for claim in results["claims"]} == study.CLAIMS


@pytest.mark.slow
def test_the_random_split_is_called_leaky_and_has_twins(done):
    random, grouped = done.results.runs
    assert (random.leaky, grouped.leaky) == (True, False)
    assert random.twins["same_group"] > 0
    assert grouped.twins["same_group"] == 0
    assert [(row.protocol, row.leaky) for row in done.results.summary] == [("random", True), ("grouped", False)]


@pytest.mark.slow
def test_summaries_pool_the_test_sets(done):
    for run, row in zip(done.results.runs, done.results.summary, strict=True):
        assert (row.n_folds, row.family) == (1, run.family)
        assert row.n == run.results.test.n
        assert row.pooled["accuracy"].value == pytest.approx(run.results.test.scores["accuracy"].value)
        assert row.external["outside"].n == run.results.external["outside"].n


@pytest.mark.slow
def test_external_copies_of_training_images_are_left_out_and_counted(done):
    manifest = read_manifest(done.folder / "manifest.csv")
    left_out = done.results.external_overlap["outside"]
    assert left_out >= COPIES
    for name in RUNS:
        scored = read_manifest(done.folder / "runs" / name / "external.csv")
        assert not scored["path"].str.contains("copy-").any()
        assert len(scored) == (manifest["role"] == "external").sum() - left_out
        used = read_manifest(done.folder / "runs" / name / "split.csv")
        assert set(used["source"]) == {"phantom"}
        assert not set(scored["group"]) & set(used["group"])


@pytest.mark.slow
def test_the_report_is_made_of_the_results(done, tmp_path):
    write_study_report(done.results, done.folder, tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text()
    assert "Tiny" in page
    assert "leaky" in page
    assert "outside" in page


@pytest.mark.slow
def test_the_baseline_recipe_shares_its_early_stopping(one_epoch, audited, tmp_path):
    """The baseline study used one early-stopping object for all networks: later ones must beat the CNN's best loss."""
    write_manifest(audited.assign(role="study"), tmp_path / "manifest.csv")
    NOTHING.write(tmp_path / "findings.json")
    config = StudyConfig(
        models=("baseline-cnn", "mobilenet"),
        protocols=("random",),
        mobilenet_weights="none",
        quick=True,
        threads=1,
    )
    results = run_study([], tmp_path, config)
    assert [(run.model, run.recipe) for run in results.runs] == [
        ("baseline-cnn", "standard"),
        ("baseline-cnn", "baseline"),
        ("mobilenet", "standard"),
        ("mobilenet", "baseline"),
    ]
    runs = {f"{run.model} {run.recipe}": tmp_path / run.folder for run in results.runs}
    best = pd.read_csv(runs["baseline-cnn baseline"] / "curve.csv")["validation_loss"].min()
    before = {name: read_json(folder / "config.json")["best_before"] for name, folder in runs.items()}
    assert before.pop("mobilenet baseline") == pytest.approx(best)
    assert set(before.values()) == {None}


def external_table(rows):
    names = ["status", "label", "group", "pixels_sha256", "channel", "source", "contrast"]
    return pd.DataFrame(rows, columns=names)


def test_external_images_that_can_be_scored():
    table = external_table(
        [
            ("ok", 1.0, "g1", "a", "", "one", ""),  # its group is the study's
            ("ok", 1.0, "g2", "b", "", "one", ""),
            ("ok", 1.0, "g2", "b", "", "one", ""),  # the same pixels again
            ("ok", 1.0, "g8", "i", "", "one", ""),
            ("ok", 0.0, "g8", "i", "", "one", ""),  # another label of the same pixels: neither is to be believed
            ("ok", 0.0, "g2", "b", "R", "one", ""),  # a channel of them is another image
            ("tiny", 1.0, "g3", "c", "", "one", ""),
            ("ok", float("nan"), "g4", "d", "", "one", ""),
            ("ok", 1.0, "g5", "e", "", "two", "t1"),
            ("ok", 1.0, "g6", "f", "", "two", "flair"),
            ("ok", 1.0, "g7", "h", "", "three", "t2"),
        ]
    )
    found = usable_external(table, pd.DataFrame({"group": ["g1", "g9"]}))
    assert found["pixels_sha256"].tolist() == ["b", "b", "e", "f", "h"]
    assert found["source"].tolist() == ["one", "one", "two_t1", "two_flair", "three"]
    assert table["source"].tolist() == ["one"] * 8 + ["two"] * 2 + ["three"]  # the caller's table is as it was


def test_the_runs_of_a_whole_study():
    tuning = [Search("compact", "standard", 4, 0, (), {"value": 0.1, "dropout": 0.35}, {})]
    jobs = study._jobs(StudyConfig(folds=3, seed=7), tuning)
    names = [job.name for job in jobs]
    assert len(set(names)) == len(names)
    heavy = [job.config.model in ("mobilenet", "resnet50") for job in jobs]
    assert heavy == sorted(heavy)  # light networks first
    assert sum(name.startswith("grouped-compact-standard-fold") for name in names) == 3 + 1
    assert sum(name.startswith("grouped-resnet50-standard") for name in names) == 1
    assert sum(name.startswith("random-compact-standard") for name in names) == 1
    for protocol in ("random", "grouped"):
        baselines = [job.config.model for job in jobs if job.name.startswith(protocol) and "-baseline-fold" in job.name]
        assert baselines == ["baseline-cnn", "mobilenet", "resnet50"]
    tuned = jobs[names.index("grouped-compact-standard-fold0-tuned")]
    assert tuned.config.dropout == 0.35
    assert {job.config.seed for job in jobs} == {job.split.seed for job in jobs} == {7}


def test_settings_of_a_quick_study_and_wrong_ones():
    quick = StudyConfig(models=("compact",), folds=9).quickened()
    assert (quick.quick, quick.size, quick.heavy_folds, quick.tune_models) == (True, 64, 1, ())
    assert quick.models == ("compact",)
    assert {job.split.fold for job in study._jobs(quick, [])} == {0}
    for name, value in {"models": "compcat", "tune_models": "compcat", "protocols": "lucky"}.items():
        with pytest.raises(UsageError, match=f"{name}: .* not ..{value}"):
            StudyConfig(**{name: (value,)})


@pytest.mark.parametrize("model", recipes.MODELS)
def test_every_network_has_a_quick_study(model):
    jobs = study._jobs(StudyConfig(models=(model,), quick=True).quickened(), ())
    assert {job.config.model for job in jobs} == {model}


def test_only_networks_of_the_study_are_tuned(audited, tmp_path, monkeypatch):
    write_manifest(audited.assign(role="study"), tmp_path / "manifest.csv")
    NOTHING.write(tmp_path / "findings.json")
    searched = []

    def note(table, model, *_):
        searched.append(model)
        raise KeyboardInterrupt

    monkeypatch.setattr(study, "_tuned", note)
    with pytest.raises(KeyboardInterrupt):
        run_study([], tmp_path, StudyConfig(models=("compact", "lite0")))
    assert searched == ["compact"]


def test_settings_of_no_run_are_refused_before_the_audit(tmp_path):
    with pytest.raises(UsageError, match="fold"):
        run_study([str(tmp_path / "nothing")], tmp_path / "study", StudyConfig(folds=1))
