"""An audit -> what its page shows."""

from pathlib import Path

import pandas as pd

from brainsift.auditing.audit import AuditResult
from brainsift.auditing.findings import Findings
from brainsift.auditing.reading import class_figure, distinct, headline, probe_figure, rows_by_flag, total_counts
from brainsift.charts.figure import Figure
from brainsift.core import text
from brainsift.reports import galleries
from brainsift.reports.sections import Context, Section, Tile, contents, headings

_BROKEN_ROWS = 40
_OFF_TOPIC_PICTURES = 18
_OVERLAPS = {"files": "the same file", "groups": "a near-duplicate or the same patient"}
_TABLES = {"format": "Formats", "mode": "Pixel modes", "size": "Most frequent sizes"}
SECTIONS = (
    Section("found", "What was found", "What was found"),
    Section("data", "The images", "The images"),
    Section("groups", "Near-duplicates", "Copies and near-duplicates", "groups"),
    Section("conflicts", "Two labels", "One picture, two labels", "conflicts"),
    Section("off-topic", "No brain MRI?", "Perhaps no brain MRI", "off_topic"),
    Section("probes", "Simple rules", "What simple rules reach", "probe_rows"),
    Section("flags", "Flags", "Flags", "flags"),
    Section("broken", "Unusable files", "Files that cannot be used", "broken"),
    Section("again", "How it was done", "How it was done", "facts"),
)


def audit_page(result: AuditResult) -> Context:
    """Returns the variables of the template of an audit, in the order in which the page shows them."""
    findings, manifest, titles = result.findings, result.manifest, headings(SECTIONS)
    flagged = rows_by_flag(manifest)
    off_topic = flagged.get("off_topic", manifest.head(0))
    broken = manifest[manifest["status"] != "ok"]
    source_head, source_rows = _sources(manifest)
    context: Context = {
        "headings": titles,
        "headline": headline(findings, manifest),
        "totals": total_tiles(findings),
        "distribution": class_figure(manifest).under(titles["data"]),
        "source_head": source_head,
        "source_rows": source_rows,
        "overlaps": _overlaps(findings),
        "tables": [
            (heading, [(one.name or "–", one.files, one.tumor, one.no_tumor) for one in findings.tables[name]])
            for name, heading in _TABLES.items()
            if findings.tables.get(name)
        ],
        "samples": galleries.sample_gallery(manifest),
        "groups": galleries.group_sheets(manifest),
        "conflicts": galleries.conflict_sheets(manifest),
        "off_topic": galleries.named_gallery(off_topic.head(_OFF_TOPIC_PICTURES)),
        **probe_block(findings, titles["probes"]),
        "flags": [(text.words(name), len(rows), _short(rows["path"].iloc[0])) for name, rows in flagged.items()],
        "broken": [
            (_short(path), status, why)
            for path, status, why in broken[["path", "status", "detail"]].head(_BROKEN_ROWS).itertuples(index=False)
        ],
        "broken_more": max(0, len(broken) - _BROKEN_ROWS),
        "facts": _facts(findings),
    }
    return {**context, "contents": contents(SECTIONS, context)}


def total_tiles(findings: Findings) -> list[Tile]:
    """Returns one tile per number among the totals."""
    return [Tile(label, value) for label, value in total_counts(findings)]


def probe_block(findings: Findings, heading: str) -> Context:
    """Returns the chart and the rows of the probes, those on random folds last."""
    figure: Figure | None = probe_figure(findings)
    return {
        "probe_chart": figure and figure.under(heading),
        "probe_rows": sorted(findings.probes, key=lambda probe: probe.leaky),
    }


def _sources(manifest: pd.DataFrame) -> tuple[list[str], list[tuple[int | str, ...]]]:
    """Returns head and rows of the table of sources."""
    columns = {"distinct files": "sha256", "distinct pixels": "pixels_sha256", "groups": "group", "patients": "patient"}
    rows = []
    for source, part in manifest.groupby("source"):
        formats = part["format"].replace("", None).dropna().value_counts()
        rows.append(
            (
                str(source),
                len(part),
                int((part["label"] == 1).sum()),
                int((part["label"] == 0).sum()),
                *(distinct(part, column) or "–" for column in columns.values()),
                ", ".join(f"{name} {count}" for name, count in formats.items()),
            )
        )
    return ["source", "files", "tumor", "no tumor", *columns, "formats"], rows


def _overlaps(findings: Findings) -> list[tuple[str, list[str], list[tuple[int | str, ...]]]]:
    """Returns one table per way of being the same: images of the row's source with a copy in the column's."""
    found = []
    for kind, words in _OVERLAPS.items():
        counts = findings.overlap.get(kind, {})
        if any(any(row.values()) for row in counts.values()):
            head = ["images of", *(f"in {name}" for name in counts)]
            found.append(
                (words, head, [(source, *(row.get(one, "") for one in counts)) for source, row in counts.items()])
            )
    return found


def _facts(findings: Findings) -> list[tuple[str, str]]:
    facts = [(text.words(stage), text.duration(seconds)) for stage, seconds in findings.seconds.items()]
    near, million = findings.near_duplicates, findings.cost_of_a_million
    if near.similarity_min is not None:
        facts.append(
            ("near-duplicates found", f"{text.counted(near.pairs, 'pair')}, similarity from {near.similarity_min:.3f}")
        )
    if million:
        facts.append(("a million images", f"{text.duration(million.seconds)} ({million.how})"))
    return facts + [(text.words(name), str(value)) for name, value in findings.config.items()]


def _short(path: str) -> str:
    return "/".join(Path(path).parts[-2:])
