"""The folder of a run: its settings, its network, and the prediction for each image.

config.json, split.csv, environment.json   settings, images and machine
curve.csv, weights.safetensors             training curve and network
network.onnx                               instead of these, in a run in INT8 (see `deployment.quantization`)
predictions.csv                            logit of each image of train, validation and test
external.csv                               the same for images of other collections
results.json                               written by `evaluate`
"""

import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from safetensors.torch import load_file, save
from torch import Tensor, nn

from brainsift.core.errors import RunError, SourceError
from brainsift.core.files import read_json, sha256_of, write_bytes, write_json
from brainsift.datasets.manifest import read_manifest, write_manifest
from brainsift.images.masks import mask_sha256
from brainsift.training import devices, networks
from brainsift.training.augment import to_input
from brainsift.training.cache import cached_pixels
from brainsift.training.exported import ExportedNetwork
from brainsift.training.recipes import TrainConfig

PREDICTION_COLUMNS = (
    "path",
    "channel",
    "source",
    "contrast",
    "plane",
    "label",
    "patient",
    "group",
    "part",
    "logit",
    "probability",
)
# These may differ between two starts of one run.
_FREE_SETTINGS = ("threads", "device", "log")


def is_claimed(record: Path, wanted: Mapping[str, Any], what: str, defaults: Mapping[str, Any] | None = None) -> bool:
    """Tells whether the record of settings of a folder exists, and makes sure that it holds the wanted ones.

    Args:
        record: a JSON file.
        wanted: the settings.
        what: the folder holds, for the error.
        defaults: values of settings that a record lacks because it is older; those of `TrainConfig` are known.

    Raises:
        RunError: it holds other settings.
    """
    if not record.exists():
        return False
    found = {**asdict(TrainConfig()), **(defaults or {}), **read_json(record)}
    asked = {name: list(value) if isinstance(value, tuple) else value for name, value in wanted.items()}
    found = {name: list(value) if isinstance(value, tuple) else value for name, value in found.items()}
    changed = [name for name in asked if name not in _FREE_SETTINGS and found.get(name) != asked[name]]
    if changed:
        raise RunError(
            record.parent, f"holds {what} with other settings: {', '.join(changed)}", "Choose another folder."
        )
    return True


def claim(folder: Path, wanted: dict[str, Any], table: pd.DataFrame, what: str = "a run") -> None:
    """Writes settings and images of a run (or search), or makes sure that the folder holds this very run.

    Args:
        folder: of the run.
        wanted: its settings.
        table: its images with their labels, subsets and masks.
        what: the folder holds, for the error.

    Raises:
        RunError: it holds another one.
    """
    masks = _masks_sha256(table)
    if is_claimed(folder / "config.json", wanted, what):
        before, now = (
            one[["sha256", "part", "label"]].reset_index(drop=True).astype({"sha256": str, "part": str, "label": float})
            for one in (read_manifest(folder / "split.csv"), table)
        )
        if not before.equals(now):
            rule = f"holds {what} on other images, with other labels or another split"
            raise RunError(folder, rule, "Use another folder.")
        if read_json(folder / "config.json").get("masks_sha256", masks) != masks:
            raise RunError(folder, f"holds {what} with other segmentation masks", "Use another folder.")
        return
    write_manifest(table, folder / "split.csv")
    write_json(folder / "config.json", {**wanted, "masks_sha256": masks})


def _masks_sha256(table: pd.DataFrame) -> str:
    """Returns a hash of all masks, also of one that is missing: whether it is needed is not known here."""
    hashes = []
    for reference in table["mask"]:
        try:
            hashes.append(mask_sha256(reference))
        except SourceError:
            hashes.append("missing")
    return sha256_of("\n".join(hashes).encode())


def cache_of(run: Path) -> Path:
    """Returns the folder of preprocessed pixels of a run: ``cache`` beside it, or beside a study's folder of runs."""
    beside = (run.resolve().parent / "cache", run.resolve().parent.parent / "cache")
    return next((folder for folder in beside if folder.is_dir()), beside[0])


