"""Score where a run's network looks against segmentation masks: its tumor map, or Grad-CAM where it draws none."""

import argparse
from pathlib import Path

from brainsift.cli.console import progress_bar, say, show_table
from brainsift.core.progress import Progress
from brainsift.core.text import interval

_HEADS = ("where", "images", "pointing game", "energy inside", "overlap")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the arguments."""
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="finished run folders")
    parser.add_argument("--cache", type=Path, metavar="DIR", help="preprocessed pixels (default: cache beside the run)")


def run(arguments: argparse.Namespace) -> None:
    """Explains; writes maps.csv (one row per image) and maps.json (means with intervals) into each run folder."""
    from brainsift.evaluation.localization import explain_run

    for folder in arguments.runs:
        with progress_bar() as report:
            report(Progress(f"maps of {folder}", 0, 1))
            found = explain_run(folder, cache=arguments.cache)
        rows = [
            (name, str(one.n), *(interval(score, percent=False) for score in (one.hit, one.energy, one.overlap)))
            for name, one in found.items()
        ]
        show_table(str(folder), _HEADS, rows)
    say("Test images only: masks that a network was trained on are left out.")
