"""What is wrong with a collection of images, before anything is trained on it. Deletes nothing.

findings.json holds::

    {"schema": 1, "version", "config": {...}, "sources": [names]
     "totals": {"files", "readable", "distinct_files", "distinct_pixels", "groups", "largest_group", "conflicts",
                "near_conflicts", "unreadable", "tiny", "off_topic"}
     "tables": {"source" | "format" | "mode" | "class": [{"name", "files", "tumor", "no_tumor"}],
                "size": [the same, the 20 most frequent "width×height"]}
     "overlap": {"files" | "pixels" | "groups": {source: {source: images of the first with a copy in the second}}}
     "conflicts" | "unreadable" | "off_topic": [{"path", "detail"}]       the first 200
     "near_duplicates": {"pairs", "similarity_min", "similarity_median"}
     "groups": [{"group", "size", "labels", "paths"}]                     the 40 largest, up to 8 paths each
     "probes": see `shortcuts.probe`
     "seconds": {stage: seconds}
     "cost_of_a_million": {"seconds", "hours", "how"}}
"""

import math
import re
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from brainsift import __version__
from brainsift.auditing.index import Sketches, scan
from brainsift.auditing.near_duplicates import NeighbourConfig, Views, near_duplicates
from brainsift.auditing.shortcuts import probe, sample_groups
from brainsift.core.environment import cores
from brainsift.core.errors import ManifestError, UsageError
from brainsift.core.files import write_json
from brainsift.core.progress import Report, silent
from brainsift.datasets.manifest import AUDIT_COLUMNS, write_manifest

SCHEMA = 1

_LISTED = 200
_GROUPS, _PATHS = 40, 8
_SIZES = 20
_MILLION = 1_000_000
_CONTRAST_SUFFIX = re.compile(r"_(t1|t1ce|t2|flair)$")


@dataclass(frozen=True)
class AuditConfig:
    """How to audit.

    Attributes:
        min_similarity: correlation of fine texture from which two images count as near-duplicates.
        probes: run the shortcut probes.
        workers: threads; 0 for one a core.
        seed: of the probes.
    """

    min_similarity: float = NeighbourConfig.min_similarity
    probes: bool = True
    workers: int = 0
    seed: int = 0


@dataclass(frozen=True, eq=False)
class AuditResult:
    """The manifest with the columns that the audit fills, and the findings (see the head of this module)."""

    manifest: pd.DataFrame
    findings: dict[str, Any]


def audit(table: pd.DataFrame, config: AuditConfig, *, cache: Path, report: Report = silent) -> AuditResult:
    """Audits collections.

    Args:
        table: of `catalog.collect`; rows of role "external" (if there is such a column) are left out of the probes.
        config: how.
        cache: folder for scan.sqlite, which lets an interrupted audit go on.
        report: takes the progress.

    Returns:
        Manifest and findings.

    Raises:
        ManifestError: there is no image.
        UsageError: a negative number of workers.
        InputError: scan.sqlite cannot be used.
    """
    if config.workers < 0:
        raise UsageError("workers", f"must be 0 or more, not {config.workers}", "0 takes all cores.")
    if table.empty:
        raise ManifestError("data", "holds no image", "Check the paths.")
    table = table.reset_index(drop=True)
    workers = config.workers or cores()
    clock = _Clock()
    columns, sketches = scan(table, cache / "scan.sqlite", workers=workers, report=report)
    manifest = table.drop(columns=list(AUDIT_COLUMNS), errors="ignore").join(columns)
    clock.stop("reading")
    pairs = _near_pairs(manifest, sketches, config, workers, report)
    clock.stop("near-duplicates")
    manifest = _grouped(manifest, pairs)
    manifest["flags"] = _flags(manifest, pairs)
    clock.stop("grouping")
    probes = _probes(manifest, sketches, config, workers, report) if config.probes else []
    clock.stop("probes")
    manifest = manifest[[*table.columns.difference(AUDIT_COLUMNS, sort=False), *AUDIT_COLUMNS]]
    return AuditResult(manifest, _findings(manifest, pairs, probes, config, clock.seconds))


def write_audit(result: AuditResult, folder: Path) -> None:
    """Writes manifest.csv and findings.json."""
    write_manifest(result.manifest, folder / "manifest.csv")
    write_json(folder / "findings.json", result.findings)


