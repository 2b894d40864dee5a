"""How many copies does the search for near-duplicates find, and how many of the pairs that it accepts are wrong?

Recall: real images are copied on purpose (re-encoded, rescaled, re-contrasted, cropped, mirrored, turned), one kind of
copy at a time, and looked for among all images. A copy is found when it is paired with its original or with an image
that was in its original's group before.

Precision: a contact sheet of accepted pairs is drawn for the eye.

Usage:
    BRAINSIFT_DATA=../shared/data python bench/near_duplicates.py [-o FOLDER] [--copies 150] [--half tune|test]

Thresholds were chosen on `--half tune`; the figures in docs/audit.md are those of `--half test`.
"""

import argparse
import hashlib
from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pandas as pd
from changes import Change, jpeg, rotated
from PIL import Image, ImageDraw
from real_images import collections

from brainsift.auditing.fingerprint import Bytes, Sketch, sketch, turned
from brainsift.auditing.near_duplicates import NeighbourConfig, Views, candidates, components, near_duplicates, verified
from brainsift.datasets.catalog import collect
from brainsift.images.decode import decode

_TILE = 128


def _scaled(factor: float) -> Change:
    return lambda grey: _resized(grey, round(grey.shape[1] * factor), round(grey.shape[0] * factor))


def _resized(grey: Bytes, width: int, height: int) -> Bytes:
    return np.asarray(cv2.resize(grey, (width, height), interpolation=cv2.INTER_AREA), np.uint8)


def _gamma(power: float) -> Change:
    return lambda grey: np.rint(255 * (grey / 255.0) ** power).astype(np.uint8)


def _linear(factor: float, shift: float) -> Change:
    return lambda grey: np.clip((grey - 100.0) * factor + 100.0 + shift, 0, 255).astype(np.uint8)


def _cropped(share: float) -> Change:
    def change(grey: Bytes) -> Bytes:
        rows, columns = (round(side * share / 2) for side in grey.shape)
        return np.ascontiguousarray(grey[rows : grey.shape[0] - rows, columns : grey.shape[1] - columns])

    return change


def _chain(*changes: Change) -> Change:
    def change(grey: Bytes) -> Bytes:
        for one in changes:
            grey = one(grey)
        return grey

    return change


CHANGES: dict[str, Change] = {
    "JPEG quality 30": jpeg(30),
    "half size": _scaled(0.5),
    "squeezed to 224 x 224": lambda grey: _resized(grey, 224, 224),
    "gamma 0.6": _gamma(0.6),
    "gamma 1.6": _gamma(1.6),
    "contrast x 0.6": _linear(0.6, 0),
    "contrast x 1.5": _linear(1.5, 0),
    "brightness + 30": _linear(1.0, 30),
    "brightness - 20": _linear(1.0, -20),
    "crop 8 %": _cropped(0.08),
    "crop 16 %": _cropped(0.16),
    "mirrored": lambda grey: turned(grey, 1),
    "upside down": lambda grey: turned(grey, 2),
    "turned 90": lambda grey: np.ascontiguousarray(np.rot90(grey)),
    "turned 180": lambda grey: turned(grey, 3),
    "turned 270": lambda grey: np.ascontiguousarray(np.rot90(grey, 3)),
    "turned 5": rotated(5),
    "turned -8": rotated(-8),
    "mirrored, turned 4, gamma 1.3, JPEG 50": _chain(lambda grey: turned(grey, 1), rotated(4), _gamma(1.3), jpeg(50)),
    "crop 8 %, half size, contrast x 1.5, JPEG 40": _chain(_cropped(0.08), _scaled(0.5), _linear(1.5, 0), jpeg(40)),
}


def main() -> None:
    arguments = _arguments()
    table, greys = _distinct(collect(collections()))
    views = _views(sketch(grey) for grey in greys)
    pairs = near_duplicates(views, workers=2)
    groups = components(len(views), pairs)
    print(f"{len(table)} images, {len(pairs)} pairs, {groups.max() + 1} groups, largest {np.bincount(groups).max()}")
    _recall(greys, views, groups, arguments)
    if arguments.output:
        _sheet(pairs, greys, arguments.output, arguments.seed)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--output", type=Path, help="folder for the contact sheet")
    parser.add_argument("--copies", type=int, default=150, help="copies of each kind")
    parser.add_argument("--half", choices=("tune", "test"), default="test")
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


