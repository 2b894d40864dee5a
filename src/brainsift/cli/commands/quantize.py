"""Turn a finished run into the same network in INT8, as a run of its own: evaluate and export it like any other."""

import argparse
from pathlib import Path

from brainsift.cli.console import say
from brainsift.cli.flags import add_output


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the arguments."""
    parser.add_argument("run", type=Path, help="the run folder")
    add_output(parser, "folder of the run in INT8")
    parser.add_argument("--cache", type=Path, metavar="DIR", help="preprocessed pixels (default: cache beside the run)")


def run(arguments: argparse.Namespace) -> None:
    """Makes the run in INT8."""
    from brainsift.deployment.quantization import quantize_run

    folder = quantize_run(arguments.run, arguments.output, cache=arguments.cache)
    say(f"{(folder / 'network.onnx').stat().st_size / 2**20:.1f} MB in {folder}")
    say(f"Next: brainsift evaluate {folder}, then brainsift export {folder} -o BUNDLE")
