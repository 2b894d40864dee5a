"""Files to chunks that can be scored apart from each other: a DICOM series and a NIfTI volume stay whole."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from brainsift.core.parallel import map_in_order
from brainsift.volumes.reader import kind_of

CHUNK = 64
_THREADS = 8  # most of the time is waiting for storage
_AHEAD = 128  # files per thread


def chunks_of(paths: Iterable[str], *, size: int = CHUNK) -> Iterator[list[str]]:
    """Yields the paths in their order, chunk by chunk.

    Scoring the chunks one by one gives the same predictions as scoring all of the paths at once. What `slices_of` reads
    together, the files of one folder from its first DICOM file on, is never divided, so that such a chunk may be
    larger than ``size``. A NIfTI volume is a chunk of its own.

    Args:
        paths: of files.
        size: paths in a chunk, where nothing speaks against it.
    """
    chunk: list[str] = []
    together: Path | None = None
    last = ""
    with_kinds = map_in_order(lambda path: (path, kind_of(path)), paths, threads=_THREADS, ahead=_AHEAD)
    for path, kind in with_kinds:
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
