"""Find duplicates, conflicts, broken files and shortcuts in image collections. Deletes nothing.

Several collections are merged into one manifest:
    brainsift audit br35h=data/br35h preet=data/preet -o audit
"""

import argparse

from brainsift.auditing.audit import AuditConfig, audit, write_audit
from brainsift.cli.console import interval, progress_bar, say, show_table
from brainsift.cli.flags import add_flags, add_output, make
from brainsift.datasets.catalog import SOURCES, collect
from brainsift.reports.write import write_audit_report


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the arguments."""
    names = ", ".join(SOURCES)
    parser.add_argument("data", nargs="+", metavar="DATA", help=f"NAME=PATH (NAME one of {names}), a folder, or a CSV")
    add_output(parser, "folder for manifest.csv, findings.json and report.html")
    add_flags(parser, AuditConfig)


def run(arguments: argparse.Namespace) -> None:
    """Audits."""
    table = collect(arguments.data)
    with progress_bar() as report:
        result = audit(table, make(arguments, AuditConfig), report=report, cache=arguments.output)
        write_audit(result, arguments.output)
        write_audit_report(result.findings, result.manifest, arguments.output / "report.html")
    totals = result.findings["totals"]
    show_table("What was found", ("", "number"), [(key.replace("_", " "), str(value)) for key, value in totals.items()])
    rows = [
        (probe["name"], probe["protocol"], interval(probe["accuracy"], percent=True), interval(probe["roc_auc"]))
        for probe in result.findings["probes"]
    ]
    show_table("What rules reach that see no anatomy", ("rule", "folds", "accuracy", "ROC AUC"), rows)
    say(f"Report: {arguments.output / 'report.html'}")
