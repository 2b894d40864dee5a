"""Is the network that ships better once it is trained further, with more collections?

Its own images keep the subsets that they had, so that its test set stays one: `split` gives them again. The new
collections have no part in the test set. A seventh of their groups is for validation, and so are all slices of `ms_jhu`
(its people are among the volumes that are kept for the end) and one of the two people of `heads_t1t2`. The external
images are scored once, at the end, and choose nothing.
What is done is kept in the folder; started again, the command goes on.

With --prune the trained lite0 is pruned to lite0-slim, and that is exported. With --average-with it is the mean of its
logits and of those of other bundles, with --int8 the network in INT8. With --teachers the network learns from the
predictions of finished networks as well as from labels and masks.
With --measured the test set teaches too; its figures are then those of a run that never saw it.

The last two commands tell how the network that ships came about, from the one that shipped in commit 9523828 (THIRD).
What the last one trains had been exported before, and was pruned from that bundle (see docs/model.md).

Usage:
    BRAINSIFT_DATA=../shared/data python bench/train_further.py SHIPPED/network.onnx -o FOLDER --model lite0-slim
    BRAINSIFT_DATA=../shared/data python bench/train_further.py THIRD/network.onnx -o FOURTH --int8 \\
        --average-with THIRD
    BRAINSIFT_DATA=../shared/data python bench/train_further.py THIRD/network.onnx -o FOLDER --int8 \\
        --teachers FOURTH/bundle --taught 0.5 --measured FOURTH/run-mean-int8 --prune
"""

import argparse
import os
import sys
from pathlib import Path

import numpy as np
import pandas as pd

from brainsift.core.progress import Progress
from brainsift.datasets.split import check, split
from brainsift.deployment.export import export_run
from brainsift.pipelines.release import scored
from brainsift.studies.study import audited, usable_external
from brainsift.training.recipes import make_config
from brainsift.training.train import train

BEFORE = ("br35h", "preet", "cheng", "lgg", "kinds44", "tumor_free")
NEW = "more"
_FROZEN = {"lite0": 6, "lite0-slim": 3}  # blocks
VALIDATION = {"ms_jhu_flair": None, "heads_t1t2_t1": "mass_Template4"}  # a source, and of whom; None for all


def main() -> None:
    """Trains."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("weights", type=Path, help="network.onnx to train further")
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder, kept")
    parser.add_argument("--model", choices=tuple(_FROZEN), default="lite0", help="lite0-slim is a part of lite0")
    parser.add_argument("--epochs", type=int, default=18, help="of 8,192 images")
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    parser.add_argument("--teachers", nargs="*", default=[], help="folders of bundles")
    parser.add_argument("--average-with", nargs="*", default=[], help="folders of bundles: export the mean with these")
    parser.add_argument("--taught", type=float, default=0.7, help="share of the loss that is against the teachers")
    parser.add_argument("--measured", type=Path, help="evaluated run on this split: its test set teaches too")
    parser.add_argument("--prune", action="store_true", help="score and export the trained lite0, pruned to lite0-slim")
    parser.add_argument("--int8", action="store_true", help="score and export the network in INT8")
    arguments = parser.parse_args()
    if arguments.prune and arguments.model != "lite0":
        parser.error("--prune needs --model lite0")
    data = Path(os.environ.get("BRAINSIFT_DATA", "../shared/data"))
    folder: Path = arguments.output
    (folder / "with-external").mkdir(parents=True, exist_ok=True)
    collections = [f"{name}={data / name}" for name in (*BEFORE, NEW)]
    study, _ = audited(collections, [], folder, report=_report)
    table = with_new(study, set(pd.read_csv(data / NEW / "manifest.csv")["source"]))
    if arguments.measured:
        table["part"] = table["part"].replace({"test": "train"})
    config = make_config(
        arguments.model,
        "release",
        epochs=arguments.epochs,
        learning_rate=arguments.learning_rate,
        frozen=_FROZEN[arguments.model],
        strip=0.35,
        findings=0.3,
        reframed=0.3,
        weights=str(arguments.weights),
        teachers=tuple(arguments.teachers),
        taught=arguments.taught,
        threads=1,
    )
    train(table, config, folder / "run", cache=folder / "cache", report=_report)
    # Groups that reach into the external images are found by an audit of its own, so that these do not move the split.
    both, _ = audited(collections, [f"external={data / 'external'}"], folder / "with-external", report=_report)
    unseen = usable_external(both[both["role"] == "external"], both[both["role"] == "study"])
    run, _ = scored(
        table,
        unseen,
        folder / "run",
        cache=folder / "cache",
        prune=arguments.prune,
        average_with=arguments.average_with,
        int8=arguments.int8,
        report=_report,
    )
    bundle = export_run(run, folder / "bundle", cache=folder / "cache", measured=arguments.measured)
    print(f"{bundle.folder}: temperature {bundle.temperature:.3f}, thresholds {dict(bundle.thresholds)}")


def with_new(study: pd.DataFrame, new: set[str]) -> pd.DataFrame:
    """Splits the collections of before as before, and the new ones into training and validation, by group."""
    is_new = study["source"].isin(new)
    before = split(study[~is_new].reset_index(drop=True), seed=0, test_patients=("cheng=40",))
    added = study[is_new & (study["status"] == "ok")].drop_duplicates("pixels_sha256").copy()
    part_of = before[before["part"] != ""].groupby("group")["part"].first()
    chance = np.random.default_rng(0)
    groups = sorted(study.loc[is_new & (study["status"] == "ok"), "group"].unique())
    validation = {group for group in groups if chance.random() < 1 / 7}
    # Of these coronal slices nobody knows whose they are, so they are one group: too large for validation.
    validation -= set(added.loc[added["patient"] == "coronal_unknown", "group"])
    added["part"] = ["validation" if group in validation else "train" for group in added["group"]]
    added["part"] = [part_of.get(group, part) for group, part in zip(added["group"], added["part"], strict=True)]
    for source, patient in VALIDATION.items():
        own = added["source"] == source
        added.loc[own, "part"] = "validation" if patient is None else "train"
        added.loc[own & (added["patient"] == patient), "part"] = "validation"
    table = pd.concat([before, added], ignore_index=True)
    check(table)
    return table


def _report(progress: Progress) -> None:
    if progress.done % 256 == 0:
        print(progress.stage, progress.done, progress.total, progress.detail, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
