"""From a run of `lite0` to the same network with fewer channels, as a run of its own: it predicts in less time."""

import shutil
from dataclasses import asdict, replace
from pathlib import Path

import pandas as pd
import torch

from brainsift.core.errors import RunError
from brainsift.core.files import read_json, write_json
from brainsift.deployment.quantization import typical
from brainsift.training import networks, pretrained
from brainsift.training.augment import to_input
from brainsift.training.exported import ExportedNetwork
from brainsift.training.runs import (
    build_network,
    finish,
    in_words,
    is_made_of,
    load_run,
    made_of,
    pixels_of,
    read_split,
)

_SLIM = "lite0-slim"
_IMAGES = 512


def prune_run(run: str | Path, output: str | Path, *, cache: str | Path | None = None) -> Path:
    """Prunes a finished run of `lite0` to a new run of `lite0-slim`, without training; see `training.pruning`.

    The channels are chosen on training images, drawn with the weights that the sampling `balanced` uses.

    Args:
        run: folder of the run.
        output: folder of the new run; one that is finished is left as it is.
        cache: of preprocessed pixels; by default that of `runs.cache_of`.

    Returns:
        The folder of the new run.

    Raises:
        RunError: the run is not finished, holds another network, a mean of several or too few images; or the folder
            holds another run.
    """
    place, folder = Path(run), Path(output)
    if is_made_of(folder, "pruned", [place]):
        return folder
    whole, config = load_run(place)
    environment = dict(read_json(place / "environment.json"))
    arithmetic = environment.pop("inference", "")
    if "mean of" in environment:
        raise RunError(run, "holds a mean of several networks", "Name a run that was trained.")
    table = read_split(place)
    check_prunable(place, config.model, table)
    pixels, rows = pixels_of(table, place, config, cache)
    images = to_input(torch.from_numpy(typical(table, pixels, rows, n=_IMAGES, seed=1)))
    if isinstance(whole, ExportedNetwork):
        whole = build_network(config)
        pretrained.load(whole, config.model, str(place / "network.onnx"), images)
    slim = replace(config, model=_SLIM)
    model = build_network(slim)
    pretrained.load_pruned_from(whole, model, images)
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(place / "split.csv", folder / "split.csv")
    write_json(folder / "config.json", {**read_json(place / "config.json"), **asdict(slim)})
    record = {
        "pruned from": in_words(place) + (f" in {arithmetic}" if arithmetic else ""),
        "parameters": networks.count_parameters(model),
        "made of": made_of("pruned", [place]),
    }
    write_json(folder / "environment.json", {**environment, **record})
    finish(folder, table, model, pixels, rows)
    return folder


def check_prunable(run: Path, model: str, table: pd.DataFrame) -> None:
    """Makes sure, before a training too, that its network can be pruned.

    Args:
        run: folder of the run, for the error.
        model: name of its network.
        table: its split.

    Raises:
        RunError: it holds another network, or too few training images to choose the channels.
    """
    whole = pretrained.PRUNED[_SLIM]
    if model != whole:
        raise RunError(run, f"must hold {whole} to be pruned, holds {model}", f"Name a run of {whole}.")
    n = int(((table["part"] == "train") & table["label"].notna()).sum())
    if n < _IMAGES:
        rule = f"needs at least {_IMAGES} training images to be pruned, has {n}"
        raise RunError(run, rule, "Train on more images, or do not prune it.")
