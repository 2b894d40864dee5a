"""What do audit, cache, predict and report cost as the number of images grows: seconds and peak memory?

Each stage runs as a user would run it, in a process of its own, on drawn images of which hardly any two are
near-duplicates: two drawn heads, each turned and shifted, laid over one another, with noise and another contrast. The
images stay in the folder, and so do the figures: what was interrupted goes on, and what is measured is not measured
again. The cache needs the manifest of the audit of as many images.

Usage:
    python bench/growth.py -o FOLDER [--sizes 1000 10000 100000] [--stages audit cache predict report]
        [--plot FILE.svg]
"""

import argparse
import itertools
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from matplotlib import rcParams
from matplotlib.figure import Figure
from processes import family, memory_mb

from brainsift.core.environment import describe
from brainsift.core.files import read_json, write_json
from brainsift.core.labels import CLASS_NAMES
from brainsift.core.text import markdown_table
from brainsift.images.phantom import draw

STAGES = ("audit", "cache", "predict", "report")
_BLOCK = 1000  # images a folder
_SIDE = 256
_HEADS = 350  # of each class: 61,075 pairs, so that none comes twice in 100,000 images
_PERIOD = 0.05  # seconds between two looks at the memory
_CACHE = """
import sys
from pathlib import Path
from brainsift.training.cache import cached_pixels
from brainsift.datasets.manifest import read_manifest
cached_pixels(read_manifest(Path(sys.argv[1])), Path(sys.argv[2]))
"""

Bytes = npt.NDArray[np.uint8]
Entry = dict[str, Any]


def main() -> None:
    arguments = _arguments()
    folder, sizes = arguments.output.resolve(), sorted(arguments.sizes)
    found = folder / "growth.json"
    entries: list[Entry] = read_json(found)["measured"] if found.is_file() else []
    for size, stage in itertools.product(sizes, arguments.stages):
        if any((entry["stage"], entry["images"]) == (stage, size) for entry in entries):
            continue
        images = make_images(folder, size)
        print(f"{stage} of {size} images ...", file=sys.stderr, flush=True)
        entries.append({"stage": stage, "images": size, **measured(_command(stage, size, images, folder))})
        write_json(found, {"measured": entries, "environment": describe()})
    print(table(entries))
    if arguments.plot:
        plot(entries, arguments.plot)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder of images, outputs and growth.json")
    parser.add_argument("--sizes", type=int, nargs="+", default=[1000, 10_000, 100_000], help="thousands, up to 100000")
    parser.add_argument("--stages", nargs="+", choices=STAGES, default=STAGES)
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw what is measured so far")
    return parser.parse_args()


def _command(stage: str, size: int, images: Path, folder: Path) -> list[str]:
    """Returns a stage's command; what it wrote when it was interrupted is removed, so that it begins anew."""
    out = folder / f"{stage}-{size}"
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir()
    brainsift = [sys.executable, "-m", "brainsift"]
    return {
        "audit": [*brainsift, "audit", str(images), "-o", str(out)],
        "cache": [sys.executable, "-c", _CACHE, str(folder / f"audit-{size}" / "manifest.csv"), str(out)],
        "predict": [*brainsift, "predict", str(images), "--csv", str(out / "answers.csv")],
        "report": [*brainsift, "predict", str(images), "--report", str(out / "page.html"), "--csv", str(out / "a.csv")],
    }[stage]


def measured(command: Sequence[str]) -> Entry:
    """Runs a command; returns its wall and processor seconds, and the peak of the memory of all of its processes."""
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    peak, done = [0.0], threading.Event()
    watch = threading.Thread(target=_watch, args=(process.pid, peak, done))
    watch.start()
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - start
    done.set()
    watch.join()
    if status:
        sys.exit(f"failed: {' '.join(command)}")
    return {
        "seconds": round(seconds, 2),
        "processor_seconds": round(usage.ru_utime + usage.ru_stime, 2),
        "peak_mb": round(peak[0], 1),
    }


def _watch(pid: int, peak: list[float], done: threading.Event) -> None:
    while not done.wait(_PERIOD):
        peak[0] = max(peak[0], memory_mb(pid, "VmHWM"), sum(memory_mb(one) for one in family(pid)))


