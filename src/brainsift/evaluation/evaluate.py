"""Predictions and truth -> scores with intervals: of one run, of its folds, of two runs against each other.

The temperature and the thresholds come from the validation set alone. Unless another one is requested, images are
decided at the threshold that `predict` would use: `balanced`. The test set and the external images are read here and
nowhere else.
"""

import math
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, overload

import numpy as np
import numpy.typing as npt
import pandas as pd

from brainsift.core.errors import ManifestError, RunError, UsageError
from brainsift.core.files import read_json
from brainsift.core.labels import CLASS_NAMES
from brainsift.datasets.csv_table import read_table
from brainsift.datasets.manifest import read_manifest
from brainsift.datasets.protocols import is_leaky
from brainsift.evaluation.run_results import FoldSummary, PredictionResults, RunComparison, RunResults, Undisputed
from brainsift.inference.bundle import Bundle, load_bundle
from brainsift.inference.decision import Prediction
from brainsift.stats import calibration, metrics
from brainsift.stats.calibration import OperatingPoint
from brainsift.stats.scores import Comparison, MeanScores, SetScores

KEY = ["path", "channel"]
_COLUMNS = ("path", "channel", "source", "label", "group", "part", "logit")
_FROM_CONFIG = ("name", "model", "recipe", "protocol", "fold", "seed")
_COMPARED = ("accuracy", "balanced_accuracy", "roc_auc", "brier_loss")
_ROUNDED = 1e-6  # of a probability in a table of `predict`


@dataclass(frozen=True, eq=False)
class CalibratedRun:
    """A run's predictions of images with a label, calibrated on its validation set.

    Attributes:
        table: predictions.csv and external.csv with absolute paths, and the columns ``probability`` (calibrated),
            ``uncalibrated`` (the plain sigmoid of the logit) and ``threshold``; every ``group`` is filled, as an
            image without one is a group of its own.
        temperature: the logits were divided by it.
        thresholds: what the validation set chose, by name.
        point: the threshold that decides, and its name.
    """

    table: pd.DataFrame
    temperature: float
    thresholds: dict[str, float]
    point: OperatingPoint

    def rows(self, part: str) -> pd.DataFrame:
        """Returns the images of "train", "validation", "test" or "external"."""
        return self.table[self.table["part"] == part]


def calibrated_run(
    run: str | Path, *, threshold: str | float | None = None, sensitivity: float | None = None
) -> CalibratedRun:
    """Reads what a run predicted, and calibrates it on its validation set.

    Args:
        run: folder with predictions.csv, and external.csv where other collections were scored.
        threshold: a name, a number, or None for `balanced`; see `calibration.choose`.
        sensitivity: instead of a threshold.

    Raises:
        RunError: predictions.csv is missing, or breaks its contract.
        UsageError: a threshold or sensitivity that the validation set does not know.
    """
    folder = Path(run)
    table = _read_predictions(folder / "predictions.csv")
    if (external := folder / "external.csv").is_file():
        table = pd.concat([table, _read_predictions(external)], ignore_index=True)
    validation = table[table["part"] == "validation"]
    temperature, thresholds, reached = 1.0, {"balanced": calibration.EVEN}, []
    if len(validation):
        labels = validation["label"]
        temperature = calibration.fit_temperature(validation["logit"], labels)
        probabilities = calibration.apply(validation["logit"], temperature)
        thresholds = calibration.thresholds(labels, probabilities)
        reached = calibration.sensitivities(labels, probabilities)
    point = calibration.choose(thresholds, reached, threshold=threshold, sensitivity=sensitivity)
    table["uncalibrated"] = calibration.apply(table["logit"], 1.0)
    table["probability"] = calibration.apply(table["logit"], temperature)
    table["threshold"] = point.threshold
    return CalibratedRun(table, temperature, thresholds, point)


def calibrated_predictions(run: str | Path) -> pd.DataFrame:
    """Returns the table of `calibrated_run`: one row per image, with its calibrated ``probability``."""
    return calibrated_run(run).table


