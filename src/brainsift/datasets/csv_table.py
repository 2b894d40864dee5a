"""The one reader of CSV files that users hand over, whatever program or country wrote them."""

import csv
import io
import os
import re
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path

import numpy as np
import pandas as pd

from brainsift.core.errors import ManifestError, in_one_line

TEXT = pd.StringDtype("python", na_value=np.nan) if pd.__version__ >= "3" else np.dtype(object)
"""The type of text columns. Where pyarrow is installed pandas keeps text in it, which refuses file names that are not
UTF-8; and of objects it makes text again when it sorts."""

_PATHS = ("path", "mask", "image")
_SEPARATORS = ",;\t|"
_SAME = {"patientid": "patient", "filepath": "path", "imagepath": "path"}
# Other words for a column. Whether they mean it here only the user knows.
_SYNONYMS = {
    "path": ("file", "filename", "image", "imagefile", "imagename", "img"),
    "label": """
        class classname category target diagnosis tumor tumour hastumor istumor malignant groundtruth y
    """.split(),  # noqa: SIM905
    "patient": """
        subject subjectid subjectnumber sub participant participantid case caseid casenumber patientname patientnumber
        patientcode patientkey mrn pid
    """.split(),  # noqa: SIM905
    "part": ("split", "subset", "partition"),
}
_NEAR = 0.8  # similarity of two spellings, of 1
_NO_CSV = {
    b"PK\x03\x04": "is an Excel workbook or another ZIP file",
    b"\xd0\xcf\x11\xe0": "is an Excel workbook of the old format",
}
_ADVICE = "Save it as CSV text in UTF-8, with a header."


def read_table(
    path: Path, columns: Sequence[str], *, required: Sequence[str] = ("path",), base: Path | None = None
) -> pd.DataFrame:
    """Reads a CSV file as text.

    The separator may be a comma, a semicolon, a tab or a bar; the text UTF-8 or UTF-16. Cells may hold the bytes of
    file names that are not UTF-8. Paths may be written with backslashes.

    Args:
        path: the file.
        columns: names of the columns that have a meaning for the caller. Case and blanks around a name do not matter,
            and ``patient_id`` and ``PatientID`` are ``patient``. Other columns are carried along.
        required: those of them that must be there.
        base: the folder that relative paths count from; None for the folder of the file.

    Returns:
        One row per line. Every cell is text, "" where it is empty; in ``columns`` without blanks at its ends; paths
        are absolute.

    Raises:
        ManifestError: the file is no CSV text, lacks a column, names one twice, has a column whose name looks like a
            missing one (``lable``, ``subject``), a quote that is not closed, a row with too many cells, or a row
            without a path.
    """
    text = _text(path)
    if told := re.match(r"sep=(.)\r?\n", text):  # Excel's own first line
        separator, text = told[1], text[told.end() :]
    else:
        separator = _separator(_first_line(text), columns)
    (_, header), *rows = _rows(path, text, separator)
    rows = [(line, row) for line, row in rows if any(cell.strip() for cell in row)]
    names = _column_names(path, header, columns, required)
    for line, row in rows:
        if any(cell.strip() for cell in row[len(names) :]):
            rule = f"is no CSV table: line {line} has {len(row)} cells, the header has {len(names)}"
            raise ManifestError(path, rule, "Put quotes around a cell that holds the separator.")
        row.extend([""] * (len(names) - len(row)))
    folder = path.resolve().parent if base is None else base.absolute()
    table = pd.DataFrame(index=range(len(rows)))
    for place, name in enumerate(names):
        cells = [row[place] for _, row in rows]
        if name in columns and name in _PATHS:
            cells = [_located(cell, folder) for cell in cells]
        elif name in columns:
            cells = [cell.strip() for cell in cells]
        if name:  # a column without a name is the count of rows that pandas writes
            table[name] = pd.Series(cells, dtype=TEXT)
    if "path" in required and (table["path"] == "").any():
        line = rows[int((table["path"] == "").to_numpy().argmax())][0]
        raise ManifestError(path, f"has no path in line {line}", "Fill the column `path`, or delete the line.")
    return table


