"""Files to chunks that can be scored apart from each other: a DICOM series and a NIfTI volume stay whole."""

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path

from brainsift.volumes.reader import kind_of

CHUNK = 64
_AHEAD = 1024
_THREADS = 8  # most of the time is waiting for storage


def chunks_of(paths: Iterable[str], *, size: int = CHUNK) -> Iterator[list[str]]:
    """Yields the paths in their order, chunk by chunk.

    Scoring the chunks one by one gives the same answers as scoring all of the paths at once. What `slices_of` reads
    together, the files of one folder from its first DICOM file on, is never divided, so that such a chunk may be
    larger than ``size``. A NIfTI volume is a chunk of its own.

    Args:
        paths: of files.
        size: paths in a chunk, where nothing speaks against it.
    """
    chunk: list[str] = []
    together: Path | None = None
    last = ""
    for path, kind in _with_kinds(paths):
        folder = Path(path).parent
        if folder != together:
            together = folder if kind == "dicom" else None
            ends = len(chunk) >= size or "nifti" in (kind, last)
            if chunk and ends and chunk[-1] != path:
                yield chunk
                chunk = []
        chunk.append(path)
        last = kind
    if chunk:
        yield chunk


def _with_kinds(paths: Iterable[str]) -> Iterator[tuple[str, str]]:
    waiting = iter(paths)
    with ThreadPoolExecutor(_THREADS) as pool:
        while some := list(islice(waiting, _AHEAD)):
            yield from zip(some, pool.map(kind_of, some), strict=True)
