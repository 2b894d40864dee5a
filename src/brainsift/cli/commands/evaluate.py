"""Score run folders, or a table of predictions (path, probability) against a manifest, with 95 % intervals."""

import argparse
from pathlib import Path

from brainsift.cli.console import say, show_scores, show_table
from brainsift.core.errors import UsageError
from brainsift.core.files import write_json
from brainsift.core.text import p_value, signed
from brainsift.datasets.csv_table import read_table
from brainsift.datasets.manifest import read_manifest
from brainsift.evaluation.evaluate import compare_runs, evaluate_predictions, evaluate_run, without_nan


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the arguments."""
    parser.add_argument("runs", nargs="*", type=Path, metavar="RUN", help="run folders; two are also compared")
    parser.add_argument("--predictions", type=Path, metavar="CSV", help="of `brainsift predict --csv`, or your own")
    parser.add_argument("--manifest", type=Path, metavar="CSV", help="the truth for --predictions")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the scores of --predictions here")


def run(arguments: argparse.Namespace) -> None:
    """Evaluates."""
    if bool(arguments.predictions) != bool(arguments.manifest) or not (arguments.runs or arguments.predictions):
        raise UsageError("arguments", "need run folders, or --predictions with --manifest", "Give one of the two.")
    for folder in arguments.runs:
        _score_run(folder)
    if len(arguments.runs) == 2:
        _compare(*arguments.runs)
    if arguments.predictions:
        _score_predictions(arguments)


def _score_run(folder: Path) -> None:
    results = evaluate_run(folder)
    parts = [(part, results[part]) for part in ("validation", "test") if results[part]]
    blocks = [*parts, *results["external"].items()]
    show_scores(f"{folder}{', LEAKY' * results['leaky']}", [(name, found["scores"]) for name, found in blocks])


def _compare(first: Path, second: Path) -> None:
    found = compare_runs(first, second)
    rows = [
        (
            row["metric"],
            row["test"],
            "{value} [{low}, {high}]".format(**{key: signed(bound, 4) for key, bound in row["difference"].items()}),
            p_value(row["p_value"]),
        )
        for row in found["comparisons"]
    ]
    both = f"on the {found['n']} test images, in {found['n_groups']} groups, that both have"
    show_table(f"{first} minus {second}, {both}", ("metric", "test", "difference", "p"), rows)


def _score_predictions(arguments: argparse.Namespace) -> None:
    table = read_table(arguments.predictions, ("path", "channel", "probability"), base=Path.cwd())
    results = evaluate_predictions(table, read_manifest(arguments.manifest))
    blocks = [("all", results), *results["sources"].items()]
    show_scores(str(arguments.predictions), [(name, found["scores"]) for name, found in blocks])
    if arguments.json:
        write_json(arguments.json, without_nan(results))
    say(f"{results['n']} images scored, {results['n_missing']} of the manifest had no prediction.")
