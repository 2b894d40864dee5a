"""Several runs at once: the folds of one model joined, and two models compared."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from brainsift.core.errors import RunError, UsageError
from brainsift.evaluation.calibrated_run import KEY, CalibratedRun, calibrated_run
from brainsift.evaluation.run_results import FoldSummary, RunComparison, Undisputed
from brainsift.evaluation.set_scores import score_set
from brainsift.stats import metrics
from brainsift.stats.scores import Comparison, MeanScores

_COMPARED = ("accuracy", "balanced_accuracy", "roc_auc", "brier_loss")


def summarise_runs(
    runs: Sequence[str | Path], *, threshold: str | float | None = None, n_resamples: int = 1000, seed: int = 0
) -> FoldSummary:
    """Joins the folds of one model and protocol.

    Test predictions of all folds are pooled, each calibrated and decided by its own fold; the bootstrap resamples
    groups over all of them. External images are seen by every fold's model: their scores are the mean over these
    models, with the same resamples for all.

    Args:
        runs: run folders that differ in their fold (or seed) only.
        threshold: as in `evaluate_run`.
        n_resamples: of the bootstrap.
        seed: of the bootstrap.

    Raises:
        UsageError: no run.
        RunError: a run without test predictions, or a broken one.
    """
    if not runs:
        raise UsageError("runs", "needs one run folder or more, got none", "Train a run first.")
    folds = [calibrated_run(run, threshold=threshold) for run in runs]
    tests = [_test_rows(fold, run) for fold, run in zip(folds, runs, strict=True)]
    per_fold = pd.DataFrame(
        [metrics.scores(test["label"], test["probability"], threshold=test["threshold"].to_numpy()) for test in tests]
    )
    pooled = pd.concat(tests, ignore_index=True)
    whole = score_set(pooled, n_resamples, seed)
    outside = [fold.rows("external").sort_values(KEY) for fold in folds]
    sources = sorted({str(source) for rows in outside for source in rows["source"].unique()})
    return FoldSummary(
        n_folds=len(runs),
        n=whole.n,
        n_groups=whole.n_groups,
        pooled=whole.scores,
        fold_mean={str(name): float(value) for name, value in per_fold.mean().items()},
        fold_sd={str(name): float(value) for name, value in per_fold.std(ddof=1).items()},
        undisputed=_undisputed([fold.table for fold in folds], pooled, n_resamples, seed),
        external={
            source: _mean_scores([rows[rows["source"] == source] for rows in outside], n_resamples, seed)
            for source in sources
        },
    )


def compare_runs(
    first: str | Path | Sequence[str | Path],
    second: str | Path | Sequence[str | Path],
    *,
    threshold: str | float | None = None,
    sensitivity: float | None = None,
    n_resamples: int = 2000,
    seed: int = 0,
) -> RunComparison:
    """Compares two runs, or two lists of folds, on the test images that both scored.

    Args:
        first: a run folder, or the folds of one model.
        second: the other.
        threshold: as in `evaluate_run`; each run has its own.
        sensitivity: as in `evaluate_run`.
        n_resamples: of the paired bootstrap.
        seed: of the paired bootstrap.

    Returns:
        Differences first minus second. ROC AUC is tested twice: "DeLong" takes images as independent, "paired
        bootstrap" resamples groups.

    Raises:
        RunError: the two share no test image, disagree on a label, or an image is in the test set twice.
    """
    a, b = (_pooled_tests(runs, threshold, sensitivity) for runs in (first, second))
    joined = a.merge(b, on=KEY, suffixes=("_a", "_b"))
    if joined.empty:
        raise RunError(f"{first} and {second}", "share no test image", "Compare runs of one split.")
    if (joined["label_a"] != joined["label_b"]).any():
        raise RunError(f"{first} and {second}", "disagree on the label of an image", "Compare runs of one manifest.")
    labels, groups = joined["label_a"].to_numpy(), joined["group_a"].to_numpy()
    pair = joined["probability_a"].to_numpy(), joined["probability_b"].to_numpy()
    at = joined["threshold_a"].to_numpy(), joined["threshold_b"].to_numpy()
    found = []
    if 2 <= labels.sum() <= len(labels) - 2:
        delong = metrics.delong_test(labels, *pair)
        found.append(Comparison("roc_auc", delong.difference, delong.p_value, "DeLong"))
    for metric in _COMPARED:
        paired = metrics.paired_bootstrap(
            labels, *pair, groups, metric, threshold=at, n_resamples=n_resamples, seed=seed
        )
        if paired.difference.known:
            found.append(Comparison(metric, paired.difference, paired.p_value, "paired bootstrap"))
    n = len(joined)
    return RunComparison(n, len(np.unique(groups)), tuple(found), len(a) - n, len(b) - n)


def _test_rows(run: CalibratedRun, folder: str | Path) -> pd.DataFrame:
    test = run.rows("test")
    if test.empty:
        raise RunError(folder, "its predictions.csv has no rows of the test set", "Train the run to its end first.")
    return test


def _undisputed(tables: Sequence[pd.DataFrame], pooled: pd.DataFrame, n_resamples: int, seed: int) -> Undisputed | None:
    own = pd.concat([table[table["part"] != "external"] for table in tables])
    n_labels = own.groupby("group")["label"].nunique()
    rows = pooled[pooled["group"].map(n_labels) == 1]
    if rows.empty:
        return None
    right = (rows["probability"] >= rows["threshold"]) == (rows["label"] == 1)
    accuracy = metrics.mean_interval(right, rows["group"].to_numpy(), n_resamples=n_resamples, seed=seed)
    return Undisputed(len(rows), int(rows["group"].nunique()), accuracy)


def _mean_scores(parts: Sequence[pd.DataFrame], n_resamples: int, seed: int) -> MeanScores:
    """Scores one external source by the models of all folds, whose rows have the same order."""
    first = parts[0]
    for part in parts[1:]:
        if part[KEY].to_numpy().tolist() != first[KEY].to_numpy().tolist():
            raise RunError("external", "the folds scored different external images", "Train them on one data set.")
    labels, groups = first["label"].to_numpy(), first["group"].to_numpy()
    predicted = [(part["probability"].to_numpy(), part["threshold"].to_numpy()) for part in parts]
    values = [metrics.scores(labels, given, threshold=at) for given, at in predicted]
    resampled = [
        metrics.bootstrap_scores(labels, given, groups, threshold=at, n_resamples=n_resamples, seed=seed)
        for given, at in predicted
    ]
    mean = {name: float(np.mean([value[name] for value in values])) for name in metrics.METRICS}
    mean_resampled = {name: np.mean([one[name] for one in resampled], axis=0) for name in metrics.METRICS}
    intervals = metrics.intervals_from(mean, mean_resampled, labels, groups)
    return MeanScores(len(first), int(labels.sum()), len(np.unique(groups)), intervals)


def _pooled_tests(
    runs: str | Path | Sequence[str | Path], threshold: str | float | None, sensitivity: float | None
) -> pd.DataFrame:
    folders = [runs] if isinstance(runs, Path | str) else list(runs)
    read = [calibrated_run(folder, threshold=threshold, sensitivity=sensitivity) for folder in folders]
    table = pd.concat([_test_rows(run, folder) for run, folder in zip(read, folders, strict=True)])
    if table.duplicated(KEY).any():
        raise RunError(folders, "an image is in the test set more than once", "Pass each fold once.")
    return table[[*KEY, "label", "group", "probability", "threshold"]]