def evaluate_run(
    run: str | Path,
    *,
    threshold: str | float | None = None,
    sensitivity: float | None = None,
    n_resamples: int = 1000,
    seed: int = 0,
) -> RunResults:
    """Scores a run and writes its results.json; nothing else in the folder changes.

    Args:
        run: folder with predictions.csv and config.json.
        threshold: a name such as "screening" or "even" (0.5), a number, or None: `balanced` of the run's validation
            set, which `predict` uses with the bundle made of this run.
        sensitivity: instead of a threshold: the one that reached it on the validation set.
        n_resamples: of the bootstrap.
        seed: of the bootstrap.

    Raises:
        RunError: a file is missing, or the predictions break their contract.
        UsageError: a threshold or sensitivity that the validation set does not know.

    Example:
        >>> import brainsift as bs
        >>> results = bs.evaluate("run")  # doctest: +SKIP
        >>> results.test.scores["roc_auc"]  # doctest: +SKIP
        Interval(value=0.985, low=0.978, high=0.991)
    """
    folder = Path(run)
    path = folder / "config.json"
    if not path.is_file():
        raise RunError(path, "no such file", "Point to a folder that `brainsift train` wrote.")
    config = read_json(path)
    calibrated = calibrated_run(folder, threshold=threshold, sensitivity=sensitivity)
    test, external = calibrated.rows("test"), calibrated.rows("external")
    seen = calibrated.table.loc[calibrated.table["part"].isin(["train", "validation"]), "group"]
    n_leaked = int(test["group"].isin(seen).sum())
    known = {key: config.get(key) if isinstance(config, dict) else None for key in _FROM_CONFIG}
    results = RunResults(
        **known,
        leaky=is_leaky(known["protocol"]) or n_leaked > 0,
        n_leaked=n_leaked,
        temperature=calibrated.temperature,
        threshold=calibrated.point.threshold,
        threshold_name=calibrated.point.name,
        thresholds=calibrated.thresholds,
        validation=_scores_with_sources(calibrated.rows("validation"), n_resamples, seed),
        test=_scores_with_sources(test, n_resamples, seed),
        external={str(name): score_set(rows, n_resamples, seed) for name, rows in external.groupby("source")},
    )
    results.write(folder / "results.json")
    return results


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


def evaluate_predictions(
    predictions: pd.DataFrame | str | Path | Iterable[Prediction],
    manifest: pd.DataFrame | str | Path,
    *,
    threshold: str | float | None = None,
    sensitivity: float | None = None,
    bundle: Bundle | None = None,
    n_resamples: int = 1000,
    seed: int = 0,
) -> PredictionResults:
    """Scores a table of predictions against the truth.

    Where no threshold is requested, the images are decided as the table says: at its column ``threshold`` (an export
    of the history of `serve`), else at the threshold that its column ``decision`` was made at (a table of `predict`):
    the bundle's `balanced` if that agrees with all decisions, otherwise the smallest probability called "tumor". A
    table with neither column is decided at 0.5.

    Args:
        predictions: a table or CSV file with path and probability, and channel, threshold and decision where there
            are any; or what a `Predictor` returned. Paths that are not absolute are taken from the working directory.
        manifest: path and label, and what else is known of the images.
        threshold: a name of the bundle's thresholds, or a number.
        sensitivity: instead of a threshold: the bundle's that reached it on its validation set.
        bundle: whose thresholds have these names; the package's own by default.
        n_resamples: of the bootstrap.
        seed: of the bootstrap.

    Raises:
        UsageError: a column is missing, a probability or threshold is not one, an image has two predictions, or no
            single threshold agrees with the decisions.
        ManifestError: no prediction matches an image with a label.
    """
    if isinstance(predictions, pd.DataFrame):
        table = predictions
    elif isinstance(predictions, str | Path):
        table = _read_user_table(Path(predictions))
    else:
        rows = [(str(one.path), one.probability, one.decision) for one in predictions]
        table = pd.DataFrame(rows, columns=["path", "probability", "decision"])
    truth = manifest if isinstance(manifest, pd.DataFrame) else read_manifest(Path(manifest))
    requested = threshold is not None or sensitivity is not None
    own = _user_predictions(table)
    if requested or "threshold" not in own:
        bundle = bundle or load_bundle()
        point = calibration.choose(
            bundle.thresholds, bundle.sensitivities, threshold=threshold, sensitivity=sensitivity
        )
        point = point if requested else _point_of_decisions(own, point)
        own["threshold"] = point.threshold
    else:
        point = OperatingPoint("of each image in the table", math.nan)
    labelled = truth[truth["label"].notna()].drop(columns=["probability", "threshold", "decision"], errors="ignore")
    labelled = labelled.assign(path=[_absolute(path) for path in labelled["path"]])
    if "channel" not in labelled:
        labelled["channel"] = ""
    joined = labelled.merge(own, on=KEY, how="inner")
    if joined.empty:
        rule = f"none of the {len(own)} predictions is of an image with a label in the manifest"
        raise ManifestError("manifest", rule, "Give the same paths in both, absolute or from the working directory.")
    joined["group"] = _filled_groups(joined)
    scores = _scores_with_sources(joined, n_resamples, seed)
    assert scores is not None
    return PredictionResults(
        **vars(scores),
        n_missing=len(labelled) - len(joined),
        n_unlabelled=len(own) - len(joined),
        threshold=point.threshold,
        threshold_name=point.name,
    )


