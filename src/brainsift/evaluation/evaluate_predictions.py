"""Scores of predictions that come from a table, from `predict` or from another program, against a manifest."""

import math
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any, get_args

import pandas as pd

from brainsift.core.errors import ManifestError, UsageError
from brainsift.core.labels import CLASS_NAMES
from brainsift.datasets.csv_table import TEXT, read_table
from brainsift.datasets.manifest import read_manifest, refuse_conflicts
from brainsift.evaluation.calibrated_run import KEY, filled_groups
from brainsift.evaluation.run_results import PredictionResults
from brainsift.evaluation.set_scores import scores_with_sources
from brainsift.inference.bundle import Bundle, load_bundle
from brainsift.inference.decision import Decision, Prediction
from brainsift.stats import calibration
from brainsift.stats.calibration import OperatingPoint

_DECISIONS = get_args(Decision)
_ROUNDED = 1e-6  # of a probability in a table of `predict`


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

    Images that the table refers, as it is not sure or as they are no brain MRI, are scored by their probability like
    all others; the results say how many there are. Only images without a probability are left out.

    Args:
        predictions: a table or CSV file with path and probability, and channel, threshold, decision and status where
            there are any; or what a `Predictor` returned. Paths that are not absolute are taken from the working
            directory.
        manifest: path and label, and what else is known of the images, such as channel, source and group.
        threshold: a name of the bundle's thresholds, or a number.
        sensitivity: instead of a threshold: the bundle's that reached it on its validation set.
        bundle: whose thresholds have these names; the package's own by default.
        n_resamples: of the bootstrap.
        seed: of the bootstrap.

    Raises:
        UsageError: a column is missing, a probability or threshold is not one, only some images have a threshold, an
            image has two predictions, or no single threshold agrees with the decisions.
        ManifestError: the manifest lacks a column, has a label that is neither 1 nor 0 nor unknown, or no prediction
            matches an image with a label.
    """
    if isinstance(predictions, pd.DataFrame):
        table = predictions
    elif isinstance(predictions, str | Path):
        table = _read_user_table(Path(predictions))
    else:
        rows = [(str(one.path), one.probability, one.decision, one.status) for one in predictions]
        table = pd.DataFrame(rows, columns=["path", "probability", "decision", "status"])
    truth = manifest if isinstance(manifest, pd.DataFrame) else read_manifest(Path(manifest))
    requested = threshold is not None or sensitivity is not None
    if requested:
        table = table.drop(columns="threshold", errors="ignore")
    own = _user_predictions(table)
    if "threshold" not in own:
        bundle = bundle or load_bundle()
        point = calibration.choose(
            bundle.thresholds, bundle.sensitivities, threshold=threshold, sensitivity=sensitivity
        )
        point = point if requested else _point_of_decisions(own, point)
        own["threshold"] = point.threshold
    else:
        point = OperatingPoint("of each image in the table", math.nan)
    labelled = _labelled(truth)
    joined = _joined(own, labelled)
    scores = scores_with_sources(joined, n_resamples, seed)
    assert scores is not None
    return PredictionResults(
        **vars(scores),
        n_missing=len(labelled) - len(joined),
        n_unlabelled=len(own) - len(joined),
        n_referred=int((joined["decision"] == "refer").sum()),
        n_not_brain_mri=int((joined["status"] == "not_brain_mri").sum()),
        threshold=point.threshold,
        threshold_name=point.name,
    )


def labelled_predictions(predictions: Path, manifest: Path) -> pd.DataFrame:
    """Joins a table of predictions with the truth, see `evaluate_predictions`.

    Args:
        predictions: CSV file with path and probability.
        manifest: CSV file with path and label.

    Returns:
        The manifest's columns, ``probability``, ``decision`` and ``status``; every ``group`` is filled.

    Raises:
        UsageError, ManifestError: as in `evaluate_predictions`.
    """
    return _joined(_user_predictions(_read_user_table(predictions)), _labelled(read_manifest(manifest)))


def _joined(own: pd.DataFrame, labelled: pd.DataFrame) -> pd.DataFrame:
    joined = labelled.merge(own, on=KEY, how="inner")
    if joined.empty:
        rule = f"none of the {len(own)} predictions is of an image with a label in the manifest"
        raise ManifestError("manifest", rule, "Give the same paths in both, absolute or from the working directory.")
    joined["group"] = pd.Series(filled_groups(joined), index=joined.index, dtype=TEXT)
    return joined


def _read_user_table(path: Path) -> pd.DataFrame:
    """Reads a CSV file of predictions; relative paths count from the working directory, as those of `predict` do."""
    columns = ("path", "channel", "probability", "decision", "status", "threshold")
    table = read_table(path, columns, required=("path", "probability"), base=Path.cwd())
    for column in {"probability", "threshold"} & set(table):
        table[column] = table[column].str.replace(",", ".")  # numbers as most of Europe writes them
    return table


def _user_predictions(table: pd.DataFrame) -> pd.DataFrame:
    """Checks a user's table; returns path, channel, decision, status, probability, and threshold where there is one."""
    missing = [column for column in ("path", "probability") if column not in table]
    if missing:
        raise UsageError("predictions", f"lack the columns {missing}", "Give a CSV with path and probability.")
    own = table[["path"]].copy()
    for column in ("channel", "decision", "status"):
        own[column] = _without_gaps(table[column], "") if column in table else ""
    filled = _filled(table["probability"])
    own["probability"] = pd.to_numeric(table["probability"], errors="coerce")
    own = own[filled]
    if not (within := own["probability"].between(0, 1)).all():
        rule = f"the probability {table['probability'][filled][~within].iloc[0]} is not within 0 and 1"
        raise UsageError("predictions", rule, "Give probabilities, not logits or labels; write 0.97, not 97.")
    if not (known := own["decision"].isin(_DECISIONS)).all():
        rule = f"hold the decision {own['decision'][~known].iloc[0]!r}, which is none of {list(_DECISIONS)}"
        raise UsageError("predictions", rule, "Write it as `predict` does, or delete the column `decision`.")
    if "threshold" in table and (decided := _filled(table["threshold"][filled])).any():
        if not decided.all():
            rule = f"have a threshold in {decided.sum()} of {len(decided)} rows with a probability"
            raise UsageError("predictions", rule, "Fill the column `threshold`, delete it, or say `--threshold`.")
        own["threshold"] = pd.to_numeric(table["threshold"][filled], errors="coerce")
        if not (within := own["threshold"].between(0, 1)).all():
            rule = f"the threshold {table['threshold'][filled][~within].iloc[0]} is not within 0 and 1"
            raise UsageError("predictions", rule, "Write 0.43, not 43.")
    own["path"] = [_absolute(path) for path in own["path"]]
    if own.duplicated(KEY).any():
        twice = own.loc[own.duplicated(KEY), "path"].iloc[0]
        raise UsageError("predictions", f"must have one row per image; {twice} has more", "Remove the others.")
    return own


