"""The files of a request to what is read together: plain images and NIfTI files alone, DICOM files series by series."""

import os
from collections.abc import Iterable, Iterator
from contextlib import closing, suppress
from itertools import chain, count
from typing import NamedTuple

from brainsift.core.errors import InputError
from brainsift.core.warned import collected_warnings
from brainsift.images.decode import LIMITS, Limits

DICOM = "dicom"


class Unit(NamedTuple):
    """Files that are read together.

    Attributes:
        kind: "dicom", "nifti", "pages" for a file that may hold several pictures, or "" for a plain image.
        paths: of the files; several only of a DICOM series.
        volume: name of the DICOM series; "" for others.
    """

    kind: str
    paths: tuple[str, ...]
    volume: str = ""


def units_of(files: Iterable[tuple[str, str]], *, limits: Limits = LIMITS) -> Iterator[Unit]:
    """Yields the units of files in their order; a DICOM series comes where its first file stands.

    Files pass through one by one until the first DICOM file. From there on all of them are listed first, in a file that
    SQLite keeps, since a series may lie in several folders: what is in memory does not grow with their number. A volume
    that is named twice in a row counts once, and so does each DICOM file.

    Args:
        files: path and kind of each file, as `reader.kind_of` tells it.
        limits: what is read at all.
    """
    remaining = iter(files)
    last = ""
    for path, kind in remaining:
        if kind == DICOM:
            yield from _with_series(chain([(path, kind)], remaining), limits)
            return
        if not kind or path != last:
            yield Unit(kind, (path,))
        last = path


def _with_series(files: Iterable[tuple[str, str]], limits: Limits) -> Iterator[Unit]:
    import sqlite3  # costs start-up time, and only DICOM files need it

    with closing(sqlite3.connect("", check_same_thread=False)) as index:  # a file that is gone when this ends
        columns = "path blob, kind text, series text, volume text, uid text"
        index.execute(f"create table files (place integer primary key, {columns})")
        index.executemany(
            "insert into files (path, kind, series, volume, uid) values (?, ?, ?, ?, ?)",
            ((os.fsencode(path), kind, *_series(path, kind, limits)) for path, kind in files),
        )
        index.execute("create index by_series on files (series, place)")
        names, last = set[str](), ""
        for place, packed, kind, series, volume, uid in index.execute("select * from files order by place"):
            path = os.fsdecode(packed)
            if not series:
                if not kind or path != last:
                    yield Unit(kind, (path,))
            elif index.execute("select min(place) from files where series = ?", (series,)).fetchone() == (place,):
                together = index.execute("select path from files where series = ? order by place", (series,))
                paths = tuple(dict.fromkeys(os.fsdecode(path) for (path,) in together))
                candidates = chain([volume, f"{volume} ({uid})"], (f"{volume} ({number})" for number in count(2)))
                name = next(name for name in candidates if name not in names)
                names.add(name)
                yield Unit(kind, paths, name)
            last = path


def _series(path: str, kind: str, limits: Limits) -> tuple[str, str, str]:
    """Returns what `dicom.series_of` tells of a DICOM file, and nothing of other and of broken files."""
    if kind == DICOM:
        from brainsift.volumes.dicom import series_of  # a plain image does without it

        with suppress(InputError), collected_warnings():  # the slices of the series have them in their notes
            return series_of(path, limits)
    return "", "", ""
