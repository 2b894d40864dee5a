"""The search: on validation data only, stored, pruned, resumable."""

import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from dataclasses import replace

import pytest

from brainsift.core.errors import RunError, UsageError
from brainsift.training.recipes import TuneConfig, make_config
from brainsift.training.searches import Search
from brainsift.training.tune import tune

BASE = make_config("compact", size=32, batch_size=8, threads=1, precision="fp32", augment=0.0)


@pytest.mark.slow
def test_search_is_stored_and_goes_on(parted, tmp_path):
    cache = tmp_path / "cache"
    test_free = parted[parted["part"] != "test"]
    first = tune(test_free, BASE, TuneConfig(trials=2, trial_epochs=1), tmp_path / "tune", cache=cache)
    assert len(first.trials) == 2
    assert first.trials[0].settings["learning_rate"] == BASE.learning_rate  # the recipe's own values come first
    whole = tune(parted, BASE, TuneConfig(trials=4, trial_epochs=1), tmp_path / "tune", cache=cache)
    assert [trial.number for trial in whole.trials] == [0, 1, 2, 3]
    assert whole.trials[:2] == first.trials
    rates = [trial.settings["learning_rate"] for trial in whole.trials]
    assert len(set(rates)) == 4
    values = [trial.value for trial in whole.trials if trial.state == "complete"]
    assert whole.best["value"] == min(values)
    assert Search.read(tmp_path / "tune" / "tuning.json") == whole
    with closing(sqlite3.connect(tmp_path / "tune" / "trials.sqlite")) as file:
        assert file.execute("select count(*) from trials").fetchone() == (4,)


@pytest.mark.slow
def test_an_interrupted_search_keeps_its_finished_trials(parted, tmp_path):
    calls = []

    def interrupt(progress):
        calls.append(progress.stage)
        if progress.stage.startswith("trial 2"):
            raise KeyboardInterrupt

    config = TuneConfig(trials=3, trial_epochs=1)
    with pytest.raises(KeyboardInterrupt):
        tune(parted, BASE, config, tmp_path / "tune", cache=tmp_path / "cache", report=interrupt)
    assert not (tmp_path / "tune" / "tuning.json").exists()
    found = tune(parted, BASE, config, tmp_path / "tune", cache=tmp_path / "cache")
    assert len(found.trials) == 3
    assert found == tune(parted, BASE, config, tmp_path / "undisturbed", cache=tmp_path / "cache")


@pytest.mark.slow
def test_a_search_that_was_killed_in_its_first_trial_tries_the_recipe_again(parted, tmp_path):
    config, cache = TuneConfig(trials=2, trial_epochs=1), tmp_path / "cache"
    parted.to_pickle(tmp_path / "table")
    killed = (
        "import os, signal, sys, pathlib, pandas\n"
        "from brainsift.training.recipes import TuneConfig, make_config\n"
        "from brainsift.training.tune import tune\n"
        "base = make_config('compact', size=32, batch_size=8, threads=1, precision='fp32', augment=0.0)\n"
        "folder = pathlib.Path(sys.argv[1])\n"
        "tune(pandas.read_pickle(folder / 'table'), base, TuneConfig(trials=2, trial_epochs=1), folder / 'killed',\n"
        "     cache=folder / 'cache', report=lambda _: os.kill(os.getpid(), signal.SIGKILL))\n"
    )
    undisturbed = tune(parted, BASE, config, tmp_path / "whole", cache=cache)
    assert subprocess.run([sys.executable, "-c", killed, str(tmp_path)], check=False).returncode == -signal.SIGKILL
    found = tune(parted, BASE, config, tmp_path / "killed", cache=cache)
    assert found == undisturbed and found.trials[0].settings["learning_rate"] == BASE.learning_rate


@pytest.mark.slow
def test_a_file_of_trials_that_cannot_be_used_is_told_in_words(parted, tmp_path):
    (tmp_path / "tune").mkdir()
    (tmp_path / "tune" / "trials.sqlite").write_text("no database, but as long as the header of one " * 20)
    with pytest.raises(RunError, match=r"trials.sqlite: cannot be read or written: file is not a database"):
        tune(parted, BASE, TuneConfig(trials=1, trial_epochs=1), tmp_path / "tune", cache=tmp_path / "cache")


@pytest.mark.slow
def test_a_folder_of_another_search_is_refused(parted, tmp_path):
    place, cache, config = tmp_path / "tune", tmp_path / "cache", TuneConfig(trials=1, trial_epochs=1)
    found = tune(parted, BASE, config, place, cache=cache)
    assert tune(parted, replace(BASE, device="cpu"), config, place, cache=cache).trials == found.trials
    with pytest.raises(RunError, match="holds a search with other settings: size, batch_size"):
        tune(parted, replace(BASE, size=48, batch_size=16), config, place, cache=cache)
    with pytest.raises(RunError, match="other settings: search"):
        tune(parted, BASE, replace(config, search=("dropout",)), place, cache=cache)
    fewer = parted.drop(parted.index[parted["part"] == "train"][:1])
    with pytest.raises(RunError, match="holds a search on other images"):
        tune(fewer, BASE, config, place, cache=cache)


@pytest.mark.slow
def test_trials_leave_no_log(parted, tmp_path, monkeypatch):
    kinds = []
    monkeypatch.setattr(
        "brainsift.training.trackers.open_log", lambda kind, *_: kinds.append(kind) or (lambda row: None)
    )
    config = TuneConfig(trials=1, trial_epochs=1)
    tune(parted, replace(BASE, log="mlflow"), config, tmp_path / "tune", cache=tmp_path / "cache")
    assert kinds == ["none"]


@pytest.mark.slow
def test_trials_without_a_finite_loss_are_pruned(parted, tmp_path):
    hopeless, config = replace(BASE, learning_rate=1e8), TuneConfig(trials=2, trial_epochs=1, search=("learning_rate",))
    found = tune(parted, hopeless, config, tmp_path / "tune", cache=tmp_path / "cache")
    assert [trial.state for trial in found.trials] == ["pruned", "complete"]
    with pytest.raises(RunError, match="no trial had a finite loss"):
        tune(parted, hopeless, TuneConfig(trials=1, search=("dropout",)), tmp_path / "other", cache=tmp_path / "cache")


def test_wrong_settings_are_named():
    with pytest.raises(UsageError, match="colour"):
        TuneConfig(search=("colour",))
    with pytest.raises(UsageError, match="trials: must be at least 1, not 0"):
        TuneConfig(trials=0)
