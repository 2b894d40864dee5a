"""Find labels that a network contradicts although it never saw the image, for a person to check.

The page shows the images, the strongest contradictions first. The table takes your verdicts; `audit`, `study` and
`release` then use them:

    brainsift review runs/compact -o review
    brainsift review crossfit/out_of_fold.csv -o review
    brainsift review --predictions predictions.csv --manifest manifest.csv -o review
    brainsift audit br35h=data/br35h --corrections review/review.csv -o audit

Of a run it checks the test set; with the runs of all folds, all images. Predictions from elsewhere must come from a
network that was not trained on the images. The network that ships was trained on the public collections.
"""

import argparse
from pathlib import Path

from brainsift.cli.console import say, show_table
from brainsift.cli.flags import add_output
from brainsift.core.errors import UsageError
from brainsift.core.text import counted


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the arguments."""
    parser.add_argument(
        "subjects", nargs="*", type=Path, metavar="RUN", help="run folders, or tables such as out_of_fold.csv"
    )
    parser.add_argument("--predictions", type=Path, metavar="CSV", help="of `brainsift predict --csv`, or your own")
    parser.add_argument("--manifest", type=Path, metavar="CSV", help="the labels for --predictions: path and label")
    add_output(parser, "folder for review.html and review.csv")


def run(arguments: argparse.Namespace) -> None:
    """Writes the page and the table."""
    from brainsift.evaluation.doubtful_labels import doubtful_labels
    from brainsift.reports.write import write_review

    if bool(arguments.predictions) != bool(arguments.manifest) or bool(arguments.subjects) == bool(arguments.manifest):
        raise UsageError("arguments", "need run folders, or --predictions with --manifest", "Give one of the two.")
    if arguments.predictions:
        found = doubtful_labels([arguments.predictions], arguments.manifest)
    else:
        found = doubtful_labels(arguments.subjects)
    page = write_review(found, arguments.output)
    rows = [
        (str(source), str(len(images)), str(images["group"].nunique()))
        for source, images in found.table.groupby("source")
    ]
    if rows:
        show_table("Labels to check", ("collection", "images", "groups"), rows)
    say(f"Doubtful labels: {len(found.table)} of {counted(found.n, 'image')} in {counted(found.n_groups, 'group')}.")
    if found.n_leaked:
        leaked = f"{found.n_leaked} of the scored images have a copy in a training or validation set"
        say(f"{leaked}, where a wrong label may have been learned: wrong labels may be missing.")
    say(f"Look: {page}.")
    if rows:
        say(f"Enter your verdicts: {arguments.output / 'review.csv'}.")
