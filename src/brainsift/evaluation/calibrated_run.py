"""What a run predicted, calibrated on its validation set alone."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from brainsift.core.errors import RunError, in_one_line
from brainsift.datasets.csv_table import TEXT
from brainsift.stats import calibration
from brainsift.stats.calibration import OperatingPoint

KEY = ["path", "channel"]
_COLUMNS = ("path", "channel", "source", "label", "group", "part", "logit")


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


def _read_predictions(path: Path) -> pd.DataFrame:
    if not path.is_file():
        raise RunError(path, "no such file", "Train the run to its end first.")
    # Names of files need not be UTF-8, which the strings of pyarrow are.
    text = dict.fromkeys(("path", "channel", "source", "contrast", "patient", "group", "part"), TEXT)
    missing_values = {"label": [""], "logit": ["", "nan"]}
    try:
        table = pd.read_csv(
            path, dtype=text, keep_default_na=False, na_values=missing_values, encoding_errors="surrogateescape"
        )
    except (ValueError, OSError) as error:  # pandas raises kinds of ValueError for a file that is not a table
        raise RunError(path, f"is no table of predictions: {in_one_line(error)}", "Train the run again.") from error
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
    paths = [os.path.normpath(folder / one) for one in table["path"]]
    table["path"] = pd.Series(paths, index=table.index, dtype=TEXT)
    table["logit"] = logits
    table["group"] = pd.Series(filled_groups(table), index=table.index, dtype=TEXT)
    return table


def filled_groups(table: pd.DataFrame) -> npt.NDArray[Any]:
    """Groups by name; an image without one is a group of its own."""
    own = "image:" + table["path"].astype(TEXT) + ":" + table["channel"].astype(TEXT)
    if "group" not in table:
        return own.to_numpy()
    named = pd.Series(["" if pd.isna(value) else str(value) for value in table["group"]], index=table.index, dtype=TEXT)
    return named.where(named != "", own).to_numpy()
