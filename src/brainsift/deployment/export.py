"""From a run folder to a bundle.

Large weights are stored in float16 and turned into float32 when the network is loaded, which halves the file; small
tensors, whose rounding would be felt most, stay as they are.
"""

import io
import logging
import warnings
from contextlib import redirect_stdout
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pandas as pd
import torch
from sklearn.covariance import LedoitWolf
from torch import Tensor, nn

from brainsift.core.errors import RunError
from brainsift.core.files import read_json, replacing, sha256_of
from brainsift.evaluation import evaluate
from brainsift.images.preprocess import network_input
from brainsift.inference.bundle import Bundle, load_bundle, write_bundle
from brainsift.inference.familiarity import Familiarity
from brainsift.stats import calibration, metrics
from brainsift.training import networks
from brainsift.training.cache import cached_pixels
from brainsift.training.recipes import TrainConfig
from brainsift.training.runs import cache_of, load_run, read_split

_SCORES = ("accuracy", "balanced_accuracy", "sensitivity", "specificity", "roc_auc", "calibration_error")
_KNOWN = 0.997  # share of the validation part that counts as known
_HALVED = 16_384  # elements from which on a tensor of weights is stored in float16
_FURTHER = 1.15  # slices of a source never seen lie further out than those of validation


def export_run(run: Path, folder: Path, *, cache: Path | None = None) -> Bundle:
    """Makes a bundle of a finished and evaluated run.

    Args:
        run: its folder.
        folder: of the bundle.
        cache: of preprocessed pixels; by default that of `runs.cache_of`.

    Raises:
        RunError: the run is not finished or not evaluated.
    """
    model, config = load_run(run)
    if not (run / "results.json").exists():
        raise RunError(run, "has no results.json", "Run `brainsift evaluate` on it first.")
    results, table = read_json(run / "results.json"), evaluate.calibrated_predictions(run)
    folder.mkdir(parents=True, exist_ok=True)
    channels = 1 if config.preprocessing == "standard" else 3
    _write_onnx(model, config, torch.rand(2, channels, config.size, config.size), folder / "network.onnx")
    split = read_split(run)
    (folder / "scope.npz").unlink(missing_ok=True)
    if networks.draws_map(config.model):
        known = _familiarity(split, config, folder / "network.onnx", cache or cache_of(run))
        if known is not None:
            known.save(folder / "scope.npz")
    validation = table[table["part"] == "validation"]
    labels = validation["label"]
    bundle = Bundle(
        folder=folder,
        name=config.model,
        preprocessing=config.preprocessing,
        size=config.size,
        temperature=results["temperature"],
        thresholds=results["thresholds"] | {"even": results["threshold"]},
        sensitivities=calibration.sensitivities(labels, validation["probability"]),
        margins=calibration.margins(labels, validation["logit"] / results["temperature"], validation["group"]),
        provenance={
            "config": read_json(run / "config.json"),
            "environment": read_json(run / "environment.json"),
            "data": _data(split),
            "data_sha256": sha256_of("\n".join(sorted(split["sha256"])).encode()),
            "test": {name: results["test"]["scores"][name] for name in _SCORES} if results["test"] else None,
            "leaky": results["leaky"],
            "figures": _figures(table, results["thresholds"]["balanced"]),
            "maps": read_json(run / "maps.json") if (run / "maps.json").exists() else {},
        },
    )
    write_bundle(bundle)
    return load_bundle(folder)


def _data(split: pd.DataFrame) -> list[dict[str, Any]]:
    """Counts images and groups of each part, by source, contrast and label."""
    keys = ["source", "contrast", "label", "part"]
    counts = split.groupby(keys).agg(images=("path", "size"), groups=("group", "nunique")).reset_index()
    return counts.to_dict("records")


