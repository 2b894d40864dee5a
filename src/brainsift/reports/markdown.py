"""Results of a study as Markdown tables, to paste into a page or a paper."""

from collections.abc import Sequence
from typing import Any

from brainsift.core.text import cell, markdown_table, signed

Entry = dict[str, Any]

_TWINS = ("same_file", "same_pixels", "same_group")
_HEADS = {
    "accuracy": "accuracy, %",
    "balanced_accuracy": "balanced accuracy, %",
    "sensitivity": "sensitivity, %",
    "specificity": "specificity, %",
    "roc_auc": "ROC AUC",
    "calibration_error": "calibration error",
}


def study_tables(results: Entry) -> str:
    """Returns the tables of a study: test parts, external sources, comparisons, probes, twins.

    Args:
        results: of `study.run_study`.
    """
    sections = [
        ("Test part", _scores(results["summary"])),
        ("Copies of test images in train", _twins(results["runs"])),
        ("External sources", _external(results["summary"])),
        ("Comparisons", _comparisons(results["comparisons"])),
        ("Rules that see no anatomy", _probes(results["audit"]["probes"])),
    ]
    return "\n\n".join(f"## {title}\n\n{table}" for title, table in sections if table) + "\n"


def _name(row: Entry) -> str:
    return row["model"] if row["recipe"] == "standard" else f"{row['model']} ({row['recipe']})"


def _scores(summary: Sequence[Entry]) -> str:
    metrics = ("accuracy", "sensitivity", "specificity", "roc_auc", "calibration_error")
    rows = [
        [
            f"{row['protocol']}{' (leaky)' if row['leaky'] else ''}",
            _name(row),
            str(row["n_folds"]),
            f"{row['n']} / {row['n_groups']}",
            *(cell(metric, row["pooled"].get(metric)) for metric in metrics),
            cell("accuracy", (row.get("undisputed") or {}).get("accuracy")),
        ]
        for row in summary
    ]
    heads = (*(_HEADS[metric] for metric in metrics), "accuracy where copies agree on the label, %")
    return markdown_table(("protocol", "network", "folds", "images / groups", *heads), rows)


def _twins(runs: Sequence[Entry]) -> str:
    rows = {}
    for run in runs:
        if run["fold"] == 0:
            twins = run["twins"]
            shares = [f"{twins[kind]:.0f} ({twins[f'{kind}_share']:.1%})" for kind in _TWINS]
            rows[run["protocol"]] = [run["protocol"], f"{twins['test']:.0f}", *shares]
    return markdown_table(("protocol", "test images", "same file", "same pixels", "same group"), list(rows.values()))


def _external(summary: Sequence[Entry]) -> str:
    rows = [
        [
            source,
            f"{row['protocol']}, {_name(row)}",
            f"{scores['n']} / {scores['n_tumor']}",
            *(cell(metric, scores.get(metric)) for metric in ("sensitivity", "specificity", "roc_auc")),
        ]
        for row in summary
        for source, scores in row["external"].items()
    ]
    head = ("source", "trained on", "images / tumor", "sensitivity, %", "specificity, %", "ROC AUC")
    return markdown_table(head, sorted(rows, key=lambda row: row[0])) if rows else ""


def _comparisons(comparisons: Sequence[Entry]) -> str:
    rows = [
        [
            row["protocol"],
            f"{row['a']} − {row['b']}",
            row["metric"],
            row["test"],
            "{value} ({low} to {high})".format(**{key: signed(bound) for key, bound in row["difference"].items()}),
            "–" if row["p_value"] is None else f"{row['p_value']:.2g}",
        ]
        for row in comparisons
        if row["metric"] in ("accuracy", "roc_auc")
    ]
    return markdown_table(("protocol", "networks", "metric", "test", "difference", "p"), rows) if rows else ""


def _probes(probes: Sequence[Entry]) -> str:
    rows = [
        [
            row["name"],
            row["protocol"],
            *(cell(metric, row[metric]) for metric in ("accuracy", "balanced_accuracy", "roc_auc")),
        ]
        for row in probes
    ]
    head = ("rule", "folds", "accuracy, %", "balanced accuracy, %", "ROC AUC")
    return markdown_table(head, rows) if rows else ""
