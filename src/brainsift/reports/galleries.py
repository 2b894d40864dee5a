"""Pixels -> pictures inside a page: JPEG as data URIs, each with a caption."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
from PIL import Image

from brainsift.core.errors import BrainsiftError
from brainsift.core.labels import class_in_words
from brainsift.core.warned import collected_warnings
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
    if pixels.dtype == np.uint8:
        return jpeg_uri(Image.fromarray(pixels), side=side, quality=quality)
    values = pixels.astype(np.float64)
    if pixels.dtype == np.uint16:  # 12-bit scanners rarely fill 16 bits
        values = values / max(float(np.percentile(values, 99.8)), 1.0)
    eight_bits = (np.clip(values, 0, 1) * 255).round().astype(np.uint8)
    return jpeg_uri(Image.fromarray(eight_bits), side=side, quality=quality)


def picture(path: str | Path, channel: str = "", *, caption: str = "", kind: str = "", side: int = 128) -> Picture:
    """Makes a picture of a file; one that cannot be read becomes an empty frame that says why."""
    named = "/".join(Path(path).parts[-3:]) + (f" ({channel})" if channel else "")
    try:
        with collected_warnings():  # the audit has told of them
            decoded = decode(path)
        pixels: Pixels = decoded.grey(channel) if channel or decoded.pixels.dtype != np.uint8 else decoded.rgb()
        return Picture(data_uri(pixels, side=side), caption, kind, named)
    except (BrainsiftError, OSError) as error:
        reason = error.rule if isinstance(error, BrainsiftError) else type(error).__name__
        return Picture("", caption or "unreadable", kind, f"{named}: {reason}")


def sample_gallery(manifest: pd.DataFrame, *, per_class: int = 6, seed: int = 0) -> dict[str, list[Picture]]:
    """Draws images of each class at random, from as many groups and sources as there are.

    Args:
        manifest: audited.
        per_class: how many of each class.
        seed: of the draw.

    Returns:
        Pictures by class name.
    """
    found = {}
    for name, label, kind in (("tumor", 1.0, "tumor"), ("no tumor", 0.0, "no_tumor")):
        rows = manifest[(manifest["status"] == "ok") & (manifest["label"] == label)]
        drawn = rows.sample(frac=1.0, random_state=seed).drop_duplicates("group")
        order = drawn.groupby("source").cumcount().sort_values(kind="stable")  # sources by turns
        shown = drawn.loc[order.index[:per_class]]
        found[name] = [picture(row.path, row.channel, caption=row.source, kind=kind) for row in shown.itertuples()]
    return {name: pictures for name, pictures in found.items() if pictures}


def error_gallery(predictions: pd.DataFrame, *, count: int = 12) -> list[Picture]:
    """Shows the images that a model got most wrong, one per group.

    Args:
        predictions: path, channel, label, probability, threshold, group.
        count: how many.
    """
    wrong = predictions[(predictions["probability"] >= predictions["threshold"]) != (predictions["label"] == 1)].copy()
    wrong["regret"] = (wrong["probability"] - wrong["label"]).abs()
    worst = wrong.sort_values("regret", ascending=False).drop_duplicates("group").head(count)
    shown = []
    for row in worst.itertuples():
        truth = "tumor" if row.label == 1 else "no tumor"
        caption = f"{truth}, predicted {100 * row.probability:.0f}\u00a0%"
        shown.append(picture(row.path, row.channel, caption=caption, kind="wrong"))
    return shown


def named_gallery(rows: pd.DataFrame) -> list[Picture]:
    """Shows images with the names of their files.

    Args:
        rows: path, channel.
    """
    return [picture(row.path, row.channel, caption=Path(row.path).name) for row in rows.itertuples()]


def before_after(rows: pd.DataFrame, *, side: int = 128) -> list[list[Picture]]:
    """Shows images as they are and as the networks see them.

    Args:
        rows: path, channel.
        side: of each picture.

    Returns:
        One list per image: the file, `standard.standard`, and `baseline.baseline`; one that fails is left out.
    """
    found = []
    for row in rows.itertuples():
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
    rows = manifest[manifest["group"] != ""].drop_duplicates(["group", "sha256", "channel"])
    sizes = rows["group"].value_counts()
    found = []
    for group, size in sizes[sizes > 1].head(groups).items():
        members = rows[rows["group"] == group]
        shown = members.iloc[np.unique(np.linspace(0, len(members) - 1, per_group).astype(int))]
        found.append((f"{size} distinct files, {_classes(members['label'])}", _members(shown)))
    return found


def conflict_sheets(manifest: pd.DataFrame, *, groups: int = 6) -> list[tuple[str, list[Picture]]]:
    """Shows images that have a copy or near-duplicate of the other label, by group."""
    wanted = {"conflict", "near_conflict"}
    flagged = manifest[[bool(wanted & set(str(flags).split(";"))) for flags in manifest["flags"]]]
    return [
        (_classes(members["label"]), _members(members.head(6)))
        for _, members in list(flagged.groupby("group"))[:groups]
    ]


def _members(rows: pd.DataFrame) -> list[Picture]:
    kinds = {1.0: "tumor", 0.0: "no_tumor"}
    return [
        picture(row.path, row.channel, caption=row.source, kind=kinds.get(row.label, ""), side=112)
        for row in rows.itertuples()
    ]


def _classes(labels: Sequence[float]) -> str:
    counts = pd.Series(labels).map(class_in_words).value_counts()
    return ", ".join(f"{count} {name}" for name, count in counts.items())
