"""The table of records: one row per image, read and written as one CSV file.

All stages share it as a pandas DataFrame. Columns that a stage does not know are carried along.

Written by `catalog`:
    path      absolute in memory; in the file relative to the file's folder where possible
    channel   "" for the whole image, or "R", "G", "B" where one colour channel is an image of its own
    source    name of the collection
    label     1.0 tumor, 0.0 no tumor, NaN unknown
    patient   "" where unknown
    contrast  "t1", "t1ce", "t2", "flair", or "" where unknown
    plane     "axial", "coronal", "sagittal", or "" where unknown
    kind      kind of tumor in the source's words, or ""
    mask      "" or a reference to a segmentation mask of the tumor, as `images.masks.load_mask` reads it

Written by `audit`:
    status         "ok", "unreadable" or "tiny"
    format, mode   of the file as decoded: "JPEG", "PNG"; "L", "RGB", "P", ...
    width, height  pixels
    bytes          size of the file
    sha256         of the file
    pixels_sha256  of the decoded pixels
    group          images that must stay in one subset: near-duplicates and patients, joined
    flags          words joined by ";": "duplicate", "conflict", "off_topic", ...
    detail         what is wrong, in words

Written by `split`:
    part           "train", "validation", "test", or "" for images left out: the subset
"""

import os
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from brainsift.core.errors import ManifestError
from brainsift.core.files import replacing
from brainsift.datasets.csv_table import TEXT, read_table
from brainsift.datasets.labelling import Labelling, Ruling

SOURCE_COLUMNS = ("path", "channel", "source", "label", "patient", "contrast", "plane", "kind", "mask")
AUDIT_COLUMNS = (
    "status",
    "format",
    "mode",
    "width",
    "height",
    "bytes",
    "sha256",
    "pixels_sha256",
    "group",
    "flags",
    "detail",
)
PARTS = ("train", "validation", "test")
SEVERAL_PICTURES = "several_pictures"
"""The flag of an image that is the first of several in its file, such as a page of a TIFF; the others are not read."""
_COUNTS = ("width", "height", "bytes")


def write_manifest(table: pd.DataFrame, path: Path) -> None:
    """Writes a manifest, whole or not at all; paths become relative to its folder."""
    folder = path.resolve().parent
    moved = table.copy()
    for column in ("path", "mask"):
        if column in moved:
            places = [_relative(place, folder) for place in moved[column]]
            moved[column] = pd.Series(places, index=moved.index, dtype=TEXT)
    with replacing(path) as temporary:
        moved.to_csv(temporary, index=False, errors="surrogateescape")


def read_manifest(path: Path, mapping: Mapping[str, Ruling] | None = None) -> pd.DataFrame:
    """Reads a manifest; paths become absolute, and names of classes labels.

    Args:
        path: the CSV file.
        mapping: labels of names that brainsift does not know, such as ``{"sain": 0}``; see `labelling.Labelling`.

    Raises:
        ManifestError: the file is missing, lacks a column or a valid label, or lists an image twice with two labels.
        UsageError: an entry of the mapping matches nothing.
    """
    if not path.is_file():
        raise ManifestError(path, "no such file", "Make one with `brainsift audit DATA... -o DIR`.")
    table = read_table(path, (*SOURCE_COLUMNS, "part"), required=("path", "label"))
    labelling = Labelling(mapping or {})
    table["label"] = labelling.of_cells(table["label"], path)
    for column in _COUNTS:
        if column in table:
            table[column] = _counts(table[column], path)
    for column in SOURCE_COLUMNS:
        if column not in table:
            table[column] = pd.Series(path.stem if column == "source" else "", index=table.index, dtype=TEXT)
    labelling.correct(table)
    labelling.refuse_unused()
    refuse_conflicts(table, path)
    return table


def refuse_conflicts(table: pd.DataFrame, origin: object) -> None:
    """Refuses a table that gives one image two labels, or two patients.

    Args:
        table: with the columns path, channel, label and patient; an unknown label or patient contradicts nothing.
        origin: where the table comes from, for the error.

    Raises:
        ManifestError: there is one.
    """
    repeated = table[table.duplicated(["path", "channel"], keep=False)]
    for column in ("label", "patient"):
        known = repeated[repeated[column].notna() & (repeated[column] != "")]
        values = known.groupby(["path", "channel"])[column].unique()
        if (conflicts := values[values.map(len) > 1]).size:
            path, (first, second, *_) = conflicts.index[0][0], conflicts.iloc[0]
            rule = f"{path} is listed with the {column} {first} and with the {column} {second}"
            more = f", and {len(conflicts) - 1} more images so" if len(conflicts) > 1 else ""
            raise ManifestError(origin, rule + more, f"Keep the right {column} of each image.")


def several_pictures_note(table: pd.DataFrame) -> str:
    """Says how many images of the subsets are the first of several in their file; "" where there is none.

    Args:
        table: with the columns flags and part; one without flags was not audited, and tells nothing.
    """
    if "flags" not in table or "part" not in table:
        return ""
    flags = table.loc[table["part"] != "", "flags"].fillna("").str.split(";")
    count = sum(SEVERAL_PICTURES in of_one for of_one in flags)
    if not count:
        return ""
    words = "1 image is" if count == 1 else f"{count} images are"
    return f"{words} the first of several pictures in the file; the others are not used. Save each as its own file."


def _counts(column: pd.Series, path: Path) -> pd.Series:
    try:
        return pd.to_numeric(column.replace("", None)).astype("Int64")
    except (TypeError, ValueError) as error:
        rule = f"column `{column.name}` holds a value that is no whole number: {error}"
        raise ManifestError(path, rule, "Make the manifest again with `brainsift audit`.") from None


def _relative(path: str, folder: Path) -> str:
    if not path:
        return ""
    try:
        return Path(os.path.relpath(path, folder)).as_posix()
    except ValueError:  # another drive on Windows
        return path
