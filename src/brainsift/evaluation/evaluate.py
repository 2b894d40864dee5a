"""Predictions and truth -> results.json: scores with intervals, of one run, of several, or of two against each other.

The temperature comes from the validation part alone; the threshold is 0.5 of the calibrated probability, fixed before
the test part is read. The test part and the external images are read here and nowhere else.
"""

import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from brainsift.core.errors import ManifestError, RunError, UsageError
from brainsift.core.files import read_json, write_json
from brainsift.stats import calibration, metrics

SCHEMA = 1
THRESHOLD = 0.5
KEY = ["path", "channel"]
_COLUMNS = ("path", "channel", "source", "label", "group", "part", "logit")
_FROM_CONFIG = ("name", "model", "recipe", "protocol", "fold", "seed")
_COMPARED = ("accuracy", "balanced_accuracy", "roc_auc", "brier_loss")


def evaluate_run(run_dir: Path, *, n_resamples: int = 1000, seed: int = 0) -> dict[str, Any]:
    """Scores a run folder and writes its results.json; nothing else in the folder changes.

    Args:
        run_dir: holds predictions.csv and config.json.
        n_resamples: of the bootstrap.
        seed: of the bootstrap.

    Returns:
        What results.json holds; NaN stands as null there::

            {"schema": 1, "name", "model", "recipe", "protocol", "fold", "seed"    as config.json has them, else null
             "leaky": bool                    protocol "random", or a test group that also stands in training
             "n_leaked": int                  test images whose group also stands in training or validation
             "temperature": float, "threshold": 0.5, "thresholds": {"balanced": float}
             "validation": block | null, "test": block | null
             "external": {source: block}}

            block = {"n", "n_tumor", "n_groups": int
                     "scores": {metric: {"value", "low", "high"}}
                     "confusion": {"tp", "fp", "tn", "fn"}
                     "report": scikit-learn's classification report
                     "uncalibrated": {"brier_loss", "calibration_error"}    before the temperature
                     "sources": {source: block}}    validation and test only; these blocks have no "sources"

    Raises:
        RunError: a file is missing, or the predictions break their contract.
    """
    config, table = _read_config(run_dir), calibrated_predictions(run_dir)
    n_leaked = _count_leaked(table)
    parts = {
        part: _block_with_sources(table[table["part"] == part], n_resamples, seed) for part in ("validation", "test")
    }
    external = table[table["part"] == "external"]
    results = {
        "schema": SCHEMA,
        **{key: config.get(key) for key in _FROM_CONFIG},
        "leaky": config.get("protocol") == "random" or n_leaked > 0,
        "n_leaked": n_leaked,
        "temperature": float(table.attrs["temperature"]),
        "threshold": THRESHOLD,
        "thresholds": _validation_thresholds(table),
        **parts,
        "external": {
            str(source): block(rows, n_resamples=n_resamples, seed=seed) for source, rows in external.groupby("source")
        },
    }
    write_json(run_dir / "results.json", without_nan(results))
    return results


def calibrated_predictions(run_dir: Path) -> pd.DataFrame:
    """Reads a run's predictions of images with a label, calibrated on its validation part.

    Args:
        run_dir: holds predictions.csv, and external.csv where other collections were scored.

    Returns:
        Both tables with absolute paths, ``probability`` calibrated, ``uncalibrated`` the plain sigmoid of the
        logit, every ``group`` filled (an image without one stands alone); ``attrs["temperature"]``.

    Raises:
        RunError: the file is missing, or breaks its contract.
    """
    table = _read_predictions(Path(run_dir) / "predictions.csv")
    if (external := Path(run_dir) / "external.csv").is_file():
        table = pd.concat([table, _read_predictions(external)], ignore_index=True)
    validation = table[table["part"] == "validation"]
    temperature = calibration.fit_temperature(validation["logit"], validation["label"]) if len(validation) else 1.0
    table["uncalibrated"] = calibration.apply(table["logit"], 1.0)
    table["probability"] = calibration.apply(table["logit"], temperature)
    table.attrs["temperature"] = temperature
    return table


