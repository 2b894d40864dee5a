"""Download public image collections from Kaggle. Complete ones are kept, interrupted downloads go on."""

import argparse
from pathlib import Path

from brainsift.cli.console import say


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the arguments."""
    parser.add_argument("names", nargs="+", metavar="NAME", help="br35h, preet or kinds44")
    parser.add_argument("-o", "--output", type=Path, default=Path("data"), metavar="DIR", help="(default: data)")


def run(arguments: argparse.Namespace) -> None:
    """Fetches."""
    from brainsift.datasets.download import fetch

    found = fetch(arguments.names, arguments.output)
    for one in found:
        say(f"{one.name}: {one.images} images in {one.path}{'' if one.downloaded else ' (were there already)'}")
    specs = " ".join(f"{one.name}={one.path}" for one in found)
    say(f"\nNext: brainsift study --data {specs} -o study")
