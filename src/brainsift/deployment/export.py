"""From a run folder to a model bundle.

Large weights are stored in float16 and turned into float32 when the network is loaded, which halves the file; small
tensors, where rounding would matter most, stay as they are.
"""

import io
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from math import prod
from pathlib import Path

import numpy as np
import onnx
import pandas as pd
import torch
from torch import Tensor, nn

from brainsift.core.errors import RunError
from brainsift.core.files import read_json, replacing, sha256_of, write_bytes
from brainsift.deployment.kind_model import add_kinds
from brainsift.deployment.scope_fit import fit_familiarity
from brainsift.deployment.volume_fit import fit_volumes
from brainsift.evaluation.calibrated_run import CalibratedRun, calibrated_run
from brainsift.evaluation.localization import read_maps
from brainsift.evaluation.run_results import RunResults
from brainsift.inference.bundle import Bundle, load_bundle, write_bundle
from brainsift.inference.provenance import DataCount, Provenance
from brainsift.stats import calibration, metrics
from brainsift.stats.scores import MapScores, SourceScores
from brainsift.training import networks
from brainsift.training.exported import ExportedNetwork
from brainsift.training.recipes import TrainConfig
from brainsift.training.runs import cache_of, in_words, load_run, read_split

_SCORES = ("accuracy", "balanced_accuracy", "sensitivity", "specificity", "roc_auc", "calibration_error")
_HALVED = 16_384  # elements from which on a tensor of weights is stored in float16


def export_run(
    run: str | Path,
    output: str | Path,
    *,
    cache: str | Path | None = None,
    kinds: bool = False,
    measured: str | Path | None = None,
) -> Bundle:
    """Makes a model bundle of a finished and evaluated run: what `predict` and `serve` use, without PyTorch.

    Args:
        run: folder of the run.
        output: folder of the bundle.
        cache: of preprocessed pixels; by default that of `runs.cache_of`.
        kinds: whether the bundle tells the kind of tumor, too; see `kind_model.add_kinds`.
        measured: an evaluated run with a test set that this run was trained on, once it had been measured: the figures
            of the test set are then those of that run's network, and the card says so.

    Raises:
        RunError: the run is not finished or not evaluated, or the other run has no test set, or one whose images chose
            something here.
        ManifestError: ``kinds`` without images of at least two known kinds.

    Example:
        >>> import brainsift as bs
        >>> bundle = bs.export("run", "bundle")  # doctest: +SKIP
        >>> bs.Predictor(bundle).score("slice.png").decision  # doctest: +SKIP
        'no_tumor'
    """
    place, folder = Path(run), Path(output)
    model, config = load_run(place)
    if not (place / "results.json").exists():
        raise RunError(run, "has no results.json", "Run `brainsift evaluate` on it first.")
    calibrated, split = calibrated_run(place), read_split(place)
    tested, figures, maps = _figures(place, calibrated, None if measured is None else Path(measured))
    folder.mkdir(parents=True, exist_ok=True)
    if isinstance(model, ExportedNetwork):
        write_bytes(folder / "network.onnx", (place / "network.onnx").read_bytes())
    else:
        write_onnx(model, config, folder / "network.onnx")
    for name in ("scope.npz", "kinds.npz"):
        (folder / name).unlink(missing_ok=True)
    pixels = Path(cache) if cache else cache_of(place)
    if networks.draws_map(config.model):
        known = fit_familiarity(split, config, folder / "network.onnx", pixels)
        if known is not None:
            known.save(folder / "scope.npz")
    validation = calibrated.rows("validation")
    labels, temperature = validation["label"], calibrated.temperature
    series = fit_volumes(validation.assign(logit=validation["logit"] / temperature))
    settings = read_json(place / "config.json")
    # A bundle is published: nobody's folders stand in it.
    settings["weights"] = Path(settings["weights"]).name
    settings["teachers"] = [Path(teacher).name for teacher in settings.get("teachers", ())]
    provenance = Provenance(
        config=settings,
        environment=read_json(place / "environment.json"),
        data=_count_data(split),
        data_sha256=sha256_of("\n".join(sorted(split["sha256"])).encode()),
        test={name: tested.test.scores[name] for name in _SCORES} if tested.test else None,
        leaky=tested.leaky,
        figures=figures,
        maps=maps,
        measured=in_words(Path(measured)) if measured else "",
        volumes=series[1] if series else None,
    )
    write_bundle(
        Bundle(
            folder=folder,
            name=config.model,
            preprocessing=config.preprocessing,
            size=config.size,
            temperature=temperature,
            thresholds=calibrated.thresholds | {"even": calibration.EVEN},
            sensitivities=calibration.sensitivities(labels, validation["probability"]),
            margins=calibration.margins(labels, validation["logit"] / temperature, validation["group"]),
            volumes=series[0] if series else None,
            provenance=provenance.to_json(),
        )
    )
    return add_kinds(folder, split, pixels) if kinds else load_bundle(folder)


