"""Training: it learns, it repeats itself, it survives `kill -9`, and it runs in several processes."""

import json
import os
import shutil
import signal
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from brainsift.core.errors import InputError, ManifestError, RunError, UsageError
from brainsift.datasets.manifest import read_manifest, write_manifest
from brainsift.training import networks, pretrained
from brainsift.training.augment import to_input
from brainsift.training.recipes import make_config
from brainsift.training.runs import load_run, predict_external, predict_logits
from brainsift.training.sampling import sampling_weights
from brainsift.training.train import train

SMALL = {"size": 32, "batch_size": 8, "threads": 1, "precision": "fp32"}
RUN_FILES = {
    "config.json",
    "split.csv",
    "environment.json",
    "curve.csv",
    "weights.safetensors",
    "predictions.csv",
}


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


def small(model="compact", **settings):
    return make_config(model, **{**SMALL, "epochs": 2, **settings})


def weights(folder):
    return load_file(folder / "weights.safetensors")


@pytest.fixture(scope="module")
def trained(parted, cache, tmp_path_factory):
    """A run folder with the settings of `small`, for tests that leave it as it is."""
    return train(parted, small(), tmp_path_factory.mktemp("trained") / "run", cache=cache)


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


@pytest.mark.slow
def test_a_run_folder_holds_all_that_is_needed_to_do_it_again(parted, trained):
    assert {path.name for path in trained.iterdir()} == RUN_FILES
    predictions = pd.read_csv(trained / "predictions.csv", keep_default_na=False)
    used = parted[parted["part"] != ""]
    assert predictions["part"].value_counts().to_dict() == used["part"].value_counts().to_dict()
    assert np.allclose(predictions["probability"], 1 / (1 + np.exp(-predictions["logit"])), atol=1e-5)
    model, config = load_run(trained)
    assert config == small()
    assert not model.training


@pytest.mark.slow
def test_it_learns_the_training_part(parted, cache, tmp_path):
    config = small(size=64, epochs=12, augment=0.0, learning_rate=3e-3, label_smoothing=0.0)
    folder = train(parted, config, tmp_path / "run", cache=cache)
    curve = pd.read_csv(folder / "curve.csv")
    assert curve["train_loss"].iloc[-1] < 0.5 * curve["train_loss"].iloc[0]
    best = curve["validation_loss"].min()
    predictions = pd.read_csv(folder / "predictions.csv", keep_default_na=False)
    validation = predictions[predictions["part"] == "validation"]
    losses = np.logaddexp(0, np.where(validation["label"] == 1, -validation["logit"], validation["logit"]))
    loss = np.average(losses, weights=sampling_weights(validation))
    assert loss == pytest.approx(best, abs=1e-3)  # the best weights were kept


@pytest.mark.slow
def test_same_seed_same_weights_another_seed_others(parted, cache, tmp_path):
    one, two, other = (
        weights(train(parted, small(seed=seed), tmp_path / name, cache=cache))
        for name, seed in (("one", 1), ("two", 1), ("other", 2))
    )
    assert same(one, two)
    assert not same(one, other)


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs processes of POSIX")
def test_killed_at_any_moment_it_ends_with_the_same_weights(parted, cache, tmp_path):
    """Processes are killed with SIGKILL in the middle of training, one after the other; the last one ends it."""
    write_manifest(parted, tmp_path / "split.csv")
    config = small(epochs=4)
    undisturbed = weights(train(parted, config, tmp_path / "undisturbed", cache=cache))
    script = f"""if True:
        import os, pathlib, signal
        from transformers import MobileNetV2Model
        from brainsift.datasets.manifest import read_manifest
        from brainsift.training.recipes import make_config
        from brainsift.training.train import train

        folder = pathlib.Path({str(tmp_path)!r})
        table, config = read_manifest(folder / "split.csv"), make_config("compact", **{ {**SMALL, "epochs": 4}!r})
        for stop_after in (2, 8, 8, 1000):  # steps of one process; an epoch has about 5
            if (process := os.fork()) == 0:  # so that the packages are imported once
                left = iter(range(stop_after - 1))
                report = lambda _: next(left, None) is None and os.kill(os.getpid(), signal.SIGKILL)
                train(table, config, folder / "killed", cache=pathlib.Path({str(cache)!r}), report=report)
                os._exit(0)
            ended = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
            print(ended, (folder / "killed" / "predictions.csv").exists(), flush=True)
    """
    done = subprocess.run([sys.executable, "-c", script], check=True, stdout=subprocess.PIPE, text=True)
    assert done.stdout.splitlines() == [*[f"{-signal.SIGKILL.value} False"] * 3, "0 True"]
    assert same(undisturbed, weights(tmp_path / "killed"))
    assert (tmp_path / "killed" / "curve.csv").read_text().count("\n") == 5


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="needs limits of POSIX")
def test_no_room_for_the_checkpoint_is_told_in_words_and_leaves_nothing_half_written(parted, trained, cache, tmp_path):
    write_manifest(parted, tmp_path / "split.csv")
    script = (
        "import resource, sys\nfrom brainsift.cli.main import main\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, 500_000))\nsys.exit(main(sys.argv[1:]))\n"
    )
    flags = [word for name, value in SMALL.items() for word in (f"--{name.replace('_', '-')}", str(value))]
    words = [
        "train",
        str(tmp_path / "split.csv"),
        "-o",
        str(tmp_path / "run"),
        "--cache",
        str(cache),
        "--epochs",
        "2",
        *flags,
    ]
    full = subprocess.run([sys.executable, "-c", script, *words], capture_output=True, text=True, check=False)
    assert full.returncode == 3 and "Traceback" not in full.stderr
    assert "File too large" in full.stderr and "Make room" in full.stderr
    assert not [path.name for path in (tmp_path / "run").iterdir() if path.name[0] == "." or path.suffix == ".pt"]
    subprocess.run([sys.executable, "-m", "brainsift", *words], check=True, capture_output=True)
    assert same(weights(trained), weights(tmp_path / "run"))


