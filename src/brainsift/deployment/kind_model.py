"""The kind of tumor: a model fitted to the features of a bundle's network, and how often it is right elsewhere.

The model is multinomial logistic regression. Temperature and limit come from the validation set. Collections differ in
their kinds and in their looks, so a model can tell the kind by the look. That is why each collection is also left out:
what is right on images of a collection that the model has not seen is what a user can expect.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import isfinite, nan
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.optimize import minimize_scalar
from sklearn.linear_model import LogisticRegression

from brainsift.core.errors import BundleError, ManifestError
from brainsift.datasets.tumor_kinds import KINDS, kinds_of
from brainsift.deployment.features import features_of
from brainsift.inference.bundle import Bundle, load_bundle, write_bundle
from brainsift.inference.kinds import Kinds
from brainsift.inference.provenance import KindFigures
from brainsift.training import networks
from brainsift.training.cache import cached_pixels

RIGHT = 0.9
"""The limit is chosen so that this share of the kinds named on validation images is right."""
_PENALTY = 0.03  # C of scikit-learn; of 0.001 to 0.03 the best on validation images
_FEWEST = 10  # named kinds of validation images that a limit may rest on
_TEMPERATURES = (-3.0, 3.0)  # logarithms


@dataclass(frozen=True, eq=False)
class KnownKinds:
    """Tumor images whose kind is known.

    Attributes:
        features: float32 (n, n_features), of the network.
        rows: (n,) rows of the split, with `source`, `contrast`, `group`, `part`, and `kind` as one of `KINDS`.
    """

    features: npt.NDArray[np.float32]
    rows: pd.DataFrame

    def where(self, chosen: pd.Series) -> "KnownKinds":
        """Returns some of the images."""
        return KnownKinds(self.features[chosen.to_numpy()], self.rows[chosen].reset_index(drop=True))


def add_kinds(folder: str | Path, split: pd.DataFrame, cache: Path) -> Bundle:
    """Adds the model of the kind of tumor to a bundle, and its figures to the model card.

    Args:
        folder: of the bundle.
        split: the manifest with the column `part`, such as split.csv of its run.
        cache: of preprocessed pixels.

    Raises:
        BundleError: the network returns no features.
        ManifestError: there are fewer than two kinds to fit or to validate.
    """
    bundle = load_bundle(folder)
    if not networks.draws_map(bundle.name):
        raise BundleError(folder, f"has a network without features, {bundle.name}", "Use `compact` or `lite0`.")
    kinds, figures = make_kinds(read_known_kinds(bundle, split, cache))
    kinds.save(bundle.kinds_model)
    write_bundle(replace(bundle, provenance={**bundle.provenance, "kinds": [one.to_json() for one in figures]}))
    return load_bundle(folder)


def read_known_kinds(bundle: Bundle, split: pd.DataFrame, cache: Path) -> KnownKinds:
    """Returns the tumor images of a split whose kind is known.

    Args:
        bundle: whose network gives the features.
        split: the manifest with the column `part`.
        cache: of preprocessed pixels.
    """
    kinds = kinds_of(split)
    chosen = (kinds != "") & (split["part"] != "") & (split["status"] == "ok")
    rows = split[chosen].assign(kind=kinds).reset_index(drop=True)
    pixels, places = cached_pixels(rows, cache, preprocessing=bundle.preprocessing, size=bundle.size)
    readable = places >= 0
    if not readable.any():
        return KnownKinds(np.zeros((0, 0), np.float32), rows[readable])
    return KnownKinds(features_of(bundle.network, pixels, places[readable]), rows[readable].reset_index(drop=True))


def make_kinds(known: KnownKinds) -> tuple[Kinds, tuple[KindFigures, ...]]:
    """Fits the model, and measures it on the validation set and on each collection that it has not seen.

    Args:
        known: images of the training set and the validation set; others are left alone.

    Raises:
        ManifestError: there are fewer than two kinds to fit or to validate.
    """
    known = known.where(known.rows["part"].isin(("train", "validation")))
    kinds = fit_kinds(known)
    figures = tuple(score_kinds(kinds, known.where(known.rows["part"] == "validation")))
    apart = tuple(_leave_out(known))
    n_named = sum(one.named * one.n for one in apart)
    n_right = sum(one.named * one.n * one.right for one in apart if isfinite(one.right))
    return replace(kinds, elsewhere=n_right / n_named if n_named else nan), figures + apart


def fit_kinds(known: KnownKinds) -> Kinds:
    """Fits the model to the training set; temperature and limit to the validation set.

    Raises:
        ManifestError: there are fewer than two kinds in one of them.
    """
    taught, held = (known.where(known.rows["part"] == part) for part in ("train", "validation"))
    for part, cases in (("training", taught), ("validation", held)):
        if cases.rows["kind"].nunique() < 2:
            rule = f"the {part} set has tumors of {cases.rows['kind'].nunique()} known kinds"
            raise ManifestError("kinds", rule, "At least two are needed: fill the column `kind` of the manifest.")
    mean, spread = taught.features.mean(axis=0), taught.features.std(axis=0) + 1e-6
    fitted = LogisticRegression(C=_PENALTY, max_iter=1000).fit(
        (taught.features - mean) / spread, taught.rows["kind"], sample_weight=_weights(taught.rows)
    )
    coefficients, intercepts = fitted.coef_, fitted.intercept_
    if len(fitted.classes_) == 2:  # scikit-learn keeps one row of two
        coefficients, intercepts = np.vstack([0 * coefficients, coefficients]), np.append(0, intercepts)
    weights = (coefficients / spread).T
    bias = intercepts - mean @ weights
    truth, names = held.rows["kind"].to_numpy(), fitted.classes_.tolist()

    def scaled(inverse: float) -> Kinds:
        return Kinds(
            tuple(names), np.asarray(weights * inverse, np.float32), np.asarray(bias * inverse, np.float32), nan
        )

    def log_loss(logarithm: float) -> float:
        found = scaled(np.exp(-logarithm)).probabilities(held.features)
        of_truth = (found * (truth[:, None] == np.array(names))).sum(axis=1)
        return -float(np.log(np.maximum(of_truth, 1e-12)).mean())

    best = scaled(float(np.exp(-minimize_scalar(log_loss, bounds=_TEMPERATURES, method="bounded").x)))
    found = best.probabilities(held.features)
    return replace(best, limit=_limit(found.max(axis=1), np.array(names)[found.argmax(axis=1)] == truth))


def score_kinds(kinds: Kinds, cases: KnownKinds, *, left_out: bool = False) -> Iterator[KindFigures]:
    """Yields the figures of each collection and contrast.

    Args:
        kinds: the model.
        cases: the images.
        left_out: whether the model has not seen their collection.
    """
    found = kinds.probabilities(cases.features) if len(cases.rows) else np.zeros((0, len(kinds.names)))
    likeliest, surest = np.array(kinds.names)[found.argmax(axis=1)], found.max(axis=1)
    rows = cases.rows.assign(hit=likeliest == cases.rows["kind"], is_named=surest >= kinds.limit)
    for (source, contrast), of_one in rows.groupby(["source", "contrast"]):
        of_kinds = of_one.groupby("kind")["hit"]
        named = of_one[of_one["is_named"]]
        yield KindFigures(
            source=str(source),
            contrast=str(contrast),
            left_out=left_out,
            counts={name: int(of_kinds.size().get(name, 0)) for name in KINDS},
            accuracy=float(of_one["hit"].mean()),
            recall={name: float(of_kinds.mean().get(name, nan)) for name in KINDS},
            named=len(named) / len(of_one),
            right=float(named["hit"].mean()) if len(named) else nan,
        )


def _leave_out(known: KnownKinds) -> Iterator[KindFigures]:
    """Yields the figures of each collection by a model that was fitted without it, as far as one can be."""
    for source in sorted(known.rows["source"].unique()):
        apart = known.rows["source"] == source
        try:
            kinds = fit_kinds(known.where(~apart))
        except ManifestError:  # the others know fewer than two kinds
            continue
        yield from score_kinds(kinds, known.where(apart), left_out=True)


def _weights(rows: pd.DataFrame) -> npt.NDArray[np.float64]:
    """Returns weights: kinds count alike; a collection and contrast in it, and a group, by the root of its size.

    So neither a large collection nor one with many slices per patient stands for a kind.
    """
    cell, weights = ["kind", "source", "contrast"], pd.Series(1.0, rows.index)
    weights /= np.sqrt(rows.groupby([*cell, "group"])["part"].transform("size"))
    weights /= np.sqrt(weights.groupby([rows[name] for name in cell]).transform("sum"))
    weights /= weights.groupby(rows["kind"]).transform("sum")
    found: npt.NDArray[np.float64] = (weights / weights.mean()).to_numpy()
    return found


def _limit(surest: npt.NDArray[np.float64], right: npt.NDArray[np.bool_]) -> float:
    """Returns the smallest limit from which on `RIGHT` of the named kinds are right; NaN where there is none."""
    order = np.argsort(-surest, kind="stable")
    shares = np.cumsum(right[order]) / np.arange(1, len(order) + 1)
    last_of_equals = np.append(surest[order][1:] < surest[order][:-1], True)
    enough = np.flatnonzero((shares >= RIGHT) & last_of_equals & (np.arange(1, len(order) + 1) >= _FEWEST))
    return float(surest[order][enough[-1]]) if enough.size else nan
