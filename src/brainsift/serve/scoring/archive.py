"""ZIP archives, safe against what they may hold: names that are paths, bombs, archives inside, lies about sizes."""

import struct
import zipfile
import zlib
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path, PurePosixPath
from typing import BinaryIO, Protocol

from brainsift.core.errors import InputError, UnreadableImageError, UploadError
from brainsift.core.walk import IMAGE_SUFFIXES
from brainsift.serve.config import MIB, ServeConfig
from brainsift.volumes.reader import DICOM_SUFFIXES, NIFTI_SUFFIXES, kind_of

_MARKS = (b"PK\x03\x04", b"PK\x05\x06")
_END, _END_SIZE = b"PK\x05\x06", 22
_END_OF_64 = b"PK\x06\x07"
_COMMENT = 65_535
_ENTRIES_A_FILE = 3  # folders, and what some systems add to each file
_ENTRY = 1024  # bytes of the directory that an entry may take on average
_CHUNK = 256 * 1024
_MAX_RATIO = 200  # zeros shrink a thousandfold, scans two- to tenfold
_RATIO_FROM = 32 * MIB  # small archives are harmless
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_ENCRYPTED = 0x1
_REMEDY = "Pack it again as plain ZIP, or send the files themselves."


class Target(Protocol):
    """Where members go."""

    def file(self, sent: str) -> AbstractContextManager[BinaryIO]:
        """Opens a new file."""

    def write(self, file: BinaryIO, content: bytes) -> None:
        """Writes a piece of it."""

    def drop_last(self) -> None:
        """Removes the newest file."""


def is_archive(path: Path) -> bool:
    """Tells whether a file starts as a ZIP archive does."""
    with path.open("rb") as file:
        return file.read(4) in _MARKS


def unpack(path: Path, name: str, target: Target, config: ServeConfig) -> None:
    """Writes the images, DICOM and NIfTI files of an archive; what else it holds is passed over.

    Args:
        path: of the archive.
        name: what errors call it.
        target: gets the files, sorted by their names as files of a folder are.
        config: with the limits. What comes out is counted; what the archive says of it has no say.

    Raises:
        UploadError: beyond the limits.
        UnreadableImageError: broken, encrypted, or packed in a way that is not read here.
        InputError: without images.
    """
    _check_directory(path, name, config)
    try:
        with zipfile.ZipFile(path) as archive:
            count = _write_members(archive, name, target, config)
    except (zipfile.BadZipFile, zlib.error, EOFError, struct.error, NotImplementedError, ValueError) as error:
        raise UnreadableImageError(name, "is a broken ZIP archive", _REMEDY) from error
    if not count:
        raise InputError(name, "holds no image", "Pack images, DICOM or NIfTI files.")


def _check_directory(path: Path, name: str, config: ServeConfig) -> None:
    """Refuses a directory that would take much memory, before anything reads it."""
    with path.open("rb") as file:
        size = path.stat().st_size
        file.seek(max(0, size - _COMMENT - _END_SIZE))
        tail = file.read()
    place = tail.rfind(_END)
    if place < 0 or len(tail) < place + _END_SIZE:
        raise UnreadableImageError(name, "is a broken ZIP archive", _REMEDY)
    entries, length = struct.unpack("<HL", tail[place + 10 : place + 16])
    if tail[max(0, place - 20) :].startswith(_END_OF_64) or entries == 0xFFFF or length == 0xFFFFFFFF:
        raise UploadError(name, "is a ZIP64 archive, which is for larger ones than are taken here", _REMEDY)
    most = _ENTRIES_A_FILE * config.files
    if entries > most or length > most * _ENTRY:
        raise UploadError(name, f"has more than {most} members", "Send fewer at a time.")


def _write_members(archive: zipfile.ZipFile, name: str, target: Target, config: ServeConfig) -> int:
    members = [member for member in archive.infolist() if _may_be_image(member)]
    if len(members) > config.files:
        raise UploadError(name, f"has more than {config.files} members", "Send fewer at a time.")
    tally = _tally(name, Path(archive.filename or "").stat().st_size, config)
    count = 0
    for member in sorted(members, key=lambda one: (str(PurePosixPath(one.filename).parent), one.filename)):
        if member.flag_bits & _ENCRYPTED or member.compress_type not in _METHODS:
            raise UnreadableImageError(name, "is encrypted, or packed in a way that is not read here", _REMEDY)
        with target.file(member.filename) as file, archive.open(member) as source:
            while piece := source.read(_CHUNK):
                tally(len(piece))
                target.write(file, piece)
            stored = Path(file.name)
        kept = _suffix(member.filename) in _KNOWN or kind_of(stored) == "dicom"
        count += kept
        if not kept:
            target.drop_last()
    return count


def _tally(name: str, packed: int, config: ServeConfig) -> Callable[[int], None]:
    """Returns a function that counts what comes out."""
    total, limit = 0, config.unpacked_mb * MIB

    def count(size: int) -> None:
        nonlocal total
        total += size
        if total > limit:
            raise UploadError(name, f"holds more than {limit} bytes", "Send fewer files at a time.")
        if total > _RATIO_FROM and total > _MAX_RATIO * packed:
            raise UploadError(name, f"unpacks to more than {_MAX_RATIO} times its size", "Send the files themselves.")

    return count


# An archive inside is said to be no image.
_KNOWN = frozenset([*IMAGE_SUFFIXES, *DICOM_SUFFIXES, *NIFTI_SUFFIXES, ".zip"])


def _suffix(name: str) -> str:
    lower = name.lower()
    return ".nii.gz" if lower.endswith(".nii.gz") else PurePosixPath(lower).suffix


def _may_be_image(member: zipfile.ZipInfo) -> bool:
    parts = PurePosixPath(member.filename.replace("\\", "/")).parts
    if member.is_dir() or not parts or any(part.startswith((".", "__MACOSX")) and part != ".." for part in parts):
        return False
    suffix = _suffix(parts[-1])
    return suffix in _KNOWN or ((not suffix or suffix[1:].isdigit()) and parts[-1].lower() != "dicomdir")
