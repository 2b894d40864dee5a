"""What a calibrated logit means: a prediction for one image, and the rule that turns the logit into a decision.

Nothing is rounded here; only `Prediction.to_dict` rounds, for tables, JSON and pages.
"""

import math
from dataclasses import dataclass, field, replace
from typing import ClassVar, Literal

import numpy as np
import numpy.typing as npt

from brainsift.core.errors import UsageError
from brainsift.core.reasons import Reason, Rejection
from brainsift.core.records import OMITTED, UNWRITTEN, Record
from brainsift.inference.bundle import Bundle
from brainsift.inference.kinds import UNSURE_KIND, KindScores
from brainsift.inference.volume_model import VolumeModel

Status = Literal["ok", "not_brain_mri", "unreadable"]
Decision = Literal["tumor", "no_tumor", "refer", ""]

COLUMNS = ("path", "status", "probability", "decision", "detail", "volume", "reason")
KIND_COLUMNS = ("kind", "kind_probability", "kind_accuracy")
"""What follows them in a table: the kind of tumor, where the bundle tells it."""
DIGITS = 6
"""Decimals of a probability in a table, in JSON and on a page."""
FOCUS_LEVEL = 0.5
"""Of the tumor map: from here on, tumor is more likely than not; the contour follows it."""
UNSURE = Rejection(Reason.UNSURE, "not sure enough for the wanted share of errors")
_LARGEST_LOGIT = 700.0  # exp() of more overflows


@dataclass(frozen=True)
class Prediction(Record):
    """The result for one image, or for one slice of a volume.

    `to_dict` is a row of a table; `to_json` holds all but the tumor map, exact, and `from_json` reads it back.

    Attributes:
        path: as given; of a slice ``scan.nii.gz#12``, ``file.dcm``, or ``file.dcm#3`` for a frame.
        status: "ok", "not_brain_mri" or "unreadable".
        logit: calibrated log-odds of a tumor, exact; None where the image is unreadable.
        decision: "tumor", "no_tumor" or "refer"; "" where unreadable. What is no brain MRI is referred.
        reason: the code of why the image is unreadable, no brain MRI, or referred; `Reason.NONE` where it is decided.
        detail: the same in words, and what else to know of how the image was read.
        tumor_map: float32 (h, w), how much each place of the network's input looks like a tumor, 0 to 1; None where
            the network draws none.
        volume: path of the NIfTI file or name of the DICOM series; "" for a plain image.
        note: the part of ``detail`` that says how the image was read; "" where there is nothing to say.
        nearly_empty: whether it is a slice at an end of its volume with hardly any of the head, even if ``reason``
            names another rule that refused it first. It does not count when a volume lacks scored slices.
        kinds: which kind of tumor it is, if it is one; None where the bundle does not tell. Use `kind`.
    """

    SCHEMA: ClassVar[int] = 1

    path: str
    status: Status
    logit: float | None
    decision: Decision
    reason: Reason = Reason.NONE
    detail: str = ""
    tumor_map: npt.NDArray[np.float32] | None = field(default=None, repr=False, compare=False, metadata=UNWRITTEN)
    volume: str = ""
    note: str = ""
    nearly_empty: bool = False
    kinds: KindScores | None = field(default=None, metadata=OMITTED)

    @property
    def kind(self) -> str:
        """The kind of tumor, or "unsure"; "" where the decision is not "tumor", or the bundle tells no kind."""
        return self.kinds.named if self.kinds and self.decision == "tumor" else ""

    @property
    def probability(self) -> float | None:
        """Calibrated probability of a tumor, not rounded; None where the image is unreadable."""
        return None if self.logit is None else expit(self.logit)

    @property
    def has_focus(self) -> bool | None:
        """Whether the tumor map passes 0.5 anywhere, so that it has a contour; None where there is no map."""
        return None if self.tumor_map is None else bool(self.tumor_map.max() > FOCUS_LEVEL)

    def _repr_html_(self) -> str:
        """Shows itself in a notebook: the image with the tumor map over it, where it can be read, and a table."""
        from brainsift.inference.display import picture_html, result_html  # only a notebook needs it

        rows = {name: value for name, value in self.to_dict().items() if name in COLUMNS and name != "reason"}
        rows["kind"] = self.kinds.words if self.kinds and self.kind else ""
        return result_html([picture_html(self.path, self.tumor_map)], rows)

    def decided(self, rule: "Rule") -> "Prediction":
        """Returns the same prediction as a rule decides it; one that is unreadable or no brain MRI stays as it is."""
        if self.status != "ok" or self.logit is None:
            return self
        decision = rule.decide(self.logit)
        why = UNSURE if decision == "refer" else Rejection(Reason.NONE, "")
        detail = "; ".join(part for part in (why.words, self.note) if part)
        return replace(self, decision=decision, reason=why.code, detail=detail)

    def to_dict(self) -> dict[str, str | float | None]:
        """Returns one row of a table: the columns `COLUMNS` and `KIND_COLUMNS`, probabilities with six decimals."""
        row = {name: getattr(self, name) for name in COLUMNS}
        row |= {"probability": rounded(self.probability), "reason": str(self.reason)}
        row |= dict.fromkeys(KIND_COLUMNS, None) | {"kind": self.kind}
        if self.kinds and self.kind not in ("", UNSURE_KIND):
            row["kind_probability"] = rounded(self.kinds.probabilities[self.kind])
            row["kind_accuracy"] = rounded(self.kinds.elsewhere) if math.isfinite(self.kinds.elsewhere) else None
        return row


