"""Unpacks ZIP archives safely: against names that are paths, zip bombs, archives inside, and false sizes."""

import errno
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
from brainsift.volumes.reader import DICOM, DICOM_SUFFIXES, PACKED_BYTES, VOLUME_SUFFIXES, kind_of_content

_MARKS = (b"PK\x03\x04", b"PK\x05\x06")
_END, _END_SIZE = b"PK\x05\x06", 22
_END_OF_64 = b"PK\x06\x07"
_COMMENT = 65_535
_ENTRIES_PER_FILE = 3  # folders, and entries that some systems add to each file
_ENTRY_BYTES = 1024  # average size of an entry in the directory, at most
_CHUNK = 256 * 1024
_MAX_RATIO = 200  # of zeros a thousandth remains, of scans a half to a tenth
_RATIO_FROM = 32 * MIB  # smaller archives are harmless
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_ENCRYPTED = 0x1
_REMEDY = "Pack it again as plain ZIP, or send the files themselves."


class Target(Protocol):
    """Takes the members of an archive."""

    def file(self, sent: str) -> AbstractContextManager[BinaryIO]:
        """Opens a new file."""

    def write(self, file: BinaryIO, content: bytes) -> None:
        """Writes a piece of a file."""


def is_archive(path: Path) -> bool:
    """Returns whether a file starts like a ZIP archive."""
    with path.open("rb") as file:
        return file.read(4) in _MARKS


def unpack(path: Path, name: str, target: Target, config: ServeConfig) -> list[str]:
    """Writes the images, DICOM files and volumes of an archive; returns the names of what was skipped.

    Args:
        path: of the archive.
        name: of the archive in errors.
        target: gets the files, sorted by name like files of a folder.
        config: the limits. The bytes that come out are counted; the sizes in the archive are not trusted.

    Raises:
        UploadError: beyond the limits.
        UnreadableImageError: broken, encrypted, or compressed in an unsupported way.
        InputError: without images.
    """
    _check_directory(path, name, config)
    try:
        with zipfile.ZipFile(path) as archive:
            return _write_members(archive, name, target, config)
    except (zipfile.BadZipFile, zlib.error, EOFError, struct.error, NotImplementedError, ValueError, OSError) as error:
        if isinstance(error, OSError) and error.errno != errno.EINVAL:  # of the disk, not of a place before the start
            raise
        raise UnreadableImageError(name, "is a broken ZIP archive", _REMEDY) from error


def _check_directory(path: Path, name: str, config: ServeConfig) -> None:
    """Refuses an archive whose directory would take much memory, before anything reads it."""
    with path.open("rb") as file:
        size = path.stat().st_size
        file.seek(max(0, size - _COMMENT - _END_SIZE))
        tail = file.read()
    place = tail.rfind(_END)
    if place < 0 or len(tail) < place + _END_SIZE:
        raise UnreadableImageError(name, "is a broken ZIP archive", _REMEDY)
    entries, length = struct.unpack("<HL", tail[place + 10 : place + 16])
    if tail[max(0, place - 20) :].startswith(_END_OF_64) or entries == 0xFFFF or length == 0xFFFFFFFF:
        raise UploadError(name, "is a ZIP64 archive, which is not supported", _REMEDY)
    most = _ENTRIES_PER_FILE * config.files
    if entries > most or length > most * _ENTRY_BYTES:
        raise UploadError(name, f"has more than {most} members", "Send fewer at a time.")


def _write_members(archive: zipfile.ZipFile, name: str, target: Target, config: ServeConfig) -> list[str]:
    """Writes the members that are images; returns the names of the others."""
    members = [member for member in archive.infolist() if not _is_junk(member)]
    wanted = [member for member in members if _is_image(archive, member)]
    if len(wanted) > config.files:
        raise UploadError(name, f"has more than {config.files} members", "Send fewer at a time.")
    if not wanted:
        raise InputError(name, "holds no image", "Pack images, DICOM files or volumes.")
    tally = _tally(name, Path(archive.filename or "").stat().st_size, config)
    for member in sorted(wanted, key=lambda one: (str(PurePosixPath(one.filename).parent), one.filename)):
        if not _is_plain(member):
            raise UnreadableImageError(name, "is encrypted, or compressed in an unsupported way", _REMEDY)
        with target.file(member.filename) as file, archive.open(member) as source:
            while piece := source.read(_CHUNK):
                tally(len(piece))
                target.write(file, piece)
    taken = {id(member) for member in wanted}
    return [member.filename for member in members if id(member) not in taken]


def _tally(name: str, packed: int, config: ServeConfig) -> Callable[[int], None]:
    """Returns a function that counts unpacked bytes and refuses too many."""
    total, limit = 0, config.unpacked_mb * MIB

    def count(size: int) -> None:
        nonlocal total
        total += size
        if total > limit:
            raise UploadError(name, f"holds more than {limit} bytes", "Send fewer files at a time.")
        if total > _RATIO_FROM and total > _MAX_RATIO * packed:
            raise UploadError(name, f"unpacks to more than {_MAX_RATIO} times its size", "Send the files themselves.")

    return count


# An archive inside is passed on, so that it is told as no image.
_KNOWN = (*IMAGE_SUFFIXES, *DICOM_SUFFIXES, *VOLUME_SUFFIXES, ".zip")


def _is_junk(member: zipfile.ZipInfo) -> bool:
    """Tells whether a member is no file of its sender: a folder, hidden, or a list of DICOM files."""
    parts = PurePosixPath(member.filename.replace("\\", "/")).parts
    hidden = any(part.startswith((".", "__MACOSX")) and part != ".." for part in parts)
    return member.is_dir() or not parts or hidden or parts[-1].lower() == "dicomdir"


def _is_image(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bool:
    """Tells whether a member is an image by its name, or DICOM or a volume by its content, whatever its name."""
    name = PurePosixPath(member.filename.lower())
    if name.name.endswith(_KNOWN):
        return True
    if not _is_plain(member):
        return not name.suffix or name.suffix[1:].isdigit()  # as files of archives have it
    with archive.open(member) as source:
        return kind_of_content(source.read(PACKED_BYTES), name.name) in (DICOM, "nifti")


def _is_plain(member: zipfile.ZipInfo) -> bool:
    return not member.flag_bits & _ENCRYPTED and member.compress_type in _METHODS
