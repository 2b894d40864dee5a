"""Results -> one self-contained HTML page: of a study, an audit, or a search for settings.

The pages load nothing from elsewhere, read in light, dark and print, and say "leaky" wherever a figure comes from a
split that lets copies of test images into training.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from brainsift.core.files import write_text
from brainsift.pages.html import page_head, render
from brainsift.reports.audit_page import audit_page
from brainsift.reports.charts import standalone
from brainsift.reports.study_page import search_block, study_page

Entry = dict[str, Any]

# id of a section, its name in the list of contents, and what has to be there for it to be shown
_STUDY_SECTIONS = (
    ("believe", "What to believe", ""),
    ("accuracy", "Accuracy", ""),
    ("claims", "The baseline’s claims", "claims"),
    ("external", "Unseen sources", "external"),
    ("leaks", "Copies across the split", "twins"),
    ("probes", "Simple rules", "probe_rows"),
    ("data", "The images", ""),
    ("errors", "Worst errors", "errors"),
    ("comparisons", "Pairs of networks", "comparisons"),
    ("training", "Training", ""),
    ("tuning", "Search for settings", "searches"),
    ("again", "To do it again", ""),
)
_HEADING_OR_CHART = re.compile(
    r'<h[23][^>]*>(?P<heading>.*?)</h[23]>|(?P<chart><svg role="img" aria-label="(?P<name>[^"]*)".*?</svg>)', re.DOTALL
)
_AUDIT_SECTIONS = (
    ("found", "What was found", ""),
    ("data", "The images", ""),
    ("groups", "Near-duplicates", "groups"),
    ("conflicts", "Two labels", "conflicts"),
    ("off-topic", "No brain MRI?", "off_topic"),
    ("probes", "Simple rules", "probe_rows"),
    ("flags", "Flags", "flags"),
    ("broken", "Unusable files", "broken"),
    ("again", "How it was done", "facts"),
)


def write_study_report(results: Entry, folder: Path, out: Path) -> None:
    """Writes the report of a study.

    Args:
        results: what `study.run_study` returns or results.json holds; optional pieces may be missing.
        folder: of the study: curves, predictions and images are read from it where they are there.
        out: the HTML file.
    """
    page = study_page(results, folder)
    write_text(
        out, render("study.html.j2", {**page_head(results), **page, "contents": _contents(_STUDY_SECTIONS, page)})
    )


def write_figures(page: Path, folder: Path) -> list[Path]:
    """Writes each chart of a page into a file of its own, for a manuscript or a slide.

    Args:
        page: an HTML file of this module.
        folder: of the SVG files, named by the heading above (which says "leaky" where that holds) and their own name.
    """
    written, heading = [], ""
    for found in _HEADING_OR_CHART.finditer(page.read_text(encoding="utf-8")):
        if found["heading"]:
            heading = re.sub("<[^>]*>", "", found["heading"])
            continue
        name = re.sub(r"\W+", "-", f"{heading} {found['name']}").strip("-").lower()
        written.append(folder / f"{name}.svg")
        write_text(written[-1], standalone(found["chart"]))
    return written


def write_audit_report(findings: Entry, manifest: pd.DataFrame, out: Path) -> None:
    """Writes the report of an audit.

    Args:
        findings: what the audit found; ``totals`` and ``probes`` are shown.
        manifest: the audited manifest.
        out: the HTML file.
    """
    page = audit_page(findings, manifest)
    head = page_head({"title": "Audit of the images", **findings})
    write_text(out, render("audit.html.j2", {**head, **page, "contents": _contents(_AUDIT_SECTIONS, page)}))


def write_tuning_report(found: Entry, out: Path) -> None:
    """Writes the report of a search, from what `tune.tune` returns."""
    head = page_head({"title": f"Search for settings: {found['model']}", **found})
    write_text(out, render("tuning.html.j2", {**head, "contents": [], "search": search_block(found)}))


def _contents(sections: Sequence[tuple[str, str, str]], page: Entry) -> list[tuple[str, str]]:
    return [(place, name) for place, name, needed in sections if not needed or page[needed]]
