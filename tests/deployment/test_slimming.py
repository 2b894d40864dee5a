"""A run of lite0 becomes one of lite0-slim, in INT8 too, and goes on as any other."""

import numpy as np
import pandas as pd
import pytest

from brainsift.core.errors import RunError
from brainsift.core.files import read_json, write_json
from brainsift.deployment import slimming
from brainsift.deployment.export import export_run
from brainsift.deployment.quantization import quantize_run
from brainsift.deployment.slimming import prune_run
from brainsift.evaluation.evaluate import evaluate_run
from brainsift.training.recipes import make_config
from brainsift.training.runs import load_run
from brainsift.training.train import train

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True, scope="module")
def few_images():
    """How well channels are chosen is tested in training/test_pruning.py; here there are 47 images."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(slimming, "_IMAGES", 32)
        yield


@pytest.fixture(scope="module")
def cache(small_run):
    return small_run.parent / "cache"


@pytest.fixture(scope="module")
def whole(parted, cache, tmp_path_factory):
    config = make_config("lite0", size=64, batch_size=8, threads=1, precision="fp32", epochs=2, frozen=4)
    return train(parted, config, tmp_path_factory.mktemp("whole") / "run", cache=cache)


@pytest.fixture(scope="module")
def slim(whole, cache, tmp_path_factory):
    return prune_run(whole, tmp_path_factory.mktemp("slim") / "run", cache=cache)


def logits(run):
    return pd.read_csv(run / "predictions.csv")["logit"].to_numpy()


def test_it_is_a_run_of_the_same_images_with_fewer_weights(whole, slim):
    assert len(logits(slim)) == len(logits(whole)) and np.isfinite(logits(slim)).all()
    sizes = [(run / "weights.safetensors").stat().st_size for run in (whole, slim)]
    assert sizes[1] < 0.5 * sizes[0]
    assert read_json(slim / "config.json")["model"] == "lite0-slim"
    assert read_json(slim / "environment.json")["pruned from"].startswith("lite0 ")


def test_it_becomes_a_bundle_in_int8(slim, cache, tmp_path):
    run = quantize_run(slim, tmp_path / "int8", cache=cache)
    evaluate_run(run)
    bundle = export_run(run, tmp_path / "bundle", cache=cache)
    assert bundle.name == "lite0-slim"


def test_a_run_in_int8_is_pruned_too(whole, slim, cache, tmp_path):
    of_int8 = prune_run(quantize_run(whole, tmp_path / "int8", cache=cache), tmp_path / "slim", cache=cache)
    shapes = [{name: values.shape for name, values in load_run(run)[0].state_dict().items()} for run in (slim, of_int8)]
    assert shapes[0] == shapes[1]
    quantize_run(of_int8, tmp_path / "again", cache=cache)  # what it was made of is in INT8, it is not


def test_too_few_images_cannot_choose(whole, cache, tmp_path, monkeypatch):
    monkeypatch.setattr(slimming, "_IMAGES", 512)
    with pytest.raises(RunError, match="needs at least 512 training images to be pruned, has 4"):
        prune_run(whole, tmp_path / "slim", cache=cache)
    assert not (tmp_path / "slim").exists()


def test_a_finished_one_is_left_as_it_is(whole, slim):
    before = (slim / "weights.safetensors").stat().st_mtime_ns
    assert prune_run(whole, slim) == slim
    assert (slim / "weights.safetensors").stat().st_mtime_ns == before


def test_a_run_of_another_network_is_not_left_as_it_is(whole, slim, cache, tmp_path):
    small = quantize_run(whole, tmp_path / "int8", cache=cache)
    for run, output in ((small, slim), (whole, whole), (whole, small)):
        with pytest.raises(RunError, match=r"holds a run that is not .*, (pruned|quantized)"):
            prune_run(run, output, cache=cache)
    with pytest.raises(RunError, match=r"holds a run that is not .*, (pruned|quantized)"):
        quantize_run(slim, small, cache=cache)


def test_other_networks_and_means_are_refused(small_run, whole, slim, cache, tmp_path):
    for run in (small_run, slim):
        with pytest.raises(RunError, match="Name a run of lite0"):
            prune_run(run, tmp_path / "other", cache=cache)
    mean = quantize_run(whole, tmp_path / "mean", cache=cache)
    write_json(mean / "environment.json", {**read_json(mean / "environment.json"), "mean of": ["one", "two"]})
    with pytest.raises(RunError, match="holds a mean of several networks"):
        prune_run(mean, tmp_path / "other", cache=cache)
    assert not (tmp_path / "other").exists()
