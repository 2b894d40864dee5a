"""The body of a request -> files in a folder of its own, within limits.

Names that were sent never become paths: files are numbered, and their names are kept for display only.
"""

import contextlib
import shutil
import tempfile
import threading
import unicodedata
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count, groupby
from pathlib import Path
from typing import BinaryIO
from urllib.parse import unquote

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from brainsift.core.errors import BusyError, MediaTypeError, UploadError, UsageError
from brainsift.serve.config import MIB, ServeConfig
from brainsift.serve.scoring.archive import is_archive, unpack
from brainsift.volumes.reader import slices_of
from brainsift.volumes.slices import Slice

RAW_TYPES = ("application/octet-stream", "application/dicom", "application/gzip", "application/x-gzip")
ARCHIVE_TYPES = ("application/zip", "application/x-zip-compressed")
_SUFFIXES = (".nii.gz", ".nii", ".dcm", ".ima")  # which say something that the content may not
_LONGEST_NAME = 200


def shown_name(sent: str) -> str:
    r"""Returns a name for display: without folders, control characters or marks that turn text around.

    >>> shown_name("C:\\scans\\head.png"), shown_name("../passwd"), shown_name("a\u202egnp.exe"), shown_name("/")
    ('head.png', 'passwd', 'agnp.exe', 'image')
    """
    last = sent.replace("\\", "/").rstrip("/").rpartition("/")[2]
    plain = "".join(letter for letter in unicodedata.normalize("NFC", last) if letter.isprintable()).strip()
    return plain[-_LONGEST_NAME:] if plain.strip(". ") else "image"


def stored_suffix(name: str) -> str:
    """Returns the suffix that a stored file keeps.

    >>> stored_suffix("Scan.NII.gz"), stored_suffix("page.html")
    ('.nii.gz', '')
    """
    return next((suffix for suffix in _SUFFIXES if name.lower().endswith(suffix)), "")


class Store:
    """The folder of all uploads, within a limit for all of them together.

    Args:
        config: with the limits.
        folder: in which the store makes its own; the system's for temporary files by default.
    """

    def __init__(self, config: ServeConfig, folder: Path | None = None) -> None:
        self.config = config
        self._parent = folder
        self.folder = self._made()
        self._limit = config.store_mb * MIB
        self._used = 0
        self._numbers = count(1)
        self._lock = threading.Lock()

    @property
    def used(self) -> int:
        """Bytes that all uploads take."""
        return self._used

    @property
    def half_full(self) -> bool:
        """Whether it is time to make room."""
        return self._used > self._limit // 2

    def take(self, size: int) -> None:
        """Counts bytes that are about to be written.

        Raises:
            BusyError: there is no room for them.
        """
        with self._lock:
            if self._used + size > self._limit:
                raise BusyError("store", f"is full: {self._limit} bytes of uploads", "Delete jobs, or try again later.")
            self._used += size

    def give_back(self, size: int) -> None:
        """Counts bytes that are gone."""
        with self._lock:
            self._used -= size

    def new(self) -> "Upload":
        """Starts an upload; in a new folder if who cleans the system's took this one."""
        if not self.folder.exists():
            self.folder = self._made()
        return Upload(self, str(next(self._numbers)))

    def _made(self) -> Path:
        return Path(tempfile.mkdtemp(prefix="brainsift-serve-", dir=self._parent))  # of mode 0700

    def close(self) -> None:
        """Removes everything."""
        shutil.rmtree(self.folder, ignore_errors=True)


@dataclass(frozen=True)
class Stored:
    """A file of an upload: where it is, and what it was called."""

    path: Path
    name: str


