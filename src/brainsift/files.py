"""Files are written whole or not at all.

Names of files need not be UTF-8: tables hold their bytes as they are, JSON and pages hold escapes.
"""

import csv
import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from brainsift.errors import InputError


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yields a temporary path beside ``path`` that takes its place when the block ends well.

    >>> with replacing(Path("note.txt")) as temporary:  # doctest: +SKIP
    ...     temporary.write_text("whole")
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=path.suffix)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(0o644)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    r"""Writes ``text`` as UTF-8, whole or not at all; bytes that are none become ``\udcfc``, which JSON reads back."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace")


def write_json(path: Path, value: Any, *, default: Callable[[Any], Any] | None = None) -> None:
    """Writes ``value`` as indented JSON, whole or not at all."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, default=default) + "\n")


@contextmanager
def csv_rows(path: Path, columns: Sequence[str]) -> Iterator[Callable[[Mapping[str, Any]], Any]]:
    """Yields what writes a row of a table, which is written whole or not at all."""
    with (
        replacing(path) as temporary,
        temporary.open("w", newline="", encoding="utf-8", errors="surrogateescape") as file,
    ):
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        yield writer.writerow


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
