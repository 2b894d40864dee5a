"""Find duplicates, conflicts, broken files and shortcuts in image collections. Deletes nothing.

Several collections are merged into one manifest:
    brainsift audit br35h=data/br35h preet=data/preet -o audit
"""

import argparse

from brainsift.auditing.audit_settings import AuditConfig
from brainsift.cli.console import progress_bar, say, show_table
from brainsift.cli.flags import DATA_HELP, add_flags, add_map, add_output, make
from brainsift.core.text import interval, words


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the arguments."""
    parser.add_argument("data", nargs="+", metavar="DATA", help=DATA_HELP)
    add_output(parser, "folder for manifest.csv, findings.json and report.html")
    add_map(parser)
    add_flags(parser, AuditConfig)


def run(arguments: argparse.Namespace) -> None:
    """Audits."""
    from brainsift.auditing.audit import audit
    from brainsift.datasets.labelling import parse_rules
    from brainsift.reports.write import write_audit_report

    config, mapping = make(arguments, AuditConfig), parse_rules(arguments.map, arguments.corrections)
    with progress_bar() as report:
        result = audit(arguments.data, config, mapping=mapping, output=arguments.output, report=report)
        write_audit_report(result, arguments.output / "report.html")
    totals = vars(result.findings.totals).items()
    show_table("What was found", ("", "number"), [(words(name), str(count)) for name, count in totals])
    rows = [
        (probe.name, probe.protocol, interval(probe.accuracy), interval(probe.roc_auc, percent=False))
        for probe in result.findings.probes
    ]
    show_table("What rules reach that see no anatomy", ("rule", "folds", "accuracy", "ROC AUC"), rows)
    say(f"Report: {arguments.output / 'report.html'}")
