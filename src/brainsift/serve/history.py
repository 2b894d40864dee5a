"""What was scored, and what readers said of it: one SQLite file on this machine, and PNG files where asked.

FOLDER/history.sqlite   a row an image, with the reader's verdict; mode 0600
FOLDER/images/          12.png and 12-map.png of case 12; folder 0700, files 0600

Rows and images that were deleted leave nothing in these files: SQLite overwrites them, and its log is emptied.
"""

import csv
import io
import os
import sqlite3
import threading
import unicodedata
import weakref
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, get_args

from brainsift.errors import HistoryError, NotFoundError, in_one_line
from brainsift.files import sha256_of
from brainsift.labels import CLASS_NAMES

FILE = "history.sqlite"
IMAGES = "images"
APPLICATION = 0x62736874
"""SQLite's mark of whose file it is: "bsht"."""
SCHEMA = 1
Verdict = Literal["agree", "disagree", "unsure"]
Layer = Literal["picture", "map"]
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
)
_WAIT_SECONDS = 15.0
_SUFFIX: dict[Layer, str] = {"picture": ".png", "map": "-map.png"}
_FORMULA = ("=", "+", "-", "@")
_TABLE = f"""
CREATE TABLE cases (
    id INTEGER PRIMARY KEY AUTOINCREMENT,  -- never used again after a case is deleted
    created TEXT NOT NULL,
    name TEXT NOT NULL,
    volume TEXT NOT NULL,
    status TEXT NOT NULL,
    probability REAL,
    decision TEXT NOT NULL,
    leaning TEXT NOT NULL,
    threshold REAL NOT NULL,
    detail TEXT NOT NULL,
    model TEXT NOT NULL,
    picture TEXT NOT NULL,  -- SHA-256 of the kept picture, or empty
    map INTEGER NOT NULL,
    verdict TEXT CHECK (verdict IN {get_args(Verdict)}),
    note TEXT NOT NULL DEFAULT '',
    judged TEXT
)
"""
# Of a picture that was scored more than once, the case that was judged last, or else the newest.
_ONE_A_PICTURE = """
SELECT * FROM (
    SELECT *, ROW_NUMBER() OVER (
        PARTITION BY CASE picture WHEN '' THEN CAST(id AS TEXT) ELSE picture END ORDER BY judged DESC, id DESC
    ) AS place FROM cases
) WHERE place = 1 ORDER BY id
"""


@dataclass(frozen=True)
class HistoryRow:
    """An answer to keep.

    Attributes:
        name: for display.
        volume: of the slice, or "".
        status: "ok", "not_brain_mri" or "unreadable".
        probability: calibrated; None where unreadable.
        decision: "tumor", "no_tumor", "refer", or "" where unreadable.
        leaning: which side of the threshold the probability is on, "tumor" or "no_tumor"; "" where unreadable.
        threshold: that was in use.
        detail: why, in words.
        model: name and version of the network.
        picture_png: the image as PNG; kept only where the history keeps images.
        map_png: its tumor map as PNG; likewise.
    """

    name: str
    volume: str
    status: str
    probability: float | None
    decision: str
    leaning: str
    threshold: float
    detail: str
    model: str
    picture_png: bytes | None = field(default=None, repr=False)
    map_png: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Case:
    """A kept answer; the attributes are those of `HistoryRow` and these.

    Attributes:
        id: its number, never given twice.
        created: when it was scored, ISO 8601, UTC.
        picture: whether the image is kept.
        map: whether its tumor map is kept.
        verdict: of the reader on the leaning; None before he gave one.
        note: the reader's.
    """

    id: int
    created: str
    name: str
    volume: str
    status: str
    probability: float | None
    decision: str
    leaning: str
    threshold: float
    detail: str
    model: str
    picture: bool
    map: bool
    verdict: Verdict | None
    note: str


class _Connection(sqlite3.Connection):
    """A connection that can stand in a set of weak references."""


