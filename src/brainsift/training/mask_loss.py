"""Outlines of tumors as a second teacher, for networks that draw a tumor map."""

from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.nn import functional as F

from brainsift.training.cache import cached_outlines

_TUMOR_WEIGHT = 4.0  # places in a tumor are rare


class Outlines:
    """The outlines of a training part, on the device.

    A tumor-free image has an empty outline; an image with a tumor and no outline teaches the map nothing.

    Args:
        outlines: uint8 (m, size, size), 255 inside.
        places: int64 (n,), the outline of each training image, -1 for none.
        labels: float32 (n,).
    """

    def __init__(self, outlines: Tensor, places: Tensor, labels: Tensor) -> None:
        self._outlines = outlines
        self._places = places
        self._known = ((places >= 0) | (labels == 0)).float()

    def of(self, batch: Tensor) -> tuple[Tensor, Tensor]:
        """Returns the outlines of some training images, and which of them are known.

        Returns:
            float32 (n, 1, size, size) in [0, 1], empty where unknown; and float32 (n,), 1 where known.
        """
        places = self._places[batch]
        drawn = self._outlines[places.clamp(min=0)].float() / 255
        return (drawn * (places >= 0).view(-1, 1, 1)).unsqueeze(1), self._known[batch]


def map_loss(tumor_map: Tensor, outlines: Tensor, known: Tensor) -> Tensor:
    """Returns the binary cross-entropy of a map's logits (n, 1, h, w) against moved outlines, over known images."""
    target = F.adaptive_avg_pool2d(outlines, (tumor_map.shape[-2], tumor_map.shape[-1]))
    weight = 1 + (_TUMOR_WEIGHT - 1) * target
    each = F.binary_cross_entropy_with_logits(tumor_map, target, weight=weight, reduction="none").mean(dim=(1, 2, 3))
    return (each * known).sum() / known.sum().clamp(min=1)


def load_outlines(table: pd.DataFrame, labels: Tensor, cache: Path, size: int) -> Outlines | None:
    """Reads the outlines of training images.

    Args:
        table: the n rows of the training part.
        labels: float32 (n,), on the device to compute on.
        cache: folder of the cache.
        size: side of the input, pixels.

    Returns:
        None where no image has an outline.
    """
    outlines, places = cached_outlines(table, cache, size=size)
    if not (places >= 0).any():
        return None
    used, renumbered = np.unique(places[places >= 0], return_inverse=True)
    own = np.full(len(places), -1)
    own[places >= 0] = renumbered
    device = labels.device
    return Outlines(torch.from_numpy(np.asarray(outlines[used])).to(device), torch.from_numpy(own).to(device), labels)