def block(rows: pd.DataFrame, *, n_resamples: int = 1000, seed: int = 0) -> dict[str, Any]:
    """Scores a table with the columns label, probability, group; see `evaluate_run` for what is returned."""
    labels, probabilities, groups = (rows[column].to_numpy() for column in ("label", "probability", "group"))
    intervals = metrics.score_intervals(
        labels, probabilities, groups, threshold=THRESHOLD, n_resamples=n_resamples, seed=seed
    )
    found: dict[str, Any] = {
        "n": len(rows),
        "n_tumor": int(labels.sum()),
        "n_groups": len(np.unique(groups)),
        "scores": {name: interval.to_dict() for name, interval in intervals.items()},
        "confusion": metrics.confusion(labels, probabilities, THRESHOLD),
        "report": metrics.classification_report(labels, probabilities, threshold=THRESHOLD),
    }
    if "uncalibrated" in rows:
        plain = metrics.scores(labels, rows["uncalibrated"])
        found["uncalibrated"] = {name: plain[name] for name in ("brier_loss", "calibration_error")}
    return found


def evaluate_predictions(
    table: pd.DataFrame, truth: pd.DataFrame, *, n_resamples: int = 1000, seed: int = 0
) -> dict[str, Any]:
    """Scores a user's own predictions against a manifest.

    Args:
        table: columns path and probability, and channel and status where there are any; paths that are not absolute
            are taken from the working directory.
        truth: a manifest.
        n_resamples: of the bootstrap.
        seed: of the bootstrap.

    Returns:
        A block as in `evaluate_run` with "sources", and ``n_missing`` (images with a label and no probability),
        ``n_unlabelled`` (predictions without a label in the manifest).

    Raises:
        UsageError: a column is missing, a probability is no probability, or an image has two.
        ManifestError: no prediction matches an image with a label.
    """
    predictions, labelled = _user_predictions(table), truth[truth["label"].notna()].copy()
    labelled["path"] = [_absolute(path) for path in labelled["path"]]
    if "channel" not in labelled:
        labelled["channel"] = ""
    joined = labelled.drop(columns="probability", errors="ignore").merge(predictions, on=KEY, how="inner")
    if joined.empty:
        rule = f"none of the {len(predictions)} predictions is of an image with a label in the manifest"
        raise ManifestError("manifest", rule, "Give the same paths in both, absolute or from the working directory.")
    joined["group"] = _filled_groups(joined)
    return {
        "schema": SCHEMA,
        "n_missing": len(labelled) - len(joined),
        "n_unlabelled": len(predictions) - len(joined),
        **(_block_with_sources(joined, n_resamples, seed) or {}),
    }


def summarise_runs(run_dirs: Sequence[Path], *, n_resamples: int = 1000, seed: int = 0) -> dict[str, Any]:
    """Joins the folds of one model and protocol.

    Test predictions of all folds are pooled, each calibrated by its own fold; the bootstrap draws groups over all of
    them. External images are seen by every fold's model: their scores are the mean over these models, each resample
    drawn once for all.

    Args:
        run_dirs: run folders that differ in their fold (or seed) only.
        n_resamples: of the bootstrap.
        seed: of the bootstrap.

    Returns:
        ``{"n_folds", "n", "n_groups", "pooled": {metric: {"value", "low", "high"}}, "fold_mean": {metric: float},
        "fold_sd": {metric: float, null with one fold}, "undisputed": {"n", "n_groups", "accuracy": {"value", "low",
        "high"}}, "external": {source: {metric: {"value", "low", "high"}, "n", "n_tumor", "n_groups"}}}``;
        "undisputed" leaves out groups of copies that hold both labels: there any answer is wrong somewhere.

    Raises:
        UsageError: no run.
        RunError: a run without test predictions, or a broken one.
    """
    if not run_dirs:
        raise UsageError("run_dirs", "needs one run folder or more, got none", "Train a run first.")
    tables = [calibrated_predictions(Path(folder)) for folder in run_dirs]
    tests = [_test_part(table, folder) for table, folder in zip(tables, run_dirs, strict=True)]
    per_fold = pd.DataFrame([metrics.scores(test["label"], test["probability"], threshold=THRESHOLD) for test in tests])
    pooled = pd.concat(tests, ignore_index=True)
    whole = block(pooled, n_resamples=n_resamples, seed=seed)
    return {
        "n_folds": len(run_dirs),
        "n": whole["n"],
        "n_groups": whole["n_groups"],
        "pooled": whole["scores"],
        "fold_mean": {str(name): float(value) for name, value in per_fold.mean().items()},
        "fold_sd": {str(name): float(value) for name, value in per_fold.std(ddof=1).items()},
        "undisputed": _undisputed(tables, pooled, n_resamples, seed),
        "external": _external_means(tables, n_resamples, seed),
    }