def _distinct(table: pd.DataFrame) -> tuple[pd.DataFrame, list[Bytes]]:
    """Decodes every file, and keeps one of those with the same pixels."""
    seen: set[str] = set()
    kept, greys = [], []
    for row, path in enumerate(table["path"]):
        image = decode(path)
        digest = hashlib.sha256(image.rgb().tobytes()).hexdigest()
        if digest not in seen:
            seen.add(digest)
            kept.append(row)
            greys.append(np.asarray(image.grey(), np.uint8))
    return table.iloc[kept].reset_index(drop=True), greys


def _views(sketches: Iterable[Sketch]) -> Views:
    drawn = list(sketches)
    return Views(*(np.stack([getattr(one, name) for one in drawn]) for name in ("frame", "head", "box")))


def _recall(greys: list[Bytes], views: Views, groups: npt.NDArray[np.int64], arguments: argparse.Namespace) -> None:
    half = [row for row in range(len(greys)) if (row % 2 == 0) == (arguments.half == "tune")]
    originals = np.random.default_rng(arguments.seed).choice(half, arguments.copies, replace=False)
    print(f"\nrecall on {len(originals)} copies of each kind (half: {arguments.half}), 95 % Wilson interval")
    for name, change in CHANGES.items():
        copies = _views(sketch(change(greys[row])) for row in originals)
        found = _found(views, copies, groups, originals)
        low, high = wilson(found, len(originals))
        print(f"{name:46} {found / len(originals):6.1%}  {low:6.1%} .. {high:6.1%}", flush=True)


def _found(views: Views, copies: Views, groups: npt.NDArray[np.int64], originals: npt.NDArray[np.int64]) -> int:
    config, count = NeighbourConfig(), len(views)
    both = Views(*(np.concatenate([getattr(views, part), getattr(copies, part)]) for part in ("frame", "head", "box")))
    looked_up = candidates(both, config, threads=2)
    table = looked_up[(looked_up["first"] < count) & (looked_up["second"] >= count)]
    pairs = verified(both, table, config, workers=2)
    own = groups[pairs["first"]] == groups[originals[pairs["second"] - count]]
    return int(pairs[own]["second"].nunique())


def wilson(hits: int, count: int, z: float = 1.96) -> tuple[float, float]:
    share, spread = hits / count, z * z / count
    centre = (share + spread / 2) / (1 + spread)
    half = z * np.sqrt(share * (1 - share) / count + spread / count / 4) / (1 + spread)
    return centre - half, centre + half


def _sheet(pairs: pd.DataFrame, greys: list[Bytes], folder: Path, seed: int, count: int = 60) -> None:
    """Draws accepted pairs: a third at random, a third of the weakest tenth, a third of the weakest hundred."""
    ranked = pairs.sort_values("similarity", ignore_index=True)
    parts = (ranked, ranked.head(len(ranked) // 10), ranked.head(100))
    chosen = pd.concat([part.sample(count // 3, random_state=seed) for part in parts])
    columns, width, height = 4, 2 * _TILE + 8, _TILE + 14
    page = Image.new("L", (columns * width, -(-count // columns) * height), 70)
    pen = ImageDraw.Draw(page)
    for place, pair in enumerate(chosen.itertuples(index=False)):
        x, y = place % columns * width, place // columns * height
        pen.text((x + 2, y), f"{place}: {pair.similarity:.3f} {pair.view}", fill=255)
        shown = (turned(greys[pair.first], pair.orientation), greys[pair.second])
        for step, grey in enumerate(shown):
            tile = Image.fromarray(grey)
            tile.thumbnail((_TILE, _TILE))
            page.paste(tile, (x + step * _TILE, y + 12))
    folder.mkdir(parents=True, exist_ok=True)
    page.save(folder / "pairs.png")
    print(f"\nlook at {folder / 'pairs.png'}")


if __name__ == "__main__":
    main()
