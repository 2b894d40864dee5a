"""What goes over the wire, with examples."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from brainsift.core.reasons import Reason

Status = Literal["ok", "not_brain_mri", "unreadable"]
Decision = Literal["tumor", "no_tumor", "refer", ""]
Leaning = Literal["tumor", "no_tumor", ""]
State = Literal["queued", "running", "done", "cancelled", "failed"]
NOTICE = "Research use only. Not a medical device."


class ErrorReply(BaseModel):
    """The one shape of every error."""

    code: str = Field(examples=["busy"])
    subject: str = Field(description="What it is about.", examples=["queue"])
    rule: str = Field(description="The rule that was broken.", examples=["is full: 256 slices wait"])
    remedy: str = Field(description="What to do about it.", examples=["Try again in 2 s."])
    request_id: str = Field(examples=["5f0c9d0a1b2c4d3e"])


class Answer(BaseModel):
    """The answer for one image, or one slice of a volume."""

    id: int = Field(description="Its place, from 0.", examples=[0])
    name: str = Field(description="Of the file; of a slice also its number, from 1.", examples=["scan.nii.gz#12"])
    status: Status = Field(examples=["ok"])
    probability: float | None = Field(description="Calibrated, of a tumor; null where unreadable.", examples=[0.931204])
    decision: Decision = Field(description="Empty where unreadable.", examples=["tumor"])
    reason: Reason = Field(description="The same as `detail`, as a code for programs.", examples=[""])
    detail: str = Field(description="Why it is unreadable, no brain MRI or referred.", examples=[""])
    volume: str = Field(description="Empty for a plain image.", examples=["scan.nii.gz"])
    has_map: bool = Field(description="Whether the network drew a tumor map for it.", examples=[True])
    map: list[list[float]] | None = Field(
        default=None, description="Only with maps=true: rows of the tumor map over the network's input, 0 to 1."
    )


class Volume(BaseModel):
    """The answer for a volume: the largest mean over three adjacent slices."""

    volume: str = Field(examples=["scan.nii.gz"])
    n_slices: int = Field(description="All slices.", examples=[120])
    n_scored: int = Field(description="Slices that were scored.", examples=[96])
    n_not_brain_mri: int = Field(description="Slices that were rejected as no brain MRI.", examples=[24])
    n_unreadable: int = Field(description="Slices that could not be read.", examples=[0])
    probability: float | None = Field(examples=[0.9695])
    decision: Decision = Field(examples=["tumor"])
    threshold: float = Field(description="That it was decided at.", examples=[0.966507])
    reason: Reason = Field(description="Why it is referred, as a code for programs.", examples=[""])
    detail: str = Field(description="The same in words, and notes on how its slices were read.", examples=[""])
    suspicious: list[str] = Field(description="The five most suspicious slices.", examples=[["scan.nii.gz#12"]])


class ModelName(BaseModel):
    """Which network answered."""

    name: str = Field(examples=["lite0"])
    version: str = Field(description="Of brainsift.", examples=["0.1.0"])
    network_sha256: str = Field(examples=["4d5d38aa23def8c0725064af791856527fd1ccb41d4b81bd5adffa3f20e89902"])


class PredictReply(BaseModel):
    """Answers for all that was sent."""

    request_id: str = Field(examples=["5f0c9d0a1b2c4d3e"])
    model: ModelName
    threshold: float = Field(description="Of images and slices; a volume has its own.", examples=[0.55629])
    margin: float = Field(description="Nearer to 0 in logits, an answer is referred.", examples=[0.0])
    notice: str = Field(examples=[NOTICE])
    answers: list[Answer]
    volumes: list[Volume]
    seconds: float = Field(examples=[0.042])


class JobReply(BaseModel):
    """How far a job is, and its answers from `after` on."""

    id: str = Field(examples=["wVZ0n2d7x0iPq1sYb8u3Kg"])
    state: State = Field(examples=["running"])
    done: int = Field(description="Slices that were scored.", examples=[12])
    cases: list[int] = Field(description="Of the history, one an answer, as far as they are kept.", examples=[[7, 8]])
    total: int | None = Field(description="null until the files are listed.", examples=[96])
    error: ErrorReply | None = Field(default=None, description="Why it failed.")
    created: str = Field(examples=["2026-11-25T09:30:00+00:00"])
    threshold: float = Field(description="Of images and slices; a volume has its own.", examples=[0.55629])
    margin: float = Field(examples=[0.0])
    answers: list[Answer]
    volumes: list[Volume] = Field(description="Once it is done.")


class Limits(BaseModel):
    """How much is taken."""

    upload_mb: int = Field(examples=[256])
    files: int = Field(examples=[2000])
    slices: int = Field(examples=[5000])
    megapixels: int = Field(examples=[50])


class ModelReply(BaseModel):
    """The network, its thresholds and its figures."""

    model_config = ConfigDict(protected_namespaces=())

    name: str = Field(examples=["lite0"])
    version: str = Field(examples=["0.1.0"])
    network_sha256: str
    size: int = Field(description="Side of the network's input, pixels.", examples=[128])
    temperature: float = Field(examples=[0.788])
    thresholds: dict[str, float] = Field(examples=[{"balanced": 0.556, "confirm": 0.967}])
    sensitivities: list[list[float]] = Field(description="Pairs of a sensitivity and its threshold.")
    margins: dict[str, dict[str, float]] = Field(examples=[{"0.05": {"margin": 1.95, "referred": 0.149}}])
    test: dict[str, Any]
    figures: list[dict[str, Any]]
    data: list[dict[str, Any]]
    maps: dict[str, Any]
    notice: str = Field(examples=[NOTICE])
    card: list[tuple[str, str]] = Field(
        description="Titles and sentences of the model card: what it is for, what not, and its limits.",
        examples=[[("Intended use", "Research and teaching.")]],
    )
    environment: dict[str, Any] = Field(description="Where the network comes from.", examples=[{"parameters": 3060000}])
    history: bool = Field(description="Whether what was scored is kept.")
    keeps_images: bool
    limits: Limits


class Health(BaseModel):
    """The service is there."""

    status: Literal["ok"] = "ok"
