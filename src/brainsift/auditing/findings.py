"""What an audit found, as a typed record: findings.json. The same is counted here from the audited manifest."""

import math
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
import pandas as pd

from brainsift import __version__
from brainsift.core.labels import class_in_words
from brainsift.core.records import OMITTED, Record
from brainsift.datasets.manifest import SEVERAL_PICTURES
from brainsift.datasets.protocols import is_leaky
from brainsift.stats.intervals import Interval

_LISTED = 200
_GROUPS, _PATHS = 40, 8
_SIZES = 20
_MILLION = 1_000_000


@dataclass(frozen=True)
class Totals(Record):
    """Numbers of images.

    Attributes:
        files: all rows of the manifest.
        readable: of them.
        distinct_files: readable, each file once.
        distinct_pixels: readable, each picture once.
        groups: of copies, near-duplicates and patients.
        largest_group: its size.
        conflicts: with a copy of the other label.
        near_conflicts: with a near-duplicate of the other label.
        unreadable: files.
        tiny: files too small to be a slice.
        off_topic: images that may be no brain MRI.
        several_pictures: images that are the first of several in their file; the others are not read.
    """

    files: int
    readable: int
    distinct_files: int
    distinct_pixels: int
    groups: int
    largest_group: int
    conflicts: int
    near_conflicts: int
    unreadable: int
    tiny: int
    off_topic: int
    several_pictures: int = 0


@dataclass(frozen=True)
class Count(Record):
    """Files of one source, format, size and the like, with how many have which label."""

    name: str
    files: int
    tumor: int
    no_tumor: int


@dataclass(frozen=True)
class ListedImage(Record):
    """An image with a problem, and what it is."""

    path: str
    detail: str


@dataclass(frozen=True)
class NearDuplicates(Record):
    """How many pairs of near-duplicates there are, and how similar they are; None without a pair."""

    pairs: int = 0
    similarity_min: float | None = None
    similarity_median: float | None = None


@dataclass(frozen=True)
class LargeGroup(Record):
    """One of the largest groups: its name, its size without exact copies, its labels, and some of its paths."""

    group: str
    size: int
    labels: tuple[int, ...]
    paths: tuple[str, ...]


@dataclass(frozen=True)
class Probe(Record):
    """What one rule that sees no anatomy reaches; see `shortcuts.probe`.

    Attributes:
        name: of the rule.
        protocol: of its folds, "grouped" or "random".
        accuracy: with a 95 % interval that resamples groups.
        balanced_accuracy: the same.
        roc_auc: the same.
        n: images.
        n_groups: their groups.
        meaning: what the rule knows, in words.
        spread: of permuted labels, by metric: ``low`` and ``high``, the 2.5th and 97.5th percentile of one permutation.
        dealings: number of permutations.
    """

    name: str
    protocol: str
    accuracy: Interval
    balanced_accuracy: Interval
    roc_auc: Interval
    n: int
    n_groups: int
    meaning: str
    spread: dict[str, dict[str, float]] | None = field(default=None, metadata=OMITTED)
    dealings: int | None = field(default=None, metadata=OMITTED)

    @property
    def leaky(self) -> bool:
        """Whether copies of the images it is tested on may be among those it was fitted on."""
        return is_leaky(self.protocol)

    @property
    def beats_guessing(self) -> bool:
        """Whether the interval of its balanced accuracy (accuracy where that is unknown) lies above one half."""
        score = self.balanced_accuracy if self.balanced_accuracy.known else self.accuracy
        return score.low > 0.5


@dataclass(frozen=True)
class Cost(Record):
    """What an audit of a million images would take on this machine, and how that was worked out."""

    seconds: float
    hours: float
    how: str


@dataclass(frozen=True)
class Findings(Record):
    """What an audit found.

    Attributes:
        version: of brainsift.
        config: settings of the audit, by name.
        sources: names of the sources.
        totals: numbers of images.
        tables: files by "source", "format", "mode", "class", and the 20 most frequent by "size" ("width×height").
        overlap: by "files", "pixels" or "groups": how many images of a source have a copy in each other source.
        conflicts: images with a copy or near-duplicate of the other label, the first 200.
        unreadable: files that cannot be used, the first 200.
        off_topic: images that may be no brain MRI, the first 200.
        near_duplicates: how many there are.
        groups: the 40 largest, up to 8 paths each.
        probes: what rules that see no anatomy reach.
        seconds: that each stage took.
        cost_of_a_million: what a million images would take; None where it is not known.
    """

    SCHEMA: ClassVar[int] = 1
    version: str
    config: dict[str, int | float | bool]
    sources: tuple[str, ...]
    totals: Totals
    tables: dict[str, tuple[Count, ...]] = field(default_factory=dict)
    overlap: dict[str, dict[str, dict[str, int]]] = field(default_factory=dict)
    conflicts: tuple[ListedImage, ...] = ()
    unreadable: tuple[ListedImage, ...] = ()
    off_topic: tuple[ListedImage, ...] = ()
    near_duplicates: NearDuplicates = NearDuplicates()
    groups: tuple[LargeGroup, ...] = ()
    probes: tuple[Probe, ...] = ()
    seconds: dict[str, float] = field(default_factory=dict)
    cost_of_a_million: Cost | None = None


