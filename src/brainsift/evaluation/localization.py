"""Where a network looks, scored against segmentation masks: its own tumor map, or Grad-CAM where it draws none.

Scores of an image (Zhang et al. 2018; Wang et al. 2020):
    hit      the pointing game: the strongest place lies in the mask, or within 4 of 128 pixels of it
    energy   share of the map's sum that lies in the mask
    overlap  intersection over union of the mask and the places above half of the map's range
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from brainsift.core.errors import InputError, RunError
from brainsift.core.files import read_json, write_json
from brainsift.datasets.manifest import write_manifest
from brainsift.stats import metrics
from brainsift.stats.scores import MapScores
from brainsift.training import networks
from brainsift.training.augment import to_input
from brainsift.training.cache import cached_masks, cached_pixels
from brainsift.training.exported import ExportedNetwork
from brainsift.training.recipes import TrainConfig
from brainsift.training.runs import cache_of, load_run, read_split

SCHEMA = 1
SCORES = ("hit", "energy", "overlap")
_TOLERANCE = 4 / 128  # of the side: 15 pixels of about 500, as the pointing game is played
_BATCH = 64
_MapOf = Callable[[Tensor], Tensor]


def explain_run(
    run: str | Path, manifest: pd.DataFrame | None = None, *, cache: Path | None = None
) -> dict[str, MapScores]:
    """Scores where a run's network looks; writes maps.csv (one row per image) and maps.json into its folder.

    Args:
        run: a finished run folder.
        manifest: see `score_maps`.
        cache: see `score_maps`.

    Returns:
        By set, source and contrast, such as "test lgg flair": the mean of each of the `SCORES` with a 95 % interval
        that resamples groups. maps.json holds the same, and `read_maps` reads it.

    Raises:
        RunError: see `score_maps`.
    """
    folder = Path(run)
    scores = score_maps(folder, manifest, cache=cache)
    found = {}
    for names, rows in scores.groupby(["part", "source", "contrast"]):
        hit, energy, overlap = (metrics.mean_interval(rows[name], rows["group"]) for name in SCORES)
        found[" ".join(filter(None, names))] = MapScores(len(rows), hit, energy, overlap)
    write_manifest(scores, folder / "maps.csv")
    write_json(folder / "maps.json", {"schema": SCHEMA, **{name: one.to_json() for name, one in found.items()}})
    return found


def read_maps(run: str | Path) -> dict[str, MapScores]:
    """Reads maps.json of a run; empty where `explain_run` was not called.

    Raises:
        InputError: the file is broken, or of another schema.
    """
    path = Path(run) / "maps.json"
    if not path.exists():
        return {}
    values = dict(read_json(path))
    if values.pop("schema", 1) != SCHEMA:
        raise InputError(path, f"has another schema than {SCHEMA}", "Run `brainsift explain` on the run again.")
    return {name: MapScores.from_json(one, f"{path}, {name}") for name, one in values.items()}


def score_maps(run: str | Path, manifest: pd.DataFrame | None = None, *, cache: Path | None = None) -> pd.DataFrame:
    """Scores where a run's network looks, on images with a segmentation mask.

    Args:
        run: a finished run folder.
        manifest: audited; rows without a mask, or of neither the test set nor "external", are left out. By default
            the one that the run was trained on.
        cache: folder of preprocessed pixels; by default that of `runs.cache_of`.

    Returns:
        One row per image: path, channel, source, label, contrast, group, part, and the `SCORES`.

    Raises:
        RunError: the run is not finished, or does not use the `standard` preprocessing; or no image has a mask.
    """
    folder = Path(run)
    manifest = read_split(folder) if manifest is None else manifest
    model, config = load_run(folder)
    if config.preprocessing != "standard":
        raise RunError(run, f"uses the preprocessing {config.preprocessing}", "Masks fit `standard` only.")
    chosen = (manifest["status"] == "ok") & (manifest["mask"] != "") & manifest["part"].isin(("test", "external"))
    table = manifest[chosen].reset_index(drop=True)
    if table.empty:
        raise RunError(run, "no image of the test set or of an external collection has a mask", "Add masks.")
    place = cache or cache_of(folder)
    pixels, rows = cached_pixels(table, place, size=config.size)
    masks, places = cached_masks(table, place, size=config.size)
    draw, found = map_of(model, config), []
    for start in range(0, len(table), _BATCH):
        part = slice(start, start + _BATCH)
        images = to_input(torch.from_numpy(np.asarray(pixels[rows[part]])))
        inside = torch.from_numpy(np.asarray(masks[places[part]])) > 127
        found.append(map_scores(draw(images), inside))
    scores = pd.concat(found, ignore_index=True)
    return pd.concat([table[["path", "channel", "source", "label", "contrast", "group", "part"]], scores], axis=1)


def map_of(model: networks.Classifier | ExportedNetwork, config: TrainConfig) -> _MapOf:
    """Returns what draws maps: float32 (n, 1, size, size) in [0, 1] to (n, h, w), 0 or more.

    Where the network draws none it is Grad-CAM on the last convolution, by captum.

    Source:
        Selvaraju et al. 2017, Grad-CAM.
    """
    if isinstance(model, networks.Classifier) and not networks.draws_map(config.model):
        from captum.attr import LayerGradCam

        cam = LayerGradCam(model, [module for module in model.body.modules() if isinstance(module, nn.Conv2d)][-1])
        return lambda images: cam.attribute(images, relu_attributions=True).detach()[:, 0]

    def drawn(images: Tensor) -> Tensor:
        with torch.inference_mode():
            tumor_map = model.outputs(images)[1]
        if tumor_map is None:
            raise RunError(config.model, "draws no map in INT8", "Explain the run that was trained.")
        return tumor_map[:, 0].sigmoid()

    return drawn


def map_scores(maps: Tensor, inside: Tensor) -> pd.DataFrame:
    """Scores maps against masks.

    Args:
        maps: float32 (n, h, w), 0 or more.
        inside: bool (n, size, size), the masks.

    Returns:
        One row per image with the `SCORES`.
    """
    size = inside.shape[-1]
    whole = F.interpolate(maps.unsqueeze(1), size, mode="bilinear")[:, 0]
    reach = round(_TOLERANCE * size)
    near = F.max_pool2d(inside.float().unsqueeze(1), 2 * reach + 1, 1, reach)[:, 0].flatten(1)
    hit = near.gather(1, whole.flatten(1).argmax(dim=1, keepdim=True))[:, 0]
    energy = (whole * inside).sum(dim=(1, 2)) / whole.sum(dim=(1, 2)).clamp(min=1e-9)
    low, high = whole.amin(dim=(1, 2), keepdim=True), whole.amax(dim=(1, 2), keepdim=True)
    lit = whole > (low + high) / 2
    overlap = (lit & inside).sum(dim=(1, 2)) / (lit | inside).sum(dim=(1, 2)).clamp(min=1)
    return pd.DataFrame({"hit": hit.numpy(), "energy": energy.numpy(), "overlap": overlap.numpy()})
