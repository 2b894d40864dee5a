"""Turn a finished run into a model bundle (ONNX network, preprocessing, temperature, thresholds) for `predict`."""

import argparse
from pathlib import Path

from brainsift.cli.console import say
from brainsift.cli.flags import add_output


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the arguments."""
    parser.add_argument("run", type=Path, help="the run folder")
    add_output(parser, "folder of the bundle")
    parser.add_argument("--cache", type=Path, metavar="DIR", help="preprocessed pixels (default: cache beside the run)")
    parser.add_argument(
        "--kinds",
        action="store_true",
        help="tell the kind of tumor, too; read its figures in the model card before use",
    )
    parser.add_argument(
        "--measured",
        type=Path,
        metavar="RUN",
        help="run whose figures of the test set the card shows, where this network was trained on that test set",
    )


def run(arguments: argparse.Namespace) -> None:
    """Exports."""
    from brainsift.deployment.export import export_run

    bundle = export_run(
        arguments.run, arguments.output, cache=arguments.cache, kinds=arguments.kinds, measured=arguments.measured
    )
    say(f"{bundle.name}, {bundle.network.stat().st_size / 2**20:.1f} MB, in {arguments.output}")
    say(f"Next: brainsift predict --bundle {arguments.output} IMAGES...")