def make_images(folder: Path, size: int) -> Path:
    """Makes a folder of drawn images, one folder a thousand; larger collections hold the images of smaller ones."""
    blocks = [folder / "images" / f"{number:03d}" for number in range(-(-size // _BLOCK))]
    missing = [number for number, block in enumerate(blocks) if not block.is_dir()]
    if missing:
        artist = _Artist()
        for number in missing:
            print(f"drawing {blocks[number]}", file=sys.stderr, flush=True)
            _write_block(artist, number, blocks[number])
    chosen = folder / f"images-{size}"
    if not chosen.is_dir():
        unfinished = folder / f".images-{size}"
        shutil.rmtree(unfinished, ignore_errors=True)
        for block in blocks:
            shutil.copytree(block, unfinished / block.name, copy_function=os.link)
        unfinished.rename(chosen)
    return chosen


def _write_block(artist: "_Artist", number: int, block: Path) -> None:
    unfinished = block.with_name(f".{block.name}")
    shutil.rmtree(unfinished, ignore_errors=True)
    for name in CLASS_NAMES:
        (unfinished / name).mkdir(parents=True)
    for image in range(number * _BLOCK, (number + 1) * _BLOCK):
        label = image % 2
        content = cv2.imencode(".jpg", artist.draw(image // 2, label), [cv2.IMWRITE_JPEG_QUALITY, 88])[1]
        (unfinished / CLASS_NAMES[label] / f"{image:06d}.jpg").write_bytes(content.tobytes())
    unfinished.rename(block)


class _Artist:
    """Lays two drawn heads of a class over one another; each pair of heads is used once."""

    def __init__(self) -> None:
        self._heads = [
            [draw(seed, tumor=bool(label), size=_SIDE).pixels for seed in range(label, 2 * _HEADS, 2)]
            for label in (0, 1)
        ]
        chance = np.random.default_rng(0)
        pairs = np.array(list(itertools.combinations(range(_HEADS), 2)))
        self._pairs = chance.permutation(pairs)
        self._noise = chance.normal(0, 5, (2 * _SIDE, 2 * _SIDE)).astype(np.float32)

    def draw(self, number: int, label: int) -> Bytes:
        chance = np.random.default_rng((number, label))
        first, second = (self._moved(self._heads[label][head], chance) for head in self._pairs[number])
        share, gain = chance.uniform(0.4, 0.6), chance.uniform(0.8, 1.25)
        x, y = chance.integers(0, _SIDE, 2)
        image = cv2.addWeighted(first, share * gain, second, (1 - share) * gain, 0, dtype=cv2.CV_32F)
        return np.clip(image + self._noise[y : y + _SIDE, x : x + _SIDE], 0, 255).astype(np.uint8)

    @staticmethod
    def _moved(head: Bytes, chance: np.random.Generator) -> Bytes:
        matrix = cv2.getRotationMatrix2D((_SIDE / 2, _SIDE / 2), chance.uniform(-10, 10), chance.uniform(0.9, 1.05))
        matrix[:, 2] += chance.uniform(-6, 6, 2)
        return np.asarray(cv2.warpAffine(head, matrix, (_SIDE, _SIDE)), np.uint8)


def table(entries: Sequence[Entry]) -> str:
    """Returns seconds and memory by stage and size; slopes are those between the two largest sizes."""
    rows = []
    for stage in STAGES:
        of_stage = sorted((entry for entry in entries if entry["stage"] == stage), key=lambda entry: entry["images"])
        for entry in of_stage:
            least, before = of_stage[0], of_stage[max(of_stage.index(entry) - 1, 0)]
            rows.append(
                (
                    stage,
                    f"{entry['images']:,}",
                    f"{entry['seconds']:,.1f}",
                    f"{entry['processor_seconds']:,.1f}",
                    f"{1000 * entry['processor_seconds'] / entry['images']:.2f}",
                    "–" if entry is before else f"{_slope(before, entry, 'processor_seconds'):.2f}",
                    f"{entry['peak_mb']:,.0f}",
                    f"{entry['peak_mb'] / least['peak_mb']:.2f}",
                )
            )
    head = (
        "stage",
        "images",
        "seconds",
        "processor seconds",
        "ms an image",
        "slope",
        "peak memory, MB",
        "times the least",
    )
    return markdown_table(head, rows)


def _slope(before: Entry, after: Entry, key: str) -> float:
    return float(np.log(after[key] / before[key]) / np.log(after["images"] / before["images"]))


def plot(entries: Sequence[Entry], out: Path) -> None:
    """Draws processor seconds and memory against the number of images, on logarithmic axes."""
    rcParams.update({"svg.hashsalt": "growth", "svg.fonttype": "none", "font.size": 10})
    figure = Figure((9, 3.8), layout="constrained")
    panels = zip(figure.subplots(1, 2), ("processor_seconds", "peak_mb"), strict=True)
    for axes, key in panels:
        for stage, marker in zip(STAGES, "osD^", strict=True):
            points = sorted((entry["images"], entry[key]) for entry in entries if entry["stage"] == stage)
            axes.loglog(*zip(*points, strict=True), marker=marker, label=stage)
        axes.set(xlabel="images", ylabel={"peak_mb": "peak memory, MB"}.get(key, "processor seconds"))
        axes.grid(alpha=0.3)
    axes.set_ylim(bottom=50)
    figure.axes[0].legend(frameon=False)
    out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out, metadata={"Date": None})


if __name__ == "__main__":
    main()
