"""Teachers: finished networks whose predictions another network learns (Hinton et al. 2015)."""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from brainsift.inference.bundle import load_bundle
from brainsift.training.exported import ExportedNetwork


class Teachers:
    """Bundles that predict together: the mean of their calibrated logits, and of their tumor maps.

    They run on ONNX Runtime, as they do where they are used, so that a teacher can be any network.

    Args:
        folders: of the bundles; they take the same input.
        threads: of the CPU.

    Raises:
        BundleError: a folder holds no bundle.
    """

    def __init__(self, folders: Sequence[str], *, threads: int) -> None:
        bundles = [load_bundle(Path(folder)) for folder in folders]
        self._networks = [(ExportedNetwork(one.network, threads=threads), one.temperature) for one in bundles]

    def predict(self, images: Tensor) -> tuple[Tensor, Tensor | None]:
        """Returns what they predict for images, as the pupil sees these.

        Args:
            images: float32 (n, channels, size, size) in [0, 1].

        Returns:
            The probability of tumor, float32 (n,), and the tumor map, float32 (n, 1, h, w) in [0, 1]; None where one of
            them draws none.
        """
        logits, maps = [], []
        for network, temperature in self._networks:
            found, tumor_map = network.outputs(images)
            logits.append(found[:, 0] / temperature)
            maps += [] if tumor_map is None else [tumor_map]
        drawn = torch.stack(maps).mean(dim=0).sigmoid() if len(maps) == len(logits) else None
        return torch.stack(logits).mean(dim=0).sigmoid(), drawn


def blend(own: Tensor, taught: Tensor, logits: Tensor, share: float) -> Tensor:
    """Returns a loss of which a share is against what the teachers predict.

    Args:
        own: the loss against labels or masks.
        taught: what the teachers predict, in [0, 1].
        logits: of the same shape.
        share: 0 to 1.
    """
    return (1 - share) * own + share * F.binary_cross_entropy_with_logits(logits, taught)
