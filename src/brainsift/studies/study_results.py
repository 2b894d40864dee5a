"""What a study found, as a typed record: results.json of the study's folder."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

from brainsift.auditing.findings import Findings
from brainsift.core.records import Record
from brainsift.datasets.split import is_leaky
from brainsift.evaluation.run_results import FoldSummary, RunResults
from brainsift.stats.scores import Comparison
from brainsift.training.searches import Search

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
    twins: dict[str, float]
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


@dataclass(frozen=True)
class StudyResults(Record):
    """What a study found; a notebook shows it as sentences, a chart and a table.

    Attributes:
        title: of the report.
        created: when, in ISO 8601.
        command: how to do it again.
        commit: of the code, "" where it is not known.
        version: of brainsift.
        hardware: what it ran on, by name.
        seconds: of all starts.
        training_seconds: of all runs.
        peak_memory_mb: of the last start; NaN where it is not known.
        phantom: whether the images are drawn.
        config: the settings, by name.
        audit: what the audit found.
        external_overlap: external images, by source, that were left out: they share a group with the study's.
        runs: all of them.
        summary: the folds of each network, joined.
        comparisons: of networks on the same test images.
        tuning: searches for settings.
        claims: of the baseline study.
    """

    SCHEMA: ClassVar[int] = 1
    title: str
    created: str
    command: str
    commit: str
    version: str
    hardware: dict[str, str | int | float]
    seconds: float
    training_seconds: float
    peak_memory_mb: float
    phantom: bool
    config: dict[str, str | int | bool | list[str]]
    audit: Findings
    external_overlap: dict[str, int]
    runs: tuple[StudyRun, ...]
    summary: tuple[StudySummary, ...]
    comparisons: tuple[StudyComparison, ...]
    tuning: tuple[Search, ...]
    claims: tuple[Claim, ...]

    def honest_first(self) -> list[StudySummary]:
        """Returns the summaries, those of a leaky protocol last."""
        return sorted(self.summary, key=lambda row: (row.leaky, row.protocol != "grouped"))

    def _repr_html_(self) -> str:
        from brainsift.charts.notebook import notebook_html
        from brainsift.core import text
        from brainsift.studies import conclusions  # which needs matplotlib

        head = ("network", "split", "folds", "accuracy", "ROC AUC")
        rows = [
            (
                row.name,
                f"{row.protocol}{' (leaky)' * row.leaky}",
                str(row.n_folds),
                text.interval(row.pooled["accuracy"]),
                text.interval(row.pooled["roc_auc"], percent=False),
            )
            for row in self.honest_first()
        ]
        return notebook_html(self.title, conclusions.believe(self), conclusions.accuracy_figure(self), head, rows)


def families(runs: Iterable[StudyRun]) -> dict[Family, list[StudyRun]]:
    """Collects the folds of each protocol, network and recipe."""
    found: dict[Family, list[StudyRun]] = {}
    for run in runs:
        found.setdefault(run.family, []).append(run)
    return found
