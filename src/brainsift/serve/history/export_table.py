"""The history as a CSV table for `brainsift evaluate` and `brainsift calibrate`."""

import csv
import io
from collections.abc import Iterable, Mapping
from typing import Any

from brainsift.core.labels import CLASS_NAMES

IMAGES = "images"
"""Folder of the kept images, within that of the history."""
EXPORT_COLUMNS = (
    "path",
    "channel",
    "source",
    "label",
    "patient",
    "group",
    "probability",
    "decision",
    "verdict",
    "note",
    "created",
    "judged",
    "name",
    "volume",
    "status",
    "leaning",
    "threshold",
    "detail",
    "model",
    "slices",
)
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
Row = Mapping[str, Any]


def as_csv(rows: Iterable[Row], folder: str) -> str:
    """Writes cases as a table; see `History.export`.

    Args:
        rows: of the history's own table.
        folder: of the history, as it is called where the table is read.
    """
    text = io.StringIO()
    writer = csv.DictWriter(text, EXPORT_COLUMNS, extrasaction="ignore")
    writer.writeheader()
    writer.writerows(_exported(row, folder) for row in rows)
    return text.getvalue()


def _exported(row: Row, folder: str) -> dict[str, Any]:
    number, name = row["id"], row["name"]
    # Files of many patients have one name, and series have none: what tells volumes apart is their number.
    volume = f"{row['volume'] or name} ({row['part_of'] or number})" if row["volume"] or row["slices"] else ""
    place = f"{IMAGES}/{number}.png" if row["picture"] else f"not-kept/{number}-{name.translate(_NO_PATH)}"
    values = {
        **row,
        "path": _no_formula_path(f"{folder.rstrip('/')}/{place}"),
        "channel": "",
        "source": "history",
        "label": _label(row),
        "patient": volume,
        "group": volume or name,
    }
    texts = ("patient", "group", "note", "name", "volume", "detail", "model")
    return {**values, **{text: no_formula(values[text]) for text in texts}}


_NO_PATH = str.maketrans("/\\", "__")


def _label(row: Row) -> str:
    """Returns "1", "0", or "" where no verdict tells; a volume without a tumor has no slice with one."""
    if row["status"] != "ok":
        return ""
    if row["verdict"] is None and _truth(row["volume_leaning"], row["volume_verdict"]) == "0":
        return "0"
    return _truth(row["leaning"], row["verdict"])


def _truth(leaning: str | None, verdict: str | None) -> str:
    if not leaning or verdict not in ("agree", "disagree"):
        return ""
    return str(int((leaning == CLASS_NAMES[1]) == (verdict == "agree")))


def no_formula(text: str) -> str:
    """Keeps a spreadsheet from running what a file is called.

    >>> no_formula("=1+1"), no_formula("scan.png")
    ("'=1+1", 'scan.png')
    """
    return f"'{text}" if text.startswith(_FORMULA) else text


def _no_formula_path(path: str) -> str:
    """Does the same for a path, which still leads to its file."""
    return f"./{path}" if path.startswith(_FORMULA) else path
