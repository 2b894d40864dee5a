"""The journal of a node: which images came, what became of each series, and which results went where.

One SQLite file. A change is on the disk before the function that makes it returns: WAL, synchronous FULL. It holds
identifiers (UIDs) and no names: the names of files and of series in logs are salted hashes.

    receiving -> scoring -> sending -> delivered
                    |          +-----> failed      a target refused the results for good
                    +-> skipped                    no head, no original MR: nothing is sent
                    +-> failed                     it could not be scored
"""

import hashlib
import json
import os
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from brainsift.core.errors import NodeError, in_one_line
from brainsift.dicom_results.result_set import Reference

FILE = "journal.sqlite"
SCHEMA = 1
APPLICATION = 0x62736E64
"""The mark by which SQLite files of one program are known: "bsnd"."""
SeriesState = Literal["receiving", "scoring", "sending", "delivered", "skipped", "failed"]
DeliveryState = Literal["waiting", "delivered", "failed"]
Arrival = Literal["new", "changed", "known"]
_WAIT_S = 30.0
_TABLES = """
CREATE TABLE series (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,      -- salted hash of patient, study and series: in logs, and of its folder
    study TEXT NOT NULL,
    uid TEXT NOT NULL,
    door TEXT NOT NULL,             -- where its first image came from
    state TEXT NOT NULL DEFAULT 'receiving',
    changed_since REAL,             -- first change that no version has seen; NULL: none
    last REAL NOT NULL,             -- last arrival
    ended REAL,                     -- when the work on it ended
    reason TEXT NOT NULL DEFAULT '',
    version INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE instances (
    series INTEGER NOT NULL REFERENCES series (id),
    uid TEXT NOT NULL,
    file TEXT,                      -- name in the folder of its series; NULL: removed after its time
    fingerprint TEXT NOT NULL,      -- of what the image says, whatever its encoding
    bytes INTEGER NOT NULL,
    arrived REAL NOT NULL,
    PRIMARY KEY (series, uid)
) WITHOUT ROWID;
CREATE TABLE versions (
    series INTEGER NOT NULL REFERENCES series (id),
    number INTEGER NOT NULL,
    made REAL NOT NULL,             -- the time that its objects carry
    forced INTEGER NOT NULL,
    sources TEXT NOT NULL,          -- digest of its images, the network and the options
    network TEXT NOT NULL,
    files TEXT NOT NULL DEFAULT '', -- JSON: names of its objects; empty until they are made
    notes TEXT NOT NULL DEFAULT '',
    reports TEXT NOT NULL DEFAULT '',  -- JSON: series and object UID of the report of each volume, or null
    PRIMARY KEY (series, number)
) WITHOUT ROWID;
CREATE TABLE deliveries (
    series INTEGER NOT NULL REFERENCES series (id),
    version INTEGER NOT NULL,
    target TEXT NOT NULL,
    state TEXT NOT NULL DEFAULT 'waiting',
    created REAL NOT NULL,
    due REAL NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    error TEXT NOT NULL DEFAULT '',
    PRIMARY KEY (series, version, target)
) WITHOUT ROWID;
CREATE INDEX series_by_state ON series (state, changed_since);
CREATE INDEX deliveries_by_state ON deliveries (target, state, due);
"""


@dataclass(frozen=True)
class SeriesRow:
    """A series in the journal.

    Attributes:
        id: its number.
        name: salted hash; of its folder, and in logs.
        study: StudyInstanceUID.
        uid: SeriesInstanceUID.
        door: where its first image came from.
        state: see the module.
        changed_since: first change that no version has seen, s since 1970; None: none.
        last: last arrival.
        ended: when the work on it ended; None: it has not.
        reason: why it was skipped or failed.
        version: number of the last version of its results; 0: none yet.
    """

    id: int
    name: str
    study: str
    uid: str
    door: str
    state: SeriesState
    changed_since: float | None
    last: float
    ended: float | None
    reason: str
    version: int


@dataclass(frozen=True)
class InstanceRow:
    """An image in the journal; see the table for the columns."""

    series: int
    uid: str
    file: str | None
    fingerprint: str
    bytes: int
    arrived: float


@dataclass(frozen=True)
class VersionRow:
    """A version of the results of a series; see the table for the columns, and ``ended``: its objects are made."""

    series: int
    number: int
    made: float
    forced: bool
    sources: str
    network: str
    files: tuple[str, ...]
    notes: tuple[str, ...]
    reports: tuple[Reference | None, ...]
    ended: bool


