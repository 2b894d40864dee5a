"""Divide audited images into training, validation and test set.

Near-duplicates and the images of one patient stay in one subset, unless you choose the protocol `random`.
"""

import argparse
from pathlib import Path

from brainsift.cli.console import say, show_table
from brainsift.cli.flags import add_flags, add_map, make
from brainsift.core.files import check_format, check_writable
from brainsift.datasets.protocols import SplitConfig


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the arguments."""
    parser.add_argument("manifest", type=Path, help="manifest.csv of `brainsift audit`")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="FILE", help="CSV file to write")
    add_map(parser)
    add_flags(parser, SplitConfig)


def run(arguments: argparse.Namespace) -> None:
    """Splits."""
    from brainsift.datasets.labelling import parse_rules
    from brainsift.datasets.manifest import PARTS, read_manifest, several_pictures_note, write_manifest
    from brainsift.datasets.split import split, twin_counts

    config = make(arguments, SplitConfig)
    check_format(arguments.output, ".csv")
    check_writable(arguments.output)
    manifest = read_manifest(arguments.manifest, parse_rules(arguments.map, arguments.corrections))
    if "part" in manifest:
        say(f"{arguments.manifest} is split already; its subsets are made anew.")
    table = split(manifest, config)
    write_manifest(table, arguments.output)
    rows = []
    for part in (*PARTS, ""):
        labels = table.loc[table["part"] == part, "label"]
        rows.append((part or "left out", str(len(labels)), str((labels == 1).sum()), str((labels == 0).sum())))
    show_table(f"Protocol {config.protocol}{', LEAKY' * config.leaky}", ("subset", "images", "tumor", "no tumor"), rows)
    twins = twin_counts(table)
    copied = f"{twins.get('same_file', 0):.0f} of {twins['test']:.0f}"
    say(f"{copied} test images are also in the training set, as a copy of the same file.")
    if note := several_pictures_note(table):
        say(note)
