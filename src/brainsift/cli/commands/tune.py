"""Search learning rate, dropout and other settings, on validation data only. An interrupted search goes on."""

import argparse
from pathlib import Path

from brainsift.cli.console import progress_bar, say, show_table
from brainsift.cli.flags import add_flags, add_map, add_output, given, make
from brainsift.datasets.protocols import SplitConfig
from brainsift.training.recipes import TrainConfig, TuneConfig, make_config


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the arguments."""
    parser.add_argument("manifest", type=Path, help="manifest.csv of `audit`, the CSV of `split`, or the ZIP of `pack`")
    add_output(parser, "folder for trials.sqlite, tuning.json and report.html; holds one search")
    parser.add_argument("--cache", type=Path, metavar="DIR", help="preprocessed pixels (default: cache in -o)")
    add_map(parser)
    add_flags(parser, TuneConfig)
    note = "The defaults shown are those of `compact`; every network and recipe has its own."
    add_flags(parser, TrainConfig, leave_out=("seed", "epochs", "log"), defaults=make_config("compact"), note=note)
    add_flags(parser, SplitConfig, leave_out=("seed",), note="For a manifest that is not split yet.")


def run(arguments: argparse.Namespace) -> None:
    """Searches."""
    from brainsift.datasets.labelling import parse_rules
    from brainsift.datasets.split import with_subsets
    from brainsift.reports.write import write_tuning_report
    from brainsift.training.pack import unpacked
    from brainsift.training.tune import tune

    mapping = parse_rules(arguments.map, arguments.corrections)
    base = make_config(**{"model": "compact", **given(arguments, TrainConfig)})
    folder = arguments.output
    cache = arguments.cache or folder / "cache"
    with progress_bar() as report:
        manifest = unpacked(arguments.manifest, cache, size=base.size, preprocessing=base.preprocessing, report=report)
        table, _ = with_subsets(manifest, mapping=mapping, **given(arguments, SplitConfig))
        search = tune(table, base, make(arguments, TuneConfig), folder, cache=cache, report=report)
    write_tuning_report(search, folder / "report.html")
    rows = [(name, f"{value:.4g}") for name, value in search.best.items()]
    show_table(f"Best of {len(search.trials)} trials of {search.model}", ("", "value"), rows)
    say(f"Report: {folder / 'report.html'}")
