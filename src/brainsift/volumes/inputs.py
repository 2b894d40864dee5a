"""What the user names -> the files to look at: folders are walked, patterns matched, lists read line by line."""

import glob
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

from brainsift.core.errors import InputError
from brainsift.core.walk import IMAGE_SUFFIXES, is_image_name, walk
from brainsift.volumes.reader import is_volume_name

STANDARD_INPUT = "-"
_NAMED = 20  # of the files that are skipped
_BYTE_ORDER_MARK = "\ufeff"  # which editors of Windows write at the start


@dataclass
class Skipped:
    """Files of folders that are no image by name and content.

    Attributes:
        count: of them.
        names: the first of them.
    """

    count: int = 0
    names: list[str] = field(default_factory=list)

    def add(self, name: str) -> None:
        """Counts a file."""
        self.count += 1
        if len(self.names) < _NAMED:
            self.names.append(name)


def find_images(paths: Iterable[str | Path], *, skipped: Skipped | None = None) -> Iterator[str]:
    """Yields the files among ``paths`` as they are and the images in the folders, folder by folder, sorted.

    A path that is named twice counts once. DICOM and NIfTI files count, DICOM files without a suffix as well. Folders
    are walked as `walk.walk` says; one that may not be read is yielded itself, so that it is answered as unreadable.
    What does not exist but holds ``*``, ``?`` or ``[`` is a pattern, where ``**`` stands for any folders.

    Args:
        paths: files, folders and patterns.
        skipped: takes the other files of the folders.

    Raises:
        InputError: at once, for a path that does not exist, a pattern without a match, or a folder without images.
    """
    return chain.from_iterable([_found(name, skipped) for name in dict.fromkeys(map(str, paths))])


def read_list(lines: Iterable[str]) -> Iterator[str]:
    """Yields the paths of a list, one a line; empty lines do not count, and what does not exist is left to others.

    A byte-order mark and the line ends of Windows are taken off.
    """
    return (line for line in (line.removeprefix(_BYTE_ORDER_MARK).rstrip("\r\n") for line in lines) if line)


def _found(name: str, skipped: Skipped | None) -> Iterable[str]:
    if os.path.isdir(name):
        if next(_walk(name), None) is None:
            endings = f"Images end in {', '.join(sorted(IMAGE_SUFFIXES))}, volumes in .dcm, .nii.gz and the like."
            raise InputError(name, "holds no image", endings)
        return _walk(name, skipped)
    if os.path.exists(name):
        return [name]
    if not glob.has_magic(name):
        raise InputError(name, "does not exist", "Check the path.")
    matches = sorted(glob.glob(name, recursive=True))
    if not matches:
        raise InputError(name, "matches no file", "Check the pattern.")
    return chain.from_iterable(_walk(match, skipped) if Path(match).is_dir() else [match] for match in matches)


def _walk(folder: str, skipped: Skipped | None = None) -> Iterator[str]:
    def wanted(path: Path) -> bool:
        taken = is_image_name(path) or is_volume_name(path)
        if not taken and skipped is not None:
            skipped.add(str(path))
        return taken

    return map(str, walk(folder, wanted))
