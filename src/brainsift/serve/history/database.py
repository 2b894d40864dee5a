"""The SQLite file of the history: one connection per thread, one writer at a time, no deleted rows left in its log."""

import os
import sqlite3
import threading
import time
import unicodedata
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Literal, get_args

from brainsift.core.errors import HistoryError, in_one_line
from brainsift.serve.history.contours import TABLES as _CONTOURS

APPLICATION = 0x62736874
"""The mark by which SQLite files of one program are known: "bsht"."""
SCHEMA = 7
Verdict = Literal["tumor", "no_tumor", "unsure", "not_brain_mri"]
"""What a reader says that a case shows."""
_WAIT_S, _HURRY_S, _BLOCKED_S = 15.0, 1.0, 0.05
_TRIES, _TRY_S = 20, 0.05
_CACHE_KIB = 512
_TABLE = f"""
CREATE TABLE cases (
    id INTEGER PRIMARY KEY AUTOINCREMENT,  -- never used again after a case is deleted
    part_of INTEGER,  -- for a slice of a volume: the case of the volume
    created TEXT NOT NULL,
    name TEXT NOT NULL,
    volume TEXT NOT NULL,
    status TEXT NOT NULL,
    probability REAL,
    decision TEXT NOT NULL,
    leaning TEXT NOT NULL,
    threshold REAL NOT NULL,
    margin REAL NOT NULL,
    detail TEXT NOT NULL,
    model TEXT NOT NULL,
    slices INTEGER NOT NULL,
    picture TEXT NOT NULL,  -- SHA-256 of the kept picture, or empty
    map INTEGER NOT NULL,
    verdict TEXT CHECK (verdict IN {get_args(Verdict)}),
    note TEXT NOT NULL DEFAULT '',
    judged TEXT,
    reason TEXT,  -- code of `detail`; NULL in rows that were kept before schema 3
    cautions TEXT NOT NULL DEFAULT '',  -- codes, between commas
    has_focus INTEGER  -- whether the tumor map has a contour; NULL without a map, and in rows from before schema 4
)
"""
_INDEX = "CREATE INDEX slices_of ON cases (part_of)"
_STUDY = (  # in new files, too
    "ALTER TABLE cases ADD COLUMN patient TEXT NOT NULL DEFAULT ''",  # a checksum; see `Acquisition`
    "ALTER TABLE cases ADD COLUMN study_date TEXT NOT NULL DEFAULT ''",
)
_PLACE = ("ALTER TABLE cases ADD COLUMN geometry TEXT NOT NULL DEFAULT ''",)  # of an image or a slice: JSON, or empty
_KEPT_3 = (
    "id, part_of, created, name, volume, status, probability, decision, leaning, threshold, margin, detail, model, "
    "slices, picture, map, judged, reason"
)
# Up to schema 3, a verdict was on the prediction: on the side of the threshold, or on the rejection. Whoever disagreed
# with a rejection did not say what the image shows; the note says it.
_VERDICT_4 = """
CASE WHEN verdict IS NULL THEN NULL
    WHEN status = 'not_brain_mri' AND verdict = 'agree' THEN 'not_brain_mri'
    WHEN status != 'ok' OR verdict = 'unsure' THEN 'unsure'
    WHEN (verdict = 'agree') = (leaning = 'tumor') THEN 'tumor' ELSE 'no_tumor' END
"""
_NOTE_4 = """
CASE WHEN status = 'not_brain_mri' AND verdict = 'disagree' THEN trim('This is a brain MRI. ' || note) ELSE note END
"""
_UPGRADES: dict[int, tuple[str, ...]] = {  # from a schema to the next one
    2: ("ALTER TABLE cases ADD COLUMN reason TEXT",),
    3: (
        "ALTER TABLE cases RENAME TO cases_3",
        _TABLE,
        f"INSERT INTO cases ({_KEPT_3}, verdict, note) SELECT {_KEPT_3}, {_VERDICT_4}, {_NOTE_4} FROM cases_3",
        "DELETE FROM sqlite_sequence WHERE name = 'cases'",
        "INSERT INTO sqlite_sequence (name, seq) SELECT 'cases', seq FROM sqlite_sequence WHERE name = 'cases_3'",
        "DROP TABLE cases_3",
        _INDEX,
    ),
    4: _CONTOURS,
    5: _STUDY,
    6: _PLACE,
}


class _Connection(sqlite3.Connection):
    """A connection that a set of weak references can hold, and that closes when its thread has ended."""

    def __del__(self) -> None:
        """Closes it; Python 3.13 and newer warn of one that is left open."""
        with suppress(sqlite3.ProgrammingError):  # it never opened
            self.close()