@overload
def evaluate(
    subject: str | Path,
    manifest: None = None,
    *,
    threshold: str | float | None = None,
    sensitivity: float | None = None,
) -> RunResults: ...


@overload
def evaluate(
    subject: pd.DataFrame | str | Path | Iterable[Prediction],
    manifest: pd.DataFrame | str | Path,
    *,
    threshold: str | float | None = None,
    sensitivity: float | None = None,
    bundle: Bundle | None = None,
) -> PredictionResults: ...


def evaluate(
    subject: pd.DataFrame | str | Path | Iterable[Prediction],
    manifest: pd.DataFrame | str | Path | None = None,
    *,
    threshold: str | float | None = None,
    sensitivity: float | None = None,
    bundle: Bundle | None = None,
) -> RunResults | PredictionResults:
    """Scores a run on its own test set, or a table of predictions against a manifest, with 95 % intervals.

    Args:
        subject: a run folder; or with a manifest, predictions: what a `Predictor` returned, a table or a CSV file with
            path and probability.
        manifest: the truth for predictions: a table or a CSV file with path and label.
        threshold: a name ("balanced", "screening", "confirm", "even") or a number from which on an image counts as
            "tumor"; None for what `predict` uses. See `evaluate_run` and `evaluate_predictions`.
        sensitivity: instead of a threshold: the one that reached it on validation data.
        bundle: whose thresholds are meant, for predictions; the package's own by default.

    Returns:
        `RunResults`, also written to results.json of the run; or `PredictionResults`.

    Raises:
        RunError: the run folder is not complete.
        UsageError: a threshold that is not known, or predictions that break their contract.
        ManifestError: no prediction matches an image with a label.

    Example:
        >>> import brainsift as bs
        >>> bs.evaluate("run").test.scores["accuracy"]  # doctest: +SKIP
        Interval(value=0.956, low=0.936, high=0.973)
        >>> bs.evaluate("predictions.csv", "manifest.csv", threshold=0.5).scores["sensitivity"]  # doctest: +SKIP
        Interval(value=0.944, low=0.911, high=0.968)
    """
    wanted: Any = {"threshold": threshold, "sensitivity": sensitivity}
    if manifest is not None:
        return evaluate_predictions(subject, manifest, bundle=bundle, **wanted)
    if not isinstance(subject, str | Path) or bundle is not None:
        raise UsageError("manifest", "is needed with predictions: it holds their truth", "Give a table or CSV file.")
    return evaluate_run(subject, **wanted)


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
    return RunComparison(len(joined), len(np.unique(groups)), tuple(found))


