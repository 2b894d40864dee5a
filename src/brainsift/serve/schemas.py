"""The JSON bodies of the service, with examples: they make the OpenAPI document."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from brainsift.core.reasons import Reason
from brainsift.inference.cautions import Caution, cautions_of
from brainsift.inference.decision import Decision, Prediction, Status
from brainsift.inference.volume_decision import FINDINGS, VolumePrediction
from brainsift.volumes.acquisition import Acquisition
from brainsift.volumes.geometry import Geometry, Plane

Leaning = Literal["tumor", "no_tumor", ""]
State = Literal["queued", "running", "done", "cancelled", "failed"]
NOTICE = "Research use only. Not a medical device."


class ErrorReply(BaseModel):
    """An error; every error of the service has this form."""

    code: str = Field(description="Code for programs.", examples=["busy"])
    subject: str = Field(description="What it is about.", examples=["queue"])
    rule: str = Field(description="The rule that was broken.", examples=["is full: 256 slices wait"])
    remedy: str = Field(description="What to do about it.", examples=["Try again in 2 s."])
    request_id: str = Field(examples=["5f0c9d0a1b2c4d3e"])


class GeometryResult(BaseModel):
    """Where a picture lies in the patient, in mm: left, posterior and superior are positive, as in DICOM."""

    plane: Plane = Field(description="The nearest plane.", examples=["axial"])
    sides: tuple[str, str, str, str] = Field(
        description="Sides of the patient at the left, right, top and bottom of the picture.",
        examples=[("R", "L", "A", "P")],
    )
    center_mm: tuple[float, float, float] = Field(description="Its center.", examples=[(1.5, -20.0, 48.0)])
    size_mm: tuple[float, float] | None = Field(
        description="Its width and height; null where the file does not tell the distance of the pixels.",
        examples=[(240.0, 240.0)],
    )
    right: tuple[float, float, float] = Field(
        description="Unit vector that points to its right side.", examples=[(1.0, 0.0, 0.0)]
    )
    down: tuple[float, float, float] = Field(
        description="Unit vector that points to its bottom.", examples=[(0.0, 1.0, 0.0)]
    )

    @classmethod
    def of(cls, geometry: Geometry) -> "GeometryResult":
        """Makes the JSON of a geometry."""
        return cls(**{name: getattr(geometry, name) for name in cls.model_fields})


class PlaneResult(BaseModel):
    """The pictures of one plane of a volume."""

    plane: Plane = Field(examples=["sagittal"])
    count: int = Field(description="Number of its pictures, to the right, to the front or upwards.", examples=[240])
    first: GeometryResult = Field(description="Where the first of them lies.")
    step_mm: tuple[float, float, float] = Field(
        description="From the center of a picture to that of the next.", examples=[(-1.0, 0.0, 0.0)]
    )


class PlanesReply(BaseModel):
    """The planes in which a volume can be shown, and the volume of its contour."""

    scored: Plane = Field(description="The plane of its slices: only they were scored.", examples=["axial"])
    planes: list[PlaneResult]
    voxel_mm3: float = Field(description="Volume of a voxel, mm³.", examples=[5.0])
    voxels_above: list[int] = Field(
        description="Number of voxels whose tumor map is above each of the levels 0 to 255; 255 stands for a certain "
        "tumor.",
        examples=[[48_210, 31_022]],
    )
    n_maps: int = Field(description="Number of slices that have a map.", examples=[96])


class SliceResult(BaseModel):
    """The prediction for one image, or for one slice of a volume."""

    id: int = Field(description="Its place among the results, from 0.", examples=[0])
    file: int | None = Field(
        description="Place of its file among those that were sent, from 0; null where an archive was sent.",
        examples=[0],
    )
    name: str = Field(description="Name of the file; of a slice also its number, from 1.", examples=["scan.nii.gz#12"])
    status: Status = Field(examples=["ok"])
    probability: float | None = Field(
        description="Calibrated probability of a tumor; null where unreadable.", examples=[0.931204]
    )
    logit: float | None = Field(
        description="Log-odds of the probability, exact: what decides. Null where unreadable.", examples=[2.6054]
    )
    decision: Decision = Field(description="Empty where unreadable.", examples=["tumor"])
    reason: Reason = Field(description="Why it is unreadable, not a brain MRI, or referred, as a code.", examples=[""])
    detail: str = Field(description="The same in words, and notes on how it was read.", examples=[""])
    note: str = Field(description="The part of `detail` that says how it was read.", examples=[""])
    volume: str = Field(description="Name of the volume; empty for a plain image.", examples=["scan.nii.gz"])
    nearly_empty: bool = Field(
        description="Whether it lies at an end of its volume and holds hardly any of the head.", examples=[False]
    )
    kind: str = Field(
        default="",
        description="The kind of tumor, or `unsure`; empty where the decision is not `tumor`, or the bundle does not "
        "tell the kind, as the one that comes with the package.",
        examples=[""],
    )
    kind_probability: float | None = Field(
        default=None, description="Probability of the kind; null where none is named.", examples=[None]
    )
    kind_accuracy: float | None = Field(
        default=None,
        description="Share of such kinds that were right on collections that the model had not seen.",
        examples=[None],
    )
    has_map: bool = Field(description="Whether the network drew a tumor map for it.", examples=[True])
    has_focus: bool | None = Field(
        description="Whether the tumor map passes 0.5 anywhere; null where there is no map.", examples=[True]
    )
    cautions: list[Caution] = Field(
        description="What in its header speaks for a second look, as codes.", examples=[["child"]]
    )
    description: str = Field(description="Description of its DICOM series.", examples=["ax t1 post"])
    patient: str = Field(
        description="Checksum of the number of the patient, its issuer and the date of birth: equal for studies of one "
        "patient. Empty where the header does not say who it is.",
        examples=["5f0c9d0a1b2c4d3e5f0c9d0a1b2c4d3e"],
    )
    study_date: str = Field(description="Date of the DICOM study, or empty.", examples=["2026-03-02"])
    geometry: GeometryResult | None = Field(
        description="Null for a plain image, and where the file does not say how the head lies.", examples=[None]
    )
    map: list[list[float]] | None = Field(
        default=None, description="Only with maps=true: rows of the tumor map over the network's input, 0 to 1."
    )

    @classmethod
    def of(
        cls, place: int, prediction: Prediction, acquisition: Acquisition, *, file: int | None, maps: bool
    ) -> "SliceResult":
        """Makes the JSON of a prediction; its tumor map is left out, not null, where ``maps`` is false."""
        tumor_map, lies = prediction.tumor_map, acquisition.geometry
        made: dict[str, Any] = {name: value for name, value in prediction.to_dict().items() if name in cls.model_fields}
        if maps:
            made["map"] = None if tumor_map is None else tumor_map.astype(float).round(4).tolist()
        made |= {"nearly_empty": prediction.nearly_empty, "has_map": tumor_map is not None}
        made |= {"logit": prediction.logit, "note": prediction.note, "has_focus": prediction.has_focus}
        made |= {"cautions": cautions_of(acquisition), "description": acquisition.description}
        made |= {"patient": acquisition.patient, "study_date": acquisition.study_date}
        made["geometry"] = lies and GeometryResult.of(lies)
        return cls(id=place, file=file, name=prediction.path, **made)


class VolumeResult(BaseModel):
    """The prediction for a volume: what its three strongest adjacent slices say."""

    volume: str = Field(examples=["scan.nii.gz"])
    n_slices: int = Field(description="Number of all its slices.", examples=[120])
    n_scored: int = Field(description="Slices that were scored.", examples=[96])
    n_not_brain_mri: int = Field(description="Slices that were rejected as not a brain MRI.", examples=[24])
    n_unreadable: int = Field(description="Slices that could not be read.", examples=[0])
    probability: float | None = Field(examples=[0.9695])
    exact_probability: float | None = Field(description="The same, not rounded: what decides.", examples=[0.9695003])
    decision: Decision = Field(examples=["tumor"])
    finding: str = Field(
        description="The result in words; a volume without a tumor can be suspicious.", examples=["tumor"]
    )
    findings: dict[str, str] = Field(
        description="The words for each state, which another threshold would give.",
        examples=[{"tumor": "tumor", "suspicious": "suspicious, look at slices 12, 13, 14"}],
    )
    adjacent: list[int] = Field(
        description="Numbers, from 1, of the adjacent slices whose mean decides.", examples=[[12, 13, 14]]
    )
    threshold: float = Field(description="Threshold of the decision.", examples=[0.966507])
    reason: Reason = Field(description="Why it is referred, as a code.", examples=[""])
    detail: str = Field(description="The same in words, and notes on how its slices were read.", examples=[""])
    note: str = Field(description="The part of `detail` that says how its slices were read.", examples=[""])
    suspicious: list[str] = Field(description="The five most suspicious slices.", examples=[["scan.nii.gz#12"]])

    @classmethod
    def of(cls, volume: VolumePrediction) -> "VolumeResult":
        """Makes the JSON of the prediction for a volume."""
        exact = {
            "exact_probability": volume.probability,
            "note": volume.note,
            "suspicious": list(volume.suspicious),
            "findings": {state: volume.in_words(state) for state in FINDINGS},
            "adjacent": list(volume.adjacent),
        }
        return cls(**{**volume.to_dict(), **exact})  # type: ignore[arg-type]


class ModelName(BaseModel):
    """Which network made the predictions."""

    name: str = Field(examples=["lite0-slim"])
    version: str = Field(description="Version of brainsift.", examples=["0.1.0"])
    network_sha256: str = Field(examples=["4d5d38aa23def8c0725064af791856527fd1ccb41d4b81bd5adffa3f20e89902"])


class PredictReply(BaseModel):
    """The predictions for all images and slices that were sent."""

    request_id: str = Field(examples=["5f0c9d0a1b2c4d3e"])
    model: ModelName
    threshold: float = Field(description="For images and slices; a volume has its own.", examples=[0.55629])
    margin: float = Field(
        description="Abstention margin: predictions nearer to 0 in logits are referred.", examples=[0.0]
    )
    rule: str = Field(description="Name of the threshold; `as set` where it has none.", examples=["balanced"])
    made: str = Field(description="When, ISO 8601 with the time zone.", examples=["2026-03-02T09:30:00+01:00"])
    notice: str = Field(examples=[NOTICE])
    answers: list[SliceResult]
    volumes: list[VolumeResult]
    n_skipped: int = Field(
        default=0, description="Number of members of archives that are no image by name and content.", examples=[0]
    )
    skipped: list[str] = Field(default=[], description="Names of the first of them.", examples=[[]])
    seconds: float = Field(examples=[0.042])


class JobReply(BaseModel):
    """The progress of a job, and its results from `after` on."""

    id: str = Field(examples=["wVZ0n2d7x0iPq1sYb8u3Kg"])
    state: State = Field(examples=["running"])
    done: int = Field(description="Number of slices that were scored.", examples=[12])
    cases: list[int] = Field(
        description="Numbers of its cases in the history, one per result, as far as they are kept.", examples=[[7, 8]]
    )
    total: int | None = Field(description="Number of slices; null until they are listed.", examples=[96])
    error: ErrorReply | None = Field(default=None, description="Why it failed.")
    created: str = Field(examples=["2026-11-25T09:30:00+00:00"])
    threshold: float = Field(description="For images and slices; a volume has its own.", examples=[0.55629])
    margin: float = Field(examples=[0.0])
    answers: list[SliceResult]
    volumes: list[VolumeResult] = Field(description="Of the results from `after` on, those of whole volumes.")
    n_skipped: int = Field(
        default=0, description="Number of members of archives that are no image by name and content.", examples=[0]
    )
    skipped: list[str] = Field(default=[], description="Names of the first of them.", examples=[[]])


class ReportedSlices(BaseModel):
    """Slices of one job that a report shall show."""

    model_config = ConfigDict(extra="forbid")

    job: str = Field(description="Id of the job.", max_length=100, examples=["wVZ0n2d7x0iPq1sYb8u3Kg"])
    slices: list[int] | None = Field(default=None, description="Their ids; all without it.", examples=[[0, 1, 2]])
    folder: str = Field(
        default="", description="Put in front of their names.", max_length=4096, examples=["study/series 1/"]
    )


class RefusedFile(BaseModel):
    """A file that the service did not take; a report lists it as unreadable."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(max_length=4096, examples=["study/huge.png"])
    detail: str = Field(description="Why.", max_length=1000, examples=["body is larger than 268435456 bytes"])


