"""Train one network. Killed at any moment, it goes on when started again with the same -o.

On several GPUs: torchrun --nproc-per-node 4 -m brainsift train audit/manifest.csv -o run
"""

import argparse
from pathlib import Path

from brainsift.cli.console import add_output, progress_bar, say, show_scores
from brainsift.cli.flags import given
from brainsift.cli.training_flags import add_train_flags, read_parts
from brainsift.evaluation.evaluate import evaluate_run
from brainsift.training.devices import is_first_process
from brainsift.training.recipes import TrainConfig, make_config
from brainsift.training.train import train


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the arguments."""
    parser.add_argument("manifest", type=Path, help="manifest.csv of `audit`, or the CSV of `split`")
    add_output(parser, "the run folder")
    parser.add_argument("--cache", type=Path, metavar="DIR", help="preprocessed pixels (default: cache beside -o)")
    add_train_flags(parser)


def run(arguments: argparse.Namespace) -> None:
    """Trains and evaluates."""
    table, plan = read_parts(arguments)
    origin = {"name": arguments.output.resolve().name, **plan}
    settings = {"model": "compact", **given(arguments, TrainConfig)}
    cache = arguments.cache or arguments.output.parent / "cache"
    with progress_bar() as report:
        train(table, make_config(**settings), arguments.output, cache=cache, origin=origin, progress=report)
    if not is_first_process():
        return
    results = evaluate_run(arguments.output)
    parts = [(name, found.scores) for name, found in results.sets().items()]
    protocol = plan["protocol"] or f"of {arguments.manifest}"
    show_scores(f"{settings['model']}, protocol {protocol}{', LEAKY' * results.leaky}", parts)
    say(f"Run: {arguments.output}\nNext: brainsift export {arguments.output} -o bundle")
