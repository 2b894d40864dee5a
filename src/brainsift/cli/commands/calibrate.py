"""Adapt temperature and thresholds of a model bundle to a hospital, with 30 to 200 labeled images, into a new bundle.

Images that the bundle refuses are left out. `confirm` never falls below that of the bundle. Volumes keep their result.

brainsift calibrate --data LOCAL -o site-bundle
brainsift predict --bundle site-bundle IMAGES...
"""

import argparse
from pathlib import Path

from brainsift.cli.console import say, show_table
from brainsift.cli.flags import DATA_HELP, add_map, add_output
from brainsift.core.text import difference, interval
from brainsift.inference.bundle import SHIPPED


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the arguments."""
    parser.add_argument("--data", nargs="+", required=True, metavar="DATA", help=f"{DATA_HELP} (path, label, patient)")
    parser.add_argument("--bundle", type=Path, default=SHIPPED, metavar="DIR", help="(default: the package's own)")
    add_output(parser, "folder of the new bundle")
    add_map(parser)
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of folds and bootstrap (default: 0)")


def run(arguments: argparse.Namespace) -> None:
    """Calibrates."""
    from brainsift.datasets.labelling import parse_rules
    from brainsift.deployment.site_calibration import calibrate

    report = calibrate(
        arguments.data,
        arguments.output,
        bundle=arguments.bundle,
        mapping=parse_rules(arguments.map, arguments.corrections),
        seed=arguments.seed,
    )
    for path, why in report.left_out:
        say(f"  left out: {path}: {why}")
    say(f"{report.n} images of {report.n_groups} patients or single images, {report.n_tumor} with a tumor.")
    rows = [
        (name, *(interval(one, percent=False) for one in (before, after)), difference(report.gains[name].difference))
        for name, (before, after) in report.scores.items()
    ]
    show_table("Cross-fitted on this site", ("metric", "before", "after", "difference"), rows)
    say(
        f"Temperature {report.temperature[0]:.2f} -> {report.temperature[1]:.2f}, "
        f"threshold {report.threshold[0]:.2f} -> {report.threshold[1]:.2f}"
    )
    if report.promises:
        say(f"`--max-error` can promise {', '.join(report.promises)}.")
    else:
        say("`--max-error` can promise nothing here: that takes more patients, and the patient of each image in a CSV.")
    loss = report.gains["brier_loss"]
    sure = "surely" if loss.difference.high < 0 else "not surely"
    say(f"The probabilities are {sure} better than before. Bundle: {arguments.output}")
