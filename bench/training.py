"""How fast is training, and how long from raw folders to the accuracy that the baseline study reports?

Rates: contenders take turns, each training one epoch on the same real images.
Reaching: `brainsift audit` and `brainsift train --recipe fast`, as a user types them, once a seed, against the baseline
study's recipe in Keras 3 on TensorFlow, once. Under protocol `random` (leaky) the target is the study's 98.36 %, under
`grouped` the accuracy that its network ends at. Of Keras only preparing the images and training counts, up to the first
epoch whose test accuracy reaches the target; of brainsift whole processes, to the end of the recipe.

What is measured is kept in the folder; started again, the benchmark goes on with what is missing.

Usage:
    pip install -r bench/requirements-rivals.txt           # into an environment of its own
    BRAINSIFT_DATA=../shared/data python bench/training.py --rivals-python RIVALS/bin/python --folder FOLDER
"""

import argparse
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import pandas as pd
from real_images import collections
from side_by_side import Entry, Figures, Spread, Worker, hardware, in_turns, machine_line, table

from brainsift.core.files import read_json, write_json
from brainsift.datasets.manifest import read_manifest, write_manifest
from brainsift.datasets.split import SplitConfig, split

_CLAIM = 0.9836  # what the baseline study reports
_PARTS = ("train", "validation", "test")
_VALIDATION = 64


