"""What does each idea of the recipe `release` bring on a whole source that the network has never seen?

Every source is left out in turn, with all of its overlap, and scored by networks trained on the others: by the whole
recipe, and by the recipe without one of its ideas. The threshold is the one that validation data call balanced. Runs
are far shorter than the release, so that the figures compare ideas and do not tell how good the release is.
What is trained is kept in the folder; started again, the benchmark goes on with what is missing.

Usage:
    brainsift audit br35h=... preet=... cheng=... lgg=... kinds44=... tumor_free=... -o AUDIT
    python bench/leave_out.py AUDIT/manifest.csv --folder FOLDER [--model compact] [--epochs 6]
"""

import argparse
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pandas as pd
from side_by_side import hardware, machine_line
from sklearn.metrics import roc_auc_score

from brainsift.evaluation.calibrated_run import calibrated_predictions
from brainsift.stats import calibration

# The two Kaggle collections share most of their pictures, so they are left out together.
_SOURCES = {
    "br35h, preet": ("br35h", "preet"),
    "lgg": ("lgg",),
    "kinds44": ("kinds44",),
    "cheng": ("cheng",),
    "tumor_free": ("alzheimer_t1", "mendeley_ms_flair", "mendeley_ms_t1", "mendeley_ms_t2", "t1_256", "wmh_flair"),
}
_IDEAS = {
    "all": (),
    "without balanced sampling": ("--sampling", "images"),
    "without outlines": ("--outline-weight", "0"),  # and so without tumors that need one: moved and drawn
    "without transplants": ("--transplant", "0"),
    "without drawn tumors": ("--drawn", "0"),
    "without stripped skulls": ("--strip", "0"),
    "without artifacts": ("--artifacts", "0"),
    "without ImageNet": ("--weights", "none", "--frozen", "0"),
}


class Score(NamedTuple):
    """What a network reached on one contrast of the source that was left out."""

    contrast: str
    auc: float | None
    sensitivity: float | None
    specificity: float | None

    def __str__(self) -> str:
        auc = "–" if self.auc is None else f"{self.auc:.3f}"
        return f"{auc}; {_percent(self.sensitivity)} / {_percent(self.specificity)}"


def main() -> None:
    """Trains and prints a table a source."""
    arguments = _arguments()
    print(machine_line(hardware()))
    print(f"{arguments.model}, {arguments.epochs} epochs of {arguments.epoch_images} images, seed {arguments.seed}")
    print("ROC AUC; sensitivity / specificity, %")
    for source in arguments.sources or _SOURCES:
        scores = {idea: _scores(_trained(arguments, source, idea)) for idea in arguments.ideas or _IDEAS}
        print("\n" + _table(source, scores), flush=True)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("manifest", type=Path, help="of `brainsift audit`, all sources in one")
    parser.add_argument("--folder", type=Path, required=True, help="for the runs, kept")
    parser.add_argument("--model", default="compact")
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--epoch-images", type=int, default=4096)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--sources", nargs="*", choices=_SOURCES, help="default: all")
    parser.add_argument("--ideas", nargs="*", choices=_IDEAS, help="default: all")
    parser.add_argument("--processes", type=int, default=1, help="of one thread each, for one training")
    return parser.parse_args()


def _trained(arguments: argparse.Namespace, source: str, idea: str) -> Path:
    """Returns the folder of a run, trained now if it has to be."""
    name = f"{arguments.model}-{arguments.epochs}-{arguments.epoch_images}-{arguments.seed}"
    run: Path = arguments.folder / name / source.replace(", ", "-") / idea.replace(" ", "-")
    if not (run / "results.json").exists():
        launcher = ["-m", "torch.distributed.run", "--nproc-per-node", str(arguments.processes), "--no-python"]
        command = [sys.executable, *(launcher if arguments.processes > 1 else ())]
        command += [sys.executable] * (arguments.processes > 1) + ["-m", "brainsift", "train", str(arguments.manifest)]
        command += ["--protocol", "source-out", "--hold-out", *_SOURCES[source], "--recipe", "release", "--model"]
        command += [arguments.model, "--epochs", str(arguments.epochs), "--epoch-images", str(arguments.epoch_images)]
        command += ["--average", str(min(3.0, arguments.epochs / 4)), "--threads", "1", "--seed", str(arguments.seed)]
        command += ["--cache", str(arguments.folder / "cache"), "-o", str(run), *_IDEAS[idea]]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return run


def _scores(run: Path) -> list[Score]:
    found = calibrated_predictions(run)
    validation, test = (found[found["part"] == part] for part in ("validation", "test"))
    threshold = calibration.thresholds(validation["label"], validation["probability"])["balanced"]
    return [_score(str(contrast), rows, threshold) for contrast, rows in test.groupby("contrast")]


def _score(contrast: str, rows: pd.DataFrame, threshold: float) -> Score:
    tumor, called = rows["label"] == 1, rows["probability"] >= threshold
    auc = float(roc_auc_score(tumor, rows["logit"])) if tumor.nunique() == 2 else None
    sensitivity = float(called[tumor].mean()) if tumor.any() else None
    return Score(contrast, auc, sensitivity, float(1 - called[~tumor].mean()) if not tumor.all() else None)


def _table(source: str, scores: dict[str, list[Score]]) -> str:
    contrasts = [score.contrast or "unknown" for score in next(iter(scores.values()))]
    lines = [f"| {source} left out | " + " | ".join(contrasts) + " |", "|---|" + "---:|" * len(contrasts)]
    lines += [f"| {idea} | " + " | ".join(map(str, found)) + " |" for idea, found in scores.items()]
    return "\n".join(lines)


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:.0f}"


if __name__ == "__main__":
    main()
