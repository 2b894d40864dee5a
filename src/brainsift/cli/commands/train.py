"""Train one network. Stopped at any moment, it goes on when started again with the same -o.

On several GPUs: torchrun --nproc-per-node 4 -m brainsift train audit/manifest.csv -o run
"""

import argparse
from pathlib import Path

from brainsift.cli.console import progress_bar, say, show_scores
from brainsift.cli.flags import add_flags, add_map, add_output, given
from brainsift.datasets.protocols import SplitConfig
from brainsift.training.recipes import TrainConfig, make_config


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the arguments."""
    parser.add_argument("manifest", type=Path, help="manifest.csv of `audit`, the CSV of `split`, or the ZIP of `pack`")
    add_output(parser, "the run folder")
    parser.add_argument("--cache", type=Path, metavar="DIR", help="preprocessed pixels (default: cache beside -o)")
    add_map(parser)
    note = "The defaults shown are those of `compact`; every network and recipe has its own."
    add_flags(parser, TrainConfig, defaults=make_config("compact"), note=note)
    add_flags(parser, SplitConfig, leave_out=("seed",), note="For a manifest that is not split yet.")


def run(arguments: argparse.Namespace) -> None:
    """Trains and evaluates."""
    from brainsift.datasets.labelling import parse_rules
    from brainsift.datasets.manifest import several_pictures_note
    from brainsift.datasets.split import with_subsets
    from brainsift.evaluation.evaluate import evaluate_run
    from brainsift.training.devices import is_first_process
    from brainsift.training.pack import unpacked
    from brainsift.training.train import train

    mapping = parse_rules(arguments.map, arguments.corrections)
    config = make_config(**{"model": "compact", **given(arguments, TrainConfig)})
    with progress_bar() as report:
        manifest = unpacked(
            arguments.manifest,
            arguments.cache or arguments.output.parent / "cache",
            size=config.size,
            preprocessing=config.preprocessing,
            report=report,
        )
        table, plan = with_subsets(manifest, mapping=mapping, **given(arguments, SplitConfig))
        if note := several_pictures_note(table):
            say(note)
        origin = {"name": arguments.output.resolve().name, **plan}
        train(table, config, arguments.output, cache=arguments.cache, origin=origin, report=report)
    if not is_first_process():
        return
    results = evaluate_run(arguments.output)
    parts = [(name, found.scores) for name, found in results.sets().items()]
    protocol = plan["protocol"] or f"of {arguments.manifest}"
    show_scores(f"{config.model}, protocol {protocol}{', LEAKY' * results.leaky}", parts)
    say(f"Run: {arguments.output}\nNext: brainsift export {arguments.output} -o bundle")
