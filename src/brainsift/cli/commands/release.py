r"""Train a network like the one that ships, from raw folders to a bundle: audit, split, train, evaluate, export.

    brainsift release --data br35h=data/br35h cheng=data/cheng lgg=data/lgg --test-patients cheng=40 \
        --external external=data/external -o release

Stopped at any moment, it goes on when started again with the same -o. On a CPU two processes of one thread are faster
than one process of two: `torchrun --nproc-per-node 2 -m brainsift release ... --threads 1`. The split keeps groups and
patients whole; the test set and the external images are scored once, at the end, and choose nothing.

With --fold K it trains on all images but those of fold K, and scores these; with --hold-out SOURCE on all but that
source. When all folds are there, their figures are those of all images (cross-fitting):

    for k in 0 1 2 3 4; do brainsift release --data ... --folds 5 --fold $k -o crossfit; done
"""

import argparse
from dataclasses import fields
from typing import TYPE_CHECKING

from brainsift.cli.console import progress_bar, say, show_scores
from brainsift.cli.flags import DATA_HELP, add_flags, add_map, add_output, given
from brainsift.core.errors import UsageError
from brainsift.datasets.protocols import SplitConfig
from brainsift.training.recipes import RELEASE_MODEL, TrainConfig, make_config

if TYPE_CHECKING:
    from brainsift.datasets.labelling import Ruling


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the arguments."""
    parser.add_argument("--data", nargs="+", required=True, metavar="DATA", help=DATA_HELP)
    parser.add_argument("--external", nargs="*", default=[], metavar="DATA", help="only scored, never trained on")
    add_output(parser, "folder of the release; at the end its folder `bundle` holds the model bundle")
    parser.add_argument(
        "--prune", action="store_true", help="score, calibrate and export the network with fewer channels, lite0-slim"
    )
    parser.add_argument("--int8", action="store_true", help="score, calibrate and export the network in INT8")
    parser.add_argument(
        "--refit",
        action="store_true",
        help="once the test set is scored, train a second network on it too, and export that",
    )
    add_map(parser)
    add_flags(parser, TrainConfig, leave_out=("model", "recipe"), defaults=make_config(RELEASE_MODEL, "release"))
    wanted = {"test_patients", "folds", "fold", "hold_out"}
    add_flags(parser, SplitConfig, leave_out={field.name for field in fields(SplitConfig)} - wanted)


def run(arguments: argparse.Namespace) -> None:
    """Makes a release, or one network of a cross-fitting."""
    from brainsift.datasets.labelling import parse_rules
    from brainsift.pipelines.release import release

    config = make_config(RELEASE_MODEL, "release", **given(arguments, TrainConfig))
    mapping = parse_rules(arguments.map, arguments.corrections)
    if {"folds", "fold", "hold_out"} & set(vars(arguments)):
        _cross_fit(arguments, config, mapping)
        return
    with progress_bar() as report:
        made = release(
            arguments.data,
            arguments.output,
            config,
            external=arguments.external,
            mapping=mapping,
            test_patients=given(arguments, SplitConfig).get("test_patients", ()),
            prune=arguments.prune,
            int8=arguments.int8,
            refit=arguments.refit,
            report=report,
        )
    if made is None:
        return
    bundle, results = made
    rows = results.sets() | (results.test.sources if results.test else {})
    show_scores("the network that ships", [(name, found.scores) for name, found in rows.items()])
    say(f"Bundle: {bundle.network.parent}, {bundle.network.stat().st_size / 2**20:.1f} MB")


def _cross_fit(arguments: argparse.Namespace, config: TrainConfig, mapping: "dict[str, Ruling]") -> None:
    from brainsift.pipelines.cross_fit import cross_fit

    plan = given(arguments, SplitConfig)
    for name in ("prune", "int8", "refit"):
        if getattr(arguments, name):
            raise UsageError(name, "has no meaning with --fold or --hold-out, which export no bundle", "Leave it out.")
    if "test_patients" in plan:
        rule = "has no meaning with --fold or --hold-out, where every image is scored"
        raise UsageError("test_patients", rule, "Leave it out.")
    with progress_bar() as report:
        found = cross_fit(
            arguments.data,
            arguments.output,
            config,
            external=arguments.external,
            mapping=mapping,
            report=report,
            **plan,
        )
    for name, pooled in (found or {}).items():
        rows = {"all": pooled.scores} | pooled.scores.sources
        show_scores(name.replace("_", " "), [(source, scored.scores) for source, scored in rows.items()])
        say(f"Temperature {pooled.temperature:.2f}, balanced {pooled.thresholds['balanced']:.3f}")
    if found is not None and "out_of_fold" not in found:
        say(f"Not all folds are there yet; train the others into {arguments.output} too.")
