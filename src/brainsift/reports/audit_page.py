"""Findings and manifest -> what the page of an audit shows."""

from pathlib import Path
from typing import Any

import pandas as pd

from brainsift.core import text
from brainsift.reports import charts, galleries
from brainsift.stats.metrics import Interval

Entry = dict[str, Any]

_BROKEN_ROWS = 40
_OFF_TOPIC_PICTURES = 18
_OVERLAPS = {"files": "the same file", "groups": "a near-duplicate or the same patient"}
_TABLES = {"format": "Formats", "mode": "Pixel modes", "size": "Most frequent sizes"}


def audit_page(findings: Entry, manifest: pd.DataFrame) -> Entry:
    """Returns the variables of the template of an audit."""
    flagged = _flagged(manifest)
    return {
        "headline": _headline(findings, manifest, flagged),
        "totals": total_tiles(findings.get("totals") or {}),
        "distribution": distribution(manifest),
        **_sources(manifest),
        "samples": galleries.sample_gallery(manifest),
        "groups": galleries.group_sheets(manifest),
        "conflicts": galleries.conflict_sheets(manifest),
        "off_topic": galleries.named_gallery(flagged.get("off_topic", manifest.head(0)).head(_OFF_TOPIC_PICTURES)),
        **probe_block(findings),
        "flags": [(text.words(name), len(rows), _short(rows["path"].iloc[0])) for name, rows in flagged.items()],
        **_broken(manifest),
        "overlaps": _overlaps(findings.get("overlap") or {}),
        "tables": _tables(findings.get("tables") or {}),
        "facts": _facts(findings),
    }


def total_tiles(totals: Entry) -> list[Entry]:
    """Returns a tile for each plain number among the totals."""
    numbers = {name: value for name, value in totals.items() if isinstance(value, int | float)}
    return [
        {"label": text.words(name), "value": _number(value), "sub": "", "leaky": False}
        for name, value in numbers.items()
    ]


def distribution(manifest: pd.DataFrame) -> str:
    """Draws the numbers of images by source and class."""
    names = manifest["label"].map({1.0: "tumor", 0.0: "no tumor"}).fillna("unlabelled")
    counts = pd.crosstab(manifest["source"], names)
    ordered = [name for name in ("tumor", "no tumor", "unlabelled") if name in counts]
    return charts.class_distribution(
        {str(source): {name: int(row[name]) for name in ordered} for source, row in counts.iterrows()}
    )


def probe_block(findings: Entry) -> Entry:
    """Returns the chart and the rows of the probes that see no anatomy."""
    rows = [
        {"balanced_accuracy": None, "roc_auc": None, "meaning": "", "n": "", **probe}
        for probe in findings.get("probes") or []
    ]
    rows.sort(key=lambda probe: probe["protocol"] == "random")
    bars = [
        charts.Bar(
            text.words(probe["name"]),
            as_interval(probe.get("accuracy")),
            series=int(probe["protocol"] == "random"),
            hollow=probe["protocol"] == "random",
        )
        for probe in rows
    ]
    names = ("groups kept whole", "random folds (leaky)")
    chart = charts.forest(bars, xlabel="accuracy", names=names) if bars else ""
    return {"probe_rows": rows, "probe_chart": chart}


def as_interval(found: Entry | None) -> Interval:
    """Reads the JSON shape of an interval; null becomes NaN."""
    values = [(found or {}).get(key) for key in ("value", "low", "high")]
    return Interval(*(float("nan") if value is None else float(value) for value in values))


def best_blind_rule(findings: Entry) -> Entry | None:
    """Returns the probe without any anatomy that does best with groups kept whole; one on thumbnails sees some."""
    probes = [
        probe
        for probe in findings.get("probes") or []
        if probe["protocol"] != "random"
        and probe["name"] not in ("nearest neighbour", "shuffled labels")
        and (probe.get("accuracy") or {}).get("value") is not None
    ]
    return max(probes, key=lambda probe: probe["accuracy"]["value"], default=None)


def _headline(findings: Entry, manifest: pd.DataFrame, flagged: dict[str, pd.DataFrame]) -> list[str]:
    n = len(manifest)
    sources = text.counted(manifest["source"].nunique(), "source")
    sentences = [f"{text.counted(n, 'image')} of {sources}. {_independence(manifest)}"]
    told = {
        "conflict": "with copies of the other label",
        "near_conflict": "with near-duplicates of the other label",
        "off_topic": "that may be no brain MRI",
    }
    for flag, words in told.items():
        if flag in flagged:
            sentences.append(f"{text.counted(len(flagged[flag]), 'image')} {words}.")
    unusable = int((~manifest["status"].isin(["ok", ""])).sum()) if "status" in manifest else 0
    if unusable:
        sentences.append(f"{text.counted(unusable, 'file')} that cannot be used.")
    best = best_blind_rule(findings)
    if best:
        sentences.append(_blind_words(best))
    return sentences


