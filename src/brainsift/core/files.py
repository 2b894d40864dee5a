"""Files are written whole or not at all.

Names of files need not be UTF-8: tables hold their bytes as they are, JSON and pages hold escapes.
"""

import csv
import hashlib
import json
import os
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from brainsift.core.errors import InputError, UsageError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")  # with which a text starts that a spreadsheet may run

_FORMATS = frozenset(
    [".csv", ".tsv", ".json", ".html", ".htm", ".pdf", ".xlsx", ".xls", ".ods", ".docx", ".doc", ".odt", ".parquet"]
)

_LONGEST_SUFFIX = 32  # bytes


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yields a temporary path beside ``path`` that takes its place when the block ends well.

    A link stays, and what it points to is replaced. A device or a pipe is written to as it is.

    Raises:
        InputError: ``path`` is a folder.

    >>> with replacing(Path("note.txt")) as temporary:  # doctest: +SKIP
    ...     temporary.write_text("whole")
    """
    _refuse_folder(path)
    if _is_device(path):
        yield path
        return
    place = path.resolve() if path.is_symlink() else path
    place.parent.mkdir(parents=True, exist_ok=True)
    temporary, lock = _temporary_for(place)
    try:
        yield temporary
        temporary.replace(place)
    finally:
        temporary.unlink(missing_ok=True)
        if lock is not None:
            os.close(lock)


def _temporary_for(place: Path) -> tuple[Path, int | None]:
    """Makes an empty file beside ``place``, and the lock that holds it where there is one.

    It has the same name each time, so that it takes the place of one that a killed process left, which nobody holds.
    Where another process writes the same file now, or where there are no locks, it has a name of its own.
    """
    # Its name is short, since that of the file may be as long as the file system takes.
    suffix = place.suffix if len(os.fsencode(place.suffix)) <= _LONGEST_SUFFIX else ""
    usual = place.with_name(f".{sha256_of(os.fsencode(place.name))[:16]}{suffix}")
    if (lock := hold(usual)) is not None:
        os.truncate(lock, 0)
        return usual, lock
    own = place.with_name(f".{secrets.token_hex(8)}{suffix}")
    own.touch(exist_ok=False)  # with the permissions that the user's umask leaves
    return own, None


def hold(path: Path) -> int | None:
    """Locks a file, which is made where it is missing, or a folder, until the handle is closed or the process ends.

    Returns:
        The handle; None where another process holds it, it is another user's, or the system has no such locks.
    """
    if fcntl is None:
        return None
    flags = os.O_RDONLY if path.is_dir() else os.O_RDWR | os.O_CREAT
    handle = None
    try:
        handle = os.open(path, flags | os.O_NOFOLLOW, 0o666)
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        held, named = os.fstat(handle), os.lstat(path)
        if held.st_uid == os.geteuid() and os.path.samestat(held, named):  # else it was renamed in the meantime
            return handle
    except OSError:
        pass
    if handle is not None:
        os.close(handle)
    return None


def check_writable(path: Path) -> None:
    """Refuses a file that could not be written, before work is spent on what it shall hold; makes nothing.

    Raises:
        InputError: it is a folder, or nothing may be written where it shall stand.
    """
    _refuse_folder(path)
    if _is_device(path):
        return
    place = next(folder for folder in path.resolve().parents if folder.exists())
    if not place.is_dir():
        raise InputError(path, f"cannot be written: {place} is no folder", "Name a file in a folder.")
    if not os.access(place, os.W_OK | os.X_OK):
        raise InputError(path, f"cannot be written: {place} is read-only", "Name a file in another folder.")


def check_format(path: Path, *suffixes: str) -> None:
    """Refuses a name that promises another format than what is written.

    Args:
        path: of the file; a suffix that belongs to no format, or none, says nothing.
        suffixes: of the formats that are written.

    Raises:
        UsageError: the suffix is that of another format.
    """
    suffix = path.suffix.lower()
    if suffix in _FORMATS and suffix not in suffixes:
        rule = f"ends in {suffix}, but what is written is {' or '.join(one[1:].upper() for one in suffixes)}"
        raise UsageError(path, rule, f"Write for example {path.with_suffix(suffixes[0]).name}.")


def _refuse_folder(path: Path) -> None:
    if path.is_dir():
        raise InputError(path, "is a folder, where a file shall be written", "Name a file in it.")


def _is_device(path: Path) -> bool:
    return path.exists() and not path.is_file()


def write_bytes(path: Path, content: bytes) -> None:
    """Writes ``content``, whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def write_text(path: Path, text: str) -> None:
    r"""Writes ``text`` as UTF-8, whole or not at all; bytes that are none become ``\udcfc``, which JSON reads back."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace")


def write_json(path: Path, value: Any, *, default: Callable[[Any], Any] | None = None) -> None:
    """Writes ``value`` as indented JSON, whole or not at all."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, default=default) + "\n")


def csv_writer(stream: TextIO, columns: Sequence[str]) -> Callable[[Mapping[str, Any]], Any]:
    """Writes the head of a table; returns a function that writes a row.

    No text of a row is taken for a formula by a spreadsheet: names of files and texts of headers come from others. A
    quote stands before a text that starts like one; before a path stands ``./``, so that it still leads to its file.

    Args:
        stream: where to.
        columns: of the table; what else a row has is left out.
    """
    writer = csv.writer(stream)
    writer.writerow(columns)

    def write(row: Mapping[str, Any]) -> None:
        values = [row[column] for column in columns]
        for place, value in enumerate(values):
            if isinstance(value, str) and value.startswith(_FORMULA):
                values[place] = f"./{value}" if columns[place] == "path" else f"'{value}"
        writer.writerow(values)

    return write


@contextmanager
def csv_rows(path: Path, columns: Sequence[str]) -> Iterator[Callable[[Mapping[str, Any]], Any]]:
    """Yields what writes a row of a table, as `csv_writer` does; the table is written whole or not at all."""
    with (
        replacing(path) as temporary,
        temporary.open("w", newline="", encoding="utf-8", errors="surrogateescape") as file,
    ):
        yield csv_writer(file, columns)


@contextmanager
def json_rows(path: Path) -> Iterator[Callable[[Mapping[str, Any]], Any]]:
    """Yields what writes an entry of a JSON array, a line each; it is written whole or not at all."""
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8", errors="backslashreplace") as file:
        before = "[\n "

        def write(entry: Mapping[str, Any]) -> None:
            nonlocal before
            file.write(before + json.dumps(entry, ensure_ascii=False))
            before = ",\n "

        yield write
        file.write("[]\n" if before.startswith("[") else "\n]\n")


def write_csv(path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> None:
    """Writes a table row by row, whole or not at all."""
    with csv_rows(path, columns) as write:
        for row in rows:
            write(row)


def read_json(path: Path) -> Any:
    """Reads a JSON file.

    Raises:
        InputError: it is broken.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:  # of the decoder of bytes or of JSON
        raise InputError(path, f"is no valid JSON: {error}", "Make the file again.") from None


def sha256_of(content: bytes) -> str:
    """Returns the SHA-256 of some bytes, in hexadecimal."""
    return hashlib.sha256(content).hexdigest()
