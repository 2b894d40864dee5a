r"""Train the network that ships, from raw folders to a bundle: audit, split, train, evaluate, export.

    brainsift release --data br35h=data/br35h cheng=data/cheng lgg=data/lgg --test-patients cheng=40 \
        --external external=data/external -o release

Interrupted at any moment, it goes on when started again with the same -o. On a CPU two processes of one thread beat one
of two: `torchrun --nproc-per-node 2 -m brainsift release ... --threads 1`. The split keeps groups and patients whole;
the test part and the external images are scored once, at the end, and choose nothing.
"""

import argparse
from dataclasses import fields

import pandas as pd
from filelock import FileLock

from brainsift.cli.console import progress_bar, say, show_scores
from brainsift.cli.flags import add_flags, add_output, given, make
from brainsift.core.progress import Progress
from brainsift.datasets.split import SplitConfig, check, split
from brainsift.deployment.export import export_run
from brainsift.evaluation.evaluate import evaluate_run
from brainsift.evaluation.localization import explain_run
from brainsift.studies.study import audited, usable_external
from brainsift.training.devices import is_first_process
from brainsift.training.recipes import TrainConfig, make_config
from brainsift.training.runs import predict_external
from brainsift.training.train import train

_MODEL, _RECIPE = "lite0", "release"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the arguments."""
    parser.add_argument("--data", nargs="+", required=True, metavar="DATA", help="NAME=PATH, a folder, or a CSV")
    parser.add_argument("--external", nargs="*", default=[], metavar="DATA", help="only scored, never trained on")
    add_output(parser, "folder of the release; the bundle stands in its folder `bundle` at the end")
    add_flags(parser, TrainConfig, leave_out=("model", "recipe"), defaults=make_config(_MODEL, _RECIPE))
    others = {field.name for field in fields(SplitConfig)} - {"test_patients"}
    add_flags(parser, SplitConfig, leave_out=others)


def run(arguments: argparse.Namespace) -> None:
    """Makes a release."""
    folder, config = arguments.output, make_config(_MODEL, _RECIPE, **given(arguments, TrainConfig))
    with progress_bar() as report:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / ".lock"):  # of several processes the first audits, the others find it done
            manifest, _ = audited(arguments.data, arguments.external, folder, report=report)
        parts = make(arguments, SplitConfig)  # with the seed of the training
        table = split(manifest[manifest["role"] == "study"].reset_index(drop=True), parts)
        check(table)
        plan = {"name": folder.resolve().name, "protocol": "grouped", "fold": 0}
        train(table, config, folder / "run", cache=folder / "cache", origin=plan, report=report)
        if not is_first_process():
            return
        unseen = usable_external(manifest[manifest["role"] == "external"], table)
        if len(unseen):
            predict_external(unseen, folder / "run", cache=folder / "cache")
        report(Progress("scoring", 0, 1))
        seen = pd.concat([table[table["part"] == "test"], unseen.assign(part="external")], ignore_index=True)
        if config.preprocessing == "standard" and (seen["mask"] != "").any():
            explain_run(folder / "run", seen, cache=folder / "cache")
    results = evaluate_run(folder / "run")
    inside = results.sets() | (results.test.sources if results.test else {})
    blocks = {**inside, **results.external}
    show_scores("the network that ships", [(name, found.scores) for name, found in blocks.items()])
    bundle = export_run(folder / "run", folder / "bundle")
    say(f"Bundle: {folder / 'bundle'}, {bundle.network.stat().st_size / 2**20:.1f} MB")
