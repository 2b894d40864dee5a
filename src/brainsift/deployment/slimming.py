"""From a run of `lite0` to the same network with fewer channels, as a run of its own: it predicts in less time."""

import shutil
from dataclasses import asdict, replace
from pathlib import Path

import torch

from brainsift.core.errors import RunError
from brainsift.core.files import read_json, write_json
from brainsift.deployment.quantization import typical
from brainsift.training import networks, pretrained
from brainsift.training.augment import to_input
from brainsift.training.cache import cached_pixels
from brainsift.training.exported import ExportedNetwork
from brainsift.training.runs import build_network, cache_of, finish, load_run, read_split

_SLIM = "lite0-slim"
_IMAGES = 512


def prune_run(run: str | Path, output: str | Path, *, cache: str | Path | None = None) -> Path:
    """Makes a run of `lite0-slim` of a finished run of `lite0`, without training; see `training.pruning`.

    The channels are chosen on training images, drawn with the weights that the sampling `balanced` uses.

    Args:
        run: folder of the run.
        output: folder of the new run; one that is finished is left as it is.
        cache: of preprocessed pixels; by default that of `runs.cache_of`.

    Returns:
        The folder of the new run.

    Raises:
        RunError: the run is not finished, is of another network, is a mean of several, or has too few images.
    """
    place, folder = Path(run), Path(output)
    if (folder / "predictions.csv").exists():
        return folder
    whole, config = load_run(place)
    environment = dict(read_json(place / "environment.json"))
    environment.pop("inference", None)
    if config.model != pretrained.PRUNED[_SLIM]:
        raise RunError(run, f"is of {config.model}", f"Name a run of {pretrained.PRUNED[_SLIM]}.")
    if "mean of" in environment:
        raise RunError(run, "is a mean of several networks", "Name a run that was trained.")
    table = read_split(place)
    pixels, rows = cached_pixels(
        table, Path(cache) if cache else cache_of(place), preprocessing=config.preprocessing, size=config.size
    )
    images = to_input(torch.from_numpy(typical(table, pixels, rows, n=_IMAGES, seed=1)))
    if len(images) < _IMAGES:
        rule = f"has {len(images)} training images, and {_IMAGES} choose the channels"
        raise RunError(run, rule, "Train on more images, or leave the network whole.")
    if isinstance(whole, ExportedNetwork):
        whole = build_network(config)
        pretrained.load(whole, config.model, str(place / "network.onnx"), images)
    slim = replace(config, model=_SLIM)
    model = build_network(slim)
    pretrained.fill(model, whole, images)
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(place / "split.csv", folder / "split.csv")
    write_json(folder / "config.json", {**read_json(place / "config.json"), **asdict(slim)})
    made = {"pruned from": place.resolve().name, "parameters": networks.count_parameters(model)}
    write_json(folder / "environment.json", {**environment, **made})
    finish(folder, table, model, pixels, rows)
    return folder