@pytest.mark.slow
def test_a_finished_run_is_not_trained_again(parted, trained, cache):
    before = (trained / "weights.safetensors").stat().st_mtime_ns
    train(parted, small(), trained, cache=cache, on_epoch=lambda row: pytest.fail("trained again"))
    assert (trained / "weights.safetensors").stat().st_mtime_ns == before


@pytest.mark.slow
def test_a_folder_of_another_run_is_refused(parted, trained, cache):
    with pytest.raises(RunError, match="learning_rate"):
        train(parted, small(learning_rate=1e-5), trained, cache=cache)
    other = parted.copy()
    other["part"] = other["part"].replace({"test": "train"})
    with pytest.raises(RunError, match="another split"):
        train(other, small(), trained, cache=cache)
    corrected, first = parted.copy(), parted.index[parted["part"] == "train"][0]
    corrected.loc[first, "label"] = 1 - corrected.loc[first, "label"]
    with pytest.raises(RunError, match="other labels"):
        train(corrected, small(), trained, cache=cache)
    without = parted.assign(mask="")
    with pytest.raises(RunError, match="other segmentation masks"):
        train(without, small(), trained, cache=cache)


def test_a_part_without_a_class_is_refused(parted, cache, tmp_path):
    table = parted[(parted["label"] == 1) | (parted["part"] != "validation")]
    with pytest.raises(ManifestError, match="validation set"):
        train(table, small(), tmp_path / "run", cache=cache)


def test_a_loss_that_is_not_finite_ends_the_run(parted, cache, tmp_path):
    with pytest.raises(RunError, match=r"loss of epoch 1 is nan at the learning rate 1e.*smaller --learning-rate"):
        train(parted, small("baseline-cnn", size=48, learning_rate=1e30), tmp_path / "run", cache=cache)


def test_external_images_are_scored_anew_where_they_are_others(small_run, parted, tmp_path):
    run, cache = shutil.copytree(small_run, tmp_path / "run"), small_run.parent / "cache"
    first, others = parted.iloc[:4], parted.iloc[4:8]
    written = predict_external(first, run, cache=cache).stat().st_mtime_ns
    assert predict_external(first, run, cache=cache).stat().st_mtime_ns == written
    for table in (others, others.assign(channel="G")):
        found = read_manifest(predict_external(table, run, cache=cache))
        assert found[["path", "channel"]].to_numpy().tolist() == table[["path", "channel"]].to_numpy().tolist()


@pytest.mark.slow
def test_early_stopping_counts_epochs_without_progress(parted, cache, tmp_path):
    config = small(epochs=9, patience=2, best_before=0.0)
    folder = train(parted, config, tmp_path / "run", cache=cache)
    assert len(pd.read_csv(folder / "curve.csv")) == 2


