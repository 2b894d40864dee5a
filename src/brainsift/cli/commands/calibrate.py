"""Adapt temperature and thresholds of a bundle to a site, from 30 to 200 labelled images, into a new bundle.

Images that the bundle refuses are left out. `confirm`, which decides volumes, never falls below the bundle's own.

brainsift calibrate --data LOCAL -o site-bundle
brainsift predict --bundle site-bundle IMAGES...
"""

import argparse
from pathlib import Path

from brainsift.cli.console import add_output, interval, say, show_table
from brainsift.deployment.site_calibration import calibrate
from brainsift.inference.bundle import SHIPPED


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the arguments."""
    parser.add_argument(
        "--data", nargs="+", required=True, metavar="DATA", help="NAME=PATH, a folder, or a CSV (path, label, patient)"
    )
    parser.add_argument("--bundle", type=Path, default=SHIPPED, metavar="DIR", help="(default: the package's own)")
    add_output(parser, "folder of the new bundle")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of folds and bootstrap")


def run(arguments: argparse.Namespace) -> None:
    """Calibrates."""
    report = calibrate(arguments.data, arguments.output, bundle=arguments.bundle, seed=arguments.seed)
    for path, why in report.left_out:
        say(f"  left out: {path}: {why}")
    say(f"{report.n} images of {report.n_groups} patients or single images, {report.n_tumor} with a tumor.")
    rows = [
        (name, interval(before), interval(after), interval(report.gains[name]))
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
    sure = "surely" if loss["high"] < 0 else "not surely"
    say(f"The probabilities are {sure} better than before. Bundle: {arguments.output}")
