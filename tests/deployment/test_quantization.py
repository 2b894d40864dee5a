"""A run in INT8: it predicts nearly what the trained network does, and what follows uses its own predictions."""

import shutil

import numpy as np
import onnx
import pandas as pd
import pytest
import torch

from brainsift.core.errors import RunError
from brainsift.deployment import quantization
from brainsift.deployment.export import export_run
from brainsift.deployment.quantization import quantize_run
from brainsift.evaluation.evaluate import evaluate_run
from brainsift.inference.predictor import Predictor
from brainsift.training import networks, pretrained
from brainsift.training.cache import cached_pixels

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def in_int8(small_run, tmp_path_factory):
    return quantize_run(small_run, tmp_path_factory.mktemp("int8") / "run", cache=small_run.parent / "cache")


def test_it_predicts_nearly_the_same(small_run, in_int8):
    whole, small = (pd.read_csv(run / "predictions.csv") for run in (small_run, in_int8))
    assert list(whole["path"]) == list(small["path"])
    assert np.corrcoef(whole["logit"], small["logit"])[0, 1] > 0.97
    assert (whole["logit"] != small["logit"]).any()


def test_fused_operators_return_what_single_ones_do(small_run, in_int8, tmp_path, monkeypatch):
    monkeypatch.setattr(quantization, "fuse", shutil.copyfile)
    single = quantize_run(small_run, tmp_path / "run", cache=small_run.parent / "cache")
    assert (single / "predictions.csv").read_bytes() == (in_int8 / "predictions.csv").read_bytes()
    kinds = [{node.op_type for node in onnx.load(run / "network.onnx").graph.node} for run in (single, in_int8)]
    assert "QLinearConv" in kinds[1] - kinds[0]
    images = torch.rand(4, 1, 64, 64)
    logits = []
    for run in (single, in_int8):  # and both are read again alike
        heir = networks.build("compact", size=64).eval()
        pretrained.load(heir, "compact", str(run / "network.onnx"), images)
        with torch.no_grad():
            logits.append(heir(images))
    assert torch.allclose(*logits, atol=1e-3)


def test_weights_have_seven_bits(in_int8):
    network = onnx.load(in_int8 / "network.onnx")
    kernels = [onnx.numpy_helper.to_array(one) for one in network.graph.initializer if one.data_type == 3]
    kernels = [one for one in kernels if one.ndim == 4]
    assert len(kernels) > 10
    assert max(np.abs(one.astype(int)).max() for one in kernels) <= 64


def test_the_bundle_predicts_as_the_run_in_int8_did(in_int8, small_run, tmp_path):
    evaluate_run(in_int8)
    bundle = export_run(in_int8, tmp_path / "bundle", cache=small_run.parent / "cache")
    assert bundle.facts.environment["inference"] == "INT8"
    rows = pd.read_csv(in_int8 / "predictions.csv", keep_default_na=False)
    table = pd.read_csv(in_int8 / "split.csv", keep_default_na=False, dtype={"channel": str, "mask": str})
    table = table[table["part"] != ""].reset_index(drop=True)
    pixels, places = cached_pixels(table, small_run.parent / "cache", size=bundle.size)
    predicted = Predictor(bundle, threads=1).probabilities(np.asarray(pixels[places[:8]]))
    logits = rows["logit"].to_numpy()[:8] / bundle.temperature
    assert np.allclose(predicted, 1 / (1 + np.exp(-logits)), atol=0.02)


def test_a_finished_one_is_left_as_it_is(small_run, in_int8):
    before = (in_int8 / "network.onnx").stat().st_mtime_ns
    assert quantize_run(small_run, in_int8) == in_int8
    assert (in_int8 / "network.onnx").stat().st_mtime_ns == before


def test_a_run_in_int8_is_not_quantized_again(in_int8, tmp_path):
    with pytest.raises(RunError, match="INT8 already"):
        quantize_run(in_int8, tmp_path / "again")
    assert not (tmp_path / "again").exists()