def _text(path: Path) -> str:
    try:
        content = path.read_bytes()
    except OSError as error:
        remedy = "Check the path and its permissions."
        raise ManifestError(path, f"cannot be read: {error.strerror or error}", remedy) from None
    for start, rule in _NO_CSV.items():
        if content.startswith(start):
            raise ManifestError(path, rule, 'Save it in the spreadsheet program as "CSV UTF-8".')
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        encoding = "utf-16"
    elif b"\0" in content[:2]:  # UTF-16 without a mark: every second byte of Latin letters is 0
        encoding = "utf-16-be" if content[:1] == b"\0" else "utf-16-le"
    else:
        encoding = "utf-8-sig"
    try:
        text = content.decode(encoding, "surrogateescape" if encoding == "utf-8-sig" else "strict")
        header = _first_line(text)
        header.encode()  # the header has to be UTF-8; cells may hold any name of a file
    except UnicodeError:
        raise ManifestError(path, "is no CSV table: its header is no UTF-8 or UTF-16 text", _ADVICE) from None
    if "\0" in text or re.search(r"[\x01-\x08\x0e-\x1f]", header) or not text.strip():
        raise ManifestError(path, f"is no CSV table: it {'is empty' if not text.strip() else 'is no text'}", _ADVICE)
    return text


def _rows(path: Path, text: str, separator: str) -> list[tuple[int, list[str]]]:
    """Returns the header and the rows, each with the number of its last line."""
    # Without `strict`, a quote that is never closed takes all lines after it into its cell.
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    rows: list[tuple[int, list[str]]] = []
    try:
        rows.extend((reader.line_num, row) for row in reader)
    except csv.Error as error:
        begin = rows[-1][0] + 1 if rows else 1
        rule = f"is no CSV table: the row that begins in line {begin} cannot be read ({in_one_line(error)})"
        remedy = 'Close each quote at the end of its cell, and write a quote within a quoted cell as "".'
        raise ManifestError(path, rule, remedy) from None
    return rows or [(0, [])]


def _first_line(text: str) -> str:
    return re.split(r"[\r\n]", text, maxsplit=1)[0]


def _letters(name: str) -> str:
    return re.sub(r"[\W_]", "", name.casefold())


def _meanings(columns: Sequence[str]) -> dict[str, str]:
    """Returns the spellings that stand for a column, all but letters and figures dropped."""
    same = {spelling: column for spelling, column in _SAME.items() if column in columns}
    return same | {_letters(column): column for column in columns}


def _separator(header: str, columns: Sequence[str]) -> str:
    """Returns the separator with which a header has the most known columns, and then the most columns at all."""
    meanings = _meanings(columns)

    def fit(separator: str) -> tuple[int, int]:
        cells = next(csv.reader([header], delimiter=separator), [])
        return sum(_letters(cell) in meanings for cell in cells), len(cells)

    return max(_SEPARATORS, key=fit)


def _column_names(path: Path, header: Sequence[str], columns: Sequence[str], required: Sequence[str]) -> list[str]:
    """Returns the name of each column: the caller's where it means one of the caller's, else its own."""
    names, meanings = [name.strip() for name in header], _meanings(columns)
    exact = {name.casefold() for name in names} & set(columns)
    for place, name in enumerate(names):
        meant = meanings.get(_letters(name))
        if meant and (name.casefold() == meant or meant not in exact):
            names[place] = meant
    twice = sorted({name for name in names if name and names.count(name) > 1})
    if twice:
        raise ManifestError(path, f"has the column `{twice[0]}` more than once", "Keep one, and rename the other.")
    missing = [column for column in columns if column not in names]
    for name in names:
        if name not in columns and (near := _near(name, missing)):
            rule = f"has the column `{name}` and no column `{near}`"
            raise ManifestError(
                path, rule, f"Rename it to `{near}` if it is that; else give it a name unlike `{near}`."
            )
    lacking = [column for column in required if column in missing]
    if lacking:
        rule = f"lacks the columns {lacking}; it has {[name for name in names if name]}"
        raise ManifestError(path, rule, "Add them to the header; `label` is 1 (tumor), 0 (no tumor) or empty.")
    return names


def _near(name: str, missing: Sequence[str]) -> str | None:
    letters = _letters(name)
    for column in missing:
        if letters in _SYNONYMS.get(column, ()) or get_close_matches(letters, [_letters(column)], cutoff=_NEAR):
            return column
    return None


def _located(cell: str, folder: Path) -> str:
    """Returns an absolute path; of the ways to read a cell, the first one under which a file is there."""
    if not cell.strip():
        return ""
    place = os.path.normpath(folder / cell)
    if cell == cell.strip() and "\\" not in cell:
        return place
    plain = os.path.normpath(folder / cell.strip())
    slashed = os.path.normpath(folder / cell.strip().replace("\\", "/"))
    return next((one for one in (place, plain) if os.path.exists(one)), slashed)