class Kept:
    """Answers by name, in a JSON file: what is there is not measured again."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.answers: Entry = read_json(path) if path.exists() else {}

    def get(self, name: str, measure: Callable[[], Any]) -> Any:
        """Returns an answer, measured now if it has to be."""
        if name not in self.answers:
            print(f"measuring: {name}", file=sys.stderr, flush=True)
            self.answers[name] = measure()
            write_json(self._path, self.answers)
        return self.answers[name]


def main() -> None:
    """Measures."""
    arguments = _arguments()
    if arguments.cores:
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: arguments.cores])
    folder: Path = arguments.folder
    folder.mkdir(parents=True, exist_ok=True)
    kept = Kept(folder / "training.json")
    machine = kept.get("machine", hardware)
    audits = [kept.get(f"audit {seed}", lambda: _audit(folder / "audit")) for seed in range(arguments.seeds)]
    manifest = folder / "audit" / "manifest.csv"
    rates = kept.get("rates", lambda: _rates(arguments, manifest))
    lines = [machine_line(machine), f"{arguments.images} images a turn, {arguments.rounds} turns each\n"]
    lines.append(table([Figures(**entry) for entry in rates], unit="images/s"))
    for protocol in ("random", "grouped"):
        plan = SplitConfig(protocol=protocol)  # type: ignore[arg-type]
        rival = kept.get(f"Keras {protocol}", lambda plan=plan: _rival(arguments, manifest, plan))
        target = _CLAIM if protocol == "random" else rival["epochs"][-1]["accuracy"]
        runs = [
            kept.get(f"{protocol} {seed}", lambda seed=seed, protocol=protocol: _ours(folder, manifest, protocol, seed))
            for seed in range(arguments.seeds)
        ]
        lines += ["", _reached(protocol, target, rival, audits, runs)]
    print("\n".join(lines))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rivals-python", required=True, help="with requirements-rivals.txt")
    parser.add_argument("--folder", type=Path, required=True, help="for what is measured, kept")
    parser.add_argument("--images", type=int, default=2048, help="an epoch, of a turn")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seeds", type=int, default=5, help="of brainsift")
    parser.add_argument("--epochs", type=int, default=20, help="of Keras, at most")
    parser.add_argument("--patience", type=int, default=5, help="of Keras, epochs without a better validation loss")
    parser.add_argument("--cores", type=int, default=0, help="that all contenders are kept to (default: all)")
    return parser.parse_args()


def _audit(folder: Path) -> float:
    """Returns the seconds of an audit of the raw folders, from nothing."""
    shutil.rmtree(folder, ignore_errors=True)
    return _command("audit", *collections(), "--no-probes", "-o", str(folder))


def _command(*words: str) -> float:
    start = time.perf_counter()
    subprocess.run([sys.executable, "-m", "brainsift", *words], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def _ours(folder: Path, manifest: Path, protocol: str, seed: int) -> Entry:
    """Trains from nothing, and again with the pixels decoded."""
    cache, run = folder / "cache-of-one-run", folder / "run"
    shutil.rmtree(cache, ignore_errors=True)
    words = ("train", str(manifest), "--protocol", protocol, "--recipe", "fast", "--seed", str(seed))
    words = (*words, "--cache", str(cache), "-o", str(run))
    seconds = []
    for _ in ("cold", "warm"):
        shutil.rmtree(run, ignore_errors=True)
        seconds.append(_command(*words))
    scores = read_json(run / "results.json")["test"]["scores"]
    return {"cold": seconds[0], "warm": seconds[1], "accuracy": scores["accuracy"]["value"]}


def _rates(arguments: argparse.Namespace, manifest: Path) -> list[Entry]:
    folder: Path = arguments.folder
    drawn, listed = _drawn(arguments, manifest)
    ours, plain = Worker("brainsift_training.py", sys.executable), Worker("torch_training.py", sys.executable)
    keras = Worker("keras_training.py", arguments.rivals_python)

    def turn(worker: Worker, **task: Any) -> Callable[[], float]:
        return lambda: arguments.images / worker.do(**task)["seconds"]

    def own(model: str, recipe: str) -> Callable[[], float]:
        task = {"manifest": str(drawn), "images": arguments.images, "cache": str(folder / "cache")}
        return turn(ours, model=model, recipe=recipe, **task)

    turns = {
        "compact, 128 px": own("compact", "standard"),
        "compact, recipe fast, 64 px": own("compact", "fast"),
        "baseline CNN, 128 px": own("baseline-cnn", "standard"),
        "baseline CNN in Keras on TensorFlow": turn(keras, do="rate", list=str(listed)),
        "baseline CNN in plain PyTorch, DataLoader": turn(plain, list=str(listed)),
    }
    for warm_up in turns.values():
        warm_up()
    figures = in_turns(turns, rounds=arguments.rounds)
    for worker in (ours, plain, keras):
        worker.close()
    return [vars(one) for one in figures.values()]


def _drawn(arguments: argparse.Namespace, manifest: Path) -> tuple[Path, Path]:
    """Draws images to train on: a manifest with parts, and a plain list of the training part."""
    drawn, listed = arguments.folder / "drawn.csv", arguments.folder / "drawn-list.csv"
    images = read_manifest(manifest).query("status == 'ok'").drop_duplicates("sha256")
    images = images.sample(arguments.images + _VALIDATION, random_state=0).reset_index(drop=True)
    images["part"] = ["train"] * arguments.images + ["validation"] * _VALIDATION
    write_manifest(images, drawn)
    images[images["part"] == "train"][["path", "label"]].to_csv(listed, index=False)
    return drawn, listed


def _rival(arguments: argparse.Namespace, manifest: Path, plan: SplitConfig) -> Entry:
    parts = split(read_manifest(manifest), plan)
    lists = {part: arguments.folder / f"{plan.protocol}-{part}.csv" for part in _PARTS}
    for part, path in lists.items():
        parts.loc[parts["part"] == part, ["path", "label"]].to_csv(path, index=False)
    keras = Worker("keras_training.py", arguments.rivals_python)
    settings = {
        "epochs": arguments.epochs,
        "patience": arguments.patience,
        "target": _CLAIM if plan.protocol == "random" else 1.0,
    }
    found = keras.do(do="reach", **{part: str(path) for part, path in lists.items()}, **settings)
    keras.close()
    return found


def _reached(protocol: str, target: float, rival: Entry, audits: list[float], runs: list[Entry]) -> str:
    """Returns a table of seconds."""
    epochs = pd.DataFrame(rival["epochs"])
    there = epochs["accuracy"].iloc[-1] >= target
    theirs = rival["preparation"] + epochs["seconds"].sum()
    cold = [audit + run["cold"] for audit, run in zip(audits, runs, strict=True)]
    accuracies = [100 * run["accuracy"] for run in runs]
    rows = [
        (
            f"Keras, {len(epochs)} epochs{'' if there else ', not reached'}",
            f"{theirs:.0f}",
            f"{100 * epochs['accuracy'].iloc[-1]:.2f}",
        ),
        ("brainsift, from raw folders", str(Spread.of(cold)), _percent(accuracies)),
        ("brainsift, audited", str(Spread.of([run["cold"] for run in runs])), ""),
        ("brainsift, audited and decoded", str(Spread.of([run["warm"] for run in runs])), ""),
    ]
    lines = [f"Protocol `{protocol}`, target {100 * target:.2f} %, reached by {_share(accuracies, target)} seeds\n"]
    lines += ["| | seconds | test accuracy, % |", "|---|---:|---:|", *("| " + " | ".join(row) + " |" for row in rows)]
    lines.append(f"\nKeras by brainsift from raw folders: {theirs / median(cold):.1f}")
    warm = epochs["seconds"].sum() / median([run["warm"] for run in runs])
    lines.append(f"Keras by brainsift, all images decoded: {warm:.1f}")
    return "\n".join(lines)


def _percent(values: list[float]) -> str:
    return f"{median(values):.2f} ({min(values):.2f}–{max(values):.2f})"


def _share(accuracies: list[float], target: float) -> str:
    return f"{sum(accuracy >= 100 * target for accuracy in accuracies)} of {len(accuracies)}"


if __name__ == "__main__":
    main()
