"""Tell tumor from no tumor in images and folders. Unreadable files are reported, never fatal (exit code 3 then)."""

import argparse
import sys
from collections import Counter
from pathlib import Path

from brainsift.bundle import SHIPPED, load_bundle
from brainsift.commands._console import NOTICE, progress_bar, say
from brainsift.overlay import write_overlay
from brainsift.predict import Prediction, Predictor, find_images, write_csv, write_json_list

_UNREADABLE = 3


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the arguments."""
    parser.add_argument("paths", nargs="+", metavar="PATH", help="images and folders")
    parser.add_argument(
        "--bundle", type=Path, default=SHIPPED, metavar="DIR", help="of `brainsift export` (default: the package's own)"
    )
    threshold = parser.add_mutually_exclusive_group()
    threshold.add_argument(
        "--threshold", default="balanced", metavar="NAME", help="balanced (default), screening, confirm or even"
    )
    threshold.add_argument("--sensitivity", type=float, metavar="X", help="the threshold that reaches it, 0.5 to 0.995")
    parser.add_argument(
        "--max-error", type=float, metavar="X", help="refer what is not sure enough for this share of wrong answers"
    )
    parser.add_argument("--csv", type=Path, metavar="FILE", help="write a table")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write JSON")
    parser.add_argument("--heatmaps", type=Path, metavar="DIR", help="write each image with the tumor map over it")
    parser.add_argument("--threads", type=int, default=0, metavar="N", help="(default: one a core)")


def run(arguments: argparse.Namespace) -> int:
    """Predicts."""
    predictor = Predictor(
        load_bundle(arguments.bundle),
        threshold=arguments.threshold if arguments.sensitivity is None else arguments.sensitivity,
        max_error=arguments.max_error,
        threads=arguments.threads,
    )
    paths = list(find_images(arguments.paths))
    answers: list[Prediction] = []
    with progress_bar() as report:
        for answer in predictor.predict(paths):
            if arguments.heatmaps and answer.tumor_map is not None:
                write_overlay(answer, arguments.heatmaps, size=predictor.bundle.size, number=len(answers))
            answers.append(answer)
            report(len(answers), len(paths), "scoring")
    if arguments.csv:
        write_csv(answers, arguments.csv)
    if arguments.json:
        write_json_list(answers, arguments.json)
    if not (arguments.csv or arguments.json):
        for answer in answers:
            print(_line(answer))
    print(NOTICE, file=sys.stderr)
    statuses, decisions = Counter(one.status for one in answers), Counter(one.decision for one in answers)
    if arguments.csv or arguments.json:
        say(
            f"{len(answers)} images: {decisions['tumor']} tumor, {decisions['no_tumor']} no tumor, "
            f"{decisions['refer']} to refer ({statuses['not_brain_mri']} of them no brain MRI), "
            f"{statuses['unreadable']} unreadable"
        )
    return _UNREADABLE if statuses["unreadable"] else 0


def _line(answer: Prediction) -> str:
    if answer.probability is None:
        return f"{answer.path}\t{answer.status}\t{answer.detail}"
    words = f"{answer.path}\t{answer.decision}\t{answer.probability:.3f}"
    return f"{words}\t{answer.detail}" if answer.detail else words
