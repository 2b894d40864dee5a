"""Score where a run's network looks against outlines of tumors: its own map, or Grad-CAM where it draws none."""

import argparse
from pathlib import Path

from brainsift.cli.console import interval, progress_bar, say, show_table
from brainsift.core.progress import Progress
from brainsift.evaluation.localization import SCORES, explain_run
from brainsift.training.runs import cache_of, read_split

_HEADS = ("where", "images", "pointing game", "energy inside", "overlap")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the arguments."""
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="finished run folders")
    parser.add_argument("--cache", type=Path, metavar="DIR", help="preprocessed pixels (default: cache beside the run)")


def run(arguments: argparse.Namespace) -> None:
    """Explains; writes maps.csv (a row an image) and maps.json (means with intervals) into each run folder."""
    for folder in arguments.runs:
        table = read_split(folder)
        with progress_bar() as report:
            report(Progress(f"maps of {folder}", 0, 1))
            found = explain_run(folder, table, cache=arguments.cache or cache_of(folder))
        rows = [(name, str(one["n"]), *(interval(one[score]) for score in SCORES)) for name, one in found.items()]
        show_table(str(folder), _HEADS, rows)
    say("Images of the test part only: outlines that a network was trained on are left out.")