def _without_gaps(column: pd.Series, word: str) -> list[Any]:
    """Fills a column of any type, which `fillna` does not do with a word in a column of numbers."""
    return [word if pd.isna(value) else value for value in column]


def _filled(column: pd.Series) -> pd.Series:
    return column.notna() & (column.astype(str).str.strip() != "")


def _labelled(truth: pd.DataFrame) -> pd.DataFrame:
    """Returns the images of a manifest that have a label, with absolute paths, a channel and a source."""
    missing = [column for column in ("path", "label") if column not in truth]
    if missing:
        raise ManifestError("manifest", f"lacks the columns {missing}", "Give a table with path and label.")
    labelled = truth[truth["label"].notna()]
    if not labelled["label"].isin([0, 1]).all():
        rule = f"holds the label {labelled.loc[~labelled['label'].isin([0, 1]), 'label'].iloc[0]}"
        raise ManifestError("manifest", rule, "A label is 1 (tumor), 0 (no tumor) or empty.")
    # These columns are those of the predictions, whatever the manifest says.
    labelled = labelled.drop(columns=["probability", "threshold", "decision", "status"], errors="ignore")
    named = {"channel": "", "source": "manifest", "patient": ""}
    filled = {name: _without_gaps(labelled[name], own) if name in labelled else own for name, own in named.items()}
    labelled = labelled.assign(path=[_absolute(path) for path in labelled["path"]], **filled)
    refuse_conflicts(labelled, "manifest")
    return labelled.drop_duplicates(KEY)


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
