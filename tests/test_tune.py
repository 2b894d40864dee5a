"""The search: on validation data only, stored, pruned, resumable."""

import json
import sqlite3

import pytest

from brainsift.errors import UsageError
from brainsift.recipes import make_config
from brainsift.tune import TuneConfig, read_tuning, tune

BASE = make_config("compact", size=32, batch_size=8, threads=1, precision="fp32", augment=0.0)


def test_search_is_stored_and_goes_on(parted, tmp_path):
    cache = tmp_path / "cache"
    test_free = parted[parted["part"] != "test"]
    first = tune(test_free, BASE, TuneConfig(trials=2, trial_epochs=1), tmp_path / "tune", cache=cache)
    assert len(first["trials"]) == 2
    assert first["trials"][0]["learning_rate"] == BASE.learning_rate  # the recipe's own values come first
    whole = tune(parted, BASE, TuneConfig(trials=4, trial_epochs=1), tmp_path / "tune", cache=cache)
    assert [trial["number"] for trial in whole["trials"]] == [0, 1, 2, 3]
    assert whole["trials"][:2] == first["trials"]
    rates = [trial["learning_rate"] for trial in whole["trials"]]
    assert len(set(rates)) == 4
    values = [trial["value"] for trial in whole["trials"] if trial["state"] == "complete"]
    assert whole["best"]["value"] == min(values)
    assert read_tuning(tmp_path / "tune") == json.loads(json.dumps(whole))
    assert sqlite3.connect(tmp_path / "tune" / "trials.sqlite").execute("select count(*) from trials").fetchone() == (
        4,
    )


def test_an_interrupted_search_keeps_its_finished_trials(parted, tmp_path):
    calls = []

    def interrupt(done, total, words):
        calls.append(words)
        if "trial 2" in words:
            raise KeyboardInterrupt

    config = TuneConfig(trials=3, trial_epochs=1)
    with pytest.raises(KeyboardInterrupt):
        tune(parted, BASE, config, tmp_path / "tune", cache=tmp_path / "cache", progress=interrupt)
    assert read_tuning(tmp_path / "tune") is None
    found = tune(parted, BASE, config, tmp_path / "tune", cache=tmp_path / "cache")
    assert len(found["trials"]) == 3


def test_unknown_settings_are_named():
    with pytest.raises(UsageError, match="colour"):
        TuneConfig(search=("colour",))