def beats_guessing(probe: Entry) -> bool:
    """Tells whether a probe's balanced accuracy, or accuracy where that is unknown, lies above one half for sure."""
    low = (probe.get("balanced_accuracy") or probe["accuracy"]).get("low")
    return low is not None and low > 0.5


def _blind_words(best: Entry) -> str:
    if not beats_guessing(best):
        return "Neither the size of the files nor their border tells the classes apart, with groups kept whole."
    return (
        f"A rule that sees no anatomy ({text.words(best['name'])}) tells the classes apart with an accuracy of "
        f"{text.shown(best['accuracy']['value'])}: a network can score that much without knowing tumors."
    )


def _independence(manifest: pd.DataFrame) -> str:
    if "group" not in manifest or "sha256" not in manifest:
        return ""
    usable = manifest[manifest["group"].fillna("") != ""]
    share = 1 - usable["group"].nunique() / max(len(usable), 1)
    files, groups = _distinct(usable, "sha256"), usable["group"].nunique()
    words = f"{text.thousands(files)} distinct files, {text.thousands(groups)} independent groups"
    if share < 0.01:
        return f"They are {words}."
    return f"They are {words}: {100 * share:.0f} % of them bring nothing new, and a random split would leak."


def _sources(manifest: pd.DataFrame) -> Entry:
    columns = {"distinct files": "sha256", "distinct pixels": "pixels_sha256", "groups": "group", "patients": "patient"}
    there = {name: column for name, column in columns.items() if column in manifest}
    rows = [
        (
            str(source),
            len(part),
            int((part["label"] == 1).sum()),
            int((part["label"] == 0).sum()),
            *(_distinct(part, column) or "–" for column in there.values()),
            _formats(part),
        )
        for source, part in manifest.groupby("source")
    ]
    return {"source_head": ["source", "files", "tumor", "no tumor", *there, "formats"], "source_rows": rows}


def _overlaps(overlap: Entry) -> list[Entry]:
    """A table each way of being the same: images of the row's source with a twin in the column's."""
    found = []
    for kind, words in _OVERLAPS.items():
        counts = overlap.get(kind) or {}
        if len(counts) > 1 and any(any(row.values()) for row in counts.values()):
            rows = [(source, *(row.get(other, "") for other in counts)) for source, row in counts.items()]
            found.append({"words": words, "head": ["images of", *(f"in {name}" for name in counts)], "rows": rows})
    return found


def _tables(tables: Entry) -> list[Entry]:
    return [
        {
            "heading": heading,
            "head": [name, "files", "tumor", "no tumor"],
            "rows": [(row["name"] or "–", row["files"], row["tumor"], row["no_tumor"]) for row in tables[name]],
        }
        for name, heading in _TABLES.items()
        if tables.get(name)
    ]


def _facts(findings: Entry) -> list[tuple[str, str]]:
    stages, near = findings.get("seconds") or {}, findings.get("near_duplicates") or {}
    million, config = findings.get("cost_of_a_million") or {}, findings.get("config") or {}
    facts = [(text.words(stage), text.duration(seconds)) for stage, seconds in stages.items()]
    if near.get("pairs"):
        words = f"{text.counted(near['pairs'], 'pair')}, similarity from {near['similarity_min']:.3f}"
        facts.append(("near-duplicates found", words))
    if million:
        facts.append(("a million images", f"{text.duration(million['seconds'])} ({million['how']})"))
    return facts + [(text.words(name), str(value)) for name, value in config.items()]


def _distinct(rows: pd.DataFrame, column: str) -> int:
    """Counts distinct values; one file of three channels is three images."""
    named = rows[rows[column].fillna("") != ""]
    keys = [column, "channel"] if "sha256" in column and "channel" in rows else [column]
    return len(named.drop_duplicates(keys))


def _formats(part: pd.DataFrame) -> str:
    if "format" not in part:
        return "–"
    counts = part["format"].replace("", None).dropna().value_counts()
    return ", ".join(f"{name} {count}" for name, count in counts.items())


def _flagged(manifest: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Rows by flag, the most frequent flag first."""
    if "flags" not in manifest:
        return {}
    words = manifest["flags"].fillna("").str.split(";").explode()
    counts = words[words != ""].value_counts()
    return {str(name): manifest.loc[words.index[words == name].unique()] for name in counts.index}


def _broken(manifest: pd.DataFrame) -> Entry:
    if "status" not in manifest:
        return {"broken": [], "broken_more": 0}
    rows = manifest[~manifest["status"].isin(["ok", ""])]
    detail = rows["detail"] if "detail" in rows else [""] * len(rows)
    shown = [
        (_short(path), status, why) for path, status, why in zip(rows["path"], rows["status"], detail, strict=True)
    ]
    return {"broken": shown[:_BROKEN_ROWS], "broken_more": max(0, len(shown) - _BROKEN_ROWS)}


def _short(path: str) -> str:
    return "/".join(Path(path).parts[-2:])


def _number(value: float) -> str:
    return text.thousands(value) if float(value).is_integer() else f"{value:.3g}"
