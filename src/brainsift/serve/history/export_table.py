"""The history as a CSV table for `brainsift evaluate` and `brainsift calibrate`."""

import io
from collections.abc import Iterable, Mapping
from typing import Any

from brainsift.core.files import csv_writer
from brainsift.inference.decision import rounded

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
    "margin",
    "detail",
    "model",
    "slices",
    "reason",
    "cautions",
)
Row = Mapping[str, Any]


def as_csv(rows: Iterable[Row], folder: str) -> str:
    """Returns cases as a table; see `History.export`.

    Args:
        rows: of the table `cases`.
        folder: the history's folder, as the reader of the table sees it.
    """
    text = io.StringIO()
    write_row = csv_writer(text, EXPORT_COLUMNS)
    for row in rows:
        write_row(exported(row, folder))
    return text.getvalue()


def exported(row: Row, folder: str) -> dict[str, Any]:
    """Returns a case as a row of the table."""
    number, name = row["id"], row["name"]
    # Files of several patients may have one name, and series have none: only the number tells volumes apart.
    volume = f"{row['volume'] or name} ({row['part_of'] or number})" if row["volume"] or row["slices"] else ""
    place = f"{IMAGES}/{number}.png" if row["picture"] else f"not-kept/{number}-{name.translate(_NO_PATH)}"
    return {
        **row,
        "path": f"{folder.rstrip('/')}/{place}",
        "probability": rounded(row["probability"]),
        "channel": "",
        "source": "history",
        "label": _label(row),
        "patient": volume,
        "group": volume or name,
    }


_LABELS = {"tumor": "1", "no_tumor": "0"}
_NO_PATH = str.maketrans("/\\", "__")


def _label(row: Row) -> str:
    """Returns "1", "0", or "" without a verdict; a volume without a tumor has no slice with one."""
    if row["status"] != "ok":
        return ""
    whole = row["volume_verdict"] if row["volume_verdict"] == "no_tumor" else None
    return _LABELS.get(row["verdict"] or whole or "", "")
