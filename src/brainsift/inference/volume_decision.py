"""Predictions for slices to one prediction for each volume."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar, Literal

from brainsift.core.reasons import Reason
from brainsift.core.records import OMITTED, Record
from brainsift.inference.decision import UNSURE, Decision, Prediction, Rule, expit, log_odds, rounded
from brainsift.inference.volume_model import ADJACENT, largest_mean
from brainsift.volumes.slices import NEARLY_EMPTY, Coarse, nearly_empty

VOLUME_COLUMNS = (
    "volume",
    "n_slices",
    "probability",
    "decision",
    "finding",
    "threshold",
    "suspicious",
    "n_scored",
    "n_not_brain_mri",
    "n_unreadable",
    "reason",
    "detail",
)
MIN_SCORED_SHARE = 0.5
"""Of the slices of a volume that are not at its nearly empty ends, the share that has to be scored for a decision."""
VolumeState = Literal["tumor", "suspicious", "no_tumor", "refer"]
FINDINGS: dict[VolumeState, str] = {
    "tumor": "tumor",
    "suspicious": "suspicious, look at slices {slices}",
    "no_tumor": "no tumor found",
    "refer": "refer to a human",
}
"""The states of a volume in words; tables, JSON, pages, reports and DICOM objects take them from here."""
_SHOWN = 5
WRONG_FILE = (Reason.OTHER_MODALITY, Reason.OTHER_BODY_PART, Reason.SEVERAL_IMAGES)
"""Reasons that speak against the whole file: such a slice counts, however little of a head it shows."""


@dataclass(frozen=True)
class VolumePrediction(Record):
    """The result for a volume.

    `to_dict` is a row of a table; `to_json` holds all, exact, and `from_json` reads it back.

    Attributes:
        volume: path of the NIfTI file or name of the DICOM series.
        n_slices: number of all its slices.
        n_scored: slices that were scored as head slices; n_scored + n_not_brain_mri + n_unreadable = n_slices.
        n_not_brain_mri: slices that were rejected, those at the nearly empty ends among them.
        n_unreadable: slices that could not be read.
        probability: of a tumor in the volume, not rounded; None where no slice could be scored. It is calibrated where
            the bundle says how, else the largest mean over three adjacent slices; see `summarise_volume`.
        decision: "tumor", "no_tumor", or "refer" where too few slices could be scored or the result is not sure enough.
        threshold: on the probability, that the volume was decided at.
        suspicious: names of the five slices with the largest probability, the largest first.
        reason: the code of why the volume is referred; `Reason.NONE` where it is decided.
        detail: the same in words, and the distinct notes on how its slices were read.
        note: the part of ``detail`` that says how its slices were read.
        adjacent: numbers, from 1, of the adjacent slices whose mean decides; empty where no slice could be scored.
        suspicion: the probability from which on it is suspicious, where it is no tumor; None: never.
        slices: the predictions for its slices, in order; empty where they are not kept.
    """

    SCHEMA: ClassVar[int] = 1

    volume: str
    n_slices: int
    n_scored: int
    n_not_brain_mri: int
    n_unreadable: int
    probability: float | None
    decision: Decision
    threshold: float
    suspicious: tuple[str, ...]
    reason: Reason = Reason.NONE
    detail: str = ""
    note: str = ""
    adjacent: tuple[int, ...] = ()
    suspicion: float | None = None
    slices: tuple[Prediction, ...] = field(default=(), repr=False, compare=False, metadata=OMITTED)

    @property
    def logit(self) -> float | None:
        """Log-odds of the probability; None where no slice could be scored."""
        return None if self.probability is None else log_odds(self.probability)

    @property
    def state(self) -> VolumeState:
        """The decision, with "suspicious" for a volume that stays below its threshold although slices reach theirs."""
        reached = None not in (self.probability, self.suspicion) and self.probability >= self.suspicion  # type: ignore[operator]
        return "suspicious" if self.decision == "no_tumor" and reached else self.decision or "refer"

    @property
    def finding(self) -> str:
        """The state in words, such as "suspicious, look at slices 12, 13, 14"."""
        return self.in_words(self.state)

    def in_words(self, state: VolumeState) -> str:
        """Returns the words for a state, which another threshold might give, with the slices to look at."""
        return FINDINGS[state].format(slices=", ".join(map(str, self.adjacent)))

    def _repr_html_(self) -> str:
        """Shows itself in a notebook: the most suspicious slices, a graph of all where they are kept, and a table."""
        from brainsift.inference.display import graph_html, picture_html, result_html  # only a notebook needs it

        maps = {one.path: one.tumor_map for one in self.slices}
        pictures = [picture_html(name, maps.get(name)) for name in self.suspicious]
        if self.slices:
            scored = [one.probability if one.status == "ok" else None for one in self.slices]
            pictures += ["<br>", graph_html(scored, self.threshold)]
        return result_html(pictures, {name: value for name, value in self.to_dict().items() if name != "reason"})

    def to_dict(self) -> dict[str, str | int | float | None]:
        """Returns one row of a table; the names of the slices are joined by semicolons."""
        row = {name: getattr(self, name) for name in VOLUME_COLUMNS}
        shown = {"probability": rounded(self.probability), "reason": str(self.reason)}
        return {**row, **shown, "suspicious": "; ".join(self.suspicious)}


class NearlyEmptyEnds:
    """Refers the slices at the ends of each volume that hold hardly any of the head.

    Only all slices of a volume together tell which of them those are, so the predictions of a volume are held back
    until it is complete. Those of plain images pass at once.
    """

    def __init__(self) -> None:
        self._held: list[tuple[Prediction, Coarse | None]] = []

    def add(self, prediction: Prediction, coarse: Coarse | None) -> list[Prediction]:
        """Takes the prediction for the next slice, and what the slices of a volume are compared by.

        Returns:
            The predictions that are final, in order.
        """
        ended = self.finish() if self._held and prediction.volume != self._held[0][0].volume else []
        if not prediction.volume:
            return [*ended, prediction]
        self._held.append((prediction, coarse))
        return ended

    def finish(self) -> list[Prediction]:
        """Returns the predictions for the last volume, after its last slice."""
        held, self._held = self._held, []
        coarse = [one for _, one in held]
        if any(one is not None for one in coarse):
            empty = nearly_empty(coarse)
        else:  # pages of a file, which cannot be compared
            empty = _blank_ends([one for one, _ in held])
        return [_marked_as_empty(one) if is_empty else one for (one, _), is_empty in zip(held, empty, strict=True)]


def _blank_ends(slices: Sequence[Prediction]) -> list[bool]:
    """Tells which slices lie between an end of the volume and the first slice that is not blank."""
    others = [place for place, one in enumerate(slices) if one.reason is not Reason.BLANK]
    return [not others or not others[0] <= place <= others[-1] for place in range(len(slices))]


def _marked_as_empty(one: Prediction) -> Prediction:
    """Marks a slice with hardly any of the head; one that was refused before keeps its reason."""
    if one.reason in WRONG_FILE:
        return one
    if one.status != "ok":
        return replace(one, nearly_empty=True)
    code, words = NEARLY_EMPTY.code, NEARLY_EMPTY.words
    return replace(one, status="not_brain_mri", decision="refer", reason=code, detail=words, nearly_empty=True)


class VolumeCollector:
    """Turns predictions for slices, as they come, into predictions for volumes; keeps only those of complete volumes.

    Args:
        rule: see `summarise_volumes`.
    """

    def __init__(self, rule: Rule) -> None:
        self._rule = rule
        self._slices: list[Prediction] = []
        self._volumes: list[VolumePrediction] = []

    def add(self, slice_: Prediction) -> None:
        """Takes the next prediction; another volume, or a plain image, ends the volume before."""
        if self._slices and slice_.volume != self._slices[0].volume:
            self._close()
        if slice_.volume:
            self._slices.append(replace(slice_, tumor_map=None))

    def finish(self) -> list[VolumePrediction]:
        """Returns the predictions for all volumes, in order."""
        self._close()
        return self._volumes

    def _close(self) -> None:
        if self._slices:
            self._volumes.append(summarise_volume(self._slices, self._rule))
            self._slices = []


def summarise_volumes(predictions: Iterable[Prediction], rule: Rule) -> list[VolumePrediction]:
    """Returns one prediction for each volume, see `summarise_volume`.

    Args:
        predictions: in the order of the slices, as `Predictor.predict` yields them; plain images are left out.
        rule: as `Predictor.rule`.
    """
    collector = VolumeCollector(rule)
    for one in predictions:
        collector.add(one)
    return collector.finish()


def summarise_volume(slices: Sequence[Prediction], rule: Rule) -> VolumePrediction:
    """Returns the prediction for one volume.

    What counts is the mean over three adjacent slices, where that mean is largest. A tumor shows in several
    neighbouring slices, whereas the largest single probability of a hundred slices is mostly a false alarm: with a
    specificity of 95 % per slice, nearly every healthy volume would have one. With the rule's volume model the mean is
    that of the logits, and the probability is calibrated. Without one the probability is the mean of the calibrated
    probabilities of the slices, which is not calibrated for a volume. Adjacent are slices that follow each other among
    those that were scored: what is unreadable, or no brain MRI, is left out.

    A volume is referred where less than half of its slices could be scored, or fewer than three of a longer series.
    Slices at the nearly empty ends do not count for that, whichever rule of the pixels refused them.

    Args:
        slices: predictions for all slices of the volume, in order; at least one.
        rule: as `Predictor.rule`, of which `Rule.of_volumes` decides; a volume of one slice is decided as an image is.
            With a margin no share of errors is promised.
    """
    several = len(slices) > 1
    own = rule.of_volumes if several else rule
    scored = [
        (place, one.logit, one.path)
        for place, one in enumerate(slices, start=1)
        if one.status == "ok" and one.logit is not None
    ]
    n_unreadable = sum(one.status == "unreadable" for one in slices)
    n_head = sum(not one.nearly_empty for one in slices)
    probability, reason, words = None, Reason.NO_USABLE_SLICE, "no slice could be scored"
    decision: Decision = "refer"
    adjacent: tuple[int, ...] = ()
    if scored:
        if several and rule.volume_model is not None:
            mean, first = largest_mean([logit for _, logit, _ in scored])
            probability = expit(rule.volume_model.log_odds(mean))
        else:
            probability, first = largest_mean([expit(logit) for _, logit, _ in scored])
        adjacent = tuple(place for place, _, _ in scored[first : first + ADJACENT])
        decision, reason, words = own.decide_probability(probability), Reason.NONE, ""
        if len(scored) < max(MIN_SCORED_SHARE * n_head, min(n_head - 1, ADJACENT)):
            decision, reason = "refer", Reason.TOO_FEW_SLICES
            words = f"only {len(scored)} of {n_head} slices with some of the head could be scored"
        elif decision == "refer":
            reason, words = UNSURE.code, UNSURE.words
    note = "; ".join(filter(None, dict.fromkeys(one.note for one in slices)))
    return VolumePrediction(
        volume=slices[0].volume,
        n_slices=len(slices),
        n_scored=len(scored),
        n_not_brain_mri=len(slices) - len(scored) - n_unreadable,
        n_unreadable=n_unreadable,
        probability=probability,
        decision=decision,
        threshold=own.threshold,
        suspicious=tuple(path for _, _, path in sorted(scored, key=lambda one: -expit(one[1]))[:_SHOWN]),
        reason=reason,
        detail="; ".join(part for part in (words, note) if part),
        note=note,
        adjacent=adjacent,
        suspicion=rule.volume_suspicion if several else None,
    )
