"""Reads every file of a manifest once: hashes, format, size, fingerprint, and whether it looks like a head slice.

The results are kept in an SQLite file by the SHA-256 of the content. So an interrupted scan goes on, a second scan
reads only new files, and a copy is decoded once.
"""

import hashlib
import json
import os
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from brainsift.auditing.fingerprint import SIDE, VERSION, Bytes, Floats, sketch
from brainsift.core.errors import BrainsiftError, InputError, in_one_line
from brainsift.core.parallel import map_in_order
from brainsift.core.progress import Progress, Report, silent
from brainsift.core.reasons import Reason
from brainsift.core.warned import collected_warnings
from brainsift.images.decode import decode, import_formats
from brainsift.images.pages import HEAD_BYTES, Pages, may_hold_pages
from brainsift.images.plausibility import off_topic_reason

Job = tuple[str, str, str]  # path, channel, SHA-256 of the file
Key = tuple[str, str]  # SHA-256, channel

_BATCH = 256
_RULES = 5  # increased whenever `Seen` or what counts as off topic changes, so that stored results are made again
_TABLE = f"seen_{VERSION}_{_RULES}"


@dataclass(frozen=True)
class Seen:
    """What is known about one file (or about one colour channel that is an image of its own).

    Attributes:
        status: "ok", "unreadable" or "tiny".
        detail: why it is not ok, or why it may be off topic, that only the first of several pictures in its file
            counts, and what libraries warned of.
        format: of the content.
        mode: the file's own, in Pillow's words.
        width: pixels.
        height: pixels.
        pixels_sha256: of the decoded pixels and their shape.
        off_topic: it likely shows no brain MRI slice.
        several_pictures: its file holds more pictures, which are not read.
    """

    status: str
    detail: str = ""
    format: str = ""
    mode: str = ""
    width: int = 0
    height: int = 0
    pixels_sha256: str = ""
    off_topic: bool = False
    several_pictures: bool = False


_FACTS = tuple(field.name for field in fields(Seen))


@dataclass(frozen=True, eq=False)
class Sketches:
    """The sketches of m images of distinct pixels, in the order in which the table names them first.

    Attributes:
        rows: (sha256, channel) -> row; copies with the same pixels share one.
        frame: (m, 64, 64).
        head: (m, 64, 64).
        box: (m, 4).
    """

    rows: dict[Key, int]
    frame: Bytes
    head: Bytes
    box: Floats

    def frames_of(self, table: pd.DataFrame) -> Bytes:
        """Returns the frames of a table's rows, (n, 64, 64), found by sha256 and channel."""
        return self.frame[[self.rows[key] for key in zip(table["sha256"], table["channel"], strict=True)]]


def scan(
    table: pd.DataFrame, store: Path, *, workers: int = 1, report: Report = silent
) -> tuple[pd.DataFrame, Sketches]:
    """Reads every file once.

    Args:
        table: with the columns path and channel.
        store: SQLite file with earlier results; created if it is missing.
        workers: threads; decoding, resizing and hashing release the interpreter lock.
        report: takes the progress.

    Returns:
        A table of the same index with sha256, bytes and the fields of `Seen`, and the sketches of the images that are
        ok, by (sha256, channel).

    Raises:
        InputError: the store cannot be used.
    """
    hashes = _hashes(table["path"].unique(), workers, report)
    keys = [(hashes[path][0], channel) for path, channel in zip(table["path"], table["channel"], strict=True)]
    with _opened(store) as database:
        columns = "sha256, channel, seen, frame, head, box, primary key (sha256, channel)"
        database.execute(f"create table if not exists {_TABLE} ({columns})")
        known = set(database.execute(f"select sha256, channel from {_TABLE}"))
        paths = dict(zip(keys, table["path"], strict=True))
        jobs = [(paths[key], key[1], key[0]) for key in paths if key not in known]
        import_formats()
        for done, row in enumerate(map_in_order(_look, jobs, threads=workers), start=1):
            database.execute(f"insert or replace into {_TABLE} values (?, ?, ?, ?, ?, ?)", row)
            if done % _BATCH == 0 or done == len(jobs):
                database.commit()
                report(Progress("reading files", done, len(jobs)))
        seen = _read_seen(database, paths)
        sketches = _read_sketches(database, seen)
    facts = pd.DataFrame({name: [getattr(seen[key], name) for key in keys] for name in _FACTS}, index=table.index)
    facts["sha256"] = [key[0] for key in keys]
    facts["bytes"] = [hashes[path][1] for path in table["path"]]
    return facts, sketches