def compare_runs(
    run_a: Path | Sequence[Path], run_b: Path | Sequence[Path], *, n_resamples: int = 2000, seed: int = 0
) -> dict[str, Any]:
    """Compares two runs, or two lists of folds, on the test images that both scored.

    Args:
        run_a: a run folder, or the folds of one model.
        run_b: the other.
        n_resamples: of the paired bootstrap.
        seed: of the paired bootstrap.

    Returns:
        ``{"n", "n_groups", "comparisons": [{"metric", "difference": {"value", "low", "high"}, "p_value", "test"}]}``,
        differences ``a - b``. ROC AUC is tested twice: "DeLong" takes images as independent, "paired bootstrap" draws
        groups.

    Raises:
        RunError: the two share no test image, disagree on a label, or an image stands in the test part twice.
    """
    joined = _joined_tests(run_a, run_b)
    labels, groups = joined["label"].to_numpy(), joined["group"].to_numpy()
    a, b = joined["probability_a"].to_numpy(), joined["probability_b"].to_numpy()
    comparisons = []
    if 2 <= labels.sum() <= len(labels) - 2:
        delong = metrics.delong_test(labels, a, b)
        comparisons.append(_comparison("roc_auc", delong.difference, delong.p_value, "DeLong"))
    for metric in _COMPARED:
        paired = metrics.paired_bootstrap(
            labels, a, b, groups, metric, threshold=THRESHOLD, n_resamples=n_resamples, seed=seed
        )
        if math.isfinite(paired.difference.value):
            comparisons.append(_comparison(metric, paired.difference, paired.p_value, "paired bootstrap"))
    return {"n": len(joined), "n_groups": len(np.unique(groups)), "comparisons": comparisons}


