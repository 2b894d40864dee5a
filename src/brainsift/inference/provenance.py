"""How a bundle was made: data, settings, figures. `model_card` prints it."""

from dataclasses import dataclass, field
from typing import Any

from brainsift.core.records import OMITTED, Record
from brainsift.stats.intervals import Interval
from brainsift.stats.scores import MapScores, SourceScores


@dataclass(frozen=True)
class DataCount(Record):
    """Images and groups of one source, contrast and label in one subset."""

    source: str
    contrast: str
    label: float
    part: str
    images: int
    groups: int


@dataclass(frozen=True)
class KindFigures(Record):
    """How often the kind of tumor is right on one source and contrast.

    Attributes:
        source: the collection.
        contrast: of its images.
        left_out: whether the model was fitted without the collection; else these are its validation images.
        counts: number of images by kind.
        accuracy: share of images whose most probable kind is right.
        recall: the same by kind; NaN where there is none.
        named: share of images whose kind is sure enough to be named.
        right: share of those that are right; NaN where there is none.
    """

    source: str
    contrast: str
    left_out: bool
    counts: dict[str, int]
    accuracy: float
    recall: dict[str, float]
    named: float
    right: float

    @property
    def n(self) -> int:
        """Number of images."""
        return sum(self.counts.values())


@dataclass(frozen=True)
class SiteScores(Record):
    """What `calibrate` found at a site: by metric, the score before and after."""

    n: int
    n_tumor: int
    scores: dict[str, tuple[Interval, ...]]


@dataclass(frozen=True)
class VolumeScores(Record):
    """How well volumes are decided: on series of validation patients, each scored by what was fitted to the others.

    Attributes:
        n_tumor: patients with a tumor.
        n_free: patients with tumor-free series; one can be both.
        scores: by metric.
        before: the same for the calibrated rule of a bundle that does not say how volumes are decided.
    """

    n_tumor: int
    n_free: int
    scores: dict[str, Interval]
    before: dict[str, Interval]


@dataclass(frozen=True)
class Provenance(Record):
    """How a bundle was made, and how well it does.

    Attributes:
        config: settings of the training, by name.
        environment: commit, processor, packages and what the training noted, by name.
        data: how many images it was trained and tested on.
        data_sha256: over the hashes of all images.
        test: scores of the whole test set, by metric; None where there is none.
        leaky: whether copies of test images may be in the training set.
        figures: scores by source, at the threshold `balanced`.
        maps: where the network looks, by set, source and contrast.
        measured: the network whose figures those of the test set are, where this one was trained on the test set after
            they had been measured; else empty.
        volumes: how well volumes are decided; None where the bundle does not say how.
        kinds: how often the kind of tumor is right; empty where the bundle does not tell it.
        site: what was found at a site; None for a bundle that was not adapted.
    """

    config: dict[str, Any] = field(default_factory=dict)
    environment: dict[str, Any] = field(default_factory=dict)
    data: tuple[DataCount, ...] = ()
    data_sha256: str = ""
    test: dict[str, Interval] | None = None
    leaky: bool = False
    figures: tuple[SourceScores, ...] = ()
    maps: dict[str, MapScores] = field(default_factory=dict)
    measured: str = field(default="", metadata=OMITTED)
    volumes: VolumeScores | None = field(default=None, metadata=OMITTED)
    kinds: tuple[KindFigures, ...] = field(default=(), metadata=OMITTED)
    site: SiteScores | None = field(default=None, metadata=OMITTED)
