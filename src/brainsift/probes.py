"""Shortcut probes: how well rules that see no anatomy tell the classes apart, with intervals.

Each rule is fitted on four fifths of the images and judged on the rest, five times: on random folds, as most studies
split, and on folds that keep near-duplicates and patients whole. What a rule reaches on grouped folds, a network can
reach without knowing tumors; what it reaches on random folds beyond that is leakage.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold
from sklearn.neighbors import KNeighborsClassifier

from brainsift.metrics import score_intervals
from brainsift.scope import border_of
from brainsift.sketch import SIDE, Bytes

PROTOCOLS = ("random", "grouped")
_METRICS = ("accuracy", "balanced_accuracy", "roc_auc")
_FOLDS = 5
_THUMBNAIL = 32
_TREES = 100
_MEANING = {
    "image size": "knows only the width and the height of the file",
    "border": "knows only the outermost pixels, where no brain is",
    "nearest neighbour": "looks up the most similar 32×32 image and takes its label",
    "shuffled labels": "nearest neighbour on labels dealt out at random to the groups: 50 % unless copies leak",
}

Floats = npt.NDArray[np.floating[Any]]


def probe(
    table: pd.DataFrame, frames: Bytes, *, seed: int = 0, workers: int = 1, progress: Callable[[int, int], None]
) -> list[dict[str, Any]]:
    """Runs all probes.

    Args:
        table: n labelled, readable images with the columns label, group, width, height.
        frames: (n, 64, 64) uint8, their sketches.
        seed: of folds, trees and shuffling.
        workers: threads.
        progress: called with (done, total).

    Returns:
        One entry a probe and protocol: name, protocol, accuracy, balanced_accuracy and roc_auc as {value, low, high}
        (95 %, bootstrap of groups), n, n_groups, meaning. Empty where a class has fewer than five groups.
    """
    labels, groups = table["label"].to_numpy(np.int64), pd.factorize(table["group"])[0]
    if min(table.groupby("label")["group"].nunique().reindex([0.0, 1.0], fill_value=0)) < _FOLDS:
        return []
    thumbnails = _shrunk(frames).reshape(len(frames), -1)
    trees = ExtraTreesClassifier(_TREES, random_state=seed, n_jobs=workers)
    nearest = KNeighborsClassifier(1, algorithm="brute", n_jobs=workers)
    rules = [
        _Rule("image size", table[["width", "height"]].to_numpy(np.float32), trees, labels),
        _Rule("border", border_of(frames).astype(np.float32), trees, labels),
        _Rule("nearest neighbour", thumbnails, nearest, labels),
        _Rule("shuffled labels", thumbnails, nearest, _shuffled(labels, groups, seed)),
    ]
    found = []
    for rule in rules:
        for protocol in PROTOCOLS:
            found.append(_judge(rule, protocol, groups, seed))
            progress(len(found), len(rules) * len(PROTOCOLS))
    return found


@dataclass(frozen=True, eq=False)
class _Rule:
    """What a probe sees of n images, how it learns, and the labels it is judged by."""

    name: str
    features: Floats
    learner: Any
    labels: npt.NDArray[np.int64]


def _judge(rule: _Rule, protocol: str, groups: npt.NDArray[np.intp], seed: int) -> dict[str, Any]:
    kept_whole = protocol == "grouped"
    folds = (StratifiedGroupKFold if kept_whole else StratifiedKFold)(_FOLDS, shuffle=True, random_state=seed)
    probabilities = np.zeros(len(rule.labels))
    for train, test in folds.split(rule.features, rule.labels, groups if kept_whole else None):
        fitted = rule.learner.fit(rule.features[train], rule.labels[train])
        probabilities[test] = fitted.predict_proba(rule.features[test])[:, 1]
    scores = score_intervals(rule.labels, probabilities, groups, seed=seed)
    return {
        "name": rule.name,
        "protocol": protocol,
        **{metric: scores[metric].to_dict() for metric in _METRICS},
        "n": len(rule.labels),
        "n_groups": len(np.unique(groups)),
        "meaning": _MEANING[rule.name],
    }


def _shrunk(frames: Bytes) -> npt.NDArray[np.float32]:
    """Averages (n, 64, 64) to (n, 32, 32)."""
    step = SIDE // _THUMBNAIL
    return frames.reshape(-1, _THUMBNAIL, step, _THUMBNAIL, step).mean(axis=(2, 4), dtype=np.float32)


def _shuffled(labels: npt.NDArray[np.int64], groups: npt.NDArray[np.intp], seed: int) -> npt.NDArray[np.int64]:
    """Deals the labels of the groups out anew, so that copies still agree."""
    first = np.unique(groups, return_index=True)[1]
    dealt = np.random.default_rng(seed).permutation(labels[first])
    return dealt[groups]