def count_findings(
    manifest: pd.DataFrame,
    pairs: pd.DataFrame,
    probes: tuple[Probe, ...],
    config: dict[str, int | float | bool],
    seconds: dict[str, float],
) -> Findings:
    """Counts what an audit found.

    Args:
        manifest: with the columns of the audit.
        pairs: near-duplicates: rows of the manifest (first, second) and their similarity.
        probes: what they reach.
        config: settings of the audit.
        seconds: of each stage, "reading" and "near-duplicates" among them.
    """
    readable = manifest[manifest["status"] == "ok"]
    flags = [set(words.split(";")) for words in manifest["flags"]]
    names = ("conflict", "near_conflict", "off_topic", SEVERAL_PICTURES)
    flagged = {name: np.array([name in of_one for of_one in flags], bool) for name in names}
    similarity = pairs["similarity"]
    sizes = manifest["width"].astype(str) + "×" + manifest["height"].astype(str)
    classes = manifest["label"].map(class_in_words)
    by = {name: manifest[name] for name in ("source", "format", "mode")} | {"class": classes, "size": sizes}
    return Findings(
        version=__version__,
        config=config,
        sources=tuple(sorted(manifest["source"].unique())),
        totals=Totals(
            files=len(manifest),
            readable=len(readable),
            distinct_files=(readable["sha256"] + readable["channel"]).nunique(),
            distinct_pixels=(readable["pixels_sha256"] + readable["channel"]).nunique(),
            groups=readable["group"].nunique(),
            largest_group=int(readable["group"].value_counts().max()) if len(readable) else 0,
            conflicts=int(flagged["conflict"].sum()),
            near_conflicts=int(flagged["near_conflict"].sum()),
            unreadable=int((manifest["status"] == "unreadable").sum()),
            tiny=int((manifest["status"] == "tiny").sum()),
            off_topic=int(flagged["off_topic"].sum()),
            several_pictures=int(flagged[SEVERAL_PICTURES].sum()),
        ),
        tables={
            name: _counts(manifest["label"], keys)[: _SIZES if name == "size" else None] for name, keys in by.items()
        },
        overlap={
            name: _overlap(readable, column)
            for name, column in (("files", "sha256"), ("pixels", "pixels_sha256"), ("groups", "group"))
        },
        conflicts=_listed(manifest[flagged["conflict"] | flagged["near_conflict"]]),
        unreadable=_listed(manifest[manifest["status"] != "ok"]),
        off_topic=_listed(manifest[flagged["off_topic"]]),
        near_duplicates=NearDuplicates(len(pairs), float(similarity.min()), float(similarity.median()))
        if len(pairs)
        else NearDuplicates(),
        groups=_largest_groups(readable),
        probes=probes,
        seconds=seconds,
        cost_of_a_million=_cost_of_a_million(len(manifest), len(readable), seconds),
    )


def _counts(labels: pd.Series, keys: pd.Series) -> tuple[Count, ...]:
    counts = [
        Count(str(name), len(part), int((part == 1).sum()), int((part == 0).sum()))
        for name, part in labels.groupby(keys)
    ]
    return tuple(sorted(counts, key=lambda row: -row.files))


def _overlap(readable: pd.DataFrame, column: str) -> dict[str, dict[str, int]]:
    members = {str(source): part[column] for source, part in readable.groupby("source")}
    return {
        first: {second: int(values.isin(set(others)).sum()) for second, others in members.items() if second != first}
        for first, values in members.items()
    }


def _listed(rows: pd.DataFrame) -> tuple[ListedImage, ...]:
    shown = rows.head(_LISTED)
    return tuple(
        ListedImage(path, detail or flags)
        for path, detail, flags in zip(shown["path"], shown["detail"], shown["flags"], strict=True)
    )


def _largest_groups(readable: pd.DataFrame) -> tuple[LargeGroup, ...]:
    distinct = readable.drop_duplicates(["pixels_sha256", "channel"])
    sizes = distinct["group"].value_counts()
    found = []
    for group, size in sizes[sizes > 1].head(_GROUPS).items():
        part = distinct[distinct["group"] == group]
        labels = tuple(sorted(int(label) for label in part["label"].dropna().unique()))
        found.append(LargeGroup(str(group), int(size), labels, tuple(part["path"].head(_PATHS))))
    return tuple(found)


def _cost_of_a_million(n_files: int, n_readable: int, seconds: dict[str, float]) -> Cost:
    """Scales this audit's times: reading with n, the search for near-duplicates with n log n."""
    n = max(n_readable, 2)
    reading = seconds["reading"] * _MILLION / max(n_files, 1)
    matching = seconds["near-duplicates"] * _MILLION * math.log(_MILLION) / (n * math.log(n))
    total = reading + matching
    how = f"from this audit of {n_files} files on this machine: reading grows as n, matching as n log n"
    return Cost(round(total), round(total / 3600, 2), how)
