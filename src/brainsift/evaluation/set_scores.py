"""Scores of one set of images: as a whole, and by source."""

import numpy as np
import pandas as pd

from brainsift.stats import metrics
from brainsift.stats.scores import SetScores


def score_set(
    rows: pd.DataFrame, n_resamples: int = 1000, seed: int = 0, sources: dict[str, SetScores] | None = None
) -> SetScores:
    """Scores a table of images.

    Args:
        rows: label, probability, group and threshold; uncalibrated where it is known.
        n_resamples: of the bootstrap.
        seed: of the bootstrap.
        sources: the scores of its sources, kept beside its own.
    """
    labels, probabilities, at = (rows[column].to_numpy() for column in ("label", "probability", "threshold"))
    groups, uncalibrated = rows["group"].to_numpy(), None
    if "uncalibrated" in rows:
        plain = metrics.scores(labels, rows["uncalibrated"])
        uncalibrated = {name: plain[name] for name in ("brier_loss", "calibration_error")}
    return SetScores(
        n=len(rows),
        n_tumor=int(labels.sum()),
        n_groups=len(np.unique(groups)),
        scores=metrics.score_intervals(labels, probabilities, groups, threshold=at, n_resamples=n_resamples, seed=seed),
        confusion=metrics.confusion(labels, probabilities, at),
        report=metrics.classification_report(labels, probabilities, threshold=at),
        uncalibrated=uncalibrated,
        sources=sources or {},
    )


def scores_with_sources(rows: pd.DataFrame, n_resamples: int, seed: int) -> SetScores | None:
    """Scores a table of images as `score_set` does, and each of its sources; None for a table without rows."""
    if rows.empty:
        return None
    sources = {str(name): score_set(part, n_resamples, seed) for name, part in rows.groupby("source")}
    return score_set(rows, n_resamples, seed, sources)