@contextmanager
def _opened(store: Path) -> Iterator[sqlite3.Connection]:
    store.parent.mkdir(parents=True, exist_ok=True)
    try:
        with closing(sqlite3.connect(store)) as database:
            yield database
    except sqlite3.Error as error:
        remedy = "Check that its folder can be written and that no other audit uses it; or delete it."
        raise InputError(store, f"cannot be used: {in_one_line(error)}", remedy) from None


def _hashes(paths: Sequence[str], workers: int, report: Report) -> dict[str, tuple[str, int]]:
    """Returns SHA-256 and size of each file; a file that cannot be opened is named by its path."""
    found = {}
    for path, result in zip(paths, map_in_order(_hash_file, paths, threads=2 * workers), strict=True):
        found[path] = result
        if len(found) % _BATCH == 0:
            report(Progress("hashing files", len(found), len(paths)))
    return found


def _hash_file(path: str) -> tuple[str, int]:
    try:
        content = Path(path).read_bytes()
    except OSError:
        return "missing:" + hashlib.sha256(os.fsencode(path)).hexdigest(), 0
    return hashlib.sha256(content).hexdigest(), len(content)


def _look(job: Job) -> tuple[object, ...]:
    path, channel, sha256 = job
    try:
        with collected_warnings() as warned:
            decoded = decode(path)
            with Path(path).open("rb") as file:
                pictures = Pages(path).numbers if may_hold_pages(file.read(HEAD_BYTES)) else [1]
        grey = decoded.grey(channel)
    except BrainsiftError as error:
        tiny = isinstance(error, InputError) and error.reason is Reason.TINY
        seen = Seen(status="tiny" if tiny else "unreadable", detail=f"{error.rule}. {error.remedy}")
        return sha256, channel, json.dumps(asdict(seen)), None, None, None
    drawn = sketch(grey)
    reason = off_topic_reason(decoded, drawn.frame, channel)
    height, width = decoded.pixels.shape[:2]
    notes = [f"likely no brain MRI slice: {reason.words}"] if reason else []
    notes += [f"the first of {len(pictures)} pictures in its file"] if len(pictures) > 1 else []
    seen = Seen(
        status="ok",
        detail="; ".join([*notes, *warned]),
        format=decoded.format,
        mode=decoded.mode,
        width=width,
        height=height,
        pixels_sha256=_pixel_hash(grey if channel else decoded.rgb()),
        off_topic=bool(reason),
        several_pictures=len(pictures) > 1,
    )
    return sha256, channel, json.dumps(asdict(seen)), drawn.frame.tobytes(), drawn.head.tobytes(), drawn.box.tobytes()


def _pixel_hash(pixels: npt.NDArray[np.generic]) -> str:
    digest = hashlib.sha256(",".join(map(str, pixels.shape)).encode() + b":")
    digest.update(np.ascontiguousarray(pixels).data)
    return digest.hexdigest()


def _read_seen(database: sqlite3.Connection, wanted: Mapping[Key, str]) -> dict[Key, Seen]:
    """Returns what is known about the wanted images, in their order."""
    rows = database.execute(f"select sha256, channel, seen from {_TABLE}")
    found = {
        (sha256, channel): Seen(**json.loads(text)) for sha256, channel, text in rows if (sha256, channel) in wanted
    }
    return {key: found[key] for key in wanted}


def _read_sketches(database: sqlite3.Connection, seen: Mapping[Key, Seen]) -> Sketches:
    """Reads the sketches of the images that are ok, one per distinct pixel content."""
    firsts: dict[Key, Key] = {}  # pixels -> the first image that shows them
    for key, one in seen.items():
        if one.status == "ok":
            firsts.setdefault((one.pixels_sha256, key[1]), key)
    own = {key: row for row, key in enumerate(firsts.values())}
    frame, head = (np.zeros((len(own), SIDE, SIDE), np.uint8) for _ in range(2))
    box = np.zeros((len(own), 4), np.float32)
    for sha256, channel, *views in database.execute(f"select sha256, channel, frame, head, box from {_TABLE}"):
        row = own.get((sha256, channel))
        if row is not None:
            frame[row], head[row] = (np.frombuffer(view, np.uint8).reshape(SIDE, SIDE) for view in views[:2])
            box[row] = np.frombuffer(views[2], np.float32)
    shared = {key: own[firsts[one.pixels_sha256, key[1]]] for key, one in seen.items() if one.status == "ok"}
    return Sketches(shared, frame, head, box)