def _figures(
    run: Path, calibrated: CalibratedRun, measured: Path | None
) -> tuple[RunResults, tuple[SourceScores, ...], dict[str, MapScores]]:
    """Returns what was measured: external images by the run itself, the test set by a run that did not train on it."""
    figures, maps = _score_sources(calibrated), read_maps(run)
    if measured is None:
        return RunResults.read(run / "results.json"), figures, maps
    results = RunResults.read(measured / "results.json")
    chose = read_split(run).query("part == 'validation'")["sha256"]
    tested = read_split(measured).query("part == 'test'")["sha256"]
    if results.test is None or tested.isin(chose).any():
        rule = "has no test set" if results.test is None else "has a test set with images that chose something here"
        raise RunError(measured, rule, "Name a run on the same split.")
    of_test = [one for one in _score_sources(calibrated_run(measured)) if one.part == "test"]
    own = [one for one in figures if one.part == "external"]
    return (
        results,
        (*of_test, *own),
        maps | {name: one for name, one in read_maps(measured).items() if name.startswith("test")},
    )


def _count_data(split: pd.DataFrame) -> tuple[DataCount, ...]:
    """Counts images and groups of each subset, by source, contrast and label."""
    keys = ["source", "contrast", "label", "part"]
    counts = split.groupby(keys).agg(images=("path", "size"), groups=("group", "nunique")).reset_index()
    return tuple(DataCount(**row) for row in counts.to_dict("records"))


def _score_sources(calibrated: CalibratedRun) -> tuple[SourceScores, ...]:
    """Scores the test set and external images at the threshold `balanced`, by source and contrast."""
    table, threshold = calibrated.table, calibrated.thresholds["balanced"]
    scored, found = table[table["part"].isin(("test", "external"))], []
    for (part, source, contrast), rows in scored.groupby(["part", "source", "contrast"]):
        intervals = metrics.score_intervals(rows["label"], rows["probability"], rows["group"], threshold=threshold)
        found.append(
            SourceScores(
                part=part,
                source=f"{source} {contrast}".strip(),
                n=len(rows),
                n_tumor=int(rows["label"].sum()),
                n_groups=int(rows["group"].nunique()),
                scores={name: intervals[name] for name in _SCORES},
            )
        )
    return tuple(found)


class _WithMap(nn.Module):
    """Returns the logits, the tumor map, and the mean of each feature of the backbone at each level."""

    def __init__(self, model: networks.Classifier) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        body = self.model.body
        levels = body.levels(self.model.centred(images))  # type: ignore[operator]
        features, tumor_map = body.read(levels)  # type: ignore[operator]
        seen = torch.cat([level.mean(dim=(2, 3)) for level in levels], dim=1)
        return networks.log_odds(self.model.head(features)), tumor_map[:, 0], seen


def write_onnx(model: networks.Classifier, config: TrainConfig, path: Path, *, halved: bool = True) -> None:
    """Writes a trained network, with all that `bundle` says it returns.

    Args:
        model: the network.
        config: its settings.
        path: of the file.
        halved: store large weights in float16.
    """
    mapped, channels = networks.draws_map(config.model), 1 if config.preprocessing == "standard" else 3
    example = torch.rand(2, channels, config.size, config.size)
    with _without_chatter(), replacing(path) as temporary:
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
        if halved:
            _halve_weights(network)
        onnx.save(network, temporary)


@contextmanager
def _without_chatter() -> Iterator[None]:
    """Hides the messages of torch's exporter, and leaves logging and warnings as they were."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def _forget_sources(network: onnx.ModelProto) -> None:
    """Removes what torch notes about the files that defined each node: paths of the machine, half a megabyte."""
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


def with_whole_weights(network: onnx.ModelProto) -> onnx.ModelProto:
    """Returns a network of a bundle with all weights in float32, and without the casts that made them so."""
    whole = onnx.ModelProto()
    whole.CopyFrom(network)
    graph = whole.graph
    stored = {tensor.name: tensor for tensor in graph.initializer}
    casts = [node for node in graph.node if node.op_type == "Cast" and node.input[0] in stored]
    for node in casts:
        values = onnx.numpy_helper.to_array(stored[node.input[0]]).astype(np.float32)
        stored[node.input[0]].CopyFrom(onnx.numpy_helper.from_array(values, node.output[0]))
        graph.node.remove(node)
    return whole
