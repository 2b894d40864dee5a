"""Print the model card of a bundle: what it is for, what it was trained on, how well it works, where it fails."""

import argparse
from pathlib import Path

from brainsift.inference.bundle import SHIPPED, load_bundle
from brainsift.inference.model_card import model_card


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the arguments."""
    parser.add_argument(
        "bundle", nargs="?", type=Path, default=SHIPPED, metavar="DIR", help="(default: the package's own)"
    )


def run(arguments: argparse.Namespace) -> None:
    """Prints."""
    print(model_card(load_bundle(arguments.bundle)), end="")
