"""The baseline study, and the same without leakage, in one command: from raw folders to a report.

    brainsift study --data br35h=data/br35h preet=data/preet --external cheng=data/cheng -o study

Interrupted at any moment, it goes on when started again with the same -o. All networks are compared at the threshold
0.5 of the calibrated probability.
"""

import argparse
import shlex
import sys
from typing import TYPE_CHECKING

from brainsift.cli.console import progress_bar, say, show_table
from brainsift.cli.flags import DATA_HELP, add_flags, add_map, add_output, make
from brainsift.core.text import interval
from brainsift.studies.study_settings import StudyConfig

if TYPE_CHECKING:
    from brainsift.studies.study_results import StudyResults


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the arguments."""
    parser.add_argument("--data", nargs="+", required=True, metavar="DATA", help=DATA_HELP)
    parser.add_argument("--external", nargs="*", default=[], metavar="DATA", help="only predicted, never trained on")
    parser.add_argument("--title", default="Brain tumor study", help="of the report")
    add_output(parser, "folder of the study: gets report.html, its charts in figures/, tables.md and results.json")
    add_map(parser)
    add_flags(parser, StudyConfig)


def run(arguments: argparse.Namespace) -> None:
    """Does the study."""
    from brainsift.datasets.labelling import parse_rules
    from brainsift.reports.write import write_study_files
    from brainsift.studies.study import run_study

    with progress_bar() as report:
        results = run_study(
            arguments.data,
            arguments.output,
            make(arguments, StudyConfig),
            external=arguments.external,
            mapping=parse_rules(arguments.map, arguments.corrections),
            title=arguments.title,
            command=shlex.join(["brainsift", *sys.argv[1:]]),
            report=report,
        )
    write_study_files(results, arguments.output)
    show_summary(results)
    say(f"Report: {arguments.output / 'report.html'}")


def show_summary(results: "StudyResults") -> None:
    """Prints one row per protocol, network and recipe."""
    rows = [
        (
            f"{row.protocol}{' (leaky)' * row.leaky}",
            row.name,
            str(row.n_folds),
            interval(row.pooled["accuracy"]),
            interval(row.pooled["roc_auc"], percent=False),
        )
        for row in results.summary
    ]
    show_table("Test set", ("protocol", "network", "folds", "accuracy", "ROC AUC"), rows)