def columns_of(bundle: Bundle) -> tuple[str, ...]:
    """Returns the columns of a table of predictions; those of kinds only where the bundle tells the kind."""
    return (*COLUMNS, *KIND_COLUMNS) if bundle.kinds_model.is_file() else COLUMNS


@dataclass(frozen=True)
class Rule:
    """What turns a calibrated logit into a decision.

    Attributes:
        threshold: on the probability; from it on the decision is "tumor".
        margin: a logit nearer to 0 than this is referred.
        volume_threshold: from which on a volume is "tumor"; None: as `threshold`.
        volume_suspicion: the probability from which on a volume is suspicious, where it is no tumor; None: never.
        volume_model: turns the logits of its slices into the probability of a volume; None: the rule of a bundle that
            has none, see `summarise_volume`.
    """

    threshold: float
    margin: float = 0.0
    volume_threshold: float | None = None
    volume_suspicion: float | None = None
    volume_model: VolumeModel | None = None

    @property
    def of_volumes(self) -> "Rule":
        """The rule for the probability of a volume as a whole."""
        return Rule(self.threshold if self.volume_threshold is None else self.volume_threshold, self.margin)

    def lean(self, probability: float) -> Literal["tumor", "no_tumor"]:
        """Returns the side of the threshold that a calibrated probability lies on."""
        return "tumor" if probability >= self.threshold else "no_tumor"

    def decide(self, logit: float) -> Literal["tumor", "no_tumor", "refer"]:
        """Returns the decision for a calibrated logit."""
        return "refer" if abs(logit) < self.margin else self.lean(expit(logit))

    def decide_probability(self, probability: float) -> Literal["tumor", "no_tumor", "refer"]:
        """Returns the decision for a calibrated probability; it is not turned into a logit and back, which rounds."""
        return "refer" if abs(log_odds(probability)) < self.margin else self.lean(probability)


def make_rule(bundle: Bundle, *, threshold: str | float | None = None, max_error: float | None = None) -> Rule:
    """Returns the rule for a wanted threshold or share of errors; for the arguments see `Predictor`.

    By default, images are decided at `balanced`, and volumes at `confirm` if that is higher: one of a hundred slices
    is more often taken for a tumor than a single image. What lies between is suspicious.

    Raises:
        UsageError: a threshold or a share that the bundle does not know.
    """
    if max_error is not None and threshold not in (None, "even"):
        rule = f"must be `even` with max_error, not {threshold!r}: the share of errors is promised for `even` only"
        raise UsageError("threshold", rule, "Leave the threshold out, or leave max_error out.")
    wanted = ("balanced" if max_error is None else "even") if threshold is None else threshold
    margin = 0.0 if max_error is None else bundle.margin(max_error)
    of_slices, of_volumes, model = bundle.threshold(wanted), bundle.volume_threshold(wanted), bundle.volumes
    if threshold is None and max_error is None:
        of_volumes = max(of_volumes, (model or bundle).thresholds.get("confirm", of_volumes))
    if model is not None:
        return Rule(of_slices, margin, of_volumes, model.suspicion, model)
    return Rule(of_slices, margin, of_volumes, bundle.thresholds.get("balanced", of_slices))


def expit(logit: float) -> float:
    """Returns the probability of a logit.

    >>> expit(0.0), round(expit(log_odds(0.9)), 12), expit(-1000.0) < 1e-300
    (0.5, 0.9, True)
    """
    return 1 / (1 + math.exp(min(-logit, _LARGEST_LOGIT)))


def log_odds(probability: float) -> float:
    """Returns the logit of a probability, within ±27.6."""
    clipped = min(max(float(probability), 1e-12), 1 - 1e-12)
    return math.log(clipped / (1 - clipped))


def rounded(probability: float | None) -> float | None:
    """Returns a probability as tables, JSON and pages show it."""
    return None if probability is None else round(probability, DIGITS)