def _read_predictions(path: Path) -> pd.DataFrame:
    if not path.is_file():
        raise RunError(path, "no such file", "Train the run to its end first.")
    text = dict.fromkeys(("path", "channel", "source", "contrast", "patient", "group", "part"), str)
    missing_values = {"label": [""], "logit": ["", "nan"]}
    table = pd.read_csv(
        path, dtype=text, keep_default_na=False, na_values=missing_values, encoding_errors="surrogateescape"
    )
    missing = [column for column in _COLUMNS if column not in table]
    if missing:
        raise RunError(path, f"lacks the columns {missing}", "Train the run again.")
    table = table[table["label"].notna()].reset_index(drop=True)
    if "contrast" not in table:
        table["contrast"] = ""
    logits = pd.to_numeric(table["logit"], errors="coerce")
    if not np.isfinite(logits).all() or not table["label"].isin([0, 1]).all():
        raise RunError(path, "holds a logit that is not finite or a label that is neither 1 nor 0", "Train it again.")
    folder = path.resolve().parent
    table["path"] = [os.path.normpath(folder / one) for one in table["path"]]
    table["logit"], table["group"] = logits, _filled_groups(table)
    return table


def _filled_groups(table: pd.DataFrame) -> npt.NDArray[Any]:
    """Groups by name; an image without one is a group of its own."""
    own = "image:" + table["path"].astype(str) + ":" + table["channel"].astype(str)
    if "group" not in table:
        return own.to_numpy()
    named = table["group"].fillna("").astype(str)
    return named.where(named != "", own).to_numpy()


def _scores_with_sources(rows: pd.DataFrame, n_resamples: int, seed: int) -> SetScores | None:
    if rows.empty:
        return None
    sources = {str(name): score_set(part, n_resamples, seed) for name, part in rows.groupby("source")}
    return score_set(rows, n_resamples, seed, sources)


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


def _read_user_table(path: Path) -> pd.DataFrame:
    """Reads a CSV file of predictions; relative paths count from the working directory, as those of `predict` do."""
    columns = ("path", "channel", "probability", "decision", "threshold")
    table = read_table(path, columns, required=("path", "probability"), base=Path.cwd())
    for column in {"probability", "threshold"} & set(table):
        table[column] = table[column].str.replace(",", ".")  # numbers as most of Europe writes them
    return table


def _user_predictions(table: pd.DataFrame) -> pd.DataFrame:
    """Checks a user's table; returns path, channel, probability, decision, and threshold where all rows have one."""
    missing = [column for column in ("path", "probability") if column not in table]
    if missing:
        raise UsageError("predictions", f"lack the columns {missing}", "Give a CSV with path and probability.")
    own = table[["path"]].copy()
    for column in ("channel", "decision"):
        own[column] = table[column].fillna("") if column in table else ""
    given = table["probability"].notna() & (table["probability"].astype(str).str.strip() != "")
    for column in ("probability", "threshold"):
        if column not in table:
            continue
        own[column] = pd.to_numeric(table[column], errors="coerce")
        if column == "probability" and not own.loc[given, column].between(0, 1).all():
            raise UsageError("predictions", f"a {column} is not within 0 and 1", "Give probabilities, not logits.")
    own = own[given]
    if "threshold" in own and own["threshold"].isna().any():
        own = own.drop(columns="threshold")
    own["path"] = [_absolute(path) for path in own["path"]]
    if own.duplicated(KEY).any():
        twice = own.loc[own.duplicated(KEY), "path"].iloc[0]
        raise UsageError("predictions", f"must have one row per image; {twice} has more", "Remove the others.")
    return own


def _point_of_decisions(own: pd.DataFrame, balanced: OperatingPoint) -> OperatingPoint:
    """Finds the threshold that a table's decisions were made at.

    Raises:
        UsageError: no single threshold agrees with them.
    """
    no_tumor, tumor = (own.loc[own["decision"] == name, "probability"] for name in CLASS_NAMES)
    if tumor.empty and no_tumor.empty:
        return OperatingPoint("even", calibration.EVEN)
    highest, lowest = no_tumor.max() if len(no_tumor) else 0.0, tumor.min() if len(tumor) else 1.0
    if highest <= balanced.threshold + _ROUNDED and lowest >= balanced.threshold - _ROUNDED:
        return balanced
    if highest > lowest:
        rule = f"call {lowest} tumor and {highest} no tumor: they were made at several thresholds"
        raise UsageError("predictions", rule, "Say which threshold is meant: `--threshold NAME|NUMBER`.")
    return OperatingPoint("of the decisions in the table", float(lowest))


def _absolute(path: object) -> str:
    return str(Path(os.path.normpath(Path.cwd() / str(path))))
