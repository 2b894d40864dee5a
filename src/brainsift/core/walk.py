"""Folders to files: one walk, and the endings of images, for all that looks through folders."""

import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

IMAGE_SUFFIXES = frozenset(
    """
    .jpg .jpeg .jpe .jfif .png .apng .tif .tiff .bmp .gif .webp .jp2 .j2k .jpx .j2c .pgm .ppm .pnm .pbm
    """.split()  # noqa: SIM905
)
_JUNK = "__MACOSX"


def is_image_name(path: Path) -> bool:
    """Tells whether a file of a folder is worth decoding as an image."""
    return path.suffix.lower() in IMAGE_SUFFIXES


def walk(folder: str | Path, wanted: Callable[[Path], bool]) -> Iterator[Path]:
    """Yields the wanted files below a folder, folder by folder, sorted; without hidden ones and junk of archives.

    Linked folders are followed, and a folder that is met again is not entered again. A folder that may not be read is
    yielded itself, in place of its files. Pipes, sockets and devices are no files: to read one could take forever.
    """
    seen: set[str] = set()
    denied: list[OSError] = []
    for here, folders, files in os.walk(folder, followlinks=True, onerror=denied.append):
        yield from _taken(denied)
        real = os.path.realpath(here)
        folders[:] = [] if real in seen else sorted(name for name in folders if name[0] != "." and name != _JUNK)
        if real not in seen:
            paths = (Path(here, name) for name in sorted(files) if name[0] != ".")
            yield from (path for path in paths if not is_endless(path) and wanted(path))
        seen.add(real)
    yield from _taken(denied)


def is_endless(path: str | Path) -> bool:
    """Tells whether a path leads to a pipe, a socket or a device."""
    try:
        mode = os.stat(path).st_mode  # noqa: PTH116 - a Path would cost more than the call
    except (OSError, ValueError):
        return False  # what reads it says why
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


def _taken(denied: list[OSError]) -> Iterator[Path]:
    while denied:
        yield Path(str(denied.pop(0).filename))
