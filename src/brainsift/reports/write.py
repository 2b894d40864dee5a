"""Results -> self-contained HTML pages, charts as files, and tables: of an audit, a study, a search, doubtful labels.

The pages load nothing from elsewhere, can be read in light, dark and print, and say "leaky" wherever a figure comes
from a split that lets copies of test images into the training set.
"""

from collections.abc import Iterable
from pathlib import Path

from brainsift.auditing.audit import AuditResult
from brainsift.charts.figure import Figure
from brainsift.core.errors import UsageError
from brainsift.core.files import check_writable, write_text
from brainsift.datasets.csv_table import read_table
from brainsift.evaluation.doubtful_labels import DoubtfulLabels
from brainsift.pages.html import page_head, render
from brainsift.reports.audit_page import audit_page
from brainsift.reports.markdown import study_tables
from brainsift.reports.review_page import review_page
from brainsift.reports.search_page import search_page
from brainsift.reports.sections import Context, figures_of
from brainsift.reports.study_page import study_page
from brainsift.studies.study_results import StudyResults
from brainsift.training.searches import Search


def write_study_files(results: StudyResults, folder: Path) -> None:
    """Writes all that a person reads of a study: report.html, each of its charts into figures/, and tables.md.

    Args:
        results: what `study.run_study` returned, or `StudyResults.read` read.
        folder: of the study.
    """
    write_figures(write_study_report(results, folder, folder / "report.html"), folder / "figures")
    write_text(folder / "tables.md", study_tables(results))


def write_study_report(results: StudyResults, folder: Path, out: Path) -> list[Figure]:
    """Writes the report of a study.

    Args:
        results: what `study.run_study` returned, or `StudyResults.read` read.
        folder: of the study: curves, predictions and images are read from it where they are there.
        out: the HTML file.

    Returns:
        The charts of the page, which `write_figures` writes into files.
    """
    made = {"created": results.created, "version": results.version, "commit": results.commit}
    head = {"title": results.title, "phantom": results.phantom, **made}
    return _write("study.html.j2", head, study_page(results, folder), out)


def write_audit_report(result: AuditResult, out: Path) -> list[Figure]:
    """Writes the report of an audit into an HTML file; returns as `write_study_report` does."""
    head = {"title": "Audit of the images", "version": result.findings.version}
    return _write("audit.html.j2", head, audit_page(result), out)


def write_tuning_report(search: Search, out: Path) -> list[Figure]:
    """Writes the report of a search for settings into an HTML file; returns as `write_study_report` does."""
    return _write("tuning.html.j2", {"title": f"Search for settings: {search.model}"}, search_page(search), out)


def write_review(found: DoubtfulLabels, folder: Path) -> Path:
    """Writes review.csv, which takes a person's verdicts, and review.html, which shows the images; returns the latter.

    Raises:
        UsageError: review.csv is there and holds verdicts.
    """
    table, page = folder / "review.csv", folder / "review.html"
    if table.is_file() and _holds_verdicts(table):
        rule = "holds verdicts, which a new review would delete"
        raise UsageError(table, rule, "Write the review into another folder with -o, or move this file.")
    check_writable(table)
    _write("review.html.j2", {"title": "Labels to check"}, review_page(found, table), page)
    found.write(table)
    return page


def write_figures(figures: Iterable[Figure], folder: Path) -> list[Path]:
    """Writes each chart into a file of its own, for a manuscript or a slide; returns their paths.

    The files are named after the heading above the chart, which says "leaky" where that holds, and its own name.
    """
    return [figure.write(folder) for figure in figures]


def _holds_verdicts(path: Path) -> bool:
    table = read_table(path, ("path", "verdict"))
    return "verdict" in table and bool((table["verdict"] != "").any())


def _write(template: str, head: Context, page: Context, out: Path) -> list[Figure]:
    write_text(out, render(template, {**page_head(dict(head)), **page}))
    return list(figures_of(page))
