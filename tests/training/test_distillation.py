"""Teachers: what they predict, and that a network learns it, whatever the labels say."""

import numpy as np
import pandas as pd
import pytest
import torch

from brainsift.core.errors import BundleError
from brainsift.inference.bundle import load_bundle
from brainsift.inference.predictor import Predictor
from brainsift.training.augment import to_input
from brainsift.training.distillation import Teachers, blend
from brainsift.training.recipes import make_config
from brainsift.training.runs import load_run
from brainsift.training.train import train

pytestmark = pytest.mark.slow

PIXELS = torch.randint(0, 255, (3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def test_they_predict_what_the_bundle_predicts(bundle_folder):
    taught, tumor_map = Teachers([str(bundle_folder)], threads=1).predict(to_input(PIXELS))
    expected = Predictor(load_bundle(bundle_folder), threads=1).probabilities(PIXELS.numpy())
    assert np.allclose(taught.numpy(), expected, atol=1e-5)
    assert tumor_map.shape == (3, 1, 4, 4)
    assert tumor_map.min() >= 0 and tumor_map.max() <= 1


def test_several_are_averaged_as_logits(bundle_folder, tmp_path):
    cold = tmp_path / "cold"
    cold.mkdir()
    for file in bundle_folder.iterdir():
        (cold / file.name).write_bytes(file.read_bytes())
    text = (cold / "bundle.json").read_text()
    temperature = load_bundle(bundle_folder).temperature
    (cold / "bundle.json").write_text(
        text.replace(f'"temperature": {temperature}', f'"temperature": {temperature / 3}')
    )
    one, _ = Teachers([str(bundle_folder)], threads=1).predict(to_input(PIXELS))
    both, _ = Teachers([str(bundle_folder), str(cold)], threads=1).predict(to_input(PIXELS))
    assert torch.allclose(both.logit(), 2 * one.logit(), atol=1e-4)  # the mean of 1 and 3 times the logit


def test_a_share_of_the_loss_is_theirs():
    logits, taught, own = torch.tensor([0.3, -2.0]), torch.tensor([0.9, 0.2]), torch.tensor(5.0)
    theirs = -(taught * logits.sigmoid().log() + (1 - taught) * (-logits).sigmoid().log()).mean()
    assert torch.allclose(blend(own, taught, logits, 0.25), 0.75 * own + 0.25 * theirs)


def test_a_pupil_learns_what_its_teacher_predicts(parted, small_run, bundle_folder, tmp_path):
    """With labels that are swapped and count for nothing, it agrees with its teacher all the same."""
    swapped = parted.copy()
    learned = swapped["part"] == "train"
    swapped.loc[learned, "label"] = 1 - swapped.loc[learned, "label"]
    plain = {"size": 32, "batch_size": 8, "threads": 1, "precision": "fp32", "augment": 0.0, "keep_best": False}
    config = make_config("compact", **plain, epochs=8, teachers=(str(bundle_folder),), taught=1.0)
    run = train(swapped, config, tmp_path / "run", cache=small_run.parent / "cache")
    assert load_run(run)[1] == config
    pupil, teacher = (pd.read_csv(folder / "predictions.csv").set_index("path") for folder in (run, small_run))
    learned = pupil.index[pupil["part"] == "train"]
    assert np.corrcoef(pupil["logit"][learned], teacher["logit"][learned])[0, 1] > 0.7


def test_a_teacher_that_is_not_there_claims_no_folder(parted, tmp_path):
    with pytest.raises(BundleError):
        train(parted, make_config("compact", size=32, teachers=(str(tmp_path / "none"),)), tmp_path / "run")
    assert not (tmp_path / "run").exists()
