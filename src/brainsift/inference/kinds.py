"""Which kind of tumor an image shows, where one is called: a linear model on the network's features.

It abstains: below a limit on the probability, the kind is "unsure".
"""

from dataclasses import dataclass
from math import isfinite
from pathlib import Path

import numpy as np
import numpy.typing as npt

from brainsift.core.files import replacing
from brainsift.core.records import Record
from brainsift.images.resample import product

UNSURE_KIND = "unsure"


@dataclass(frozen=True)
class KindScores(Record):
    """The kind of tumor in one image, if it shows a tumor.

    Attributes:
        probabilities: calibrated, by kind.
        limit: the smallest probability with which a kind is named.
        elsewhere: of the kinds named on collections that the model had not seen, the share that was right; NaN where
            that was not measured.
    """

    probabilities: dict[str, float]
    limit: float
    elsewhere: float

    @property
    def named(self) -> str:
        """The most probable kind, or "unsure"."""
        likeliest = max(self.probabilities, key=self.probabilities.__getitem__)
        return likeliest if self.probabilities[likeliest] >= self.limit else UNSURE_KIND

    @property
    def words(self) -> str:
        """The kind in words, with how often such a kind is right elsewhere."""
        if self.named == UNSURE_KIND:
            return "kind not sure"
        words = f"{self.named} {self.probabilities[self.named]:.2f}"
        if not isfinite(self.elsewhere):
            return words
        return f"{words}, for images like those of the training collections; on others {self.elsewhere:.0%} were right"


@dataclass(frozen=True, eq=False)
class Kinds:
    """A linear model of the kind of tumor.

    Attributes:
        names: of the k kinds.
        weights: float32 (n_features, k); the temperature is part of them.
        bias: float32 (k,).
        limit: see `KindScores`; NaN where no kind is sure enough to be named.
        elsewhere: see `KindScores`.
    """

    names: tuple[str, ...]
    weights: npt.NDArray[np.float32]
    bias: npt.NDArray[np.float32]
    limit: float
    elsewhere: float = float("nan")

    def probabilities(self, features: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
        """Returns the probability of each kind, (n, k), of features (n, n_features)."""
        logits = product(features, self.weights).astype(np.float64) + self.bias
        powers = np.exp(logits - logits.max(axis=1, keepdims=True))
        found: npt.NDArray[np.float64] = powers / powers.sum(axis=1, keepdims=True)
        return found

    def scores(self, features: npt.NDArray[np.float32]) -> list[KindScores]:
        """Returns the scores of each image."""
        rows = self.probabilities(features).tolist()
        return [KindScores(dict(zip(self.names, row, strict=True)), self.limit, self.elsewhere) for row in rows]

    def save(self, path: Path) -> None:
        """Writes an npz file, whole or not at all."""
        with replacing(path) as temporary:
            np.savez(
                temporary,
                names=np.array(self.names),
                weights=self.weights,
                bias=self.bias,
                limit=np.float64(self.limit),
                elsewhere=np.float64(self.elsewhere),
            )

    @staticmethod
    def load(path: Path) -> "Kinds":
        """Reads what `save` wrote."""
        with np.load(path) as saved:
            names = tuple(saved["names"].tolist())
            return Kinds(names, saved["weights"], saved["bias"], float(saved["limit"]), float(saved["elsewhere"]))
