"""Labels that a network contradicts although it never saw the image: perhaps wrong, so for a person to check.

Source: C. Northcutt, L. Jiang, I. Chuang, Confident learning: estimating uncertainty in dataset labels, J. Artif.
Intell. Res. 70 (2021). An image is doubtful if the probability of the other class is at least what it is on average
among the images of that class. So a network that is seldom sure casts no more doubt than one that often is.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from brainsift.core.errors import ManifestError, UsageError
from brainsift.core.labels import CLASS_NAMES, NO_TUMOR, TUMOR
from brainsift.datasets.manifest import read_manifest, refuse_conflicts, write_manifest
from brainsift.evaluation.calibrated_run import KEY, calibrated_run, filled_groups
from brainsift.evaluation.evaluate_predictions import labelled_predictions

_COLUMNS = ("path", "channel", "source", "contrast", "label", "probability", "group", "copies", "conflict")


@dataclass(frozen=True, eq=False)
class DoubtfulLabels:
    """What `doubtful_labels` found.

    Attributes:
        table: one row per doubtful image, with its calibrated ``probability`` of a tumor, ``copies``: how many other
            images of its group carry the same label, and ``conflict``: whether one carries the other. Groups stand
            together, those that are contradicted most first.
        n: images that were scored.
        n_groups: their groups.
        confidence: mean probability of the class among its images, by class name; groups count alike.
        n_leaked: images with a copy in the training or validation set of the network that scored them. It may have
            learned the wrong label from that copy, so there are fewer doubts than there should be.
    """

    table: pd.DataFrame
    n: int
    n_groups: int
    confidence: dict[str, float]
    n_leaked: int

    def write(self, path: Path) -> None:
        """Writes the table as a CSV file with an empty column ``verdict``, which `labelling.read_verdicts` reads."""
        write_manifest(self.table.assign(verdict=""), path)


def doubtful_labels(subjects: Sequence[str | Path], manifest: str | Path | None = None) -> DoubtfulLabels:
    """Finds images whose label networks contradict that did not train on them.

    Args:
        subjects: run folders, of which the test sets are checked; or CSV files with path and probability, such as the
            out_of_fold.csv of cross-fitting. An image that several of them score has the mean probability.
        manifest: CSV file with path and label, for predictions without labels, such as those of `predict`.

    Raises:
        UsageError: there is no subject, or a manifest beside a run.
        RunError, ManifestError: a file is missing or breaks its contract, no image has both label and prediction, or
            one has two labels.

    >>> doubtful_labels(["crossfit/out_of_fold.csv"]).table  # doctest: +SKIP
    """
    if not subjects:
        raise UsageError("RUN", "no run and no table of predictions was given", "Name at least one.")
    truth = None if manifest is None else Path(manifest)
    scored = pd.concat([_scored(Path(one), truth) for one in subjects], ignore_index=True)
    refuse_conflicts(scored.assign(patient=""), "RUN")
    if not scored["label"].isin([NO_TUMOR, TUMOR]).all():
        raise ManifestError("label", "is neither 1 (tumor) nor 0 (no tumor) of some image", "Correct it in the table.")
    mean = scored.groupby(KEY)[["probability", "leaked"]].agg({"probability": "mean", "leaked": "max"})
    table = scored.drop_duplicates(KEY).drop(columns=["probability", "leaked"]).merge(mean, on=KEY)
    own = table["probability"].where(table["label"] == TUMOR, 1 - table["probability"])
    confidence = own.groupby([table["group"], table["label"]]).mean().groupby("label").mean()
    if len(confidence) < len(CLASS_NAMES):
        raise ManifestError("label", "is the same of all images", "Add images of the other class.")
    if confidence.sum() <= 1:
        rule = (
            f"are no better than chance: {confidence[1]:.2f} on average with a tumor, {1 - confidence[0]:.2f} without"
        )
        raise ManifestError("probabilities", rule, "Check labels with a network that has learned them.")
    others = table["label"].map({label: confidence[1 - label] for label in (NO_TUMOR, TUMOR)})
    table["copies"] = table.groupby(["group", "label"])["path"].transform("size") - 1
    table["conflict"] = table.groupby("group")["label"].transform("nunique") > 1
    table["doubt"] = 1 - own
    doubtful = table[table["doubt"] >= others].copy()
    doubtful["worst"] = doubtful.groupby("group")["doubt"].transform("max")
    doubtful = doubtful.sort_values(["worst", "group", "doubt"], ascending=[False, True, False], kind="stable")
    return DoubtfulLabels(
        table=doubtful[list(_COLUMNS)].reset_index(drop=True),
        n=len(table),
        n_groups=int(table["group"].nunique()),
        confidence={name: float(confidence[label]) for label, name in enumerate(CLASS_NAMES)},
        n_leaked=int(table["leaked"].sum()),
    )


def _scored(subject: Path, manifest: Path | None) -> pd.DataFrame:
    """Reads the images of one run or table: _COLUMNS as far as they are known, and whether each is ``leaked``."""
    if subject.is_dir():
        if manifest:
            raise UsageError("manifest", f"is not for {subject}, which holds its labels", "Leave it out.")
        run = calibrated_run(subject)
        table = run.rows("test")
        seen = run.table.loc[run.table["part"].isin(["train", "validation"]), "group"]
        table = table.assign(leaked=table["group"].isin(seen))
    elif manifest:
        joined = labelled_predictions(subject, manifest)
        table = joined[joined["status"] != "not_brain_mri"].assign(leaked=False)
    else:
        table = _own_table(subject).assign(leaked=False)
    for column in ("channel", "source", "contrast"):
        if column not in table:
            table[column] = ""
    if table.empty:
        raise ManifestError(subject, "holds no image with a label and a prediction", "Evaluate a run with a test set.")
    return table[["path", "channel", "source", "contrast", "label", "probability", "group", "leaked"]]


def _own_table(path: Path) -> pd.DataFrame:
    """Reads a table of predictions that holds the labels too."""
    if not path.is_file():
        raise ManifestError(path, "no such run folder or table", "Name a run folder, or an out_of_fold.csv.")
    table = read_manifest(path)
    if "probability" not in table:
        raise ManifestError(path, "lacks the column probability", "Give predictions, and --manifest with their labels.")
    if "verdict" in table or table.get("part", pd.Series(dtype=str)).isin(["train", "test"]).any():
        rule = "holds a choice of images" if "verdict" in table else "holds images that its network trained on"
        raise ManifestError(path, rule, "Name the run folder, or the out_of_fold.csv of cross-fitting.")
    table = table[table["label"].notna() & (table["probability"] != "")].reset_index(drop=True)
    table["probability"] = pd.to_numeric(table["probability"].str.replace(",", "."), errors="coerce")
    if not (within := table["probability"].between(0, 1)).all():
        rule = f"holds no probability within 0 and 1 for {table['path'][~within].iloc[0]}"
        raise ManifestError(path, rule, "Write 0.97, not 97.")
    return table.assign(group=filled_groups(table))
