"""Does `brainsift review` find wrong labels, and what does it find in the public collections?

The labels of a share of the groups are flipped, copies included, and a network is trained on each fold with these
labels. The flipped ones should be doubtful, others not. With --share 0 nothing is flipped: the doubtful labels are
those of the collections, and the page shows them.
What is done is kept in the folder; started again, the command goes on.

Usage:
    BRAINSIFT_DATA=../shared/data python bench/review.py -o FOLDER --share 0.05
    BRAINSIFT_DATA=../shared/data python bench/review.py -o FOLDER --share 0
"""

import argparse
import os
import sys
from pathlib import Path

import numpy as np
import pandas as pd

from brainsift.auditing.audit import audit
from brainsift.auditing.audit_settings import AuditConfig
from brainsift.core.progress import Progress
from brainsift.datasets.manifest import read_manifest
from brainsift.datasets.protocols import SplitConfig
from brainsift.datasets.split import split
from brainsift.evaluation.doubtful_labels import DoubtfulLabels, doubtful_labels
from brainsift.reports.write import write_review
from brainsift.training.recipes import make_config
from brainsift.training.train import train

FOLDS = 5


def main() -> None:
    """Flips, trains, and looks for what was flipped."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder, kept")
    parser.add_argument("--share", type=float, default=0.05, help="of the groups whose labels are flipped")
    parser.add_argument("--recipe", default="standard", help="of the network `compact`")
    parser.add_argument("--sources", nargs="+", default=["br35h", "preet"])
    arguments = parser.parse_args()
    data, folder = Path(os.environ.get("BRAINSIFT_DATA", "../shared/data")), arguments.output
    if not (folder / "manifest.csv").is_file():
        audit([f"{name}={data / name}" for name in arguments.sources], AuditConfig(probes=False), output=folder)
    manifest = read_manifest(folder / "manifest.csv")
    flipped = flipped_groups(manifest, arguments.share)
    turned = manifest["group"].isin(flipped)
    manifest.loc[turned, "label"] = 1 - manifest.loc[turned, "label"]
    place = folder / f"{arguments.recipe}-{arguments.share}"
    runs = []
    for fold in range(FOLDS):
        table = split(manifest, SplitConfig(folds=FOLDS, fold=fold))
        config = make_config("compact", arguments.recipe, threads=1)
        runs.append(train(table, config, place / f"fold-{fold}", cache=folder / "cache", report=_report))
    found = doubtful_labels(runs)
    write_review(found, place / "review")
    report(found, flipped)


def flipped_groups(manifest: pd.DataFrame, share: float) -> set[str]:
    """Draws groups whose images carry one label; one with both is doubtful as it is."""
    of_group = manifest[manifest["status"] == "ok"].groupby("group")["label"].nunique()
    names = of_group.index[of_group == 1].to_numpy()
    drawn = np.random.default_rng(0).choice(names, round(share * len(names)), replace=False)
    return set(drawn.tolist())


def report(found: DoubtfulLabels, flipped: set[str]) -> None:
    """Prints how many of the flipped groups were found, and what else was."""
    doubtful = found.table.drop_duplicates("group")
    hits = doubtful["group"].isin(flipped)
    print(f"{found.n} images in {found.n_groups} groups; certainty {found.confidence}")
    print(f"flipped: {len(flipped)} groups; found: {hits.sum()} ({hits.sum() / max(len(flipped), 1):.1%})")
    print(f"other doubtful groups: {(~hits).sum()}, {(doubtful['conflict'] & ~hits).sum()} of them hold both labels")
    first = doubtful.head(len(flipped))["group"].isin(flipped)
    print(f"of the first {len(first)} groups listed, flipped: {first.sum()}")


def _report(progress: Progress) -> None:
    if progress.done % 500 == 0:
        print(progress.stage, progress.done, progress.total, progress.detail, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
