"""The whole path on drawn phantom slices: audit, split, train, evaluate, report, predict. No network, no data needed.

Phantoms are not patients: the figures show that the machinery works, not that it finds tumors.
"""

import argparse
import time
from dataclasses import replace
from pathlib import Path

from brainsift.cli.commands.study import show_summary
from brainsift.cli.console import progress_bar, say
from brainsift.core.progress import Progress
from brainsift.deployment.export import export_run
from brainsift.images.phantom import write_phantoms
from brainsift.inference.bundle import load_bundle
from brainsift.inference.predictor import Predictor, write_csv
from brainsift.reports.write import write_study_report
from brainsift.studies.study import StudyConfig, run_study

_STUDY = StudyConfig(models=("compact",), baseline_protocols=(), tune_models=(), quick=True)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the arguments."""
    parser.add_argument(
        "-o", "--output", type=Path, default=Path("brainsift-demo"), metavar="DIR", help="(default: brainsift-demo)"
    )
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of the drawn phantoms")


def run(arguments: argparse.Namespace) -> None:
    """Demonstrates."""
    started, folder = time.monotonic(), arguments.output
    say("Phantoms are drawn heads, not patients: this shows how brainsift works, not how well it finds tumors.\n")
    with progress_bar() as report:
        report(Progress("drawing phantoms", 0, 1))
        phantoms = write_phantoms(folder / "phantoms", count=400, seed=arguments.seed).parent
        results = run_study(
            [f"phantom={phantoms}"],
            folder,
            replace(_STUDY, seed=arguments.seed),
            title="Demo on drawn phantoms",
            command="brainsift demo",
            phantom=True,
            report=report,
        )
    write_study_report(results, folder, folder / "report.html")
    show_summary(results)
    _predict(folder, arguments.seed)
    say(f"\nReport: {folder / 'report.html'}   ({time.monotonic() - started:.0f} s)")
    say("\nThe same on your own images (one folder a class, such as DIR/yes and DIR/no):")
    say("  brainsift audit DIR -o audit")
    say("  brainsift study --data DIR -o study")


def _predict(folder: Path, seed: int) -> None:
    run_folder = folder / "runs" / "grouped-compact-standard-fold0"
    export_run(run_folder, folder / "bundle")
    unseen = write_phantoms(folder / "unseen", count=12, seed=seed + 10_007).parent
    paths = sorted(unseen.glob("*tumor/*.*"))
    answers = list(Predictor(load_bundle(folder / "bundle")).predict(paths))
    write_csv(answers, folder / "predictions.csv")
    right = sum(answer.decision == Path(answer.path).parent.name for answer in answers)
    say(f"\nPredicted with the exported network: {len(answers)} newly drawn phantoms, {right} as drawn.")
    for answer in answers[:3]:
        say(f"  {Path(answer.path).parent.name}/{Path(answer.path).name}: {answer.decision} ({answer.probability:.2f})")