@dataclass(frozen=True)
class Delivery:
    """The results of a version on their way to a target; see the table for the columns."""

    series: int
    version: int
    target: str
    state: DeliveryState
    created: float
    due: float
    attempts: int
    error: str


class Journal:
    """The journal in a folder. Any thread may use it; other processes may read it and change it as well.

    Args:
        folder: of the node; the file is made where it is missing, readable by its owner only.

    Raises:
        NodeError: it cannot be opened, or is of another program or version.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / FILE
        self._lock = threading.RLock()
        with self._errors():
            os.close(os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600))
            self._connection = sqlite3.connect(
                self.path, timeout=_WAIT_S, check_same_thread=False, isolation_level=None
            )
            self._connection.row_factory = sqlite3.Row
            application, schema = (self._number(f"PRAGMA {name}") for name in ("application_id", "user_version"))
            if (application, schema) not in ((0, 0), (APPLICATION, SCHEMA)):
                rule = f"is no journal of this version: {application:#x}, schema {schema}"
                raise NodeError(self.path, rule, "Name another folder.")
            self._connection.execute("PRAGMA journal_mode = WAL")
            self._connection.execute("PRAGMA synchronous = FULL")
            self._connection.execute("PRAGMA secure_delete = ON")
        with self.writing() as connection:
            if not self._number("PRAGMA user_version"):
                for statement in _TABLES.split(";\n"):
                    connection.execute(statement)
                connection.execute(f"PRAGMA application_id = {APPLICATION}")
                connection.execute(f"PRAGMA user_version = {SCHEMA}")

    def close(self) -> None:
        """Closes the file."""
        with self._lock:
            self._connection.close()

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """Yields the connection in a transaction: all of it is on the disk when this ends, or nothing."""
        with self._lock, self._errors():
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
            except BaseException:
                self._connection.execute("ROLLBACK")
                raise
            self._connection.execute("COMMIT")

    # -- images --------------------------------------------------------------------------------------------------------

    def arrived(self, row: InstanceRow, *, name: str, study: str, series_uid: str, door: str) -> Arrival:
        """Records an image whose file is on the disk.

        Args:
            row: of the image; its ``series`` is found by ``name``.
            name: of the series.
            study: StudyInstanceUID.
            series_uid: SeriesInstanceUID.
            door: where it came from.

        Returns:
            Whether it is new, says something else than the one with this UID before, or is known.
        """
        with self.writing() as connection:
            connection.execute(
                "INSERT INTO series (name, study, uid, door, last) VALUES (?, ?, ?, ?, ?) ON CONFLICT (name) "
                "DO UPDATE SET last = excluded.last",
                (name, study, series_uid, door, row.arrived),
            )
            (series,) = connection.execute("SELECT id FROM series WHERE name = ?", (name,)).fetchone()
            found = connection.execute(
                "SELECT file, fingerprint FROM instances WHERE series = ? AND uid = ?", (series, row.uid)
            ).fetchone()
            same = found is not None and found["fingerprint"] == row.fingerprint
            if same and found["file"] is not None:
                return "known"
            connection.execute(
                "INSERT OR REPLACE INTO instances VALUES (?, ?, ?, ?, ?, ?)",
                (series, row.uid, row.file, row.fingerprint, row.bytes, row.arrived),
            )
            # Also a file that comes again after its removal: others of its series may come now as well.
            connection.execute(
                "UPDATE series SET changed_since = coalesce(changed_since, ?) WHERE id = ?", (row.arrived, series)
            )
            return "known" if same else "new" if found is None else "changed"

    def instances(self, series: int) -> list[InstanceRow]:
        """Returns the images of a series, by their UID."""
        return [
            InstanceRow(**row) for row in self._rows("SELECT * FROM instances WHERE series = ? ORDER BY uid", series)
        ]

    def number_of_images(self, series_uid: str) -> int:
        """Returns how many images came of the series with a SeriesInstanceUID."""
        query = "SELECT count(*) FROM instances WHERE series IN (SELECT id FROM series WHERE uid = ?)"
        return int(self._rows(query, series_uid)[0][0])

    # -- series --------------------------------------------------------------------------------------------------------

    def series(self, *, state: SeriesState | None = None, changed: bool = False) -> list[SeriesRow]:
        """Returns series in the order of their last arrival: all, those in a state, or those with a change."""
        wanted = "1" if state is None else "state = ?"
        wanted += " AND changed_since IS NOT NULL" if changed else ""
        values = () if state is None else (state,)
        return [SeriesRow(**row) for row in self._rows(f"SELECT * FROM series WHERE {wanted} ORDER BY last", *values)]

    def numbered(self, series: int) -> SeriesRow:
        """Returns a series by its number."""
        return SeriesRow(**self._rows("SELECT * FROM series WHERE id = ?", series)[0])

    def named(self, name: str) -> SeriesRow | None:
        """Returns a series by its name or the start of it; None where there is none, or several."""
        found = self._rows("SELECT * FROM series WHERE substr(name, 1, ?) = ?", len(name), name)
        return SeriesRow(**found[0]) if len(found) == 1 else None

    def begin_version(self, series: int, *, at: float, forced: bool, network: str) -> VersionRow | None:
        """Starts a version of the results; goes on with the one that a stopped process had started from the same.

        Args:
            series: its number.
            at: the time that its objects will carry.
            forced: whether the series may be incomplete.
            network: digest of the network and of the options.

        Returns:
            The version; None where the last one was made from the same images by the same network.
        """
        with self.writing() as connection:
            digest = hashlib.sha256(network.encode())
            for one in self.instances(series):
                digest.update(f"{one.uid} {one.fingerprint}\n".encode())
            sources = digest.hexdigest()
            connection.execute("UPDATE series SET changed_since = NULL WHERE id = ?", (series,))
            last = next(iter(self.versions(series)[::-1]), None)
            if last is not None and last.sources == sources and last.ended:
                return None
            if last is None or last.sources != sources:
                # What ended without objects, or did not end, was sent nowhere: its number is free.
                connection.execute("DELETE FROM versions WHERE series = ? AND files IN ('', '[]')", (series,))
                number = len(self.versions(series)) + 1
                connection.execute(
                    "INSERT INTO versions (series, number, made, forced, sources, network) VALUES (?, ?, ?, ?, ?, ?)",
                    (series, number, at, int(forced), sources, network),
                )
            connection.execute(
                "UPDATE series SET state = 'scoring', version = ?, ended = NULL, reason = '' WHERE id = ?",
                (len(self.versions(series)), series),
            )
            return self.versions(series)[-1]

    def versions(self, series: int) -> list[VersionRow]:
        """Returns the versions of the results of a series, the first one first."""
        rows = self._rows("SELECT * FROM versions WHERE series = ? ORDER BY number", series)
        return [_version(row) for row in rows]

    def publish(
        self,
        version: VersionRow,
        files: Sequence[str],
        *,
        notes: Sequence[str],
        reports: Sequence[Reference | None],
        targets: Sequence[str],
        at: float,
    ) -> None:
        """Records the objects of a version, which are on the disk, and hands them to the targets."""
        with self.writing() as connection:
            key = (version.series, version.number)
            connection.execute(
                "UPDATE versions SET files = ?, notes = ?, reports = ? WHERE series = ? AND number = ?",
                (
                    json.dumps(list(files)),
                    json.dumps(list(notes)),
                    json.dumps([one and [one.series_instance_uid, one.sop_instance_uid] for one in reports]),
                    *key,
                ),
            )
            connection.executemany(
                "INSERT INTO deliveries (series, version, target, created, due) VALUES (?, ?, ?, ?, ?)",
                [(*key, target, at, at) for target in targets],
            )
            connection.execute("UPDATE series SET state = 'sending' WHERE id = ?", (version.series,))
            self._settle(version.series, at)

    def end(
        self, series: int, state: Literal["skipped", "failed"], reason: str, *, at: float, incomplete: bool = False
    ) -> None:
        """Records that a series got no results, and why.

        Args:
            series: its number.
            state: what became of it.
            reason: in words.
            at: when.
            incomplete: whether it is scored once the images that are missing came again, although they are known.
        """
        ended = "DELETE FROM versions" if incomplete else "UPDATE versions SET files = '[]'"
        with self.writing() as connection:
            connection.execute(f"{ended} WHERE series = ? AND files = ''", (series,))
            connection.execute(
                "UPDATE series SET state = ?, reason = ?, ended = ?, changed_since = NULL WHERE id = ?",
                (state, reason, at, series),
            )

    def rescore(self, series: Sequence[int], *, at: float) -> int:
        """Has series scored again whose images are still here; returns how many.

        A new version of their results is made only if images or network are others.
        """
        with self.writing() as connection:
            here = [one for one in series if all(row.file for row in self.instances(one))]
            for one in here:
                connection.execute("DELETE FROM versions WHERE series = ? AND files = '[]'", (one,))
                connection.execute(
                    "UPDATE series SET changed_since = coalesce(changed_since, ?) WHERE id = ?", (at, one)
                )
            return len(here)

    def expire(self) -> int:
        """Has the images and results removed of series that were delivered or skipped; returns how many."""
        with self.writing() as connection:
            return connection.execute("UPDATE series SET ended = 0 WHERE state IN ('delivered', 'skipped')").rowcount

    def forget_files(self, series: int) -> None:
        """Records that the images of a series were removed."""
        with self.writing() as connection:
            connection.execute("UPDATE instances SET file = NULL WHERE series = ?", (series,))

    # -- deliveries ----------------------------------------------------------------------------------------------------

    def deliveries(
        self, *, target: str = "", state: DeliveryState | None = None, due: float | None = None
    ) -> list[Delivery]:
        """Returns deliveries by the time they are due: all, or those of a target, in a state, or due by then."""
        wanted = {"target = ?": target or None, "state = ?": state, "due <= ?": due}
        chosen = {words: value for words, value in wanted.items() if value is not None}
        where = " AND ".join(chosen) or "1"
        rows = self._rows(f"SELECT * FROM deliveries WHERE {where} ORDER BY due, series, version", *chosen.values())
        return [Delivery(**row) for row in rows]

    def update(
        self, one: Delivery, state: DeliveryState, *, at: float, due: float | None = None, error: str = ""
    ) -> None:
        """Records what became of an attempt to deliver."""
        with self.writing() as connection:
            connection.execute(
                "UPDATE deliveries SET state = ?, due = ?, error = ?, attempts = attempts + 1 "
                "WHERE series = ? AND version = ? AND target = ?",
                (state, one.due if due is None else due, error, one.series, one.version, one.target),
            )
            self._settle(one.series, at)

    def retry(self, *, at: float) -> int:
        """Has all deliveries that failed or wait sent at once; returns how many."""
        with self.writing() as connection:
            changed = connection.execute(
                "UPDATE deliveries SET state = 'waiting', created = ?, due = ?, attempts = 0 "
                "WHERE state <> 'delivered'",
                (at, at),
            ).rowcount
            connection.execute(
                "UPDATE series SET state = 'sending', ended = NULL, reason = '' WHERE state = 'failed' AND id IN "
                "(SELECT series FROM deliveries WHERE state = 'waiting')"
            )
            return changed

    def _settle(self, series: int, at: float) -> None:
        """Ends the work on a series that is being sent when no delivery waits any more."""
        states = [row["state"] for row in self._rows("SELECT state FROM deliveries WHERE series = ?", series)]
        if "waiting" not in states:
            state = "failed" if "failed" in states else "delivered"
            reason = "a target refused the results" if state == "failed" else ""
            self._connection.execute(
                "UPDATE series SET state = ?, ended = ?, reason = ? WHERE id = ? AND state = 'sending'",
                (state, at, reason, series),
            )

    # -- figures -------------------------------------------------------------------------------------------------------

    def counts(self) -> dict[str, int]:
        """Returns the number of series by state."""
        rows = self._rows("SELECT state, count(*) AS count FROM series GROUP BY state")
        return {row["state"]: row["count"] for row in rows}

    def delivery_counts(self) -> dict[tuple[str, str], int]:
        """Returns the number of deliveries by target and state."""
        rows = self._rows("SELECT target, state, count(*) AS count FROM deliveries GROUP BY target, state")
        return {(row["target"], row["state"]): row["count"] for row in rows}

    def _rows(self, query: str, *values: object) -> list[sqlite3.Row]:
        with self._lock, self._errors():
            return self._connection.execute(query, values).fetchall()

    def _number(self, query: str) -> int:
        return int(self._rows(query)[0][0])

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            remedy = "Make room, and check its permissions."
            raise NodeError(self.path, f"cannot be used: {in_one_line(error)}", remedy) from error


def _version(row: sqlite3.Row) -> VersionRow:
    values = {**row, "forced": bool(row["forced"]), "ended": bool(row["files"])}
    for name in ("files", "notes"):
        values[name] = tuple(json.loads(row[name] or "[]"))
    values["reports"] = tuple(one and Reference(*one) for one in json.loads(row["reports"] or "[]"))
    return VersionRow(**values)
