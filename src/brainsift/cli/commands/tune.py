"""Search learning rate, dropout and other settings, on validation data only. Goes on where it stopped."""

import argparse
from pathlib import Path

from brainsift.cli.console import add_output, progress_bar, say, show_table
from brainsift.cli.flags import add_flags, given, make
from brainsift.cli.training_flags import add_train_flags, read_parts
from brainsift.reports.write import write_tuning_report
from brainsift.training.recipes import TrainConfig, make_config
from brainsift.training.searches import Search
from brainsift.training.tune import TuneConfig, tune


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the arguments."""
    parser.add_argument("manifest", type=Path, help="manifest.csv of `audit`, or the CSV of `split`")
    add_output(parser, "folder for trials.sqlite, tuning.json and report.html; holds one search")
    parser.add_argument("--cache", type=Path, metavar="DIR", help="preprocessed pixels (default: cache in -o)")
    add_flags(parser, TuneConfig)
    add_train_flags(parser, leave_out=("seed", "epochs", "log"))


def run(arguments: argparse.Namespace) -> None:
    """Searches."""
    table, _ = read_parts(arguments)
    settings = {"model": "compact", **given(arguments, TrainConfig)}
    cache = arguments.cache or arguments.output / "cache"
    with progress_bar() as report:
        found = tune(
            table, make_config(**settings), make(arguments, TuneConfig), arguments.output, cache=cache, progress=report
        )
    search = Search.from_json(found, "tuning.json")
    write_tuning_report(search, arguments.output / "report.html")
    rows = [(name, f"{value:.4g}") for name, value in search.best.items()]
    show_table(f"Best of {len(search.trials)} trials of {search.model}", ("", "value"), rows)
    say(f"Report: {arguments.output / 'report.html'}")
