"""What an evaluation finds, as typed records that are written to JSON."""

from dataclasses import dataclass
from typing import ClassVar

from brainsift.core.records import Record
from brainsift.stats.intervals import Interval
from brainsift.stats.scores import Comparison, MeanScores, SetScores


@dataclass(frozen=True)
class RunResults(Record):
    """Scores of one run: what its results.json holds.

    Attributes:
        name: of the run; this and the next five are as in its config.json, None where that has no such entry.
        model: the network.
        recipe: how it was trained.
        protocol: how its images were split.
        fold: which fold is its test set.
        seed: of all its randomness.
        leaky: whether copies of test images may be in the training set: by protocol, or counted.
        n_leaked: test images whose group is also in the training or validation set.
        temperature: the logits are divided by it; fitted on the validation set.
        threshold: a calibrated probability of at least this counts as "tumor" in all scores here.
        thresholds: what the validation set chose, by name.
        validation: scores of the validation set, None where it is empty.
        test: scores of the test set, None where it is empty.
        external: scores by external source.
        threshold_name: what the threshold is called; "even" is 0.5.
    """

    SCHEMA: ClassVar[int] = 1
    name: str | None
    model: str | None
    recipe: str | None
    protocol: str | None
    fold: int | None
    seed: int | None
    leaky: bool
    n_leaked: int
    temperature: float
    threshold: float
    thresholds: dict[str, float]
    validation: SetScores | None
    test: SetScores | None
    external: dict[str, SetScores]
    threshold_name: str = "even"

    def sets(self) -> dict[str, SetScores]:
        """Returns the scores by set: validation, test, then each external source."""
        inside = {"validation": self.validation, "test": self.test}
        return {name: found for name, found in inside.items() if found} | self.external


@dataclass(frozen=True)
class PredictionResults(SetScores):
    """Scores of a table of predictions against a manifest.

    Attributes:
        n_missing: images of the manifest that have a label and no prediction.
        n_unlabelled: predictions of images that have no label in the manifest.
        n_referred: of the images scored, those that the table refers, also as no brain MRI; they are scored by their
            probability.
        n_not_brain_mri: of the images scored, those that the table rejects as no brain MRI.
        threshold: a probability of at least this counts as "tumor"; NaN where each image has its own.
        threshold_name: what the threshold is called, or where it comes from.
    """

    SCHEMA: ClassVar[int] = 1
    n_missing: int = 0
    n_unlabelled: int = 0
    threshold: float = 0.5
    threshold_name: str = "even"
    n_referred: int = 0
    n_not_brain_mri: int = 0


@dataclass(frozen=True)
class Undisputed(Record):
    """Accuracy without the groups of copies that hold both labels: there any result is wrong for some image."""

    n: int
    n_groups: int
    accuracy: Interval


@dataclass(frozen=True)
class FoldSummary(Record):
    """The folds of one model and protocol, joined.

    Attributes:
        n_folds: how many.
        n: test images of all folds.
        n_groups: their groups.
        pooled: one interval per metric, over the test images of all folds.
        fold_mean: mean of each metric over the folds.
        fold_sd: its standard deviation; NaN with one fold.
        undisputed: accuracy where copies agree on the label; None where no group does.
        external: by source, the mean over the models of the folds.
    """

    n_folds: int
    n: int
    n_groups: int
    pooled: dict[str, Interval]
    fold_mean: dict[str, float]
    fold_sd: dict[str, float]
    undisputed: Undisputed | None
    external: dict[str, MeanScores]


@dataclass(frozen=True)
class RunComparison(Record):
    """Two runs, or two lists of folds, on the n test images that both scored.

    Attributes:
        n: number of these images.
        n_groups: their groups.
        comparisons: one per metric and test.
        n_only_first: test images that the second did not score; they are left out.
        n_only_second: test images that the first did not score; they are left out.
    """

    n: int
    n_groups: int
    comparisons: tuple[Comparison, ...]
    n_only_first: int = 0
    n_only_second: int = 0
