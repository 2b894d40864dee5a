"""Where does the time of scoring go, image by image on one core, and what is the least that each part could take?

The parts of brainsift's own path are timed as they run, each without the parts that it calls: microseconds of the
processor, so that a busy neighbour matters less. Beside them stand floors: reading the same files and nothing else,
decoding them by the fastest library at the scale needed, copying each pixel once, and the network's multiply-adds at
the rate of a large float32 matrix product on this core.

Usage:
    BRAINSIFT_DATA=../shared/data python bench/profile_scoring.py --rivals-python RIVALS/bin/python [-o FILE.json]
"""

import argparse
import os
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from functools import wraps
from itertools import chain, islice
from pathlib import Path
from typing import Any

# ruff: noqa: E402
os.sched_setaffinity(0, [min(os.sched_getaffinity(0))])  # before NumPy counts the cores

import onnx
from floors import copy_seconds, decoding_seconds, matmul_rate, multiply_adds, reading_seconds
from real_images import sample
from side_by_side import hardware, machine_line, save

from brainsift.core.files import csv_rows
from brainsift.images import decode, standard
from brainsift.inference import predictor
from brainsift.inference.bundle import SHIPPED
from brainsift.inference.decision import COLUMNS
from brainsift.inference.predictor import BATCH, Predictor
from brainsift.volumes import reader

_REST = "answers, CSV, the rest"
_NETWORK = "network"
# part -> where the function that does it is called from, and its name there
_PARTS: dict[str, tuple[Any, str]] = {
    "telling the kind of file": (reader, "kind_of"),
    "reading": (decode, "_file_content"),
    "decoding": (reader, "decode"),
    "grey": (decode.DecodedImage, "grey"),
    "finding the head": (standard, "_find_head"),
    "resizing": (standard, "resize"),
    "masking, scaling": (predictor, "preprocess_decoded"),
    "rules on the image": (predictor, "foreign_reason"),
    "input of the network": (predictor, "network_input"),
}


class Stopwatch:
    """Seconds of the processor by part, in one thread; a part that calls another stands still meanwhile."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self._open: list[str] = []
        self._last = 0.0

    def timed(self, part: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """Returns a function that does the same and is timed."""

        @wraps(function)
        def wrapped(*arguments: Any, **options: Any) -> Any:
            self._pause()
            self._open.append(part)
            try:
                return function(*arguments, **options)
            finally:
                self._pause()
                self._open.pop()

        return wrapped

    def _pause(self) -> None:
        now = time.thread_time()
        if self._open:
            self.seconds[self._open[-1]] += now - self._last
        self._last = now


class _TimedSession:
    """A session of ONNX Runtime whose runs are timed."""

    def __init__(self, session: Any, watch: Stopwatch) -> None:
        self.run = watch.timed(_NETWORK, session.run)


def main() -> None:
    """Measures."""
    arguments = _arguments()
    machine, paths = hardware(), sample(arguments.images, seed=arguments.seed)
    parts = _profile(paths)
    floors = _floors(paths, arguments.rivals_python)
    print(machine_line(machine))
    print(f"{len(paths)} images, one core, batches of {BATCH}; microseconds an image\n")
    print(_table(parts, floors))
    save(arguments.output, {"machine": machine, "images": len(paths), "microseconds": parts, "floors": floors})


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0, help="of the draw of images")
    parser.add_argument("--rivals-python", default="", help="with requirements-rivals.txt; else no floor of decoding")
    parser.add_argument("-o", "--output", type=Path, help="write JSON")
    return parser.parse_args()


def _profile(paths: list[str]) -> dict[str, float]:
    """Returns microseconds an image by part, once everything is warm."""
    predictor, watch = Predictor(threads=1), Stopwatch()
    _score(predictor, paths[: 4 * BATCH])
    for part, (owner, name) in _PARTS.items():
        setattr(owner, name, watch.timed(part, getattr(owner, name)))
    predictor._session = _TimedSession(predictor._session, watch)  # type: ignore[assignment]
    watch.timed(_REST, _score)(predictor, paths)
    return {part: 1e6 * watch.seconds[part] / len(paths) for part in (*_PARTS, _NETWORK, _REST)}


def _score(predictor: Predictor, paths: list[str]) -> None:
    """Does what `Predictor.predict` does, in one thread."""
    slices = reader.slices_of(paths)
    batches = iter(lambda: [(piece, predictor.read(piece)) for piece in islice(slices, BATCH)], [])
    answers = map(predictor.predict_batch, batches)
    with tempfile.TemporaryDirectory() as folder, csv_rows(Path(folder) / "answers.csv", COLUMNS) as write:
        for answer, _ in chain.from_iterable(answers):
            write(answer.to_dict())


def _floors(paths: list[str], rivals_python: str) -> dict[str, float]:
    """Returns microseconds an image of the parts that have a floor."""
    reading = reading_seconds(paths)
    network = multiply_adds(onnx.load(SHIPPED / "network.onnx")) / matmul_rate()
    floors = {"reading": reading, "grey": copy_seconds(paths), _NETWORK: network}
    if rivals_python:
        floors["decoding"] = max(decoding_seconds(paths, rivals_python) - reading, 0.0)
    return {part: 1e6 * seconds for part, seconds in floors.items()}


def _table(parts: Mapping[str, float], floors: Mapping[str, float]) -> str:
    lines = ["| part | µs an image | share, % | floor, µs | times the floor |", "|---|---:|---:|---:|---:|"]
    total, least = sum(parts.values()), sum(floors.values())
    for name, spent in [*parts.items(), ("all", total)]:
        floor = least if name == "all" else floors.get(name)
        beside = "– | –" if floor is None else f"{floor:.0f} | {spent / floor:.1f}" if floor else "0 | –"
        lines.append(f"| {name} | {spent:.0f} | {100 * spent / total:.0f} | {beside} |")
    return "\n".join([*lines, f"\n{1e6 / total:.0f} images/s on one core."])


if __name__ == "__main__":
    main()
