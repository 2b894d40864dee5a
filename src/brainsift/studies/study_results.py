"""What a study found, as a typed record (results.json), and what to believe of it.

The network is chosen on the validation set; sentences and a chart say what its figures mean.
"""

import math
from dataclasses import dataclass
from typing import ClassVar

from brainsift.auditing.findings import Findings
from brainsift.auditing.reading import best_blind_rule
from brainsift.charts import plots
from brainsift.charts.figure import Figure
from brainsift.charts.notebook import notebook_html
from brainsift.core import text
from brainsift.core.records import Record
from brainsift.stats.scores import MeanScores
from brainsift.studies.study_records import Claim, StudyComparison, StudyRun, StudySummary
from brainsift.training.searches import Search

_NOTABLE = 0.05  # of balanced accuracy, by which an unseen source is worse than the held-out groups


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
    config: dict[str, str | int | float | bool | list[str]]
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
        return notebook_html(self.title, believe(self), accuracy_figure(self), head, rows)


def choose(results: StudyResults) -> StudySummary | None:
    """Chooses the network without leakage that has the lowest Brier loss on the validation sets of its folds.

    The test set is never used to choose.

    Only networks with as many folds as the one with most compete: one lucky fold does not make a better network.

    Returns:
        Its summary; None where there is only a leaky split.
    """
    candidates = _candidates(results)

    def loss(row: StudySummary) -> float:
        sets = [run.results.validation for run in results.runs if run.family == row.family]
        losses = [one.scores["brier_loss"].value for one in sets if one]
        known = [value for value in losses if math.isfinite(value)]
        return sum(known) / len(known) if known else math.inf

    return min(candidates, key=loss, default=None)


def believe(results: StudyResults) -> list[str]:
    """Returns the sentences of the headline, the advice last."""
    sentences = ["All images are drawn phantoms: nothing here is about patients."] if results.phantom else []
    chosen = choose(results)
    if chosen is None:
        return [
            *sentences,
            "Only a leaky split was tried, so these figures say little about new patients: use `grouped`.",
        ]
    how = ", chosen on the validation set," if len(_candidates(results)) > 1 else ""
    auc = chosen.pooled["roc_auc"]
    area = f", ROC AUC {text.shown(auc.value, percent=False)}" if auc.known else ""
    sentences.append(
        f"With copies, near-duplicates and patients kept whole, {chosen.name}{how} is right on "
        f"{text.interval(chosen.pooled['accuracy'])} of {chosen.n} test images in {chosen.n_groups} groups{area}."
    )
    outside = {name: scores for name, scores in chosen.external.items() if scores.main_metric == "balanced_accuracy"}
    sentences += _about_leaks(results, chosen) + _about_blind_rules(results) + _about_outside(outside)
    worst = [scores.scores["balanced_accuracy"].value for scores in outside.values()]
    if results.phantom:
        advice = "Believe that the software works; for anything else, use real images."
    elif not outside:
        advice = "No image of another source was tested: on your own images expect less than this."
    elif min(worst) < chosen.pooled["balanced_accuracy"].value - _NOTABLE:
        advice = "On your own images expect the figures of the unseen sources, not those of the held-out groups."
    else:
        advice = "The unseen sources agree with the held-out groups; your own images may still differ from both."
    return [*sentences, advice]


def accuracy_figure(results: StudyResults) -> Figure | None:
    """Draws the accuracy of each network with each split and recipe, and what the baseline study claims."""
    rows = results.honest_first()
    if not rows:
        return None
    kinds = list(dict.fromkeys((row.protocol, row.recipe, row.leaky) for row in rows))
    models = list(dict.fromkeys(row.model for row in rows))
    bars = [
        plots.Bar(model, row.pooled["accuracy"], number, row.leaky)
        for model in models
        for number, kind in enumerate(kinds)
        for row in rows
        if (row.model, row.protocol, row.recipe, row.leaky) == (model, *kind)
    ]
    marks = [plots.Mark(claim.model, claim.accuracy) for claim in claims(results) if claim.model in models]
    names = [f"{protocol}{' (leaky)' * leaky}, {recipe}" for protocol, recipe, leaky in kinds]
    return plots.forest(bars, xlabel="accuracy", marks=marks, names=names, mark_name="claimed by the baseline study")


def claims(results: StudyResults) -> tuple[Claim, ...]:
    """Returns the claims of the baseline study; none for phantoms, as they are about other images."""
    return () if results.phantom else results.claims


def _candidates(results: StudyResults) -> list[StudySummary]:
    without_leakage = [row for row in results.summary if not row.leaky]
    most = max((row.n_folds for row in without_leakage), default=0)
    return [row for row in without_leakage if row.n_folds == most]


def _about_leaks(results: StudyResults, chosen: StudySummary) -> list[str]:
    rows = [row for row in results.summary if row.leaky]
    same = [row for row in rows if row.model == chosen.model] or rows
    if not same:
        return []
    best = max(same, key=lambda row: row.pooled["accuracy"].value)
    shares = [run.twins["same_group_share"] for run in results.runs if run.leaky and "same_group_share" in run.twins]
    twins = f": {100 * shares[0]:.0f} % of its test images have a near-duplicate in training" if shares else ""
    accuracy = text.shown(best.pooled["accuracy"].value)
    return [
        f"A random split of the same images gives {best.model} {accuracy}, which is leaky{twins}. Do not believe it."
    ]


def _about_blind_rules(results: StudyResults) -> list[str]:
    best = best_blind_rule(results.audit)
    if best is None:
        return []
    if not best.beats_guessing:
        return ["Rules that see no anatomy do no better than guessing on these images."]
    return [
        f"A rule that sees no anatomy ({text.words(best.name)}) reaches {text.interval(best.accuracy)} on these "
        "images: that much needs no knowledge of tumors."
    ]


def _about_outside(outside: dict[str, MeanScores]) -> list[str]:
    """Says how the chosen network does on sources that it never saw, and that hold both classes."""
    if not outside:
        return []
    scores = {text.words(name): one.scores["balanced_accuracy"] for name, one in outside.items()}
    ranked = sorted(scores.items(), key=lambda one: one[1].value)
    (worst, low), (best, high) = ranked[0], ranked[-1]
    if len(ranked) == 1:
        sentence = f"On {worst}, a source it never saw, its balanced accuracy is {text.interval(low)}."
    else:
        sentence = (
            f"On sources it never saw, its balanced accuracy goes from {text.interval(low)} ({worst}) to "
            f"{text.interval(high)} ({best})."
        )
    guessing = [name for name, score in scores.items() if not score.low > 0.5]
    if guessing:
        sentence += f" On {' and '.join(guessing)} it is no better than guessing."
    return [sentence]