def _figures(table: pd.DataFrame, threshold: float) -> list[dict[str, Any]]:
    """Scores the test part and external images at the threshold `balanced`, by source and contrast."""
    scored = table[table["part"].isin(("test", "external"))]
    found = []
    for (part, source, contrast), rows in scored.groupby(["part", "source", "contrast"]):
        intervals = metrics.score_intervals(rows["label"], rows["probability"], rows["group"], threshold=threshold)
        found.append(
            {
                "part": part,
                "source": f"{source} {contrast}".strip(),
                "n": len(rows),
                "n_tumor": int(rows["label"].sum()),
                "n_groups": int(rows["group"].nunique()),
                "scores": {name: intervals[name].to_dict() for name in _SCORES},
            }
        )
    return evaluate.without_nan(found)


class _WithMap(nn.Module):
    """Gives the logits, the map, and what the trunk sees on average at each level."""

    def __init__(self, model: networks.Classifier) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        body = self.model.body
        levels = body.levels(self.model.centred(images))  # type: ignore[operator]
        features, tumor_map = body.read(levels)  # type: ignore[operator]
        seen = torch.cat([level.mean(dim=(2, 3)) for level in levels], dim=1)
        return networks.log_odds(self.model.head(features)), tumor_map[:, 0], seen


def _familiarity(table: pd.DataFrame, config: TrainConfig, network: Path, cache: Path) -> Familiarity | None:
    """Fits what the features of known slices look like; None where there are fewer of them than features."""
    pixels, rows = cached_pixels(table, cache, preprocessing=config.preprocessing, size=config.size)
    session = onnxruntime.InferenceSession(str(network), providers=["CPUExecutionProvider"])
    parts = []
    for part in ("train", "validation"):
        places = np.unique(rows[((table["part"] == part) & (rows >= 0)).to_numpy()])
        batches = np.array_split(places, max(len(places) // 64, 1))
        inputs = ({"images": network_input(pixels[batch])} for batch in batches)
        parts.append(np.concatenate([session.run(["features"], one)[0] for one in inputs]))
    if len(parts[0]) < parts[0].shape[1]:
        return None
    spread = LedoitWolf().fit(parts[0])
    values, vectors = np.linalg.eigh(spread.precision_)
    factor = vectors * np.sqrt(np.clip(values, 0, None))
    known = Familiarity(spread.location_.astype(np.float32), factor.astype(np.float32), 0.0)
    limit = _FURTHER * float(np.quantile(known.distances(parts[1]), _KNOWN))
    return Familiarity(known.mean, known.factor, limit)


def _write_onnx(model: networks.Classifier, config: TrainConfig, example: Tensor, path: Path) -> None:
    mapped = networks.draws_map(config.model)
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings(), redirect_stdout(io.StringIO()), replacing(path) as temporary:
        warnings.simplefilter("ignore")
        torch.onnx.export(
            _WithMap(model).eval() if mapped else model,
            (example,),
            temporary,
            input_names=["images"],
            output_names=["logits", "tumor_map", "features"] if mapped else ["logits"],
            dynamic_shapes={"images": {0: torch.export.Dim("n", min=1, max=4096)}},
            dynamo=True,
            external_data=False,
        )
        network = onnx.load(temporary)
        _forget_sources(network)
        _halve_weights(network)
        onnx.save(network, temporary)


def _forget_sources(network: onnx.ModelProto) -> None:
    """Takes out what torch notes of the files that defined each node: paths of the machine, half a megabyte."""
    graph = network.graph
    for part in (network, graph, *graph.node, *graph.value_info, *graph.input, *graph.output, *graph.initializer):
        part.ClearField("metadata_props")
        part.ClearField("doc_string")


def _halve_weights(network: onnx.ModelProto) -> None:
    """Stores large weights in float16, each with a cast to float32, which ONNX Runtime does once, when it loads."""
    graph = network.graph
    for place, tensor in enumerate(graph.initializer):
        if tensor.data_type != onnx.TensorProto.FLOAT or prod(tensor.dims) < _HALVED:
            continue
        values, stored = onnx.numpy_helper.to_array(tensor), f"{tensor.name}_float16"
        if np.abs(values).max() > np.finfo(np.float16).max:
            continue
        cast = onnx.helper.make_node("Cast", [stored], [tensor.name], name=f"{stored}_cast", to=tensor.data_type)
        graph.node.insert(0, cast)
        graph.initializer[place].CopyFrom(onnx.numpy_helper.from_array(values.astype(np.float16), stored))
