"""What every door does with an object: it is checked, written to the disk, and recorded in the journal.

FOLDER/incoming/    files that are being written
FOLDER/series/      a folder for each series, a file for each image; the names are salted hashes
FOLDER/results/     a folder for each series, a folder in it for each version
FOLDER/salt         32 random bytes, for the hashes
"""

import fcntl
import hashlib
import hmac
import os
import secrets
import shutil
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from brainsift.core.errors import InputError, RefusedObjectError, UsageError
from brainsift.node.journal import Arrival, InstanceRow, Journal, SeriesRow
from brainsift.volumes import jpeg_lossless
from brainsift.volumes.dicom import read_bytes
from brainsift.volumes.dicom_header import FRAMES, LOOK, PLACE, SERIES, text_of, transfer_syntax

if TYPE_CHECKING:
    from pydicom import Dataset

ACCEPTED = {
    "1.2.840.10008.5.1.4.1.1.4": "MR Image",
    "1.2.840.10008.5.1.4.1.1.4.1": "Enhanced MR Image",
    "1.2.840.10008.5.1.4.1.1.4.4": "Legacy Converted Enhanced MR Image",
}
"""SOP classes that are taken in."""
NO_ROOM, OTHER_CLASS, MISMATCH, NOT_READ = 0xA700, 0x0122, 0xA900, 0xC000
"""Status codes of C-STORE and failure reasons of STOW-RS, DICOM PS3.4, B.2.3 and PS3.18, I.2.2."""
_ELEMENTS = sorted(
    {
        *(*LOOK, *PLACE, *SERIES),
        *("PatientSex", "AccessionNumber", "StudyID", "StudyDate", "StudyTime", "SOPClassUID", "NumberOfFrames"),
    }
)
_IDENTIFIERS = ("SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID")
_MIB = 2**20


@dataclass(frozen=True)
class Taken:
    """An object that was taken in.

    Attributes:
        series: name of its series.
        arrival: whether it is new, changed or known.
    """

    series: str
    arrival: Arrival


