"""Results of a study as Markdown tables, to paste into a page or a paper."""

import math
from collections.abc import Sequence

from brainsift.auditing.findings import Probe
from brainsift.core.text import cell, difference, markdown_table
from brainsift.studies.study_records import StudyComparison, StudyRun, StudySummary
from brainsift.studies.study_results import StudyResults

_TWINS = ("same_file", "same_pixels", "same_group")
_HEADS = {
    "accuracy": "accuracy, %",
    "balanced_accuracy": "balanced accuracy, %",
    "sensitivity": "sensitivity, %",
    "specificity": "specificity, %",
    "roc_auc": "ROC AUC",
    "calibration_error": "calibration error",
}


def study_tables(results: StudyResults) -> str:
    """Returns the tables of a study: test sets, external sources, comparisons, probes, copies across the split."""
    sections = [
        ("Test set", _scores(results.summary)),
        ("Copies of test images in the training set", _twins(results.runs)),
        ("External sources", _external(results.summary)),
        ("Comparisons", _comparisons(results.comparisons)),
        ("Rules that see no anatomy", _probes(results.audit.probes)),
    ]
    return "\n\n".join(f"## {title}\n\n{table}" for title, table in sections if table) + "\n"


def _name(row: StudySummary) -> str:
    return row.model if row.recipe == "standard" else row.name


def _scores(summary: Sequence[StudySummary]) -> str:
    metrics = ("accuracy", "sensitivity", "specificity", "roc_auc", "calibration_error")
    rows = [
        [
            f"{row.protocol}{' (leaky)' * row.leaky}",
            _name(row),
            str(row.n_folds),
            f"{row.n} / {row.n_groups}",
            *(cell(metric, row.pooled[metric]) for metric in metrics),
            cell("accuracy", row.undisputed.accuracy if row.undisputed else None),
        ]
        for row in summary
    ]
    heads = (*(_HEADS[metric] for metric in metrics), "accuracy where copies agree on the label, %")
    return markdown_table(("protocol", "network", "folds", "images / groups", *heads), rows)


def _twins(runs: Sequence[StudyRun]) -> str:
    rows = {}
    for run in runs:
        if run.fold == 0:
            shares = [f"{run.twins[kind]:.0f} ({run.twins[f'{kind}_share']:.1%})" for kind in _TWINS]
            rows[run.protocol] = [run.protocol, f"{run.twins['test']:.0f}", *shares]
    return markdown_table(("protocol", "test images", "same file", "same pixels", "same group"), list(rows.values()))


def _external(summary: Sequence[StudySummary]) -> str:
    rows = [
        [
            source,
            f"{row.protocol}, {_name(row)}",
            f"{found.n} / {found.n_tumor}",
            *(cell(metric, found.scores[metric]) for metric in ("sensitivity", "specificity", "roc_auc")),
        ]
        for row in summary
        for source, found in row.external.items()
    ]
    head = ("source", "trained on", "images / tumor", "sensitivity, %", "specificity, %", "ROC AUC")
    return markdown_table(head, sorted(rows, key=lambda row: row[0])) if rows else ""


def _comparisons(comparisons: Sequence[StudyComparison]) -> str:
    rows = [
        [
            row.protocol,
            f"{row.a} − {row.b}",
            row.metric,
            row.test,
            difference(row.difference),
            f"{row.p_value:.2g}" if math.isfinite(row.p_value) else "–",
        ]
        for row in comparisons
        if row.metric in ("accuracy", "roc_auc")
    ]
    return markdown_table(("protocol", "networks", "metric", "test", "difference", "p"), rows) if rows else ""


def _probes(probes: Sequence[Probe]) -> str:
    rows = [
        [
            row.name,
            row.protocol,
            cell("accuracy", row.accuracy),
            cell("balanced_accuracy", row.balanced_accuracy),
            cell("roc_auc", row.roc_auc),
        ]
        for row in probes
    ]
    head = ("rule", "folds", "accuracy, %", "balanced accuracy, %", "ROC AUC")
    return markdown_table(head, rows) if rows else ""