class HistoryFile:
    """The file; any thread may use it, and other processes as well.

    Args:
        path: in a folder that `prepare` expects.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._writer, self._local = threading.RLock(), threading.local()
        self._connections: weakref.WeakSet[_Connection] = weakref.WeakSet()
        self._blocked = False  # the last attempt to write failed
        self._log_holds_deleted = True  # perhaps: a process may have been killed

    def prepare(self) -> None:
        """Makes the file where it is missing, readable by its owner only, and brings an older one up to date.

        Raises:
            HistoryError: it is a file of another program, or of a newer version.
        """
        os.close(os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600))
        if _schema_of(self.connection(), self._path) == 0:
            self.connection().execute("PRAGMA journal_mode = WAL")
        with self.writing() as connection:
            schema = _schema_of(connection, self._path)
            if schema == 0:
                for statement in (_TABLE, _INDEX, *_CONTOURS, *_STUDY, *_PLACE):
                    connection.execute(statement)
                connection.execute(f"PRAGMA application_id = {APPLICATION}")
            for known in range(schema or SCHEMA, SCHEMA):
                for statement in _UPGRADES[known]:
                    connection.execute(statement)
            if schema != SCHEMA:
                connection.execute(f"PRAGMA user_version = {SCHEMA}")

    def connection(self) -> sqlite3.Connection:
        """Returns the connection of this thread."""
        found: _Connection | None = getattr(self._local, "connection", None)
        if found is None:
            found = sqlite3.connect(
                self._path,
                timeout=_WAIT_S,
                isolation_level=None,
                check_same_thread=False,  # `close` is called by another thread
                factory=_Connection,
            )
            found.row_factory = sqlite3.Row
            found.create_function("folded", 1, folded, deterministic=True)
            found.execute("PRAGMA secure_delete = ON")
            found.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")  # of each thread that reads the history
            self._connections.add(found)
            self._local.connection = found
        return found

    @contextmanager
    def errors(self) -> Iterator[None]:
        """Turns errors of SQLite and of the disk into `HistoryError`."""
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            rule = f"cannot be read or written: {getattr(error, 'strerror', None) or in_one_line(error)}"
            raise HistoryError(self._path, rule, "Check its folder, or keep the history in another.") from error

    @contextmanager
    def writing(self, *, hurry: bool = False) -> Iterator[sqlite3.Connection]:
        """Yields a connection for changes; all of them are made, or none.

        Args:
            hurry: wait at most one second for another program that writes, and hardly at all after a failure.

        Raises:
            HistoryError: another program writes for longer, or it cannot be written.
        """
        hurry_s = _BLOCKED_S if self._blocked else _HURRY_S
        with self.errors(), self._alone(hurry_s if hurry else _WAIT_S) as connection:
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise
            if self._log_holds_deleted:
                self._empty_log(0)

    def forget(self) -> None:
        """Removes traces of deleted rows: SQLite overwrites them in the file, but not in its log.

        Raises:
            HistoryError: another program still reads the history as it was before.
        """
        with self.errors():
            for _ in range(_TRIES):
                if self._empty_log(_TRY_S):
                    return
                time.sleep(_TRY_S)  # nobody can write during an attempt, so leave room for others
        rule = "no longer holds the deleted cases, but its log does: another program reads the history"
        raise HistoryError(self._path, rule, "Close that program; the log is emptied at the next write, or at the end.")

    def close(self) -> None:
        """Closes the connections of all threads."""
        if self._log_holds_deleted:
            with suppress(sqlite3.Error):
                self._empty_log(_TRY_S)
        for connection in list(self._connections):
            connection.close()
        self._local = threading.local()

    @contextmanager
    def _alone(self, wait_s: float) -> Iterator[sqlite3.Connection]:
        end = time.monotonic() + wait_s
        if not self._writer.acquire(timeout=wait_s):
            self._blocked = True
            raise sqlite3.OperationalError("database is locked")
        try:
            connection = self.connection()
            _wait_at_most(connection, end - time.monotonic())
            self._blocked = True
            connection.execute("BEGIN IMMEDIATE")
            self._blocked = False
            yield connection
        finally:
            self._writer.release()

    def _empty_log(self, wait_s: float) -> bool:
        """Tries to empty the log; returns whether that worked."""
        with self._writer:
            _wait_at_most(self.connection(), wait_s)
            busy = self.connection().execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
            self._log_holds_deleted = bool(busy)
        return not busy


def _wait_at_most(connection: sqlite3.Connection, seconds: float) -> None:
    connection.execute(f"PRAGMA busy_timeout = {max(0, round(1000 * seconds))}")


def _schema_of(connection: sqlite3.Connection, file: Path) -> int:
    """Returns the schema of a file that this version reads; 0 for a new file.

    Raises:
        HistoryError: it is a file of another program, or of a newer version.
    """
    owner, schema, tables = (
        connection.execute(question).fetchone()[0]
        for question in ("PRAGMA application_id", "PRAGMA user_version", "SELECT count(*) FROM sqlite_master")
    )
    if (owner, schema, tables) == (0, 0, 0):
        return 0
    if owner != APPLICATION:
        raise HistoryError(file, "is the database of another program", "Keep the history in another folder.")
    if schema != SCHEMA and schema not in _UPGRADES:
        rule = f"was made by another version: its schema is {schema}, this version reads {min(_UPGRADES)} to {SCHEMA}"
        raise HistoryError(file, rule, "Use that version of brainsift, or keep the history in another folder.")
    return int(schema)


def folded(text: str) -> str:
    """Returns a text as a search compares it: neither case nor how a letter with an accent is stored matters.

    >>> folded("Scha\u0308del") == folded("SCH\u00c4DEL")
    True
    """
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).casefold())
