"""What is wrong with a collection of images, before anything is trained on it. Deletes nothing."""

import re
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from brainsift.auditing.audit_settings import AuditConfig
from brainsift.auditing.findings import Findings, Probe, count_findings
from brainsift.auditing.index import Sketches, scan
from brainsift.auditing.near_duplicates import NeighbourConfig, Views, near_duplicates
from brainsift.auditing.shortcuts import probe, sample_groups
from brainsift.core.environment import cores
from brainsift.core.errors import ManifestError, UsageError
from brainsift.core.progress import Report, silent
from brainsift.datasets.catalog import collect
from brainsift.datasets.labelling import Ruling
from brainsift.datasets.manifest import AUDIT_COLUMNS, SEVERAL_PICTURES, write_manifest

_CONTRAST_SUFFIX = re.compile(r"_(t1|t1ce|t2|flair)$")


@dataclass(frozen=True, eq=False)
class AuditResult:
    """What an audit returns; a notebook shows it as sentences, a chart and a table.

    Attributes:
        manifest: one row per image, with the columns that the audit fills; see `datasets.manifest`.
        findings: what was found.
    """

    manifest: pd.DataFrame
    findings: Findings

    def write(self, folder: Path) -> None:
        """Writes manifest.csv and findings.json."""
        write_manifest(self.manifest, folder / "manifest.csv")
        self.findings.write(folder / "findings.json")

    def _repr_html_(self) -> str:
        from brainsift.auditing import reading  # which needs matplotlib
        from brainsift.charts.notebook import notebook_html

        figure = reading.probe_figure(self.findings) or reading.class_figure(self.manifest)
        sentences = reading.headline(self.findings, self.manifest)
        return notebook_html("Audit", sentences, figure, ("images", "number"), reading.total_counts(self.findings))


def audit(
    data: pd.DataFrame | str | Path | Sequence[str],
    config: AuditConfig | None = None,
    *,
    mapping: Mapping[str, Ruling] | None = None,
    output: str | Path | None = None,
    cache: str | Path | None = None,
    report: Report = silent,
) -> AuditResult:
    """Audits collections of images: copies, near-duplicates, conflicting labels, broken files, shortcuts.

    Args:
        data: a folder or CSV file, a list of ``NAME=PATH`` (see `catalog.collect`), or a table with one row per image.
            Rows of role "external" (if there is such a column) are left out of the probes.
        config: how; the defaults of `AuditConfig` if None.
        mapping: labels of names that brainsift does not know, such as ``{"sain": 0}``; see `labelling.Labelling`.
        output: folder for manifest.csv and findings.json; None writes nothing.
        cache: folder for scan.sqlite, with which an interrupted audit goes on; ``output`` by default, and a temporary
            one without it.
        report: takes the progress.

    Returns:
        Manifest and findings.

    Raises:
        ManifestError: there is no image.
        UsageError: a negative number of workers.
        InputError: scan.sqlite cannot be used.

    Example:
        >>> import brainsift as bs
        >>> result = bs.audit("data/br35h")  # doctest: +SKIP
        >>> result.findings.totals.groups  # doctest: +SKIP
        1409
        >>> result.manifest["group"].nunique()  # doctest: +SKIP
        1409
    """
    config = config or AuditConfig()
    if config.workers < 0:
        raise UsageError("workers", f"must be 0 or more, not {config.workers}", "0 takes all cores.")
    if not isinstance(data, pd.DataFrame):
        data = collect([str(data)] if isinstance(data, str | Path) else data, mapping)
    if data.empty:
        raise ManifestError("data", "holds no image", "Check the paths.")
    place = cache or output
    if place is None:
        with tempfile.TemporaryDirectory() as folder:
            return audit(data, config, cache=folder, report=report)
    table = data.reset_index(drop=True)
    seconds: dict[str, float] = {}
    workers = config.workers or cores()
    started = time.perf_counter()

    def stop(stage: str) -> None:
        seconds[stage] = round(time.perf_counter() - started - sum(seconds.values()), 2)

    columns, sketches = scan(table, Path(place) / "scan.sqlite", workers=workers, report=report)
    manifest = table.drop(columns=list(AUDIT_COLUMNS), errors="ignore").join(columns)
    stop("reading")
    pairs = _near_pairs(manifest, sketches, config, workers, report)
    stop("near-duplicates")
    manifest = _grouped(manifest, pairs)
    manifest["flags"] = _flags(manifest, pairs)
    stop("grouping")
    probes = _probes(manifest, sketches, config, workers, report) if config.probes else ()
    stop("probes")
    manifest = manifest[[*table.columns.difference(AUDIT_COLUMNS, sort=False), *AUDIT_COLUMNS]]
    result = AuditResult(manifest, count_findings(manifest, pairs, probes, asdict(config), seconds))
    if output is not None:
        result.write(Path(output))
    return result


def _near_pairs(
    manifest: pd.DataFrame, sketches: Sketches, config: AuditConfig, workers: int, report: Report
) -> pd.DataFrame:
    """Returns pairs of distinct images that are near-duplicates: rows of the manifest (first, second), similarity."""
    ok = manifest[manifest["status"] == "ok"].drop_duplicates(["pixels_sha256", "channel"])
    views = Views(sketches.frame, sketches.head, sketches.box)  # in the order of `ok`
    settings = NeighbourConfig(min_similarity=config.min_similarity)
    pairs = near_duplicates(views, settings, workers=workers, report=report)
    index = ok.index.to_numpy()
    return pairs.assign(first=index[pairs["first"].to_numpy(int)], second=index[pairs["second"].to_numpy(int)])


def _grouped(manifest: pd.DataFrame, pairs: pd.DataFrame) -> pd.DataFrame:
    """Joins copies, near-duplicates and patients to groups, named after their smallest member."""
    readable = (manifest["status"] == "ok").to_numpy()
    sources = manifest["source"].str.replace(_CONTRAST_SUFFIX, "", regex=True)  # contrasts may be sources of their own
    patients = (sources + "/" + manifest["patient"]).where(manifest["patient"] != "", "")
    columns = [manifest["sha256"], manifest["pixels_sha256"], patients]
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
        SEVERAL_PICTURES: manifest[SEVERAL_PICTURES].astype(bool),
    }
    table = np.stack([mask.to_numpy() for mask in words.values()], axis=1)
    names = np.array(list(words))
    return pd.Series([";".join(names[row]) for row in table], index=manifest.index)


def _probes(
    manifest: pd.DataFrame, sketches: Sketches, config: AuditConfig, workers: int, report: Report
) -> tuple[Probe, ...]:
    chosen = (manifest["status"] == "ok") & manifest["label"].notna()
    if "role" in manifest:
        chosen &= manifest["role"] != "external"
    rows = sample_groups(manifest[chosen], seed=config.seed)
    return tuple(probe(rows, sketches.frames_of(rows), seed=config.seed, workers=workers, report=report))
