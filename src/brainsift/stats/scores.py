"""Scores as records: of a set of images, of tumor maps against masks, of one model against another.

`metrics` computes what they hold. Needs no package of `[train]`.
"""

from dataclasses import dataclass, field

from brainsift.core.records import OMITTED, REMAINING, Record
from brainsift.stats.intervals import Interval


@dataclass(frozen=True)
class Confusion(Record):
    """Counts of true and false positives and negatives; positive is "tumor"."""

    tp: int
    fp: int
    tn: int
    fn: int


@dataclass(frozen=True)
class SetScores(Record):
    """Scores of one set of images.

    Attributes:
        n: images.
        n_tumor: of them with a tumor.
        n_groups: groups that the intervals resample.
        scores: one interval per metric of `metrics.METRICS`.
        confusion: at the threshold in use.
        report: scikit-learn's classification report, by class name and average.
        uncalibrated: Brier loss and calibration error before the temperature; None where it is not known.
        sources: the same by source; empty where they were not scored.
    """

    n: int
    n_tumor: int
    n_groups: int
    scores: dict[str, Interval]
    confusion: Confusion
    report: dict[str, dict[str, float] | float]
    uncalibrated: dict[str, float] | None = field(default=None, metadata=OMITTED)
    sources: "dict[str, SetScores]" = field(default_factory=dict, metadata=OMITTED)


@dataclass(frozen=True)
class SourceScores(Record):
    """Scores of one source, as a bundle carries them.

    Attributes:
        part: "test" or "external".
        source: name of the source, with its contrast where it has several.
        n: images.
        n_tumor: of them with a tumor.
        n_groups: groups that the intervals resample.
        scores: one interval per metric.
    """

    part: str
    source: str
    n: int
    n_tumor: int
    n_groups: int
    scores: dict[str, Interval]


@dataclass(frozen=True)
class MeanScores(Record):
    """Scores of one external source, the mean over the models of all folds; in JSON the metrics stand beside ``n``."""

    n: int
    n_tumor: int
    n_groups: int
    scores: dict[str, Interval] = field(default_factory=dict, metadata=REMAINING)

    @property
    def main_metric(self) -> str:
        """The metric that suits the source: one with a single class has no balanced accuracy."""
        if self.n_tumor == 0:
            return "specificity"
        return "sensitivity" if self.n_tumor == self.n else "balanced_accuracy"


@dataclass(frozen=True)
class MapScores(Record):
    """Where a network looks, against segmentation masks: means over n images.

    Attributes:
        n: images with a mask.
        hit: share of images whose strongest place lies in the mask (pointing game).
        energy: share of the map's sum that lies in the mask.
        overlap: intersection over union of mask and map.
    """

    n: int
    hit: Interval
    energy: Interval
    overlap: Interval


@dataclass(frozen=True)
class Comparison(Record):
    """One model against another on the same images.

    Attributes:
        metric: one of `metrics.METRICS`.
        difference: first model minus second.
        p_value: two-sided; NaN where the test gives none.
        test: "DeLong" or "paired bootstrap".
    """

    metric: str
    difference: Interval
    p_value: float
    test: str