class Intake:
    """The folder of a node and its journal; any thread may use it.

    Args:
        folder: made where it is missing, readable by its owner only.
        reserve_mb: below so much free space nothing is taken in, MiB.
        object_mb: largest object, MiB.
        clock: s since 1970.
    """

    def __init__(
        self, folder: Path, *, reserve_mb: int, object_mb: int = 512, clock: Callable[[], float] = time.time
    ) -> None:
        self.folder, self._reserve, self._most, self._clock = folder, reserve_mb * _MIB, object_mb * _MIB, clock
        for one in (folder, *(folder / name for name in ("incoming", "series", "results"))):
            one.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.journal = Journal(folder)
        self._salt = _salt(folder / "salt")
        self._syntaxes = frozenset(readable_syntaxes())
        self._placing: Counter[Path] = Counter()
        self._counting = threading.Lock()

    def take(self, content: bytes, *, door: str, expected: str = "") -> Taken:
        """Takes in an object: when this returns, it is on the disk and in the journal.

        Args:
            content: of a DICOM file.
            door: where it came from, as the journal calls it.
            expected: its SOPInstanceUID as the sender says; "" where nobody says.

        Raises:
            RefusedObjectError: not an image of this kind, broken, or no room for it.
        """
        if shutil.disk_usage(self.folder).free < self._reserve + len(content):
            raise _refused(NO_ROOM, "the disk has less free space than its reserve", "Make room.")
        if len(content) > self._most:
            raise _refused(NO_ROOM, f"has more than {self._most} bytes", "Raise object_mb.")
        try:
            header = read_bytes(content, name="object")
        except InputError as error:
            raise _refused(NOT_READ, "cannot be read as DICOM", "Send it again.") from error
        uid, study, series_uid = (text_of(header, tag) for tag in _IDENTIFIERS)
        if text_of(header, "SOPClassUID") not in ACCEPTED:
            raise _refused(OTHER_CLASS, "is no MR image", "Send MR images only.")
        if transfer_syntax(header) not in self._syntaxes:
            rule = "is compressed in a way that is not read here"
            raise _refused(OTHER_CLASS, rule, "Send it in another transfer syntax.")
        if not (uid and study and series_uid) or expected not in ("", uid):
            raise _refused(MISMATCH, "lacks an identifier, or has another than announced", "Send it whole.")
        name = self._hash("series", text_of(header, "PatientID"), text_of(header, "PatientName"), study, series_uid)
        fingerprint = self._fingerprint(header)
        file = f"{self._hash('image', uid)}-{fingerprint[:8]}.dcm"
        path = self.folder / "series" / name / file
        row = InstanceRow(0, uid, file, fingerprint, len(content), self._clock())
        self._count(path, 1)
        try:
            self._place(content, path)
            arrival = self.journal.arrived(row, name=name, study=study, series_uid=series_uid, door=door)
        finally:
            self._count(path, -1)
        return Taken(name, arrival)

    def sweep(self) -> None:
        """Removes what a killed process left: half files, and images that are not in the journal."""
        for part in (self.folder / "incoming").iterdir():
            part.unlink()
        known = {one.name: one.id for one in self.journal.series()}
        for folder in (self.folder / "series").iterdir():
            self.remove_replaced(folder.name, known.get(folder.name, 0))

    def remove_images(self, series: SeriesRow) -> None:
        """Removes the images of a series; the journal keeps what they were."""
        self.journal.forget_files(series.id)
        self.remove_replaced(series.name, series.id)

    def remove_replaced(self, name: str, series: int) -> None:
        """Removes the images of a series that the journal does not name."""
        # In this order: a file that is found and no longer being placed is in the journal by the time that is read.
        files = list((self.folder / "series" / name).glob("*.dcm"))
        with self._counting:
            placing = set(self._placing)
        named = {one.file for one in self.journal.instances(series)}
        for file in files:
            if file.name not in named and file not in placing:
                file.unlink(missing_ok=True)

    def _count(self, path: Path, change: int) -> None:
        with self._counting:
            self._placing[path] += change
            if not self._placing[path]:
                del self._placing[path]

    def _place(self, content: bytes, path: Path) -> None:
        """Writes a file: whole and on the disk, or not there."""
        part = self.folder / "incoming" / f"{secrets.token_hex(8)}.part"
        try:
            with part.open("xb") as stream:
                stream.write(content)
                stream.flush()
                os.fsync(stream.fileno())
            fresh = not path.parent.exists()
            path.parent.mkdir(mode=0o700, exist_ok=True)
            part.replace(path)
            sync_folder(path.parent)
            if fresh:
                sync_folder(path.parent.parent)
        except OSError as error:
            part.unlink(missing_ok=True)
            raise _refused(NO_ROOM, "could not be written to the disk", "Make room.") from error

    def _hash(self, *words: str) -> str:
        text = "\0".join(words).encode(errors="surrogateescape")
        return hmac.new(self._salt, text, hashlib.sha256).hexdigest()[:24]

    def _fingerprint(self, header: "Dataset") -> str:
        """Returns a hash of what an image says, whatever its encoding: an archive may write it in another way."""
        digest = hmac.new(self._salt, digestmod=hashlib.sha256)
        for tag in _ELEMENTS:
            digest.update(f"{tag}={text_of(header, tag)}\n".encode(errors="surrogateescape"))
        for tag in FRAMES[1:]:
            digest.update(str(header.get(tag, "")).encode(errors="surrogateescape"))
        pixels = header.get("PixelData", b"")
        digest.update(pixels if isinstance(pixels, bytes) else b"")
        return digest.hexdigest()


class FolderLock:
    """Holds the folder of a node for one process, as long as it runs.

    Raises:
        UsageError: another process has it.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._file = (folder / "lock").open("w")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise UsageError(folder, "is in use by another node", "Stop it, or name another `folder`.") from None


def _refused(status: int, rule: str, remedy: str) -> RefusedObjectError:
    return RefusedObjectError("object", rule, remedy, status=status)


def readable_syntaxes() -> list[str]:
    """Returns the transfer syntaxes whose pixels can be decoded here."""
    jpeg_lossless.register()
    from pydicom.pixels import get_decoder
    from pydicom.uid import AllTransferSyntaxes

    found = []
    for syntax in AllTransferSyntaxes:
        try:
            available = get_decoder(syntax).is_available
        except NotImplementedError:  # of videos and the like
            continue
        if available:
            found.append(str(syntax))
    return found


def sync_folder(folder: Path) -> None:
    """Waits until the names of the files in a folder are on the disk."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _salt(path: Path) -> bytes:
    if not path.exists():
        part = path.with_name(f"{path.name}.part")
        part.touch(mode=0o600)
        with part.open("wb") as stream:
            stream.write(secrets.token_bytes(32))
            stream.flush()
            os.fsync(stream.fileno())
        part.replace(path)
        sync_folder(path.parent)
    return path.read_bytes()