class Upload:
    """The files of one request, in the order in which they came.

    Args:
        store: has the folder, and counts the bytes.
        number: of the upload, with which the names of its files start.

    Attributes:
        files: as they are to be judged.
        size: of what is on the disk, bytes.
    """

    def __init__(self, store: Store, number: str) -> None:
        self.files: list[Stored] = []
        self._store, self._number = store, number
        self._paths: set[Path] = set()  # also of archives, which are no files of the upload once they are unpacked
        self.size = self._count = 0
        self._lock, self._closed = threading.Lock(), False  # a thread may still unpack what was given up

    @contextlib.contextmanager
    def file(self, sent: str) -> Iterator[BinaryIO]:
        """Opens a new file for what was sent under a name.

        Raises:
            UploadError: too many files, or given up.
        """
        limit = self._store.config.files
        if len(self.files) >= limit:
            raise UploadError("files", f"are more than {limit}", "Send fewer at a time.")
        name = shown_name(sent)
        path = self._store.folder / f"{self._number}-{self._count:06d}{stored_suffix(name)}"
        self._count += 1
        self.files.append(Stored(path, name))
        with self._unless_closed():
            opened = path.open("xb")
            self._paths.add(path)
        with opened as file:
            yield file

    def write(self, file: BinaryIO, content: bytes) -> None:
        """Writes a piece of a file.

        Raises:
            BusyError: the store is full.
            UploadError: given up.
        """
        with self._unless_closed():
            self._store.take(len(content))
            self.size += len(content)
            file.write(content)

    def drop_last(self) -> None:
        """Removes the newest file."""
        self._drop(self.files.pop())

    def unpack(self) -> None:
        """Puts what archives hold in their place; raises as `archive.unpack` does."""
        sent, self.files = self.files, []
        for one in sent:
            if is_archive(one.path):
                unpack(one.path, one.name, self, self._store.config)
                self._drop(one)
            else:
                self.files.append(one)

    def slices(self) -> list[Slice]:
        """Lists what is to be judged, under the names of the stored files.

        Raises:
            UploadError: more slices than the limit.
        """
        config = self._store.config
        found: list[Slice] = []
        for piece in slices_of([one.path for one in self.files], limits=config.limits):
            if len(found) >= config.slices:
                raise UploadError("slices", f"are more than {config.slices}", "Send fewer at a time.")
            found.append(piece)
        return found

    def renamed(self, slices: Sequence[Slice]) -> list[Slice]:
        """Returns slices under names for display: a volume of one file is called as that, others by a number."""
        names = _distinct([one.name for one in self.files])
        shown = {str(one.path): name for one, name in zip(self.files, names, strict=True)}
        series = (name for number in count(1) if (name := f"series {number}") not in names)
        volumes = {"": ""}
        for volume, pieces in groupby(slices, key=lambda piece: piece.volume):
            paths = {_path_of(piece.name, shown) for piece in pieces}
            if volume not in volumes:
                volumes[volume] = shown[paths.pop()] if len(paths) == 1 else next(series)
        return [replace(piece, name=_shown_slice(piece.name, shown), volume=volumes[piece.volume]) for piece in slices]

    def close(self) -> None:
        """Removes the files."""
        with self._lock:
            self._closed = True
            for path in self._paths:
                path.unlink(missing_ok=True)
            self._paths.clear()
            self._store.give_back(self.size)
            self.size = 0

    @contextlib.contextmanager
    def _unless_closed(self) -> Iterator[None]:
        with self._lock:
            if self._closed:
                raise UploadError("upload", "was given up", "Send it again.")
            try:
                yield
            except OSError as error:
                rule = f"cannot be written to: {error.strerror}"
                raise BusyError("store", rule, "Delete jobs, try again later, or tell who runs the service.") from error

    def _drop(self, one: Stored) -> None:
        with self._unless_closed():
            size = one.path.stat().st_size
            one.path.unlink()
            self._paths.discard(one.path)
            self.size -= size
            self._store.give_back(size)


def _shown_slice(name: str, shown: dict[str, str]) -> str:
    path = _path_of(name, shown)
    return shown[path] + name.removeprefix(path)


def _path_of(slice_name: str, shown: Mapping[str, str]) -> str:
    return slice_name if slice_name in shown else slice_name.rpartition("#")[0]


def _distinct(names: Sequence[str]) -> list[str]:
    """Returns names of which no two are alike.

    >>> _distinct(["a.png", "b.png", "a.png"])
    ['a.png', 'b.png', 'a.png (2)']
    """
    counts: dict[str, int] = {}
    taken: set[str] = set(names)
    found = []
    for name in names:
        counts[name] = counts.get(name, 0) + 1
        own = name
        while counts[name] > 1 and own in taken:
            own = f"{name} ({counts[name]})"
            counts[name] += own in taken
        taken.add(own)
        found.append(own)
    return found


