"""How often is the kind of tumor right, on a collection that the model has seen and on one that was left out?

The model is the one that `brainsift export --kinds` fits to the features of a network. The network itself was trained
on all of these collections, to tell tumor from no tumor; it was not told their kinds.

Usage:
    python bench/kinds.py RELEASE/run/split.csv --cache RELEASE/cache [--bundle DIR] [--test]
"""

import argparse
from math import isnan
from pathlib import Path

from brainsift.core.text import shown
from brainsift.datasets.manifest import read_manifest
from brainsift.deployment.kind_model import make_kinds, read_known_kinds, score_kinds
from brainsift.inference.bundle import SHIPPED, load_bundle
from brainsift.inference.model_card import kinds_table


def main() -> None:
    """Fits with and without each collection, and prints a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("split", type=Path, help="manifest with the column `part`")
    parser.add_argument("--cache", type=Path, required=True, help="of preprocessed pixels")
    parser.add_argument("--bundle", type=Path, default=SHIPPED, help="default: the one that ships")
    parser.add_argument("--test", action="store_true", help="also the test set, which chooses nothing")
    arguments = parser.parse_args()
    known = read_known_kinds(load_bundle(arguments.bundle), read_manifest(arguments.split), arguments.cache)
    kinds, figures = make_kinds(known)
    named = "no kind is sure enough to be named" if isnan(kinds.limit) else f"named from {kinds.limit:.2f} on"
    print(f"{len(known.rows)} tumors of known kind; {named};")
    print(f"of those named on a collection that was left out, {shown(kinds.elsewhere)} were right.\n")
    print(kinds_table(figures))
    if arguments.test:
        tested = score_kinds(kinds, known.where(known.rows["part"] == "test"))
        print(f"\nThe test set instead of the validation set:\n\n{kinds_table(tuple(tested))}")


if __name__ == "__main__":
    main()
