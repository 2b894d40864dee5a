"""Tell tumor from no tumor in images and folders. Unreadable files are reported, never fatal (exit code 3 then)."""

import argparse
import sys
from pathlib import Path

from brainsift.bundle import load_bundle
from brainsift.commands._console import NOTICE, progress_bar, say
from brainsift.predict import Prediction, Predictor, find_images, write_csv, write_json_list

_UNREADABLE = 3


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the arguments."""
    parser.add_argument("paths", nargs="+", metavar="PATH", help="images and folders")
    parser.add_argument("--bundle", type=Path, required=True, metavar="DIR", help="of `brainsift export`")
    parser.add_argument("--threshold", default="balanced", metavar="NAME", help="of the bundle (default: balanced)")
    parser.add_argument("--csv", type=Path, metavar="FILE", help="write a table")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write JSON")
    parser.add_argument("--threads", type=int, default=0, metavar="N", help="(default: one a core)")


def run(arguments: argparse.Namespace) -> int:
    """Predicts."""
    predictor = Predictor(load_bundle(arguments.bundle), threshold=arguments.threshold, threads=arguments.threads)
    paths = list(find_images(arguments.paths))
    answers = []
    with progress_bar() as report:
        for answer in predictor.predict(paths):
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
    unreadable = sum(answer.status != "ok" for answer in answers)
    if arguments.csv or arguments.json:
        tumors = sum(answer.decision == "tumor" for answer in answers)
        free = len(answers) - tumors - unreadable
        say(f"{len(answers)} images: {tumors} tumor, {free} no tumor, {unreadable} unreadable")
    return _UNREADABLE if unreadable else 0


def _line(answer: Prediction) -> str:
    if answer.probability is None:
        return f"{answer.path}\t{answer.status}\t{answer.detail}"
    return f"{answer.path}\t{answer.decision}\t{answer.probability:.3f}"
