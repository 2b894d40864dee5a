"""How far an image is from the head slices that the network has learned from.

The distance is the Mahalanobis distance of the network's features (Lee et al. 2018).
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from brainsift.core.files import replacing
from brainsift.core.reasons import Reason, Rejection
from brainsift.images.resample import product

UNFAMILIAR = Rejection(
    Reason.OUT_OF_DISTRIBUTION, "does not resemble the head slices that the network has learned from"
)


@dataclass(frozen=True, eq=False)
class Familiarity:
    """The distribution of the features of known head slices.

    Attributes:
        mean: float32 (k,).
        factor: float32 (k, k), a square root of the precision matrix.
        limit: the largest distance of a slice that counts as known.
    """

    mean: npt.NDArray[np.float32]
    factor: npt.NDArray[np.float32]
    limit: float

    def distances(self, features: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
        """Returns the distance of features (n, k) from the known slices, (n,), in standard deviations per feature."""
        scaled = product(features - self.mean, self.factor)
        return np.sqrt((scaled.astype(np.float64) ** 2).mean(axis=1))

    def save(self, path: Path) -> None:
        """Writes an npz file, whole or not at all."""
        with replacing(path) as temporary:
            np.savez(temporary, mean=self.mean, factor=self.factor, limit=np.float64(self.limit))

    @staticmethod
    def load(path: Path) -> "Familiarity":
        """Reads what `save` wrote."""
        with np.load(path) as saved:
            return Familiarity(saved["mean"], saved["factor"], float(saved["limit"]))