def without_nan(value: Any) -> Any:
    """Returns a copy fit for JSON: NaN and infinities become None, NumPy numbers plain ones."""
    if isinstance(value, dict):
        return {key: without_nan(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [without_nan(item) for item in value]
    if isinstance(value, np.generic):
        return without_nan(value.item())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _comparison(metric: str, difference: metrics.Interval, p_value: float, test: str) -> dict[str, Any]:
    return {"metric": metric, "difference": difference.to_dict(), "p_value": p_value, "test": test}


def _read_config(run_dir: Path) -> dict[str, Any]:
    path = run_dir / "config.json"
    if not path.is_file():
        raise RunError(path, "no such file", "Point to a folder that `brainsift train` wrote.")
    config = read_json(path)
    return config if isinstance(config, dict) else {}


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


def _count_leaked(table: pd.DataFrame) -> int:
    seen = table.loc[table["part"].isin(["train", "validation"]), "group"]
    return int(table.loc[table["part"] == "test", "group"].isin(seen).sum())


def _filled_groups(table: pd.DataFrame) -> npt.NDArray[Any]:
    """Groups by name; an image without one is a group of its own."""
    own = "image:" + table["path"].astype(str) + ":" + table["channel"].astype(str)
    if "group" not in table:
        return own.to_numpy()
    named = table["group"].fillna("").astype(str)
    return named.where(named != "", own).to_numpy()


def _block_with_sources(rows: pd.DataFrame, n_resamples: int, seed: int) -> dict[str, Any] | None:
    if rows.empty:
        return None
    sources = {str(name): block(part, n_resamples=n_resamples, seed=seed) for name, part in rows.groupby("source")}
    return {**block(rows, n_resamples=n_resamples, seed=seed), "sources": sources}


def _validation_thresholds(table: pd.DataFrame) -> dict[str, float]:
    validation = table[table["part"] == "validation"]
    if validation.empty:
        return {"balanced": THRESHOLD}
    return calibration.thresholds(validation["label"], validation["probability"])


def _test_part(table: pd.DataFrame, folder: Path) -> pd.DataFrame:
    test = table[table["part"] == "test"]
    if test.empty:
        raise RunError(folder, "its predictions.csv has no rows of the part `test`", "Train the run to its end first.")
    return test


def _undisputed(
    tables: Sequence[pd.DataFrame], pooled: pd.DataFrame, n_resamples: int, seed: int
) -> dict[str, Any] | None:
    own = pd.concat([table[table["part"] != "external"] for table in tables])
    n_labels = own.groupby("group")["label"].nunique()
    rows = pooled[pooled["group"].map(n_labels) == 1]
    if rows.empty:
        return None
    right = (rows["probability"] >= THRESHOLD) == (rows["label"] == 1)
    accuracy = metrics.mean_interval(right, rows["group"].to_numpy(), n_resamples=n_resamples, seed=seed)
    return {"n": len(rows), "n_groups": rows["group"].nunique(), "accuracy": accuracy.to_dict()}


def _external_means(tables: Sequence[pd.DataFrame], n_resamples: int, seed: int) -> dict[str, Any]:
    parts = [table[table["part"] == "external"].sort_values(KEY) for table in tables]
    sources = sorted({str(source) for part in parts for source in part["source"].unique()})
    return {
        source: _external_mean([part[part["source"] == source] for part in parts], n_resamples, seed)
        for source in sources
    }


def _external_mean(parts: Sequence[pd.DataFrame], n_resamples: int, seed: int) -> dict[str, Any]:
    first = parts[0]
    for part in parts[1:]:
        if part[KEY].to_numpy().tolist() != first[KEY].to_numpy().tolist():
            raise RunError("external", "the folds scored different external images", "Train them on one data set.")
    labels, groups = first["label"].to_numpy(), first["group"].to_numpy()
    values = [metrics.scores(labels, part["probability"], threshold=THRESHOLD) for part in parts]
    resampled = [
        metrics.bootstrap_scores(
            labels, part["probability"], groups, threshold=THRESHOLD, n_resamples=n_resamples, seed=seed
        )
        for part in parts
    ]
    mean = {name: float(np.mean([value[name] for value in values])) for name in metrics.METRICS}
    mean_resampled = {name: np.mean([one[name] for one in resampled], axis=0) for name in metrics.METRICS}
    intervals = metrics.intervals_from(mean, mean_resampled, labels, groups)
    return {
        **{name: interval.to_dict() for name, interval in intervals.items()},
        "n": len(first),
        "n_tumor": int(labels.sum()),
        "n_groups": len(np.unique(groups)),
    }


def _joined_tests(run_a: Path | Sequence[Path], run_b: Path | Sequence[Path]) -> pd.DataFrame:
    a, b = _pooled_test(run_a), _pooled_test(run_b)
    joined = a.merge(b, on=KEY, suffixes=("_a", "_b"))
    if joined.empty:
        raise RunError(f"{run_a} and {run_b}", "share no test image", "Compare runs of one split.")
    if (joined["label_a"] != joined["label_b"]).any():
        raise RunError(f"{run_a} and {run_b}", "disagree on the label of an image", "Compare runs of one manifest.")
    return joined.rename(columns={"label_a": "label", "group_a": "group"})


def _pooled_test(runs: Path | Sequence[Path]) -> pd.DataFrame:
    folders = [runs] if isinstance(runs, Path | str) else list(runs)
    table = pd.concat([_test_part(calibrated_predictions(Path(folder)), folder) for folder in folders])
    if table.duplicated(KEY).any():
        raise RunError(folders, "an image stands in the test part more than once", "Pass each fold once.")
    return table[[*KEY, "label", "group", "probability"]]


def _user_predictions(table: pd.DataFrame) -> pd.DataFrame:
    missing = [column for column in ("path", "probability") if column not in table]
    if missing:
        raise UsageError("predictions", f"lack the columns {missing}", "Give a CSV with path and probability.")
    own = table[["path"]].copy()
    own["channel"] = table["channel"].fillna("") if "channel" in table else ""
    own["probability"] = pd.to_numeric(table["probability"], errors="coerce")
    given = table["probability"].notna() & (table["probability"].astype(str).str.strip() != "")
    if not own.loc[given, "probability"].between(0, 1).all():
        raise UsageError("predictions", "a probability is not within 0 and 1", "Give probabilities, not logits.")
    own = own[given]
    own["path"] = [_absolute(path) for path in own["path"]]
    if own.duplicated(KEY).any():
        twice = own.loc[own.duplicated(KEY), "path"].iloc[0]
        raise UsageError("predictions", f"must have one row an image; {twice} has more", "Remove the others.")
    return own


def _absolute(path: object) -> str:
    return str(Path(os.path.normpath(Path.cwd() / str(path))))
