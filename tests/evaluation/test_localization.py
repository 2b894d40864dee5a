"""Scores of where a network looks, on maps whose scores are known, and on a small run."""

import json

import numpy as np
import pytest
import torch

from brainsift.cli.main import main
from brainsift.core.errors import InputError, RunError
from brainsift.datasets.manifest import read_manifest
from brainsift.evaluation.localization import map_scores, read_maps, score_maps
from brainsift.training.recipes import make_config
from brainsift.training.train import train


def _square(top, left, side=16, size=64):
    inside = torch.zeros(1, size, size, dtype=torch.bool)
    inside[0, top : top + side, left : left + side] = True
    return inside


def test_a_perfect_map_scores_one():
    inside = _square(16, 32)
    found = map_scores(inside.float(), inside).iloc[0]
    assert found["hit"] == 1 and found["energy"] == pytest.approx(1) and found["overlap"] == pytest.approx(1)


def test_a_map_elsewhere_scores_nothing():
    found = map_scores(_square(40, 0).float(), _square(0, 40)).iloc[0]
    assert found.tolist() == [0, 0, 0]


def test_an_even_map_has_the_energy_of_the_outline():
    inside = _square(16, 32)
    found = map_scores(torch.ones(1, 8, 8), inside).iloc[0]
    assert found["energy"] == pytest.approx(16 * 16 / 64 / 64)


def test_the_pointing_game_forgives_a_few_pixels():
    inside = _square(16, 32)
    for gap, hit in ((2, 1), (3, 0)):
        tumor_map = torch.zeros(1, 64, 64)
        tumor_map[0, 20, 32 - gap] = 1
        assert map_scores(tumor_map, inside)["hit"].item() == hit


@pytest.fixture(scope="module", params=["compact", "mobilenet"])
def run(request, parted, tmp_path_factory):
    folder = tmp_path_factory.mktemp("explain")
    config = make_config(request.param, size=64, batch_size=16, threads=1, epochs=2, weights="none")
    return train(parted, config, folder / "run", cache=folder / "cache")


@pytest.mark.slow
def test_runs_are_scored_on_the_test_part_alone(run, parted, capsys):
    scores = score_maps(run, parted, cache=run.parent / "cache")
    tested = parted[(parted["part"] == "test") & (parted["mask"] != "")]
    assert sorted(scores["path"]) == sorted(tested["path"])
    assert np.isfinite(scores[["hit", "energy", "overlap"]]).all(axis=None)
    assert main(["explain", str(run)]) == 0
    written, read = json.loads((run / "maps.json").read_text()), read_maps(run)
    assert written.pop("schema") == 1 and set(written) == set(read)
    assert sum(one.n for one in read.values()) == len(tested)
    (run / "maps.json").write_text(json.dumps(written))  # as earlier versions wrote it
    assert read_maps(run) == read
    (run / "maps.json").write_text(json.dumps({**written, "schema": 2}))
    with pytest.raises(InputError, match="schema"):
        read_maps(run)
    assert len(read_manifest(run / "maps.csv")) == len(tested)
    assert "pointing game" in capsys.readouterr().out


@pytest.mark.slow
def test_without_outlines_there_is_nothing_to_score(run, parted):
    with pytest.raises(RunError, match="has a mask"):
        score_maps(run, parted.assign(mask=""), cache=run.parent / "cache")
