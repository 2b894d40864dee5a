"""One look at every file of a manifest: hashes, format, size, a sketch, and whether it looks like a head slice at all.

What was seen is kept in an SQLite file by the SHA-256 of the file's content. So a scan that was interrupted goes on,
a second scan reads only what is new, and a copy is decoded once.
"""

import hashlib
import json
import sqlite3
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
from joblib import Parallel, delayed

from brainsift.errors import BrainsiftError, ImageSizeError
from brainsift.image import decode
from brainsift.scope import off_topic_reason
from brainsift.sketch import SIDE, VERSION, Bytes, Floats, sketch

Progress = Callable[[int, int, str], None]
Job = tuple[str, str, str]  # path, channel, SHA-256 of the file

_BATCH = 256
_RULES = 2  # bumped whenever other images count as off topic, so that stored verdicts are made again
_TABLE = f"seen_{VERSION}_{_RULES}"


@dataclass(frozen=True)
class Seen:
    """What is known of one file (or of one colour channel that is an image of its own).

    Attributes:
        status: "ok", "unreadable" or "tiny".
        detail: why it is not ok, or why it may be off topic.
        format: of the content.
        mode: the file's own, in Pillow's words.
        width: pixels.
        height: pixels.
        pixels_sha256: of the decoded pixels and their shape.
        off_topic: it likely shows no brain MRI slice.
    """

    status: str
    detail: str = ""
    format: str = ""
    mode: str = ""
    width: int = 0
    height: int = 0
    pixels_sha256: str = ""
    off_topic: bool = False


@dataclass(frozen=True, eq=False)
class Sketches:
    """The sketches of m distinct images: key -> row, and the arrays (m, 64, 64), (m, 64, 64), (m, 4)."""

    rows: dict[tuple[str, str], int]
    frame: Bytes
    head: Bytes
    box: Floats


def scan(
    table: pd.DataFrame, store: Path, *, workers: int = 1, progress: Progress | None = None
) -> tuple[pd.DataFrame, Sketches]:
    """Looks at every file once.

    Args:
        table: with the columns path and channel.
        store: SQLite file of what was seen before; made where it is missing.
        workers: processes.
        progress: called with (done, total, stage).

    Returns:
        A table of the same index with sha256, bytes and the fields of `Seen`, and the sketches of the images that are
        ok, by (sha256, channel).
    """
    hashes = _hashes(table["path"].unique(), workers, progress)
    keys = [(hashes[path][0], channel) for path, channel in zip(table["path"], table["channel"], strict=True)]
    store.parent.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(store)) as database:
        columns = "sha256, channel, seen, frame, head, box, primary key (sha256, channel)"
        database.execute(f"create table if not exists {_TABLE} ({columns})")
        known = set(database.execute(f"select sha256, channel from {_TABLE}"))
        paths = dict(zip(keys, table["path"], strict=True))
        jobs = [(paths[key], key[1], key[0]) for key in paths if key not in known]
        results = Parallel(workers, return_as="generator", batch_size=16)(delayed(_look)(job) for job in jobs)
        for done, row in enumerate(results, start=1):
            database.execute(f"insert or replace into {_TABLE} values (?, ?, ?, ?, ?, ?)", row)
            if done % _BATCH == 0 or done == len(jobs):
                database.commit()
                if progress:
                    progress(done, len(jobs), "reading files")
        seen, sketches = _read_back(database, set(paths))
    facts = pd.DataFrame([asdict(seen[key]) for key in keys], index=table.index)
    facts["sha256"] = [key[0] for key in keys]
    facts["bytes"] = [hashes[path][1] for path in table["path"]]
    return facts, sketches


def _hashes(paths: Sequence[str], workers: int, progress: Progress | None) -> dict[str, tuple[str, int]]:
    """Returns SHA-256 and size of each file; a file that cannot be opened is known by its path."""
    found = {}
    with ThreadPoolExecutor(2 * workers) as pool:
        for path, result in zip(paths, pool.map(_hash_file, paths), strict=True):
            found[path] = result
            if progress and len(found) % _BATCH == 0:
                progress(len(found), len(paths), "hashing files")
    return found


def _hash_file(path: str) -> tuple[str, int]:
    try:
        content = Path(path).read_bytes()
    except OSError:
        return "missing:" + hashlib.sha256(path.encode()).hexdigest(), 0
    return hashlib.sha256(content).hexdigest(), len(content)


def _look(job: Job) -> tuple[object, ...]:
    path, channel, sha256 = job
    try:
        decoded = decode(path)
        grey = decoded.grey(channel)
    except BrainsiftError as error:
        tiny = isinstance(error, ImageSizeError) and "tiny" in error.rule
        seen = Seen(status="tiny" if tiny else "unreadable", detail=f"{error.rule}. {error.remedy}")
        return sha256, channel, json.dumps(asdict(seen)), None, None, None
    drawn = sketch(grey)
    reason = off_topic_reason(decoded, drawn.frame, channel)
    height, width = decoded.pixels.shape[:2]
    seen = Seen(
        status="ok",
        detail=f"likely no brain MRI slice: {reason}" if reason else "",
        format=decoded.format,
        mode=decoded.mode,
        width=width,
        height=height,
        pixels_sha256=_pixel_hash(grey if channel else decoded.rgb()),
        off_topic=bool(reason),
    )
    return sha256, channel, json.dumps(asdict(seen)), drawn.frame.tobytes(), drawn.head.tobytes(), drawn.box.tobytes()


def _pixel_hash(pixels: npt.NDArray[np.generic]) -> str:
    shape = ",".join(map(str, pixels.shape)).encode()
    return hashlib.sha256(shape + b":" + np.ascontiguousarray(pixels).tobytes()).hexdigest()


def _read_back(
    database: sqlite3.Connection, wanted: set[tuple[str, str]]
) -> tuple[dict[tuple[str, str], Seen], Sketches]:
    seen: dict[tuple[str, str], Seen] = {}
    rows: dict[tuple[str, str], int] = {}
    blobs: list[tuple[bytes, bytes, bytes]] = []
    for sha256, channel, text, *views in database.execute(f"select * from {_TABLE} order by sha256, channel"):
        key = (sha256, channel)
        if key not in wanted:
            continue
        seen[key] = Seen(**json.loads(text))
        if views[0] is not None:
            rows[key] = len(blobs)
            blobs.append((views[0], views[1], views[2]))
    frame, head, box = (b"".join(parts) for parts in zip(*blobs, strict=True)) if blobs else (b"", b"", b"")
    square = (-1, SIDE, SIDE)
    return seen, Sketches(
        rows,
        np.frombuffer(frame, np.uint8).reshape(square),
        np.frombuffer(head, np.uint8).reshape(square),
        np.frombuffer(box, np.float32).reshape(-1, 4),
    )
