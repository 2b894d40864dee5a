"""Write the images of a split as one small file, for a machine with a GPU: `brainsift train PACK.zip` trains from it.

brainsift pack split.csv -o pack.zip            # here
brainsift train pack.zip -o run --model lite0   # there: no other file is needed
brainsift export run -o bundle                  # here, with the run folder brought back
"""

import argparse
from pathlib import Path

from brainsift.cli.console import progress_bar, say
from brainsift.cli.flags import add_map, add_output


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the arguments."""
    parser.add_argument("manifest", type=Path, help="manifest.csv of `audit`, or the CSV of `split`")
    add_output(parser, "the file, which ends in .zip")
    parser.add_argument("--size", type=int, default=128, help="side of the network's input, pixels (default: 128)")
    parser.add_argument(
        "--most-mb", type=float, default=60.0, help="size that the file should not exceed, in MB (default: 60)"
    )
    parser.add_argument("--cache", type=Path, metavar="DIR", help="preprocessed pixels (default: cache beside -o)")
    add_map(parser)


def run(arguments: argparse.Namespace) -> None:
    """Packs."""
    from brainsift.datasets.labelling import parse_rules
    from brainsift.datasets.split import with_subsets
    from brainsift.training.pack import pack

    table, _ = with_subsets(arguments.manifest, mapping=parse_rules(arguments.map, arguments.corrections))
    with progress_bar() as report:
        packed = pack(
            table,
            arguments.output,
            size=arguments.size,
            most_mb=arguments.most_mb,
            cache=arguments.cache,
            report=report,
        )
    pixels = "exact pixels" if packed.is_exact else f"WebP of quality {packed.quality}"
    size = arguments.output.stat().st_size / 1e6
    say(f"{packed.images} images and {packed.masks} masks of {packed.size} pixels a side: {pixels}, {size:.1f} MB")
    say(f"Next, on the other machine: brainsift train {arguments.output.name} -o RUN")
