"""Find duplicates, conflicts, broken files and shortcuts in image collections. Deletes nothing.

Several collections are merged into one manifest:
    brainsift audit br35h=data/br35h preet=data/preet -o audit
"""

import argparse

from brainsift.auditing.audit import AuditConfig, audit
from brainsift.cli.console import progress_bar, say, show_table
from brainsift.cli.flags import add_flags, add_output, make
from brainsift.core.text import interval, words
from brainsift.datasets.catalog import SOURCES
from brainsift.reports.write import write_audit_report


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the arguments."""
    names = ", ".join(SOURCES)
    parser.add_argument("data", nargs="+", metavar="DATA", help=f"NAME=PATH (NAME one of {names}), a folder, or a CSV")
    add_output(parser, "folder for manifest.csv, findings.json and report.html")
    add_flags(parser, AuditConfig)


def run(arguments: argparse.Namespace) -> None:
    """Audits."""
    with progress_bar() as report:
        result = audit(arguments.data, make(arguments, AuditConfig), output=arguments.output, report=report)
        write_audit_report(result, arguments.output / "report.html")
    totals = vars(result.findings.totals).items()
    show_table("What was found", ("", "number"), [(words(name), str(count)) for name, count in totals])
    rows = [
        (probe.name, probe.protocol, interval(probe.accuracy), interval(probe.roc_auc, percent=False))
        for probe in result.findings.probes
    ]
    show_table("What rules reach that see no anatomy", ("rule", "folds", "accuracy", "ROC AUC"), rows)
    say(f"Report: {arguments.output / 'report.html'}")
