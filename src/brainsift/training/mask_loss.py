"""The loss of a tumor map against segmentation masks, for networks that draw a map."""

from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.nn import functional as F

from brainsift.training.cache import cached_masks

_TUMOR_WEIGHT = 4.0  # pixels of a tumor are rare


class Masks:
    """The masks of a training set, on the device.

    A tumor-free image has an empty mask. An image with a tumor and no mask has no part in the loss of the map.

    Args:
        masks: uint8 (m, size, size), 255 inside.
        places: int64 (n,), the mask of each training image, -1 for none.
        labels: float32 (n,).
    """

    def __init__(self, masks: Tensor, places: Tensor, labels: Tensor) -> None:
        self._masks = masks
        self._places = places.where(labels != 0, torch.full_like(places, -1))
        self._known = ((places >= 0) | (labels == 0)).float()

    def of(self, batch: Tensor) -> tuple[Tensor, Tensor]:
        """Returns the masks of some training images, and which of them are known.

        Returns:
            float32 (n, 1, size, size) in [0, 1], empty where unknown; and float32 (n,), 1 where known.
        """
        places = self._places[batch]
        drawn = self._masks[places.clamp(min=0)].float() / 255
        return (drawn * (places >= 0).view(-1, 1, 1)).unsqueeze(1), self._known[batch]


def map_loss(tumor_map: Tensor, masks: Tensor, known: Tensor) -> Tensor:
    """Returns the binary cross-entropy of the logits of a map (n, 1, h, w) against the masks that are known."""
    target = F.adaptive_avg_pool2d(masks, (tumor_map.shape[-2], tumor_map.shape[-1]))
    weight = 1 + (_TUMOR_WEIGHT - 1) * target
    each = F.binary_cross_entropy_with_logits(tumor_map, target, weight=weight, reduction="none").mean(dim=(1, 2, 3))
    return (each * known).sum() / known.sum().clamp(min=1)


def load_masks(table: pd.DataFrame, labels: Tensor, cache: Path, size: int) -> Masks | None:
    """Reads the masks of training images.

    Args:
        table: the n rows of the training set.
        labels: float32 (n,), on the device to compute on.
        cache: folder of the cache.
        size: side of the input, pixels.

    Returns:
        None where no image has a mask.
    """
    masks, places = cached_masks(table, cache, size=size)
    if not (places >= 0).any():
        return None
    used, renumbered = np.unique(places[places >= 0], return_inverse=True)
    own = np.full(len(places), -1)
    own[places >= 0] = renumbered
    device = labels.device
    return Masks(torch.from_numpy(np.asarray(masks[used])).to(device), torch.from_numpy(own).to(device), labels)
