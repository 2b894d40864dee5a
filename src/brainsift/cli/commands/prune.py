"""Turn a finished run of lite0 into lite0-slim, which predicts in less time, as a run of its own."""

import argparse
from pathlib import Path

from brainsift.cli.console import say
from brainsift.cli.flags import add_output


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the arguments."""
    parser.add_argument("run", type=Path, help="the run folder")
    add_output(parser, "folder of the pruned run")
    parser.add_argument("--cache", type=Path, metavar="DIR", help="preprocessed pixels (default: cache beside the run)")


def run(arguments: argparse.Namespace) -> None:
    """Makes the pruned run."""
    from brainsift.deployment.slimming import prune_run

    folder = prune_run(arguments.run, arguments.output, cache=arguments.cache)
    say(f"{(folder / 'weights.safetensors').stat().st_size / 2**20:.1f} MB in {folder}")
    say(f"Next: brainsift quantize {folder} -o RUN, or brainsift evaluate {folder}")