class ReportRequest(BaseModel):
    """The cases of a report, in the order in which they are listed."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"slices": [{"job": "wVZ0n2d7x0iPq1sYb8u3Kg", "slices": [0, 1]}]}]},
    )

    slices: list[ReportedSlices] = []
    refused: list[RefusedFile] = []


class Limits(BaseModel):
    """The limits of an upload."""

    upload_mb: int = Field(examples=[256])
    files: int = Field(examples=[2000])
    slices: int = Field(examples=[5000])
    megapixels: int = Field(examples=[50])


class ModelReply(BaseModel):
    """The network, its thresholds and its figures."""

    model_config = ConfigDict(protected_namespaces=())

    name: str = Field(examples=["lite0-slim"])
    version: str = Field(examples=["0.1.0"])
    network_sha256: str
    size: int = Field(description="Side of the network's input, pixels.", examples=[128])
    temperature: float = Field(examples=[0.788])
    thresholds: dict[str, float] = Field(examples=[{"balanced": 0.556, "confirm": 0.967}])
    sensitivities: list[list[float]] = Field(description="Pairs of a sensitivity and the threshold for it.")
    margins: dict[str, dict[str, float]] = Field(examples=[{"0.05": {"margin": 1.95, "referred": 0.149}}])
    volumes: dict[str, Any] | None = Field(
        description="What decides volumes: thresholds, sensitivities, and suspicion, from which on a volume is "
        "suspicious; null where the network does not say.",
        examples=[None],
    )
    volumes_in_words: str = Field(description="How the probability of a volume comes about.")
    test: dict[str, Any]
    figures: list[dict[str, Any]]
    data: list[dict[str, Any]]
    maps: dict[str, Any]
    notice: str = Field(examples=[NOTICE])
    card: list[tuple[str, str]] = Field(
        description="Titles and sentences of the model card: intended use, what it is not for, limits.",
        examples=[[("Intended use", "Research and teaching.")]],
    )
    environment: dict[str, Any] = Field(description="Origin of the network.", examples=[{"parameters": 3060000}])
    history: bool = Field(description="Whether results are kept.")
    keeps_images: bool
    limits: Limits


class Health(BaseModel):
    """The service runs."""

    status: Literal["ok"] = "ok"
