"""Divide audited images into train, validation and test. Groups and patients stay whole unless you ask for `random`."""

import argparse
from pathlib import Path

from brainsift.cli.console import say, show_table
from brainsift.cli.flags import add_flags, make
from brainsift.datasets.manifest import PARTS, read_manifest, write_manifest
from brainsift.datasets.split import SplitConfig, check, split, twin_counts


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the arguments."""
    parser.add_argument("manifest", type=Path, help="manifest.csv of `brainsift audit`")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="FILE", help="CSV to write")
    add_flags(parser, SplitConfig)


def run(arguments: argparse.Namespace) -> None:
    """Splits."""
    config = make(arguments, SplitConfig)
    table = split(read_manifest(arguments.manifest), config)
    check(table, config.protocol)
    write_manifest(table, arguments.output)
    rows = []
    for part in (*PARTS, ""):
        labels = table.loc[table["part"] == part, "label"]
        rows.append((part or "left out", str(len(labels)), str((labels == 1).sum()), str((labels == 0).sum())))
    show_table(f"Protocol {config.protocol}{', LEAKY' * config.leaky}", ("part", "images", "tumor", "no tumor"), rows)
    twins = twin_counts(table)
    say(f"Of {twins['test']:.0f} test images {twins.get('same_file', 0):.0f} have the same file in train.")
