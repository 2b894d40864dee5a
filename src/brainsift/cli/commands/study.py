"""The baseline study and its honest twin, in one command, from raw folders to a report.

    brainsift study --data br35h=data/br35h preet=data/preet --external cheng=data/cheng -o study

Interrupted at any moment, it goes on when started again with the same -o.
"""

import argparse
import shlex
import sys

from brainsift.cli.console import interval, progress_bar, say, show_table
from brainsift.cli.flags import add_flags, add_output, make
from brainsift.core.files import write_text
from brainsift.reports.markdown import study_tables
from brainsift.reports.write import write_figures, write_study_report
from brainsift.studies.study import StudyConfig, run_study


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the arguments."""
    parser.add_argument("--data", nargs="+", required=True, metavar="DATA", help="NAME=PATH, a folder, or a CSV")
    parser.add_argument("--external", nargs="*", default=[], metavar="DATA", help="only predicted, never trained on")
    parser.add_argument("--title", default="Brain tumor study", help="of the report")
    add_output(
        parser, "folder of the study; report.html, its figures, tables.md and results.json stand in it at the end"
    )
    add_flags(parser, StudyConfig)


def run(arguments: argparse.Namespace) -> None:
    """Does the study."""
    with progress_bar() as report:
        results = run_study(
            arguments.data,
            arguments.output,
            make(arguments, StudyConfig),
            external=arguments.external,
            title=arguments.title,
            command=shlex.join(["brainsift", *sys.argv[1:]]),
            report=report,
        )
    write_study_report(results, arguments.output, arguments.output / "report.html")
    write_figures(arguments.output / "report.html", arguments.output / "figures")
    write_text(arguments.output / "tables.md", study_tables(results))
    show_summary(results["summary"])
    say(f"Report: {arguments.output / 'report.html'}")


def show_summary(summary: list[dict]) -> None:
    """Prints a row for each protocol, network and recipe."""
    rows = [
        (
            f"{row['protocol']}{' (leaky)' * row['leaky']}",
            f"{row['model']} ({row['recipe']})",
            str(row["n_folds"]),
            interval(row["pooled"]["accuracy"], percent=True),
            interval(row["pooled"]["roc_auc"]),
        )
        for row in summary
    ]
    show_table("Test part", ("protocol", "network", "folds", "accuracy", "ROC AUC"), rows)
