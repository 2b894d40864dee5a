"""The pieces of a study's results, as typed records: runs, folds joined, comparisons, claims."""

from collections.abc import Iterable
from dataclasses import dataclass

from brainsift.core.records import Record
from brainsift.datasets.protocols import is_leaky
from brainsift.evaluation.run_results import FoldSummary, RunResults
from brainsift.stats.scores import Comparison

Family = tuple[str, str, str]
"""Protocol, network and recipe: what the folds of one network have in common."""


@dataclass(frozen=True)
class StudyRun(Record):
    """One run of a study.

    Attributes:
        name: of its folder.
        protocol: how its images were split.
        fold: which fold is its test set.
        model: the network.
        recipe: "standard", or "baseline": as the baseline study trained it.
        tuned: whether its settings were searched.
        folder: relative to that of the study.
        parameters: number of weights.
        pretrained: where the first weights came from; "" for random ones.
        precision: of the arithmetic in training.
        commit: of the code, "" where it is not known.
        epochs: that were trained.
        seconds: of training.
        leaky: whether the protocol lets copies of test images into the training set.
        twins: test images with a copy in the training set, by kind, and their share; see `split.twin_counts`.
        results: its scores.
    """

    name: str
    protocol: str
    fold: int
    model: str
    recipe: str
    tuned: bool
    folder: str
    parameters: int
    pretrained: str
    precision: str
    commit: str
    epochs: int
    seconds: float
    leaky: bool
    twins: dict[str, int | float]
    results: RunResults

    @property
    def family(self) -> Family:
        """What it has in common with its other folds."""
        return self.protocol, self.model, f"{self.recipe}, tuned" if self.tuned else self.recipe


@dataclass(frozen=True)
class StudySummary(FoldSummary):
    """The folds of one network, joined.

    Attributes:
        protocol: how the images were split.
        model: the network.
        recipe: how it was trained, with ", tuned" where its settings were searched.
        leaky: whether the protocol lets copies of test images into the training set.
    """

    protocol: str
    model: str
    recipe: str
    leaky: bool

    @property
    def family(self) -> Family:
        """What its folds have in common."""
        return self.protocol, self.model, self.recipe

    @property
    def name(self) -> str:
        """The network and how it was trained, for people."""
        return f"{self.model} ({self.recipe})"


@dataclass(frozen=True)
class StudyComparison(Comparison):
    """One network against another, on the same test images of one protocol; the difference is a - b."""

    protocol: str
    a: str
    b: str

    @property
    def leaky(self) -> bool:
        """Whether the protocol lets copies of test images into the training set."""
        return is_leaky(self.protocol)


@dataclass(frozen=True)
class Claim(Record):
    """The accuracy that the baseline study reports for a network."""

    model: str
    accuracy: float


def families(runs: Iterable[StudyRun]) -> dict[Family, list[StudyRun]]:
    """Collects the folds of each protocol, network and recipe."""
    found: dict[Family, list[StudyRun]] = {}
    for run in runs:
        found.setdefault(run.family, []).append(run)
    return found
