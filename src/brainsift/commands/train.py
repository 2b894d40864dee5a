"""Train one network. Killed at any moment, it goes on when started again with the same -o.

On several GPUs: torchrun --nproc-per-node 4 -m brainsift train audit/manifest.csv -o run
"""

import argparse
from pathlib import Path

from brainsift.commands._console import add_output, progress_bar, say, show_scores
from brainsift.devices import is_first_process
from brainsift.evaluate import evaluate_run
from brainsift.flags import add_flags, given, make
from brainsift.manifest import read_manifest
from brainsift.recipes import TrainConfig, make_config
from brainsift.split import SplitConfig, check, split
from brainsift.train import train


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the arguments."""
    parser.add_argument("manifest", type=Path, help="manifest.csv of `audit`, or the CSV of `split`")
    add_output(parser, "the run folder")
    parser.add_argument("--cache", type=Path, metavar="DIR", help="preprocessed pixels (default: cache beside -o)")
    add_flags(parser, TrainConfig)
    add_flags(parser, SplitConfig, leave_out=("seed",))


def run(arguments: argparse.Namespace) -> None:
    """Trains and evaluates."""
    table, plan = read_manifest(arguments.manifest), make(arguments, SplitConfig)
    origin = {"name": arguments.output.name, "protocol": plan.protocol, "fold": plan.fold}
    if "part" not in table:
        table = split(table, plan)
        check(table, plan.protocol)
    settings = {"model": "compact", **given(arguments, TrainConfig)}
    cache = arguments.cache or arguments.output.parent / "cache"
    with progress_bar() as report:
        train(table, make_config(**settings), arguments.output, cache=cache, origin=origin, progress=report)
    if not is_first_process():
        return
    results = evaluate_run(arguments.output)
    parts = [(part, results[part]["scores"]) for part in ("validation", "test") if results[part]]
    show_scores(f"{settings['model']}, protocol {plan.protocol}{', LEAKY' * plan.leaky}", parts)
    say(f"Run: {arguments.output}\nNext: brainsift export {arguments.output} -o bundle")
