"""The body of a request becomes files in the service's own folder, within limits.

Names that were sent never become paths: files are numbered, and their names are kept for display only.
"""

import contextlib
import os
import re
import shutil
import tempfile
import threading
import unicodedata
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from email.message import Message
from itertools import count, groupby
from pathlib import Path
from typing import BinaryIO
from urllib.parse import unquote

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from brainsift.core.errors import BusyError, MediaTypeError, UploadError, UsageError
from brainsift.core.files import hold
from brainsift.serve.config import MIB, ServeConfig
from brainsift.serve.scoring.archive import is_archive, unpack
from brainsift.volumes.contrast import contrast_suffix
from brainsift.volumes.inputs import Skipped
from brainsift.volumes.reader import slices_of
from brainsift.volumes.slices import Slice

RAW_TYPES = ("application/octet-stream", "application/dicom", "application/gzip", "application/x-gzip")
ARCHIVE_TYPES = ("application/zip", "application/x-zip-compressed")
# They tell a kind that the content may not show, or what to convert a file with.
_SUFFIXES = (".nii.gz", ".nii", ".mgz", ".mgh", ".dcm", ".ima", ".mnc", ".hdr", ".img")
_LONGEST_NAME = 200
_PREFIX = "brainsift-serve-"
_UID = re.compile(r" \(\d+(\.\d+){3,}\)")  # which tells series of one name apart, but nothing to a reader


def shown_name(sent: str) -> str:
    r"""Returns a name for display: without folders, control characters, or marks that reverse text.

    >>> shown_name("C:\\scans\\head.png"), shown_name("../passwd"), shown_name("a\u202egnp.exe"), shown_name("/")
    ('head.png', 'passwd', 'agnp.exe', 'image')
    """
    last = sent.replace("\\", "/").rstrip("/").rpartition("/")[2]
    plain = "".join(letter for letter in unicodedata.normalize("NFC", last) if letter.isprintable()).strip()
    return plain[-_LONGEST_NAME:] if plain.strip(". ") else "image"


def stored_suffix(name: str) -> str:
    """Returns the end of its name that a stored file keeps: the suffix, and what tells how a volume was made.

    It is "" for a kind that its content shows.

    >>> stored_suffix("Scan.NII.gz"), stored_suffix("sub-01_dwi.nii.gz"), stored_suffix("page.html")
    ('.nii.gz', '_dwi.nii.gz', '')
    """
    suffix = next((suffix for suffix in _SUFFIXES if name.lower().endswith(suffix)), "")
    contrast = contrast_suffix(name) if suffix else ""
    return f"_{contrast}{suffix}" if contrast else suffix