@pytest.mark.slow
@pytest.mark.parametrize("model", ["baseline-cnn", "mobilenet", "resnet50"])
def test_the_baseline_recipe_runs(parted, cache, tmp_path, model):
    config = make_config(model, "baseline", **{**SMALL, "size": 48, "epochs": 1, "weights": "none"})
    folder = train(parted, config, tmp_path / "run", cache=cache)
    network, _ = load_run(folder)
    norms = [module.momentum for module in network.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    assert norms or model == "baseline-cnn"
    assert pd.read_csv(folder / "predictions.csv")["logit"].notna().all()


@pytest.mark.slow
def test_progressive_sizes_and_bf16_run(parted, cache, tmp_path):
    config = small(size=64, progressive=True, epochs=4, precision="bf16")
    folder = train(parted, config, tmp_path / "run", cache=cache)
    assert len(pd.read_csv(folder / "curve.csv")) == 4


@pytest.mark.slow
def test_tensorboard_gets_the_curve(parted, cache, tmp_path):
    pytest.importorskip("tensorboard", reason="needs log: pip install 'brainsift[log]'")
    folder = train(parted, small(log="tensorboard"), tmp_path / "run", cache=cache)
    assert any((folder / "tensorboard").iterdir())


@pytest.mark.slow
@pytest.mark.usefixtures("trained")  # it fills the cache
def test_several_processes_agree_through_torchs_launcher(parted, cache, tmp_path):
    write_manifest(parted, tmp_path / "split.csv")
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command += [
        "-m",
        "brainsift",
        "train",
        str(tmp_path / "split.csv"),
        "-o",
        str(tmp_path / "two"),
        "--cache",
        str(cache),
    ]
    command += ["--size", "32", "--batch-size", "8", "--threads", "1", "--precision", "fp32", "--epochs", "2"]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )
    assert done.returncode == 0, done.stderr[-2000:]
    model, _ = load_run(tmp_path / "two")
    assert torch.isfinite(predict_logits(model, torch.zeros(2, 32, 32, dtype=torch.uint8))).all()
    assert len(pd.read_csv(tmp_path / "two" / "curve.csv")) == 2


@pytest.mark.slow
def test_interrupting_leaves_a_run_that_goes_on(parted, cache, tmp_path):
    def stop(row):
        if row["epoch"] == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(parted, small(epochs=3), tmp_path / "run", cache=cache, on_epoch=stop)
    epochs = []
    train(parted, small(epochs=3), tmp_path / "run", cache=cache, on_epoch=lambda row: epochs.append(row["epoch"]))
    assert epochs == [2, 3]


@pytest.mark.slow
def test_the_release_recipe_trains_and_repeats_itself(parted, cache, tmp_path):
    often = {"transplant": 1.0, "strip": 0.5, "drawn": 0.5, "letters": 0.5, "findings": 1.0, "reframed": 1.0}
    settings = make_config("compact", "release", **SMALL, epochs=2, epoch_images=64, **often)
    first, again = (train(parted, settings, tmp_path / name, cache=cache) for name in ("first", "again"))
    assert same(weights(first), weights(again))
    curve = pd.read_csv(first / "curve.csv")
    assert len(curve) == 2 and np.isfinite(curve["train_loss"]).all()


@pytest.mark.slow
def test_frozen_blocks_keep_their_imagenet_weights(parted, cache, tmp_path):
    before = networks.build("compact", size=32)
    images = to_input(torch.randint(0, 255, (16, 32, 32), dtype=torch.uint8))
    pretrained.load(before, "compact", "auto", images)
    before = before.state_dict()
    frozen, free = (train(parted, small(frozen=n), tmp_path / str(n), cache=cache) for n in (3, 0))
    kernel = "body.model.layer.1.conv_3x3.convolution.weight"
    later = "body.model.layer.2.conv_3x3.convolution.weight"
    assert torch.equal(weights(frozen)[kernel], before[kernel])
    assert not torch.equal(weights(frozen)[later], before[later])
    assert not torch.equal(weights(free)[kernel], before[kernel])


@pytest.mark.slow
def test_validation_counts_copies_as_training_does(parted, cache, tmp_path):
    """A group of copies may not end the training by its number."""
    validation = parted.index[parted["part"] == "validation"]
    copies = parted.copy()
    copies.loc[validation[: len(validation) // 2], "group"] = "copies"
    losses = {}
    for sampling in ("images", "balanced"):
        settings = small(epochs=1, sampling=sampling)
        for name, table in (("alone", parted), ("copies", copies)):
            folder = train(table, settings, tmp_path / f"{sampling}-{name}", cache=cache)
            losses[sampling, name] = pd.read_csv(folder / "curve.csv")["validation_loss"].iloc[0]
    assert losses["images", "alone"] == losses["images", "copies"]
    assert losses["balanced", "alone"] != losses["balanced", "copies"]


def test_what_is_not_here_claims_no_folder(parted, cache, tmp_path):
    for wrong, error in ({"weights": str(tmp_path / "none.npz")}, InputError), ({"device": "cuda:99"}, UsageError):
        with pytest.raises(error, match=r"none\.npz|cuda:99"):
            train(parted, small(**wrong), tmp_path / "run", cache=cache)
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_a_record_without_a_later_setting_means_its_default(parted, trained, cache, tmp_path):
    folder = shutil.copytree(trained, tmp_path / "run")
    record = json.loads((folder / "config.json").read_text())
    del record["transplant"]
    (folder / "config.json").write_text(json.dumps(record))
    assert train(parted, small(), folder, cache=cache) == folder
    assert load_run(folder)[1] == small()
    with pytest.raises(RunError, match="transplant"):
        train(parted, small(transplant=0.5), folder, cache=cache)
