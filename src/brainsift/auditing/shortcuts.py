"""Shortcut probes: how well rules that see no anatomy separate the classes, with intervals.

Each rule is fitted on four fifths of the images and scored on the rest, five times: on random folds, as most studies
split, and on folds that keep near-duplicates and patients whole. What a rule reaches on grouped folds, a network can
reach without knowing tumors; what it reaches on random folds beyond that is leakage.

Labels are permuted at random many times. The score is the mean over the permutations, its interval resamples groups as
those of the other rules do, and the spread is the range of single permutations: another rule is better than chance
where it lies beyond that spread.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn import config_context
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

from brainsift.auditing.findings import Probe
from brainsift.auditing.fingerprint import SIDE, Bytes
from brainsift.core.progress import Progress, Report, silent
from brainsift.images.plausibility import border_of
from brainsift.stats.intervals import Interval
from brainsift.stats.metrics import mean_interval, score_intervals

PROTOCOLS = ("random", "grouped")
MAX_IMAGES = 20_000
"""Of more images, whole groups are sampled: the nearest neighbor compares each image with each."""

_METRICS = ("accuracy", "balanced_accuracy", "roc_auc")
_FOLDS = 5
_THUMBNAIL = 32
_TREES = 100
_PERMUTATIONS = 100
_ROWS = 512  # images that are compared with all others at once
_MEANING = {
    "image size": "knows only the width and the height of the file",
    "border": "knows only the outermost pixels, where no brain is",
    "nearest neighbor": "looks up the most similar 32×32 image and takes its label",
    "shuffled labels": "nearest neighbor on labels permuted between the groups: 50 % unless copies leak",
}

Floats = npt.NDArray[np.floating[Any]]
Ints = npt.NDArray[np.int64]
Scores = dict[str, Interval]


def sample_groups(table: pd.DataFrame, *, seed: int = 0, limit: int = MAX_IMAGES) -> pd.DataFrame:
    """Returns the rows of randomly sampled groups, up to the limit; all rows where these are fewer."""
    if len(table) <= limit:
        return table
    sizes = table["group"].value_counts(sort=False).sort_index().sample(frac=1.0, random_state=seed)
    return table[table["group"].isin(sizes.index[sizes.cumsum() <= limit])]


def probe(
    table: pd.DataFrame, frames: Bytes, *, seed: int = 0, workers: int = 1, report: Report = silent
) -> list[Probe]:
    """Runs all probes.

    Args:
        table: n labelled, readable images with the columns label, group, width, height.
        frames: (n, 64, 64) uint8, their sketches.
        seed: of folds, trees and permutations.
        workers: threads.
        report: takes the progress.

    Returns:
        One record per probe and protocol. Permuted labels ("shuffled labels") also have their spread and the number of
        permutations. Empty where a class has fewer than five groups.
    """
    labels, groups = table["label"].to_numpy(np.int64), pd.factorize(table["group"])[0]
    if min(table.groupby("label")["group"].nunique().reindex([0.0, 1.0], fill_value=0)) < _FOLDS:
        return []
    images = _Images(labels, groups, {protocol: _folds(labels, groups, protocol, seed) for protocol in PROTOCOLS})
    sizes = table[["width", "height"]].to_numpy(np.int64)
    thumbnails = _shrunk(frames).reshape(len(frames), -1)
    found = []
    for one in chain(
        _by_trees({"image size": sizes, "border": border_of(frames)}, images, seed, workers),
        _by_nearest(thumbnails, images, seed),
    ):
        found.append(one)
        report(Progress("probes", len(found), len(_MEANING) * len(PROTOCOLS)))
    return found


@dataclass(frozen=True, eq=False)
class _Images:
    """Of n images: label and group (n,), and by protocol the fold in which each is scored (n,)."""

    labels: Ints
    groups: npt.NDArray[np.intp]
    folds: dict[str, Ints]


def _folds(labels: Ints, groups: npt.NDArray[np.intp], protocol: str, seed: int) -> Ints:
    splitter = StratifiedGroupKFold if protocol == "grouped" else StratifiedKFold
    folds = np.zeros(len(labels), np.int64)
    whole = groups if protocol == "grouped" else None
    parts = splitter(_FOLDS, shuffle=True, random_state=seed).split(labels, labels, whole)
    for number, (_, scored) in enumerate(parts):
        folds[scored] = number
    return folds


def _by_trees(rules: dict[str, npt.NDArray[Any]], images: _Images, seed: int, workers: int) -> Iterator[Probe]:
    for name, features in rules.items():
        for protocol in PROTOCOLS:
            trees = ExtraTreesClassifier(_TREES, random_state=seed, n_jobs=workers)
            probabilities = _cross_fitted(trees, features, images.labels, images.folds[protocol])
            yield _probe(name, protocol, images, _scores(probabilities, images, seed))


def _by_nearest(thumbnails: Floats, images: _Images, seed: int) -> Iterator[Probe]:
    nearest = _nearest(thumbnails, images.folds)
    for protocol in PROTOCOLS:
        found = images.labels[nearest[protocol]].astype(float)
        yield _probe("nearest neighbor", protocol, images, _scores(found, images, seed))
    permuted = _permuted(images.labels, images.groups, seed)
    for protocol in PROTOCOLS:
        means, spread = _mean_scores(permuted, nearest[protocol], images.groups, seed)
        one = _probe("shuffled labels", protocol, images, means)
        low, high = (100 * spread["balanced_accuracy"][bound] for bound in ("low", "high"))
        words = f"95 % of which give a balanced accuracy of {low:.1f} to {high:.1f} %"
        meaning = f"{one.meaning}; the mean of {len(permuted)} permutations, {words}"
        yield replace(one, meaning=meaning, spread=spread, dealings=len(permuted))


def _probe(name: str, protocol: str, images: _Images, scores: Scores) -> Probe:
    accuracy, balanced, auc = (scores[metric] for metric in _METRICS)
    counts = len(images.labels), len(np.unique(images.groups))
    return Probe(name, protocol, accuracy, balanced, auc, *counts, meaning=_MEANING[name])


def _scores(probabilities: Floats, images: _Images, seed: int) -> Scores:
    scores = score_intervals(images.labels, probabilities, images.groups, seed=seed)
    return {metric: scores[metric] for metric in _METRICS}


def _cross_fitted(trees: ExtraTreesClassifier, features: npt.NDArray[Any], labels: Ints, folds: Ints) -> Floats:
    """Returns the probabilities by trees fitted on the other folds; copies are fitted once, with a weight."""
    kinds, kind = np.unique(features, axis=0, return_inverse=True)
    kinds = kinds.astype(np.float32)
    probabilities = np.zeros(len(labels))
    with config_context(assume_finite=True, skip_parameter_validation=True):
        for fold in range(_FOLDS):
            scored = folds == fold
            cells = np.bincount(2 * kind[~scored] + labels[~scored], minlength=2 * len(kinds))
            there = np.flatnonzero(cells)
            trees.fit(kinds[there // 2], there % 2, cells[there].astype(float))
            distinct, place = np.unique(kind[scored], return_inverse=True)
            probabilities[scored] = trees.predict_proba(kinds[distinct])[place, 1]
    return probabilities


def _nearest(thumbnails: Floats, folds: dict[str, Ints]) -> dict[str, npt.NDArray[np.intp]]:
    """Returns by protocol the most similar image of another fold, (n,), by Euclidean distance."""
    centred = thumbnails - thumbnails.mean(axis=0)
    halves = (centred**2).sum(axis=1) / 2
    found = {protocol: np.zeros(len(centred), np.intp) for protocol in folds}
    for start in range(0, len(centred), _ROWS):
        rows = slice(start, start + _ROWS)
        nearness = centred[rows] @ centred.T - halves
        for protocol, fold in folds.items():
            allowed = np.where(fold[rows, None] == fold, -np.inf, nearness)
            found[protocol][rows] = allowed.argmax(axis=1)
    return found


def _shrunk(frames: Bytes) -> npt.NDArray[np.float32]:
    """Averages (n, 64, 64) to (n, 32, 32)."""
    step = SIDE // _THUMBNAIL
    return frames.reshape(-1, _THUMBNAIL, step, _THUMBNAIL, step).mean(axis=(2, 4), dtype=np.float32)


def _permuted(labels: Ints, groups: npt.NDArray[np.intp], seed: int) -> Ints:
    """Permutes the labels of the groups many times (k, n), so that copies still agree."""
    first, random = np.unique(groups, return_index=True)[1], np.random.default_rng(seed)
    return np.stack([random.permutation(labels[first])[groups] for _ in range(_PERMUTATIONS)])


def _mean_scores(
    permuted: Ints, nearest: npt.NDArray[np.intp], groups: npt.NDArray[np.intp], seed: int
) -> tuple[Scores, dict[str, dict[str, float]]]:
    """Scores the nearest neighbor on labels (k, n): means with intervals, and the spread of single permutations.

    Each image gets the share of permutations in which it is right; for balanced accuracy every permutation weighs both
    classes with one half. The predictions are labels, not probabilities, so that ROC AUC is the same number.
    """
    right = permuted[:, nearest] == permuted
    share = permuted.mean(axis=1, keepdims=True)
    balanced = right * (0.5 / np.where(permuted == 1, share, 1 - share))
    means, spread = {}, {}
    for metric, values in zip(_METRICS, (right, balanced, balanced), strict=True):
        low, high = np.percentile(values.mean(axis=1), (2.5, 97.5))
        means[metric] = mean_interval(values.mean(axis=0), groups, seed=seed)
        spread[metric] = {"low": float(low), "high": float(high)}
    return means, spread
