"""From a run folder to a bundle."""

import io
import logging
import warnings
from contextlib import redirect_stdout
from pathlib import Path

import torch

from brainsift import intensity
from brainsift.bundle import Bundle, load_bundle, write_bundle
from brainsift.errors import RunError
from brainsift.files import read_json, replacing
from brainsift.runs import load_run

_PROVENANCE = ("accuracy", "balanced_accuracy", "sensitivity", "specificity", "roc_auc", "calibration_error")


def export_run(run: Path, folder: Path) -> Bundle:
    """Makes a bundle of a finished and evaluated run.

    Args:
        run: its folder.
        folder: of the bundle.

    Raises:
        RunError: the run is not finished or not evaluated.
    """
    model, config = load_run(run)
    if not (run / "results.json").exists():
        raise RunError(run, "has no results.json", "Run `brainsift evaluate` on it first.")
    results = read_json(run / "results.json")
    folder.mkdir(parents=True, exist_ok=True)
    channels = 1 if config.preprocessing == "standard" else 3
    _write_onnx(model, torch.rand(2, channels, config.size, config.size), folder / "network.onnx")
    bundle = Bundle(
        folder=folder,
        name=config.model,
        preprocessing=config.preprocessing,
        size=config.size,
        temperature=results["temperature"],
        thresholds=results["thresholds"] | {"even": results["threshold"]},
        provenance={
            "config": read_json(run / "config.json"),
            "environment": read_json(run / "environment.json"),
            "intensity_version": intensity.VERSION,
            "test": {name: results["test"]["scores"][name] for name in _PROVENANCE} if results["test"] else None,
        },
    )
    write_bundle(bundle)
    return load_bundle(folder)


def _write_onnx(model: torch.nn.Module, example: torch.Tensor, path: Path) -> None:
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings(), redirect_stdout(io.StringIO()), replacing(path) as temporary:
        warnings.simplefilter("ignore")
        torch.onnx.export(
            model,
            (example,),
            temporary,
            input_names=["images"],
            output_names=["logits"],
            dynamic_shapes={"images": {0: torch.export.Dim("n", min=1, max=4096)}},
            dynamo=True,
            external_data=False,
        )
