"""The table of records: one row an image, read and written as one CSV file.

All stages share it as a pandas DataFrame. Columns that a stage does not know are carried along.

Written by `sources`:
    path      absolute in memory; in the file relative to the file's folder where possible
    channel   "" for the whole image, or "R", "G", "B" where one colour channel is an image of its own
    source    name of the collection
    label     1.0 tumor, 0.0 no tumor, NaN unknown
    patient   "" where unknown
    contrast  "t1", "t1ce", "t2", "flair", or "" where unknown
    kind      kind of tumor in the source's words, or ""
    mask      "" or a reference that `catalog.load_mask` reads (outline of the tumor)

Written by `audit`:
    status         "ok", "unreadable" or "tiny"
    format, mode   of the file as decoded: "JPEG", "PNG"; "L", "RGB", "P", ...
    width, height  pixels
    bytes          size of the file
    sha256         of the file
    pixels_sha256  of the decoded pixels
    group          images that must stay in one part: near-duplicates and patients, joined
    flags          words joined by ";": "duplicate", "conflict", "off_topic", ...
    detail         what is wrong, in words

Written by `split`:
    part           "train", "validation", "test", or "" for images left out
"""

import os
from pathlib import Path

import pandas as pd

from brainsift.core.errors import ManifestError
from brainsift.core.files import replacing
from brainsift.core.labels import label_from_name

# Where pyarrow is installed pandas keeps strings in it, and it refuses names of files that are not UTF-8.
pd.set_option("mode.string_storage", "python")

SOURCE_COLUMNS = ("path", "channel", "source", "label", "patient", "contrast", "kind", "mask")
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
_PATH_COLUMNS = ("path", "mask")
_NUMBERS = {"label": float, "width": "Int64", "height": "Int64", "bytes": "Int64"}


def write_manifest(table: pd.DataFrame, path: Path) -> None:
    """Writes a manifest, whole or not at all; paths become relative to its folder."""
    folder = path.resolve().parent
    moved = table.copy()
    for column in _PATH_COLUMNS:
        if column in moved:
            moved[column] = [_relative(value, folder) for value in moved[column]]
    with replacing(path) as temporary:
        moved.to_csv(temporary, index=False, errors="surrogateescape")


def read_manifest(path: Path) -> pd.DataFrame:
    """Reads a manifest; paths become absolute, and names of classes labels.

    Raises:
        ManifestError: the file is missing, or lacks a column or a valid label.
    """
    if not path.is_file():
        raise ManifestError(path, "no such file", "Make one with `brainsift audit DATA... -o DIR`.")
    table = read_csv(path, dtype=str)
    missing = [column for column in ("path", "label") if column not in table]
    if missing:
        raise ManifestError(path, f"lacks the columns {missing}", "Add them; `label` is 1, 0 or empty.")
    named = {text: label_from_name(text) for text in table["label"].unique()}
    table["label"] = table["label"].replace({text: str(label) for text, label in named.items() if label is not None})
    for column, dtype in _NUMBERS.items():
        if column in table:
            table[column] = _numbers(table[column], path, column, dtype)
    if not table["label"].dropna().isin([0.0, 1.0]).all():
        raise ManifestError(path, "a label is neither 1, 0 nor empty", "Correct the column `label`.")
    folder = path.resolve().parent
    for column in _PATH_COLUMNS:
        if column in table:
            table[column] = [_absolute(value, folder) for value in table[column]]
    for column in SOURCE_COLUMNS:
        if column not in table:
            table[column] = path.stem if column == "source" else ""
    return table


def read_csv(path: Path, *, dtype: type | None = None) -> pd.DataFrame:
    """Reads any CSV table; empty cells are "", and names of files need not be UTF-8.

    Raises:
        ManifestError: it is none.
    """
    try:
        table = pd.read_csv(path, dtype=dtype, keep_default_na=False, encoding_errors="surrogateescape")
        "".join(table).encode()  # its header has to be UTF-8
        return table
    except ValueError as error:  # of pandas and of the decoder
        reason = " ".join(str(error).split())
        raise ManifestError(path, f"is no CSV table: {reason}", "Give a CSV file in UTF-8, with a header.") from None


def _numbers(column: pd.Series, path: Path, name: str, dtype: object) -> pd.Series:
    try:
        return pd.to_numeric(column.replace("", None)).astype(dtype)
    except (TypeError, ValueError) as error:
        raise ManifestError(path, f"column `{name}` holds a value that is no number: {error}", "Correct it.") from None


def _relative(path: str, folder: Path) -> str:
    if not path:
        return ""
    try:
        return Path(os.path.relpath(path, folder)).as_posix()
    except ValueError:  # another drive on Windows
        return path


def _absolute(path: str, folder: Path) -> str:
    return str(Path(os.path.normpath(folder / path))) if path else ""
