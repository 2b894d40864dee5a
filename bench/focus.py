"""How often is a slice that is called a tumor right, with and without a place on the tumor map that passes 0.5?

On the validation set of the release, whose groups the training did not see; the page marks results without a focus.

Usage:
    brainsift audit ... -o audit && brainsift split audit/manifest.csv --test-patients cheng=40 -o split.csv
    python bench/focus.py split.csv [--bundle DIR]
"""

import argparse
from pathlib import Path

import numpy as np

from brainsift.core.text import markdown_table
from brainsift.datasets.manifest import read_manifest
from brainsift.images.decode import decode
from brainsift.inference.bundle import SHIPPED, load_bundle
from brainsift.inference.predictor import Predictor


def main() -> None:
    """Measures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("split", type=Path, help="split.csv of the release, or made as it was")
    parser.add_argument("--bundle", type=Path, default=SHIPPED)
    arguments = parser.parse_args()
    predictor = Predictor(load_bundle(arguments.bundle), threads=1)
    table = read_manifest(arguments.split)
    table = table[(table["part"] == "validation") & (table["status"] == "ok") & table["label"].notna()]
    calls: dict[str, list[tuple[bool, bool]]] = {}  # by source: whether there is a focus, whether it is a tumor
    for row in table.itertuples():
        found = predictor.score(decode(row.path).grey(row.channel))
        if found.decision == "tumor":
            calls.setdefault(row.source, []).append((bool(found.has_focus), row.label == 1))
    rows = [(source, *_right(calls[source])) for source in sorted(calls)]
    rows.append(("all", *_right([one for found in calls.values() for one in found])))
    print(f"{len(table)} slices of the validation set, threshold {predictor.threshold:.3f}\n")
    print(markdown_table(("called a tumor", "right, with a focus", "right, without a focus"), rows))


def _right(calls: list[tuple[bool, bool]]) -> tuple[str, str]:
    focus, tumor = np.array(calls).T
    with_focus, without = (tumor[focus == has] for has in (True, False))
    return f"{with_focus.sum()} of {len(with_focus)}", f"{without.sum()} of {len(without)}"


if __name__ == "__main__":
    main()
