"""How far an image is from the head slices that the network has learned from.

Two measures on the network's features reject an image, each beyond a limit of its own: the Mahalanobis distance from
head slices (Lee et al. 2018), and the odds that the image is none, learned from drawn images that are no head slices
(outlier exposure, Hendrycks et al. 2019).
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from brainsift.core.files import replacing
from brainsift.core.reasons import Reason, Rejection
from brainsift.images.resample import product

UNFAMILIAR = Rejection(
    Reason.OUT_OF_DISTRIBUTION, "does not resemble the head slices that the network has learned from"
)


_FAR = 5.0  # standard deviations; further out, the square of a feature counts no more


@dataclass(frozen=True, eq=False)
class NotHeads:
    """What tells other images from head slices: a logistic regression on features and their squares.

    Attributes:
        weights: float32 (2 k,), of the features as `Familiarity.scaled` returns them, then of their squares.
        limit: the largest odds of a slice that counts as a head, as `odds` returns them.
    """

    weights: npt.NDArray[np.float32]
    limit: float

    def odds(self, scaled: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
        """Returns the log-odds, up to a constant, that images are no head slices, (n,).

        Args:
            scaled: (n, k), as `Familiarity.scaled` returns them.
        """
        return product(with_squares(scaled), self.weights[:, None])[:, 0].astype(np.float64)


def with_squares(scaled: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Returns scaled features (n, k) and their squares, (n, 2 k)."""
    return np.concatenate([scaled, np.minimum(scaled * scaled, np.float32(_FAR**2))], axis=1)


@dataclass(frozen=True, eq=False)
class Familiarity:
    """The distribution of the features of known head slices.

    Attributes:
        mean: float32 (k,).
        factor: float32 (k, k), a square root of the precision matrix.
        limit: the largest distance of a slice that counts as known.
        not_heads: what tells other images from head slices; None in bundles made before.
    """

    mean: npt.NDArray[np.float32]
    factor: npt.NDArray[np.float32]
    limit: float
    not_heads: NotHeads | None = None

    def scaled(self, features: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Returns features (n, k) scaled so that those of known slices have mean 0 and spread 1 along every axis."""
        return product(features - self.mean, self.factor)

    def distances(self, features: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
        """Returns the distance of features (n, k) from the known slices, (n,), in standard deviations per feature."""
        return _distances(self.scaled(features))

    def unfamiliar(self, features: npt.NDArray[np.float32]) -> npt.NDArray[np.bool_]:
        """Tells which images, of features (n, k), lie beyond a limit, (n,)."""
        scaled = self.scaled(features)
        beyond = _distances(scaled) > self.limit
        return beyond if self.not_heads is None else beyond | (self.not_heads.odds(scaled) > self.not_heads.limit)

    def save(self, path: Path) -> None:
        """Writes an npz file, whole or not at all."""
        saved: dict[str, Any] = {"mean": self.mean, "factor": self.factor, "limit": np.float64(self.limit)}
        if self.not_heads is not None:
            saved |= {"not_heads": self.not_heads.weights, "not_heads_limit": np.float64(self.not_heads.limit)}
        with replacing(path) as temporary:
            np.savez(temporary, **saved)

    @staticmethod
    def load(path: Path) -> "Familiarity":
        """Reads what `save` wrote."""
        with np.load(path) as saved:
            not_heads = None
            if "not_heads" in saved:
                not_heads = NotHeads(saved["not_heads"], float(saved["not_heads_limit"]))
            return Familiarity(saved["mean"], saved["factor"], float(saved["limit"]), not_heads)


def _distances(scaled: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    return np.sqrt((scaled.astype(np.float64) ** 2).mean(axis=1))