class History:
    """The store; any thread may use it, and other processes the same folder.

    Args:
        folder: made where it is missing, for its owner alone.
        keep_images: whether images and tumor maps are kept as well.

    Raises:
        HistoryError: the folder cannot be written, or its file is of another program or version.
    """

    def __init__(self, folder: Path, *, keep_images: bool) -> None:
        self.folder, self.keeps_images = Path(os.path.abspath(folder.expanduser())), keep_images  # noqa: PTH100
        self._file, self._images = self.folder / FILE, self.folder / IMAGES
        self._writer, self._local = threading.Lock(), threading.local()
        self._connections: weakref.WeakSet[_Connection] = weakref.WeakSet()
        with self._told():
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._images.mkdir(mode=0o700, exist_ok=True)
            os.close(os.open(self._file, os.O_RDWR | os.O_CREAT, 0o600))
            self._prepare()

    def record(self, rows: Sequence[HistoryRow]) -> list[int]:
        """Keeps answers, all of them or none; returns the numbers of the cases."""
        created, numbers = _now(), []
        try:
            with self._writing() as connection:
                for row in rows:
                    numbers.append(self._insert(connection, row, created))
                    self._write_images(numbers[-1], row)
        except BaseException:
            self._remove_images(numbers)
            raise
        return numbers

    def search(
        self, *, query: str = "", verdict: str = "", decision: str = "", limit: int = 50, offset: int = 0
    ) -> tuple[int, list[Case]]:
        """Finds cases, the newest first.

        Args:
            query: words that all stand in the name, the volume, the detail or the note, upper or lower case.
            verdict: "agree", "disagree", "unsure", "none" for cases without one, or "" for all.
            decision: one of them, or "" for all.
            limit: of cases returned.
            offset: of the first case returned.

        Returns:
            How many there are in all, and a page of them.
        """
        words = [("instr(casefold(name||' '||volume||' '||detail||' '||note), ?)", word) for word in _folded(query)]
        given = [("ifnull(verdict, 'none') = ?", verdict), ("decision = ?", decision)]
        tests = words + [test for test in given if test[1]]
        where = " AND ".join(["1", *(test for test, _ in tests)])
        values = [value for _, value in tests]
        page = f"SELECT * FROM cases WHERE {where} ORDER BY id DESC LIMIT ? OFFSET ?"
        with self._told():
            total = self._connection().execute(f"SELECT count(*) FROM cases WHERE {where}", values).fetchone()[0]
            rows = self._connection().execute(page, [*values, limit, offset]).fetchall()
        return total, [_case(row) for row in rows]

    def open(self, number: int) -> Case:
        """Returns a case.

        Raises:
            NotFoundError: there is none of this number.
        """
        with self._told():
            row = self._connection().execute("SELECT * FROM cases WHERE id = ?", [number]).fetchone()
        if row is None:
            raise _no_case(number)
        return _case(row)

    def image(self, number: int, layer: Layer) -> bytes:
        """Returns a kept image as PNG.

        Raises:
            NotFoundError: no such case, or its image was not kept.
        """
        case = self.open(number)
        path = self._path(number, layer)
        if not (case.picture if layer == "picture" else case.map) or not path.is_file():
            raise NotFoundError(f"the {layer} of case {number}", "was not kept", "Start with --keep-images to keep it.")
        return path.read_bytes()

    def judge(self, number: int, verdict: Verdict | None, note: str = "") -> Case:
        """Puts down what a reader says of the leaning of a case; the last word counts.

        Raises:
            NotFoundError: there is none of this number.
        """
        judged = None if verdict is None else _now()
        change = "UPDATE cases SET verdict = ?, note = ?, judged = ? WHERE id = ?"
        with self._writing() as connection:
            done = connection.execute(change, [verdict, _printable(note, keep="\n\t"), judged, number])
            if not done.rowcount:
                raise _no_case(number)
        return self.open(number)

    def delete(self, number: int) -> None:
        """Deletes a case and its images.

        Raises:
            NotFoundError: there is none of this number.
        """
        if not self._delete("id = ?", [number]):
            raise _no_case(number)

    def clear(self) -> int:
        """Deletes all cases and images; returns how many cases there were."""
        return self._delete("1", [])

    def export(self, folder: str = "") -> str:
        """Returns a CSV table that `brainsift evaluate` reads as predictions and as truth, and `brainsift calibrate`.

        A row an image: where the same picture was scored more than once, the case that was judged last. ``label`` is 1
        or 0 where a reader agreed or disagreed with the leaning of an image with status "ok", else empty. ``path`` is
        that of the kept image, or stands for it where none was kept. The slices of a volume have its name as
        ``patient``, because they belong together.

        Args:
            folder: of the history as it is called where the table is read; this folder by default.
        """
        with self._told():
            rows = self._connection().execute(_ONE_A_PICTURE).fetchall()
        text = io.StringIO()
        writer = csv.DictWriter(text, EXPORT_COLUMNS, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(_exported(dict(row), folder or str(self.folder)) for row in rows)
        return text.getvalue()

    def close(self) -> None:
        """Closes the connections of all threads."""
        for connection in list(self._connections):
            connection.close()
        self._local = threading.local()

    def _connection(self) -> sqlite3.Connection:
        found: _Connection | None = getattr(self._local, "connection", None)
        if found is None:
            found = sqlite3.connect(
                self._file,
                timeout=_WAIT_SECONDS,
                isolation_level=None,
                check_same_thread=False,  # `close` is called by another thread
                factory=_Connection,
            )
            found.row_factory = sqlite3.Row
            found.create_function("casefold", 1, str.casefold, deterministic=True)
            found.execute("PRAGMA secure_delete = ON")
            self._connections.add(found)
            self._local.connection = found
        return found

    def _prepare(self) -> None:
        if _is_new(self._connection(), self._file):
            self._connection().execute("PRAGMA journal_mode = WAL")
        with self._writing() as connection:
            if _is_new(connection, self._file):
                connection.execute(_TABLE)
                connection.execute(f"PRAGMA application_id = {APPLICATION}")
                connection.execute(f"PRAGMA user_version = {SCHEMA}")
            self._sweep(connection)

    def _sweep(self, connection: sqlite3.Connection) -> None:
        """Removes images without a case: a process was killed while it recorded or deleted."""
        known = {str(row[0]) for row in connection.execute("SELECT id FROM cases")}
        for path in self._images.glob("*.png"):
            if path.stem.removesuffix("-map") not in known:
                path.unlink(missing_ok=True)

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            rule = f"cannot be read or written: {in_one_line(error)}"
            raise HistoryError(self._file, rule, "Check its folder, or keep the history in another.") from error

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with self._writer, self._told():
            connection = self._connection()
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise

    def _insert(self, connection: sqlite3.Connection, row: HistoryRow, created: str) -> int:
        picture = row.picture_png if self.keeps_images else None
        values = {
            "created": created,
            "name": _printable(row.name),
            "volume": _printable(row.volume),
            "status": row.status,
            "probability": row.probability,
            "decision": row.decision,
            "leaning": row.leaning,
            "threshold": row.threshold,
            "detail": _printable(row.detail),
            "model": row.model,
            "picture": sha256_of(picture) if picture else "",
            "map": bool(self.keeps_images and row.map_png),
        }
        marks = ", ".join(f":{name}" for name in values)
        done = connection.execute(f"INSERT INTO cases ({', '.join(values)}) VALUES ({marks})", values)
        assert done.lastrowid is not None
        return done.lastrowid

    def _write_images(self, number: int, row: HistoryRow) -> None:
        layers: Mapping[Layer, bytes | None] = {"picture": row.picture_png, "map": row.map_png}
        for layer, png in layers.items():
            if png and self.keeps_images:
                handle = os.open(self._path(number, layer), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
                with os.fdopen(handle, "wb") as file:
                    file.write(png)

    def _delete(self, where: str, values: Sequence[int]) -> int:
        with self._writing() as connection:
            numbers = [row[0] for row in connection.execute(f"SELECT id FROM cases WHERE {where}", values)]
            connection.execute(f"DELETE FROM cases WHERE {where}", values)
        with self._told():
            self._remove_images(numbers)
            # The log still holds what was deleted until its pages are in the file and it is emptied.
            self._connection().execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        return len(numbers)

    def _remove_images(self, numbers: Sequence[int]) -> None:
        for number in numbers:
            for layer in get_args(Layer):
                self._path(number, layer).unlink(missing_ok=True)

    def _path(self, number: int, layer: Layer) -> Path:
        return self._images / f"{number}{_SUFFIX[layer]}"


def _is_new(connection: sqlite3.Connection, file: Path) -> bool:
    owner, version, tables = (
        connection.execute(question).fetchone()[0]
        for question in ("PRAGMA application_id", "PRAGMA user_version", "SELECT count(*) FROM sqlite_master")
    )
    if (owner, version, tables) == (0, 0, 0):
        return True
    if owner != APPLICATION:
        raise HistoryError(file, "is the database of another program", "Keep the history in another folder.")
    if version != SCHEMA:
        rule = f"was made by another version: its schema is {version}, this version reads {SCHEMA}"
        raise HistoryError(file, rule, "Use that version of brainsift, or keep the history in another folder.")
    return False


def _case(row: sqlite3.Row) -> Case:
    values = {name: row[name] for name in Case.__dataclass_fields__}
    return Case(**{**values, "picture": bool(row["picture"]), "map": bool(row["map"])})


def _exported(row: dict[str, Any], folder: str) -> dict[str, Any]:
    number, name = row["id"], row["name"]
    place = f"{IMAGES}/{number}.png" if row["picture"] else f"not-kept/{number}-{name.translate(_NO_PATH)}"
    values = {
        **row,
        "path": f"{folder.rstrip('/')}/{place}",
        "channel": "",
        "source": "history",
        "label": _label(row),
        "patient": row["volume"],
        "group": row["volume"] or name,
    }
    texts = ("patient", "group", "note", "name", "volume", "detail", "model")
    return {**values, **{text: _no_formula(values[text]) for text in texts}}


_NO_PATH = str.maketrans("/\\", "__")


def _label(row: Mapping[str, Any]) -> str:
    if row["status"] != "ok" or row["verdict"] not in ("agree", "disagree"):
        return ""
    return str(int((row["leaning"] == CLASS_NAMES[1]) == (row["verdict"] == "agree")))


def _no_formula(text: str) -> str:
    """Keeps a spreadsheet from running what a file is called."""
    return f"'{text}" if text.startswith(_FORMULA) else text


def _printable(text: str, *, keep: str = "") -> str:
    return "".join(sign for sign in text if sign in keep or unicodedata.category(sign)[0] != "C")


def _folded(query: str) -> list[str]:
    return query.casefold().split()


def _no_case(number: int) -> NotFoundError:
    return NotFoundError(f"case {number}", "is not in the history", "It may have been deleted; search again.")


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
