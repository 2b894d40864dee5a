"""Files to chunks that can be scored apart from each other: a DICOM series and a NIfTI volume stay whole."""

from collections.abc import Iterable, Iterator

from brainsift.core.parallel import map_in_order
from brainsift.volumes.grouping import Unit, units_of
from brainsift.volumes.reader import kind_of

CHUNK = 64
_THREADS = 8  # most of the time is waiting for storage
_AHEAD = 128  # files per thread


def chunks_of(paths: Iterable[str], *, size: int = CHUNK) -> Iterator[list[Unit]]:
    """Yields what is read together in the order of the files, chunk by chunk.

    Scoring the chunks one by one gives the same predictions as scoring all of the paths at once. A DICOM series is
    never divided, so that its chunk may be larger than ``size``. A NIfTI volume is a chunk of its own.

    Args:
        paths: of files.
        size: files per chunk, where nothing speaks against it.
    """
    chunk: list[Unit] = []
    with_kinds = map_in_order(lambda path: (path, kind_of(path)), paths, threads=_THREADS, ahead=_AHEAD)
    for unit in units_of(with_kinds):
        full = sum(len(one.paths) for one in chunk) >= size
        if chunk and (full or "nifti" in (unit.kind, chunk[-1].kind)):
            yield chunk
            chunk = []
        chunk.append(unit)
    if chunk:
        yield chunk
