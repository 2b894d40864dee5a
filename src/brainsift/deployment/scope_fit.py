"""What a bundle takes for a head slice: fitted to the features of head slices, and of drawn images that are none.

Both limits are wider than validation slices need, because slices of a collection that was never seen lie further out.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from sklearn.covariance import LedoitWolf
from sklearn.linear_model import LogisticRegression

from brainsift.deployment.features import features_of
from brainsift.deployment.not_heads import KINDS, draw_not_head
from brainsift.images.decode import from_array
from brainsift.images.plausibility import foreign_reason
from brainsift.images.standard import standard
from brainsift.inference.familiarity import Familiarity, NotHeads, with_squares
from brainsift.training.augment import augment, degrade, to_input
from brainsift.training.cache import cached_pixels
from brainsift.training.recipes import TrainConfig

_KNOWN = 0.997  # share of the validation set that counts as known
_FURTHER = 1.15  # slices of a collection that was never seen lie further out than those of the validation set
_PENALTY = 0.01  # C of scikit-learn
_USUAL, _RARE = 0.9, 0.998  # shares of the validation set, by their odds of being no head slice
_WIDER = 1.0  # the limit lies beyond the rare slices by this much of their distance from the usual ones
_DRAWN = 160  # of each kind
_CHANGED = 1200  # training slices that are shown turned, cut and degraded too
_BATCH = 100


def fit_familiarity(table: pd.DataFrame, config: TrainConfig, network: Path, cache: Path) -> Familiarity | None:
    """Fits what features slices have that the network knows, and what features other images have.

    Args:
        table: the manifest with the column `part`.
        config: of the network.
        network: the ONNX file, with the output `features`.
        cache: of preprocessed pixels.

    Returns:
        None where there are fewer training slices than features, and where the preprocessing is not `standard`: a
        prediction then reads no features.
    """
    if config.preprocessing != "standard":
        return None
    pixels, rows = cached_pixels(table, cache, size=config.size)
    places = {
        part: np.unique(rows[((table["part"] == part) & (rows >= 0)).to_numpy()]) for part in ("train", "validation")
    }
    taught, held = (features_of(network, pixels, of_part) for of_part in places.values())
    if len(taught) < taught.shape[1]:
        return None
    some = np.random.default_rng(0).permutation(places["train"])[:_CHANGED]
    changed = _changed(pixels[some])
    drawn = draw_not_heads(KINDS, _DRAWN, size=config.size)
    further, foreign = (features_of(network, images, np.arange(len(images))) for images in (changed, drawn))
    return familiarity_of(taught, further, held, foreign)


def familiarity_of(
    taught: npt.NDArray[np.float32],
    changed: npt.NDArray[np.float32],
    held: npt.NDArray[np.float32],
    foreign: npt.NDArray[np.float32],
) -> Familiarity:
    """Fits both measures and their limits.

    Args:
        taught: (n, k) features of training slices.
        changed: of training slices that were turned, cut and degraded.
        held: of validation slices.
        foreign: of images that are no head slices.
    """
    spread = LedoitWolf().fit(taught)
    variances, axes = np.linalg.eigh(spread.precision_)
    factor = axes * np.sqrt(np.clip(variances, 0, None))
    # Any rotation of the factor gives the same distances; along these axes the drawn images do not correlate either.
    foreign_spread = LedoitWolf().fit((foreign - spread.location_) @ factor)
    factor = factor @ np.linalg.eigh(foreign_spread.covariance_)[1]
    known = Familiarity(spread.location_.astype(np.float32), factor.astype(np.float32), 0.0)
    heads = np.concatenate([taught, changed])
    values = with_squares(known.scaled(np.concatenate([heads, foreign])))
    deviations = np.maximum(values.std(axis=0), 1)  # an axis along which the precision is 0 stays without weight
    is_foreign = np.repeat([False, True], [len(heads), len(foreign)])
    fitted = LogisticRegression(C=_PENALTY, class_weight="balanced", max_iter=200, tol=1e-3)
    coefficients = fitted.fit(values / deviations, is_foreign).coef_[0] / deviations
    not_heads = NotHeads(coefficients.astype(np.float32), 0.0)
    usual, rare = np.quantile(not_heads.odds(known.scaled(held)), (_USUAL, _RARE))
    return replace(
        known,
        limit=_FURTHER * float(np.quantile(known.distances(held), _KNOWN)),
        not_heads=replace(not_heads, limit=float(rare + _WIDER * (rare - usual))),
    )


def _changed(pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Returns slices as training shows them: turned, scaled, cut, and with the artifacts of other scanners."""
    generator = torch.Generator().manual_seed(0)
    found: list[npt.NDArray[np.uint8]] = []
    for first in range(0, len(pixels), _BATCH):
        images = to_input(torch.from_numpy(pixels[first : first + _BATCH]))
        images, _ = augment(images, strength=0.7, generator=generator, turned=0.1)
        images = degrade(images, strength=0.5, generator=generator)
        found.append((images[:, 0] * 255).round().byte().numpy())
    return np.concatenate(found)


def draw_not_heads(kinds: tuple[str, ...], count: int, *, size: int) -> npt.NDArray[np.uint8]:
    """Draws images that are no head slices and that no rule rejects, as a network sees them.

    Args:
        kinds: some of `KINDS`.
        count: images of each kind.
        size: side in pixels.

    Returns:
        (n_kinds * count, size, size) uint8; the same for the same arguments.
    """
    found: list[npt.NDArray[np.uint8]] = []
    for kind in kinds:
        rng, wanted = np.random.default_rng(KINDS.index(kind)), len(found) + count
        while len(found) < wanted:
            decoded = from_array(draw_not_head(kind, rng))
            pixels = standard(decoded.grey(), size)
            if foreign_reason(decoded, pixels) is None:
                found.append(pixels)
    return np.stack(found)