async def receive(store: Store, headers: Mapping[str, str], body: AsyncIterator[bytes], name: str = "") -> Upload:
    """Writes a body to files as it comes.

    Args:
        store: where to.
        headers: of the request.
        body: its pieces.
        name: of a body that is one file; else the header X-Filename has it.

    Raises:
        UploadError: larger than the limit, or too many files.
        MediaTypeError: of a type that is not read here.
        UsageError: broken, or without a file.
        BusyError: the store is full.
    """
    kind, options = parse_options_header(headers.get("content-type", "application/octet-stream"))
    _check_type(kind.decode("latin-1"), headers)
    body = _counted(body, headers, store.config.upload_mb * MIB)
    upload = store.new()
    try:
        in_parts = kind == b"multipart/form-data"
        if in_parts:
            await _receive_parts(upload, options.get(b"boundary", b""), body)
        else:
            await _receive_file(upload, name or unquote(headers.get("x-filename", "")), body)
        if not (upload.files if in_parts else upload.size):  # an empty part is an empty file; an empty body is none
            raise UsageError("files", "are missing: the body holds no file", "Send one or more parts called `files`.")
    except BaseException:
        upload.close()
        raise
    return upload


def _check_type(kind: str, headers: Mapping[str, str]) -> None:
    known = (*RAW_TYPES, *ARCHIVE_TYPES, "multipart/form-data")
    if kind not in known and not kind.startswith("image/"):
        words = f"Send multipart/form-data, image/*, {', '.join((*RAW_TYPES[:3], ARCHIVE_TYPES[0]))}."
        raise MediaTypeError("Content-Type", "is none that is read here", words)
    if headers.get("content-encoding", "identity") != "identity":
        raise MediaTypeError("Content-Encoding", "is not undone here", "Send the file as it is.")


async def _counted(body: AsyncIterator[bytes], headers: Mapping[str, str], limit: int) -> AsyncIterator[bytes]:
    error = UploadError("body", f"is larger than {limit} bytes", "Send fewer files at a time, or smaller ones.")
    said = headers.get("content-length", "")
    if said.isdigit() and int(said) > limit:
        raise error
    size = 0
    async for piece in body:
        size += len(piece)
        if size > limit:
            raise error
        yield piece


async def _receive_file(upload: Upload, name: str, body: AsyncIterator[bytes]) -> None:
    with upload.file(name) as file:
        async for piece in body:
            upload.write(file, piece)


async def _receive_parts(upload: Upload, boundary: bytes, body: AsyncIterator[bytes]) -> None:
    parts = _Parts(upload)
    try:
        parser = MultipartParser(boundary, parts.callbacks())  # type: ignore[arg-type]
        async for piece in body:
            parser.write(piece)
        parser.finalize()
    except FormParserError:
        raise UsageError("body", "is no multipart/form-data as RFC 7578 has it", "Use a library to send it.") from None
    finally:
        parts.close()
    if not parts.complete:
        raise UsageError("body", "ends before its last boundary", "Send it again.")


class _Parts:
    """Hears the parser of multipart bodies: parts called `files` are written, others are passed over."""

    def __init__(self, upload: Upload) -> None:
        self.complete = False
        self._upload = upload
        self._stack = contextlib.ExitStack()
        self._file: BinaryIO | None = None
        self._field, self._value, self._disposition = bytearray(), bytearray(), ""

    def callbacks(self) -> dict[str, object]:
        """Returns the methods that hear, by name."""
        return {name: getattr(self, name) for name in _HEARD}

    def close(self) -> None:
        """Closes the file that is open."""
        self._stack.close()

    def on_part_begin(self) -> None:
        """A new part."""
        self._disposition = ""

    def on_header_field(self, data: bytes, start: int, end: int) -> None:
        """Some of a header's name."""
        self._field += data[start:end]

    def on_header_value(self, data: bytes, start: int, end: int) -> None:
        """Some of a header's value."""
        self._value += data[start:end]

    def on_header_end(self) -> None:
        """The end of a header."""
        if self._field.lower() == b"content-disposition":
            self._disposition = self._value.decode("latin-1")
        self._field, self._value = bytearray(), bytearray()

    def on_headers_finished(self) -> None:
        """The end of a part's headers."""
        _, options = parse_options_header(self._disposition)
        if options.get(b"name") == b"files" and b"filename" in options:
            self._file = self._stack.enter_context(self._upload.file(options[b"filename"].decode("utf-8", "replace")))

    def on_part_data(self, data: bytes, start: int, end: int) -> None:
        """Some of a part's content."""
        if self._file is not None:
            self._upload.write(self._file, data[start:end])

    def on_part_end(self) -> None:
        """The end of a part."""
        self._file = None
        self._stack.close()

    def on_end(self) -> None:
        """The end of the body."""
        self.complete = True


_HEARD = [name for name in vars(_Parts) if name.startswith("on_")]