def pixels_of(
    table: pd.DataFrame, run: Path, config: TrainConfig, cache: str | Path | None = None
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    """Returns what `cache.cached_pixels` does, as a run takes its images.

    Args:
        table: the images, as in `read_split`.
        run: its folder.
        config: its settings.
        cache: of preprocessed pixels; None for that of `cache_of`.
    """
    return cached_pixels(
        table, Path(cache) if cache else cache_of(run), preprocessing=config.preprocessing, size=config.size
    )


def build_network(config: TrainConfig) -> networks.Classifier:
    """Builds the network of a configuration, with fresh weights."""
    return networks.build(
        config.model,
        dropout=config.dropout,
        size=config.size,
        in_channels=1 if config.preprocessing == "standard" else 3,
        twice_preprocessed=config.recipe == "baseline",
    )


def finish(
    folder: Path,
    table: pd.DataFrame,
    model: networks.Classifier,
    pixels: npt.NDArray[np.uint8],
    rows: npt.NDArray[np.int64],
) -> None:
    """Writes the network and its predictions, and deletes the checkpoint."""
    weights = {key: value.contiguous().cpu() for key, value in model.state_dict().items()}
    write_bytes(folder / "weights.safetensors", save(weights))
    write_predictions(folder / "predictions.csv", table, model, pixels, rows)
    (folder / "checkpoint.pt").unlink(missing_ok=True)


def finish_exported(
    folder: Path, origin: Path, made: Mapping[str, Any], pixels: npt.NDArray[np.uint8], rows: npt.NDArray[np.int64]
) -> None:
    """Writes what makes a folder with a network.onnx a run: settings, split and machine of its origin, and predictions.

    Args:
        folder: of the new run.
        origin: the run that its network was made of.
        made: how, for environment.json.
        pixels: of `cached_pixels`.
        rows: for each row of the split its place therein.
    """
    for name in ("config.json", "split.csv"):
        shutil.copyfile(origin / name, folder / name)
    write_json(folder / "environment.json", {**read_json(origin / "environment.json"), **made})
    network = ExportedNetwork(folder / "network.onnx")
    write_predictions(folder / "predictions.csv", read_split(folder), network, pixels, rows)


def is_made_of(folder: Path, how: str, sources: Sequence[Path]) -> bool:
    """Tells whether a folder holds the finished run whose network is made of others.

    Args:
        folder: of the run.
        how: "pruned", "quantized" or "averaged".
        sources: folders of the runs and bundles that hold the others.

    Raises:
        RunError: it holds another run, or one of the others is not finished.
    """
    if not (folder / "predictions.csv").exists():
        return False
    if read_json(folder / "environment.json").get("made of") != made_of(how, sources):
        names = " and ".join(str(one) for one in sources)
        raise RunError(folder, f"holds a run that is not {names}, {how}", "Choose another folder.")
    return True


def made_of(how: str, sources: Sequence[Path]) -> list[str]:
    """Returns what environment.json says under `made of`: how, and the SHA-256 of each network."""
    return [how, *(sha256_of(_network_file(folder).read_bytes()) for folder in sources)]


def _network_file(folder: Path) -> Path:
    found = (folder / name for name in ("network.onnx", "weights.safetensors"))
    path = next((one for one in found if one.exists()), None)
    if path is None:
        raise RunError(folder, "holds no finished run", "Start `brainsift train` again with the same -o.")
    return path


def in_words(folder: Path) -> str:
    """Says which network a run holds."""
    model, environment = read_json(folder / "config.json")["model"], read_json(folder / "environment.json")
    averaged = environment.get("mean of", ())
    return f"{model} {environment['commit']}" + (f" (the mean of {len(averaged)} networks)" if averaged else "")


def load_run(folder: Path) -> tuple[networks.Classifier | ExportedNetwork, TrainConfig]:
    """Loads the network of a run folder, ready to predict: the trained one, or the one in INT8.

    Raises:
        RunError: the run is not finished.
    """
    in_int8 = _network_file(folder).name == "network.onnx"
    saved = read_json(folder / "config.json")
    config = TrainConfig(**{field.name: saved[field.name] for field in fields(TrainConfig) if field.name in saved})
    if in_int8:
        return ExportedNetwork(folder / "network.onnx", threads=config.threads), config
    model = build_network(config)
    try:
        model.load_state_dict(load_file(folder / "weights.safetensors"))
    except RuntimeError:
        raise RunError(
            folder, f"holds weights of another {config.model}", "Train it again with this version."
        ) from None
    return model.eval(), config


def read_split(folder: Path) -> pd.DataFrame:
    """Reads the manifest that a run was trained on, with the column `part`.

    Raises:
        RunError: it is no run folder.
    """
    if not (folder / "split.csv").is_file():
        raise RunError(folder, "is no run folder", "Give one that `brainsift train` wrote.")
    return read_manifest(folder / "split.csv")


@torch.inference_mode()
def predict_logits(model: nn.Module, images: Tensor, *, bf16: bool = False, batch_size: int = 128) -> Tensor:
    """Returns the logits of uint8 images (n, size, size[, 3]), float32 (n,), on the CPU."""
    device = next((one.device for one in model.parameters()), torch.device("cpu"))
    model.eval()
    logits = []
    for start in range(0, len(images), batch_size):
        with devices.autocast(device, bf16):
            logits.append(model(to_input(images[start : start + batch_size].to(device))).float().cpu())
    return torch.cat(logits) if logits else torch.zeros(0)


def predict_external(table: pd.DataFrame, folder: Path, *, cache: Path) -> Path:
    """Scores external images with a finished run, into external.csv of its folder.

    Args:
        table: audited manifest; its rows get the value "external" in the column `part`.
        folder: of the run.
        cache: folder of preprocessed pixels.

    Returns:
        The path of external.csv, which is written anew unless it holds these very images.

    Raises:
        RunError: the run is not finished.
    """
    path = folder / "external.csv"
    table = table.assign(part="external")
    model, config = load_run(folder)
    pixels, rows = cached_pixels(table, cache, preprocessing=config.preprocessing, size=config.size)
    if not (path.exists() and _images(read_manifest(path)) == _images(table[rows >= 0])):
        write_predictions(path, table, model, pixels, rows)
    return path


def _images(table: pd.DataFrame) -> list[tuple[str, str, str]]:
    columns = (table["path"].map(os.path.normpath), table["channel"], table["label"].astype(float).astype(str))
    return list(zip(*columns, strict=True))


def write_predictions(
    path: Path, table: pd.DataFrame, model: nn.Module, pixels: npt.NDArray[np.uint8], rows: npt.NDArray[np.int64]
) -> None:
    """Writes what a network predicts for the images of a manifest that have pixels; see `cache.cached_pixels`."""
    seen = table[rows >= 0].copy()
    places, place_of = np.unique(rows[rows >= 0], return_inverse=True)
    logits = predict_logits(model, torch.from_numpy(np.asarray(pixels[places]))).numpy()[place_of]
    seen["logit"] = logits.astype(np.float64).round(6)
    seen["probability"] = (1 / (1 + np.exp(-seen["logit"]))).round(6)
    write_manifest(seen[list(PREDICTION_COLUMNS)], path)