class Store:
    """The folder of all uploads, with a limit for all of them together.

    Args:
        config: the limits.
        folder: where the store makes its own folder; the system's folder for temporary files by default.
    """

    def __init__(self, config: ServeConfig, folder: Path | None = None) -> None:
        self.config = config
        self._parent = folder
        self._lock_of_folder: int | None = None
        self.folder = self._make_folder()
        self._remove_left()
        self._limit = config.store_mb * MIB
        self._used = 0
        self._numbers = count(1)
        self._lock = threading.Lock()

    @property
    def used(self) -> int:
        """Bytes of all uploads together."""
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
        """Starts an upload; in a new folder, if the system cleaned up the old one."""
        if not self.folder.exists():
            self.folder = self._make_folder()
        return Upload(self, str(next(self._numbers)))

    def _make_folder(self) -> Path:
        folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=self._parent))  # of mode 0700
        self._let_go()
        self._lock_of_folder = hold(folder)
        return folder

    def _let_go(self) -> None:
        if self._lock_of_folder is not None:
            os.close(self._lock_of_folder)
            self._lock_of_folder = None

    def _remove_left(self) -> None:
        """Removes the folders of servers that were killed: nobody holds them any more."""
        for left in self.folder.parent.glob(f"{_PREFIX}*"):
            if (lock := hold(left)) is not None:
                shutil.rmtree(left, ignore_errors=True)
                os.close(lock)

    def close(self) -> None:
        """Removes everything."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self._let_go()


@dataclass(frozen=True)
class Stored:
    """A file of an upload: where it lies, and its name for display."""

    path: Path
    name: str


class Upload:
    """The files of one request, in the order in which they came.

    Args:
        store: has the folder, and counts the bytes.
        number: of the upload; the names of its files on the disk start with it.

    Attributes:
        files: the files to score.
        skipped: members of archives that are no image by name and content.
        size: bytes on the disk.
    """

    def __init__(self, store: Store, number: str) -> None:
        self.files: list[Stored] = []
        self.skipped = Skipped()
        self._store, self._number = store, number
        self._places: dict[str, int] = {}
        self._unpacked = False
        self._paths: set[Path] = set()  # also of archives, which leave `files` once they are unpacked
        self.size = self._count = 0
        self._lock, self._closed = threading.Lock(), False  # a thread may still unpack after the upload was given up

    @contextlib.contextmanager
    def file(self, sent: str) -> Iterator[BinaryIO]:
        """Opens a new file for content that was sent under a name.

        Raises:
            UploadError: too many files, or the upload was given up.
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
            UploadError: the upload was given up.
        """
        with self._unless_closed():
            self._store.take(len(content))
            self.size += len(content)
            file.write(content)

    def unpack(self) -> None:
        """Replaces archives by the files in them; raises as `archive.unpack` does."""
        sent, self.files = self.files, []
        for one in sent:
            if is_archive(one.path):
                self._unpacked = True
                for name in unpack(one.path, one.name, self, self._store.config):
                    self.skipped.add(shown_name(name))
                self._drop(one)
            else:
                self.files.append(one)

    def slices(self) -> list[tuple[str, Slice]]:
        """Lists the slices of the files; only headers are read.

        Returns:
            Each slice with its name on the disk, by which `find_slice` reads it again. The slice itself has a name for
            display, and so has its volume: that of its file, or for a volume of several files the number and the
            description of its series; "series 1" where its header has none.

        Raises:
            UploadError: more slices than the limit.
        """
        config = self._store.config
        found: list[Slice] = []
        for piece in slices_of([one.path for one in self.files], limits=config.limits):
            if len(found) >= config.slices:
                raise UploadError("slices", f"are more than {config.slices}", "Send fewer at a time.")
            found.append(piece)
        self._places = {str(one.path): place for place, one in enumerate(self.files)}
        names = _distinct([one.name for one in self.files])
        shown = {str(one.path): name for one, name in zip(self.files, names, strict=True)}

        def path_of(piece: Slice) -> str:
            return piece.name if piece.name in shown else piece.name.rpartition("#")[0]

        series = (name for number in count(1) if (name := f"series {number}") not in names)
        volumes = {"": ""}
        for volume, group in groupby(found, key=lambda piece: piece.volume):
            pieces = list(group)
            paths = {path_of(piece) for piece in pieces}
            if volume not in volumes:
                described = any(piece.acquisition.description for piece in pieces)
                title = _UID.sub("", volume.removeprefix(f"{self._store.folder}#")) if described else ""
                volumes[volume] = shown[paths.pop()] if len(paths) == 1 else title or next(series)
        volumes = dict(zip(volumes, _distinct(list(volumes.values())), strict=True))  # a file may hold several
        return [
            (one.name, replace(one, name=shown[path] + one.name.removeprefix(path), volume=volumes[one.volume]))
            for one in found
            for path in [path_of(one)]
        ]

    def place_of(self, stored: str) -> int | None:
        """Returns the place of a slice's file among those that were sent, from 0; None where an archive was sent.

        Args:
            stored: the name of the slice on the disk.
        """
        places = {} if self._unpacked else self._places
        return places.get(stored, places.get(stored.rpartition("#")[0]))

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
                remedy = "Delete jobs, try again later, or tell the person who runs the service."
                raise BusyError("store", f"cannot be written to: {error.strerror}", remedy) from error

    def _drop(self, one: Stored) -> None:
        with self._unless_closed():
            size = one.path.stat().st_size
            one.path.unlink()
            self._paths.discard(one.path)
            self.size -= size
            self._store.give_back(size)


def _distinct(names: Sequence[str]) -> list[str]:
    """Numbers names that occur again, so that no two are alike.

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

    Of multipart/form-data each part with a file name is a file, whatever the name of its field.

    Args:
        store: where to.
        headers: of the request.
        body: its pieces.
        name: of a body that is one file; without it the header X-Filename or Content-Disposition has the name.

    Raises:
        UploadError: larger than the limit, or too many files.
        MediaTypeError: of a type that is not read here.
        UsageError: broken, without a file, or with a form field that is no file.
        BusyError: the store is full.
    """
    kind_, options = parse_options_header(headers.get("content-type", "application/octet-stream"))
    kind = kind_.decode("latin-1")
    if kind not in (*RAW_TYPES, *ARCHIVE_TYPES, "multipart/form-data") and not kind.startswith("image/"):
        remedy = f"Send multipart/form-data, image/*, {', '.join((*RAW_TYPES[:3], ARCHIVE_TYPES[0]))}."
        raise MediaTypeError("Content-Type", "is not a type that is read here", remedy)
    if headers.get("content-encoding", "identity") != "identity":
        raise MediaTypeError("Content-Encoding", "is not supported", "Send the file as it is.")
    body = _limited(body, headers.get("content-length", ""), store.config.upload_mb * MIB)
    upload = store.new()
    try:
        if kind == "multipart/form-data":
            await _receive_parts(upload, options.get(b"boundary", b""), body)
            empty = not upload.files  # a part may be an empty file
        else:
            _, sent = names_of(headers.get("content-disposition", ""))
            with upload.file(name or unquote(headers.get("x-filename", "")) or sent or "") as file:
                async for piece in body:
                    upload.write(file, piece)
            empty = not upload.size
        if empty:
            remedy = "Send one or more parts with a file name: curl -F files=@slice.png"
            raise UsageError("files", "are missing: the body holds no file", remedy)
    except BaseException:
        upload.close()
        raise
    return upload


async def _limited(body: AsyncIterator[bytes], length: str, limit: int) -> AsyncIterator[bytes]:
    """Yields the pieces of a body; raises UploadError once they, or what its header announces, exceed the limit."""
    error = UploadError("body", f"is larger than {limit} bytes", "Send fewer files at a time, or smaller ones.")
    if length.isdigit() and int(length) > limit:
        raise error
    size = 0
    async for piece in body:
        size += len(piece)
        if size > limit:
            raise error
        yield piece


async def _receive_parts(upload: Upload, boundary: bytes, body: AsyncIterator[bytes]) -> None:
    parts = _Parts(upload)
    callbacks = {name: getattr(parts, name) for name in vars(_Parts) if name.startswith("on_")}
    try:
        parser = MultipartParser(boundary, callbacks)  # type: ignore[arg-type]
        async for piece in body:
            parser.write(piece)
        parser.finalize()
    except FormParserError:
        raise UsageError("body", "is malformed multipart/form-data (RFC 7578)", "Use an HTTP library.") from None
    finally:
        parts.close()
    if not parts.complete:
        raise UsageError("body", "ends before its last boundary", "Send it again.")


class _Parts:
    """Writes the parts of a multipart body to files; the parser calls its methods by their names."""

    def __init__(self, upload: Upload) -> None:
        self.complete = False
        self._upload = upload
        self._stack = contextlib.ExitStack()
        self._file: BinaryIO | None = None
        self._field, self._value, self._disposition = bytearray(), bytearray(), ""

    def close(self) -> None:
        """Closes the file that is open."""
        self._stack.close()

    def on_part_begin(self) -> None:
        """A new part."""
        self._disposition = ""

    def on_header_field(self, data: bytes, start: int, end: int) -> None:
        """A piece of a header's name."""
        self._field += data[start:end]

    def on_header_value(self, data: bytes, start: int, end: int) -> None:
        """A piece of a header's value."""
        self._value += data[start:end]

    def on_header_end(self) -> None:
        """The end of a header."""
        if self._field.lower() == b"content-disposition":
            self._disposition = self._value.decode("latin-1")
        self._field, self._value = bytearray(), bytearray()

    def on_headers_finished(self) -> None:
        """The end of a part's headers."""
        field, name = names_of(self._disposition)
        if name is None:
            remedy = "Send files as `-F files=@slice.png`, and options in the query, as `?threshold=screening`."
            raise UsageError(shown_name(field or "part"), "is a form field without a file name", remedy)
        self._file = self._stack.enter_context(self._upload.file(name))

    def on_part_data(self, data: bytes, start: int, end: int) -> None:
        """A piece of a part's content."""
        if self._file is not None:
            self._upload.write(self._file, data[start:end])

    def on_part_end(self) -> None:
        """The end of a part."""
        self._file = None
        self._stack.close()

    def on_end(self) -> None:
        """The end of the body."""
        self.complete = True


def names_of(disposition: str) -> tuple[str, str | None]:
    """Reads the header Content-Disposition, also with an encoded file name (RFC 5987).

    Args:
        disposition: value of the header, each character one byte.

    Returns:
        Name of the form field, "" where there is none, and name of the file, None where there is none. Of two file
        names the encoded one counts (RFC 6266, section 4.3).

    >>> names_of('form-data; name="files"; filename="a.png"')
    ('files', 'a.png')
    >>> names_of("attachment; filename=a.png; filename*=UTF-8''na%C3%AFve.png")
    ('', 'naïve.png')
    """
    header = Message()
    header["content-disposition"] = disposition
    found: dict[str, str] = {}
    for key, value in header.get_params(failobj=[], header="content-disposition"):
        encoding, text = (value[0] or "utf-8", value[2]) if isinstance(value, tuple) else ("utf-8", value)
        with contextlib.suppress(LookupError):  # no such encoding
            found[key.lower()] = text.encode("latin-1", "replace").decode(encoding, "replace")
    return found.get("name", ""), found.get("filename")