class _Clock:
    """Seconds of each stage."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._last = time.perf_counter()

    def stop(self, stage: str) -> None:
        now = time.perf_counter()
        self.seconds[stage], self._last = round(now - self._last, 2), now


def _near_pairs(
    manifest: pd.DataFrame, sketches: Sketches, config: AuditConfig, workers: int, report: Report
) -> pd.DataFrame:
    """Returns pairs of distinct images that are near-duplicates: rows of the manifest (first, second), similarity."""
    ok = manifest[manifest["status"] == "ok"].drop_duplicates(["pixels_sha256", "channel"])
    views = Views(sketches.frame, sketches.head, sketches.box)  # which stand in the order of `ok`
    settings = NeighbourConfig(min_similarity=config.min_similarity)
    pairs = near_duplicates(views, settings, workers=workers, report=report)
    index = ok.index.to_numpy()
    return pairs.assign(first=index[pairs["first"].to_numpy(int)], second=index[pairs["second"].to_numpy(int)])


def _grouped(manifest: pd.DataFrame, pairs: pd.DataFrame) -> pd.DataFrame:
    """Joins copies, near-duplicates and patients to groups, named after their smallest member."""
    readable = (manifest["status"] == "ok").to_numpy()
    columns = [manifest["sha256"], manifest["pixels_sha256"], _patients(manifest)]
    start, end, n = [pairs["first"].to_numpy(int)], [pairs["second"].to_numpy(int)], len(manifest)
    for values in columns:
        named = np.flatnonzero((values != "").to_numpy() & readable)
        codes = pd.factorize(values.iloc[named])[0]
        start.append(named)
        end.append(codes + n)
        n += len(codes)
    edges = (np.concatenate(start), np.concatenate(end))
    labels = connected_components(coo_array((np.ones(len(edges[0]), bool), edges), shape=(n, n)))[1][: len(manifest)]
    names = manifest["sha256"].groupby(labels).transform("min").str.slice(0, 16)
    return manifest.assign(group=names.where(readable, ""))


def _patients(manifest: pd.DataFrame) -> pd.Series:
    """Names patients with their source, whose contrasts may stand as sources of their own."""
    sources = manifest["source"].str.replace(_CONTRAST_SUFFIX, "", regex=True)
    return (sources + "/" + manifest["patient"]).where(manifest["patient"] != "", "")


def _flags(manifest: pd.DataFrame, pairs: pd.DataFrame) -> pd.Series:
    ok = manifest["status"] == "ok"
    pixels = manifest["pixels_sha256"] + ":" + manifest["channel"]
    labels = manifest["label"]
    near = np.unique(pairs[["first", "second"]].to_numpy(int))
    opposite = pairs[(labels[pairs["first"]].to_numpy() - labels[pairs["second"]].to_numpy()).__abs__() == 1]
    words = {
        "duplicate": ok & (manifest["sha256"] + ":" + manifest["channel"]).duplicated(keep=False),
        "same_pixels": ok & pixels.duplicated(keep=False),
        "near_duplicate": pixels.isin(pixels.loc[near]) & ok,
        "conflict": ok & (labels.groupby(pixels).transform("nunique") > 1),
        "near_conflict": pixels.isin(pixels.loc[np.unique(opposite[["first", "second"]].to_numpy(int))]) & ok,
        "off_topic": manifest["off_topic"].astype(bool),
    }
    table = np.stack([mask.to_numpy() for mask in words.values()], axis=1)
    names = np.array(list(words))
    return pd.Series([";".join(names[row]) for row in table], index=manifest.index)


def _probes(
    manifest: pd.DataFrame, sketches: Sketches, config: AuditConfig, workers: int, report: Report
) -> list[dict[str, Any]]:
    chosen = (manifest["status"] == "ok") & manifest["label"].notna()
    if "role" in manifest:
        chosen &= manifest["role"] != "external"
    rows = sample_groups(manifest[chosen], seed=config.seed)
    return probe(rows, sketches.frames_of(rows), seed=config.seed, workers=workers, report=report)


def _findings(
    manifest: pd.DataFrame,
    pairs: pd.DataFrame,
    probes: list[dict[str, Any]],
    config: AuditConfig,
    seconds: dict[str, float],
) -> dict[str, Any]:
    readable = manifest[manifest["status"] == "ok"]
    return {
        "schema": SCHEMA,
        "version": __version__,
        "config": asdict(config),
        "sources": sorted(manifest["source"].unique()),
        "totals": _totals(manifest, readable),
        "tables": _tables(manifest),
        "overlap": {
            name: _overlap(readable, column)
            for name, column in (("files", "sha256"), ("pixels", "pixels_sha256"), ("groups", "group"))
        },
        "conflicts": _listed(manifest, _has(manifest, "conflict") | _has(manifest, "near_conflict")),
        "unreadable": _listed(manifest, manifest["status"] != "ok"),
        "off_topic": _listed(manifest, _has(manifest, "off_topic")),
        "near_duplicates": {
            "pairs": len(pairs),
            "similarity_min": float(pairs["similarity"].min()) if len(pairs) else None,
            "similarity_median": float(pairs["similarity"].median()) if len(pairs) else None,
        },
        "groups": _largest_groups(readable),
        "probes": probes,
        "seconds": seconds,
        "cost_of_a_million": _cost_of_a_million(len(manifest), len(readable), seconds),
    }


def _has(manifest: pd.DataFrame, flag: str) -> npt.NDArray[np.bool_]:
    return np.array([flag in flags.split(";") for flags in manifest["flags"]], bool)


def _totals(manifest: pd.DataFrame, readable: pd.DataFrame) -> dict[str, int]:
    return {
        "files": len(manifest),
        "readable": len(readable),
        "distinct_files": (readable["sha256"] + readable["channel"]).nunique(),
        "distinct_pixels": (readable["pixels_sha256"] + readable["channel"]).nunique(),
        "groups": readable["group"].nunique(),
        "largest_group": int(readable["group"].value_counts().max()) if len(readable) else 0,
        "conflicts": int(_has(manifest, "conflict").sum()),
        "near_conflicts": int(_has(manifest, "near_conflict").sum()),
        "unreadable": int((manifest["status"] == "unreadable").sum()),
        "tiny": int((manifest["status"] == "tiny").sum()),
        "off_topic": int(_has(manifest, "off_topic").sum()),
    }


def _tables(manifest: pd.DataFrame) -> dict[str, list[dict[str, Any]]]:
    sizes = manifest["width"].astype(str) + "×" + manifest["height"].astype(str)
    classes = manifest["label"].map({1.0: "tumor", 0.0: "no tumor"}).fillna("unlabelled")
    by = {name: manifest[name] for name in ("source", "format", "mode")} | {"class": classes, "size": sizes}
    return {name: _counts(manifest["label"], keys)[: _SIZES if name == "size" else None] for name, keys in by.items()}


def _counts(labels: pd.Series, keys: pd.Series) -> list[dict[str, Any]]:
    counts = [
        {"name": str(name), "files": len(part), "tumor": int((part == 1).sum()), "no_tumor": int((part == 0).sum())}
        for name, part in labels.groupby(keys)
    ]
    return sorted(counts, key=lambda row: -row["files"])


def _overlap(readable: pd.DataFrame, column: str) -> dict[str, dict[str, int]]:
    members = {str(source): part[column] for source, part in readable.groupby("source")}
    return {
        first: {second: int(values.isin(set(others)).sum()) for second, others in members.items() if second != first}
        for first, values in members.items()
    }


def _listed(manifest: pd.DataFrame, chosen: npt.NDArray[np.bool_] | pd.Series) -> list[dict[str, str]]:
    rows = manifest[chosen].head(_LISTED)
    return [
        {"path": path, "detail": detail or flags}
        for path, detail, flags in zip(rows["path"], rows["detail"], rows["flags"], strict=True)
    ]


def _largest_groups(readable: pd.DataFrame) -> list[dict[str, Any]]:
    distinct = readable.drop_duplicates(["pixels_sha256", "channel"])
    sizes = distinct["group"].value_counts()
    found = []
    for group, size in sizes[sizes > 1].head(_GROUPS).items():
        part = distinct[distinct["group"] == group]
        labels = sorted(int(label) for label in part["label"].dropna().unique())
        found.append({"group": group, "size": int(size), "labels": labels, "paths": list(part["path"].head(_PATHS))})
    return found


def _cost_of_a_million(n_files: int, n_readable: int, seconds: dict[str, float]) -> dict[str, Any]:
    """Scales this audit's times: reading with n, the search for near-duplicates with n log n."""
    n = max(n_readable, 2)
    reading = seconds["reading"] * _MILLION / max(n_files, 1)
    matching = seconds["near-duplicates"] * _MILLION * math.log(_MILLION) / (n * math.log(n))
    total = reading + matching
    how = f"from this audit of {n_files} files on this machine: reading grows as n, matching as n log n"
    return {"seconds": round(total), "hours": round(total / 3600, 2), "how": how}
