"""Several runs as one network: it averages them, and computes once what they have in common."""

import numpy as np
import onnx
import pandas as pd
import pytest
import torch

from brainsift.core.errors import RunError
from brainsift.datasets.manifest import write_manifest
from brainsift.deployment.ensemble import averaged, join_runs
from brainsift.deployment.export import export_run
from brainsift.deployment.quantization import quantize_run
from brainsift.evaluation.evaluate import evaluate_run
from brainsift.training import pretrained
from brainsift.training.augment import to_input
from brainsift.training.recipes import make_config
from brainsift.training.runs import build_network, load_run, read_split
from brainsift.training.train import train

pytestmark = pytest.mark.slow


def logits(run):
    return pd.read_csv(run / "predictions.csv")["logit"].to_numpy()


@pytest.fixture(scope="module")
def cache(small_run):
    return small_run.parent / "cache"


@pytest.fixture(scope="module")
def other(small_run, bundle_folder, parted, cache, tmp_path_factory):
    """The network of `small_run`, trained further with its first blocks frozen."""
    config = make_config(
        "compact",
        size=32,
        batch_size=8,
        threads=1,
        precision="fp32",
        epochs=1,
        seed=1,
        frozen=6,
        weights=str(bundle_folder / "network.onnx"),
    )
    return train(parted, config, tmp_path_factory.mktemp("other") / "run", cache=cache)


@pytest.fixture(scope="module")
def both(small_run, other, cache, tmp_path_factory):
    return join_runs([small_run, other], tmp_path_factory.mktemp("both") / "run", cache=cache)


def test_it_predicts_the_mean(small_run, other, both):
    assert not np.allclose(logits(small_run), logits(other), atol=0.1)
    assert np.allclose(logits(both), (logits(small_run) + logits(other)) / 2, atol=5e-3)


def test_what_is_alike_at_the_front_is_computed_once(bundle_folder, both):
    one = onnx.load(bundle_folder / "network.onnx")
    twice = averaged([one, one]).graph
    assert len(twice.node) == len(one.graph.node) + 2  # all of it is shared; two means are added
    assert [output.name for output in twice.output] == [output.name for output in one.graph.output]
    n_convolutions = {
        name: sum(node.op_type == "Conv" for node in graph.node)
        for name, graph in (("one", one.graph), ("both", onnx.load(both / "network.onnx").graph))
    }
    assert n_convolutions["one"] < n_convolutions["both"] < 1.8 * n_convolutions["one"]


def agreement(network, run):
    """Returns how the logits of a network built from an ONNX file correlate with those of a run, on its images."""
    model, config = load_run(run)
    images = to_input(
        torch.randint(0, 255, (64, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    )
    built = build_network(config)
    pretrained.load(built, config.model, str(network), images)
    with torch.inference_mode():
        return np.corrcoef(built.eval()(images), model(images))[0, 1]


def test_it_becomes_a_bundle_in_int8(other, both, cache, tmp_path):
    run = quantize_run(both, tmp_path / "int8", cache=cache)
    evaluate_run(run)
    bundle = export_run(run, tmp_path / "bundle", cache=cache)
    assert bundle.facts.environment["mean of"] == ["run", "run"]
    assert np.corrcoef(logits(run), logits(both))[0, 1] > 0.97
    assert agreement(bundle.network, other) > 0.97  # it can be trained further: with the weights of the last network


def test_a_bundle_is_averaged_with_a_run(small_run, bundle_folder, both, cache, tmp_path):
    run = join_runs([both], tmp_path / "run", bundles=[bundle_folder], cache=cache)
    assert np.allclose(logits(run), (logits(both) + logits(small_run)) / 2, atol=5e-3)


def test_runs_on_other_images_are_not_joined(small_run, other, cache, tmp_path):
    changed = tmp_path / "changed"
    changed.mkdir()
    for file in other.iterdir():
        (changed / file.name).write_bytes(file.read_bytes())
    write_manifest(read_split(other).iloc[1:], changed / "split.csv")
    with pytest.raises(RunError, match="trained on other images"):
        join_runs([small_run, changed], tmp_path / "run", cache=cache)
    assert not (tmp_path / "run" / "predictions.csv").exists()
