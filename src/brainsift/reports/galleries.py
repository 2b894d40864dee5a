"""Pixels -> pictures inside a page: JPEG as data URIs, with a caption each."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
from PIL import Image

from brainsift.core.errors import BrainsiftError
from brainsift.images.data_uri import jpeg_uri
from brainsift.images.decode import decode
from brainsift.images.preprocess import preprocess

Pixels = npt.NDArray[np.generic]


class Picture(NamedTuple):
    """One picture of a gallery.

    Attributes:
        uri: data URI; "" where the file could not be read.
        caption: a few words under it.
        kind: "", or the class of the caption's colour: "tumor", "no_tumor", "wrong".
        title: longer words, shown when pointed at.
    """

    uri: str
    caption: str = ""
    kind: str = ""
    title: str = ""


def data_uri(pixels: Pixels, *, side: int = 128, quality: int = 82) -> str:
    """Encodes pixels as a JPEG data URI.

    Args:
        pixels: (H, W) or (H, W, 3); uint8, uint16, bool, or float in 0 to 1.
        side: the longer side is shrunk to this; smaller pictures stay as they are.
        quality: of the JPEG.
    """
    return jpeg_uri(Image.fromarray(_as_uint8(np.asarray(pixels))), side=side, quality=quality)


def picture(path: str | Path, channel: str = "", *, caption: str = "", kind: str = "", side: int = 128) -> Picture:
    """Makes a picture of a file; one that cannot be read becomes an empty frame that says why."""
    try:
        decoded = decode(path)
        pixels: Pixels = decoded.grey(channel) if channel or decoded.pixels.dtype != np.uint8 else decoded.rgb()
        return Picture(data_uri(pixels, side=side), caption, kind, _short(path, channel))
    except (BrainsiftError, OSError) as error:
        reason = error.rule if isinstance(error, BrainsiftError) else type(error).__name__
        return Picture("", caption or "unreadable", kind, f"{_short(path, channel)}: {reason}")


def sample_gallery(manifest: pd.DataFrame, *, per_class: int = 6, seed: int = 0) -> dict[str, list[Picture]]:
    """Draws images of each class at random, from as many groups and sources as there are.

    Args:
        manifest: with path, label; channel, source, group and status where known.
        per_class: how many of each class.
        seed: of the draw.

    Returns:
        Pictures by class name.
    """
    usable = manifest[manifest["status"] == "ok"] if "status" in manifest else manifest
    found = {}
    for name, label, kind in (("tumor", 1.0, "tumor"), ("no tumor", 0.0, "no_tumor")):
        rows = _spread(usable[usable["label"] == label], per_class, seed)
        found[name] = [picture(row.path, row.channel, caption=row.source, kind=kind) for row in _tuples(rows)]
    return {name: pictures for name, pictures in found.items() if pictures}


def error_gallery(predictions: pd.DataFrame, *, threshold: float = 0.5, count: int = 12) -> list[Picture]:
    """Shows the images that a model got most wrong, one a group.

    Args:
        predictions: path, channel, label, probability, group.
        threshold: a probability of at least this calls a tumor.
        count: how many.
    """
    wrong = predictions[(predictions["probability"] >= threshold) != (predictions["label"] == 1)].copy()
    wrong["regret"] = (wrong["probability"] - wrong["label"]).abs()
    worst = wrong.sort_values("regret", ascending=False).drop_duplicates("group").head(count)
    return [
        picture(row.path, row.channel, caption=_verdict(row.label, row.probability), kind="wrong")
        for row in _tuples(worst)
    ]


def named_gallery(rows: pd.DataFrame) -> list[Picture]:
    """Shows images with the names of their files.

    Args:
        rows: path, channel.
    """
    return [picture(row.path, row.channel, caption=Path(row.path).name) for row in _tuples(rows)]


def before_after(rows: pd.DataFrame, *, side: int = 128) -> list[list[Picture]]:
    """Shows images as they are and as the networks see them.

    Args:
        rows: path, channel.
        side: of each picture.

    Returns:
        A list an image: the file, `standard.standard`, and `baseline.baseline` where OpenCV is there.
    """
    found = []
    for row in _tuples(rows):
        line = [picture(row.path, row.channel, caption="file", side=side)]
        for preprocessing in ("standard", "baseline"):
            try:
                pixels = preprocess(row.path, channel=row.channel, preprocessing=preprocessing)
                line.append(Picture(data_uri(pixels, side=side), preprocessing))
            except (BrainsiftError, OSError):
                continue
        found.append(line)
    return found


def group_sheets(manifest: pd.DataFrame, *, groups: int = 6, per_group: int = 6) -> list[tuple[str, list[Picture]]]:
    """Shows the largest groups of images that are not byte-identical: what "near-duplicate" means on this data.

    Returns:
        Pairs of a heading and its pictures, the largest group first.
    """
    if "group" not in manifest:
        return []
    keys = [name for name in ("group", "sha256", "channel") if name in manifest]
    rows = manifest[(manifest["group"].fillna("") != "")].drop_duplicates(keys if "sha256" in keys else None)
    sizes = rows["group"].value_counts()
    found = []
    for group, size in sizes[sizes > 1].head(groups).items():
        members = rows[rows["group"] == group]
        shown = members.iloc[np.unique(np.linspace(0, len(members) - 1, per_group).astype(int))]
        found.append((f"{size} distinct files, {_classes(members['label'])}", _members(shown)))
    return found


def conflict_sheets(manifest: pd.DataFrame, *, groups: int = 6) -> list[tuple[str, list[Picture]]]:
    """Shows images that have a copy or near-duplicate of the other label, by group."""
    if "group" not in manifest or "flags" not in manifest:
        return []
    wanted = {"conflict", "near_conflict"}
    flagged = manifest[[bool(wanted & set(str(flags).split(";"))) for flags in manifest["flags"]]]
    return [
        (_classes(members["label"]), _members(members.head(6)))
        for _, members in list(flagged.groupby("group"))[:groups]
    ]


def _members(rows: pd.DataFrame) -> list[Picture]:
    return [
        picture(
            row.path, row.channel, caption=row.source, kind={1.0: "tumor", 0.0: "no_tumor"}.get(row.label, ""), side=112
        )
        for row in _tuples(rows)
    ]


def _tuples(rows: pd.DataFrame) -> Iterable[Any]:
    """Rows as named tuples that have channel, source and label in any case."""
    missing = {name: "" for name in ("channel", "source", "label") if name not in rows}
    filled = rows.assign(**missing)
    for name in ("channel", "source"):
        filled[name] = filled[name].fillna("")
    return filled.itertuples()


def _spread(rows: pd.DataFrame, count: int, seed: int) -> pd.DataFrame:
    """Picks rows from as many groups, and evenly from the sources."""
    drawn = rows.sample(frac=1.0, random_state=seed)
    if "group" in drawn:
        named = drawn["group"].fillna("") != ""
        drawn = pd.concat([drawn[named].drop_duplicates("group"), drawn[~named]])
    if "source" not in drawn or drawn.empty:
        return drawn.head(count)
    order = drawn.groupby("source").cumcount()
    return drawn.loc[order.sort_values(kind="stable").index[:count]]


def _classes(labels: Sequence[float]) -> str:
    counts = pd.Series(labels).map({1.0: "tumor", 0.0: "no tumor"}).fillna("unlabelled").value_counts()
    return ", ".join(f"{count} {name}" for name, count in counts.items())


def _verdict(label: float, probability: float) -> str:
    return f"{'tumor' if label == 1 else 'no tumor'}, given {100 * probability:.0f}\u00a0%"


def _short(path: str | Path, channel: str) -> str:
    named = "/".join(Path(path).parts[-3:])
    return f"{named} ({channel})" if channel else named


def _as_uint8(pixels: Pixels) -> npt.NDArray[np.uint8]:
    if pixels.dtype == np.uint8:
        return pixels.astype(np.uint8)
    values = pixels.astype(np.float64)
    if pixels.dtype == np.uint16:  # 12-bit scanners rarely fill 16 bits
        values = values / max(float(np.percentile(values, 99.8)), 1.0)
    return (np.clip(values, 0, 1) * 255).round().astype(np.uint8)
