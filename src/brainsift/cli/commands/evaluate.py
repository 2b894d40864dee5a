"""Score runs, or a table of predictions against a manifest, with 95 % intervals.

An image counts as "tumor" from the same threshold on as in `predict`, unless you ask for another: `balanced` of the
run's validation set; for predictions, the one that the table was decided at. The threshold is printed, and written to
results.json. `study` decides at 0.5 (`--threshold even`), so that networks are compared alike.

brainsift evaluate RUN
brainsift evaluate RUN --threshold even
brainsift evaluate --predictions predictions.csv --manifest manifest.csv
"""

import argparse
from pathlib import Path

from brainsift.cli.console import say, show_scores, show_table
from brainsift.core.errors import UsageError
from brainsift.core.files import check_format
from brainsift.core.text import difference, p_value
from brainsift.inference.bundle import SHIPPED, load_bundle


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the arguments."""
    parser.add_argument("runs", nargs="*", type=Path, metavar="RUN", help="run folders; two are also compared")
    parser.add_argument("--predictions", type=Path, metavar="CSV", help="of `brainsift predict --csv`, or your own")
    parser.add_argument("--manifest", type=Path, metavar="CSV", help="the truth for --predictions: path and label")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the scores of --predictions here")
    point = parser.add_mutually_exclusive_group()
    point.add_argument(
        "--threshold",
        type=_name_or_number,
        metavar="NAME",
        help="balanced, screening (high sensitivity), confirm (high specificity), even (0.5), or a number within 0 "
        "and 1 (default: the one that `predict` uses)",
    )
    point.add_argument(
        "--sensitivity", type=float, metavar="X", help="the threshold that reached it on validation data, 0.5 to 0.995"
    )
    parser.add_argument(
        "--bundle",
        type=Path,
        default=SHIPPED,
        metavar="DIR",
        help="bundle whose thresholds the names mean, for --predictions (default: the package's own)",
    )


def run(arguments: argparse.Namespace) -> None:
    """Evaluates."""
    from brainsift.evaluation.evaluate import evaluate_run
    from brainsift.evaluation.evaluate_predictions import evaluate_predictions

    if bool(arguments.predictions) != bool(arguments.manifest) or not (arguments.runs or arguments.predictions):
        raise UsageError("arguments", "need run folders, or --predictions with --manifest", "Give one of the two.")
    if arguments.json:
        check_format(arguments.json, ".json")
    wanted = {"threshold": arguments.threshold, "sensitivity": arguments.sensitivity}
    for folder in arguments.runs:
        results = evaluate_run(folder, **wanted)
        title = f"{folder}, threshold {results.threshold_name} ({results.threshold:.3f}){', LEAKY' * results.leaky}"
        show_scores(title, [(name, found.scores) for name, found in results.sets().items()])
    if len(arguments.runs) == 2:
        _compare(*arguments.runs, **wanted)
    if arguments.predictions:
        bundle = load_bundle(arguments.bundle)
        found = evaluate_predictions(arguments.predictions, arguments.manifest, bundle=bundle, **wanted)
        at = f" ({found.threshold:.3f})" if found.threshold == found.threshold else ""
        blocks = [("all", found.scores), *((name, one.scores) for name, one in found.sources.items())]
        show_scores(f"{arguments.predictions}, threshold {found.threshold_name}{at}", blocks)
        if arguments.json:
            found.write(arguments.json)
        say(f"{found.n} images scored, {found.n_missing} of the manifest had no prediction.")
        if found.n_referred:
            referred = f"{found.n_referred} of them are referred ({found.n_not_brain_mri} as no brain MRI)"
            say(f"{referred} and count by their probability as all others do.")


def _name_or_number(text: str) -> str | float:
    try:
        return float(text)
    except ValueError:
        return text


def _compare(first: Path, second: Path, *, threshold: str | float | None, sensitivity: float | None) -> None:
    from brainsift.evaluation.compare_runs import compare_runs

    found = compare_runs(first, second, threshold=threshold, sensitivity=sensitivity)
    rows = [(row.metric, row.test, difference(row.difference, 4), p_value(row.p_value)) for row in found.comparisons]
    both = f"on the {found.n} test images, in {found.n_groups} groups, that both have"
    show_table(f"{first} minus {second}, {both}", ("metric", "test", "difference", "p"), rows)
    if found.n_only_first or found.n_only_second:
        say(f"Left out: {found.n_only_first} test images of {first} alone, {found.n_only_second} of {second} alone.")
