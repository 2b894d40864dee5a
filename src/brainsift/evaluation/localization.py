"""Where a network looks, scored against outlines of tumors: its own map, or Grad-CAM where it draws none.

Scores of an image (Zhang et al. 2018; Wang et al. 2020):
    hit      the pointing game: the strongest place lies in the outline, or within 4 of 128 pixels of it
    energy   share of the map's sum that lies in the outline
    overlap  intersection over union of the outline and the places above half of the map's range
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from brainsift.core.errors import RunError
from brainsift.core.files import write_json
from brainsift.datasets.manifest import write_manifest
from brainsift.stats import metrics
from brainsift.training import networks
from brainsift.training.augment import to_input
from brainsift.training.cache import cached_outlines, cached_pixels
from brainsift.training.recipes import TrainConfig
from brainsift.training.runs import load_run

SCORES = ("hit", "energy", "overlap")
_TOLERANCE = 4 / 128  # of the side: 15 pixels of about 500, as the pointing game is played
_BATCH = 64
_MapOf = Callable[[Tensor], Tensor]


def explain_run(run: Path, manifest: pd.DataFrame, *, cache: Path) -> dict[str, dict[str, Any]]:
    """Scores where a run's network looks, and writes maps.csv (a row an image) and maps.json into its folder.

    Args:
        run: a finished run folder.
        manifest: see `score_maps`.
        cache: folder of preprocessed pixels.

    Returns:
        What maps.json holds: by part, source and contrast, ``n`` and the mean of each of the `SCORES` with a 95 %
        interval that resamples groups.

    Raises:
        RunError: see `score_maps`.
    """
    scores = score_maps(run, manifest, cache=cache)
    found = {}
    for names, rows in scores.groupby(["part", "source", "contrast"]):
        means = {name: metrics.mean_interval(rows[name], rows["group"]).to_dict() for name in SCORES}
        found[" ".join(filter(None, names))] = {"n": len(rows), **means}
    write_manifest(scores, run / "maps.csv")
    write_json(run / "maps.json", found)
    return found


def score_maps(run: Path, manifest: pd.DataFrame, *, cache: Path) -> pd.DataFrame:
    """Scores where a run's network looks, on images with an outline.

    Args:
        run: a finished run folder.
        manifest: audited; rows without a mask or outside of the parts test and external are left out.
        cache: folder of preprocessed pixels.

    Returns:
        A row an image: path, channel, source, label, contrast, group, part, and the `SCORES`.

    Raises:
        RunError: the run is not finished, or does not use the `standard` preprocessing; or no image has an outline.
    """
    model, config = load_run(run)
    if config.preprocessing != "standard":
        raise RunError(run, f"uses the preprocessing {config.preprocessing}", "Outlines fit `standard` only.")
    chosen = (manifest["status"] == "ok") & (manifest["mask"] != "") & manifest["part"].isin(("test", "external"))
    table = manifest[chosen].reset_index(drop=True)
    if table.empty:
        raise RunError(run, "no image of the test part or of external collections has an outline", "Add masks.")
    pixels, rows = cached_pixels(table, cache, size=config.size)
    outlines, places = cached_outlines(table, cache, size=config.size)
    draw, found = map_of(model, config), []
    for start in range(0, len(table), _BATCH):
        part = slice(start, start + _BATCH)
        images = to_input(torch.from_numpy(np.asarray(pixels[rows[part]])))
        inside = torch.from_numpy(np.asarray(outlines[places[part]])) > 127
        found.append(map_scores(draw(images), inside))
    scores = pd.concat(found, ignore_index=True)
    return pd.concat([table[["path", "channel", "source", "label", "contrast", "group", "part"]], scores], axis=1)


def map_of(model: networks.Classifier, config: TrainConfig) -> _MapOf:
    """Returns what draws maps: float32 (n, 1, size, size) in [0, 1] to (n, h, w), 0 or more."""
    if not networks.draws_map(config.model):
        return _grad_cam(model)

    def drawn(images: Tensor) -> Tensor:
        with torch.inference_mode():
            tumor_map = model.outputs(images)[1]
        assert tumor_map is not None
        return tumor_map[:, 0].sigmoid()

    return drawn


def map_scores(maps: Tensor, inside: Tensor) -> pd.DataFrame:
    """Scores maps against outlines.

    Args:
        maps: float32 (n, h, w), 0 or more.
        inside: bool (n, size, size).

    Returns:
        A row an image with the `SCORES`.
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


def _grad_cam(model: networks.Classifier) -> _MapOf:
    """Grad-CAM (Selvaraju et al. 2017) on the last convolution, by captum."""
    from captum.attr import LayerGradCam

    last = [module for module in model.body.modules() if isinstance(module, nn.Conv2d)][-1]
    cam = LayerGradCam(model, last)

    def drawn(images: Tensor) -> Tensor:
        return cam.attribute(images, relu_attributions=True).detach()[:, 0]

    return drawn
