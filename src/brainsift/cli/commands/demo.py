"""All steps on drawn phantom slices: audit, split, train, evaluate, report, predict. No network, no data needed.

Phantoms are not patients: the figures show that the steps work, not that the network finds tumors.
"""

import argparse
import time
from pathlib import Path

from brainsift.cli.console import progress_bar, say


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the arguments."""
    parser.add_argument(
        "-o", "--output", type=Path, default=Path("brainsift-demo"), metavar="DIR", help="(default: brainsift-demo)"
    )
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of the drawn phantoms (default: 0)")


def run(arguments: argparse.Namespace) -> None:
    """Demonstrates."""
    from brainsift.cli.commands.study import show_summary
    from brainsift.pipelines.demo import run_demo

    started = time.monotonic()
    say("Phantoms are drawn heads, not patients: this shows how brainsift works, not how well it finds tumors.\n")
    with progress_bar() as report:
        demo = run_demo(arguments.output, seed=arguments.seed, report=report)
    show_summary(demo.study)
    say(
        f"\nPredicted with the exported network: {len(demo.predictions)} newly drawn phantoms, {demo.n_right} decided "
        "as they were drawn."
    )
    for one in demo.predictions[:3]:
        say(f"  {Path(one.path).parent.name}/{Path(one.path).name}: {one.decision} ({one.probability:.2f})")
    say(f"\nReport: {demo.report}   ({time.monotonic() - started:.0f} s)")
    say("\nThe same on your own images (one folder per class, such as DIR/yes and DIR/no):")
    say("  brainsift audit DIR -o audit")
    say("  brainsift study --data DIR -o study")
