"""What libraries warn of while a file is read, thread by thread: it belongs to the row of that file, not on a screen.

`warnings.catch_warnings` changes what the whole process shows, and mixes up threads. So one hook stands in the public
places for that, `warnings.showwarning` and `warnings.filters`, and does nothing in a thread that does not collect.
"""

import logging
import re
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from brainsift.core.errors import on_one_line

_QUOTED = re.compile(r"(['\"]).*\1")  # a value of the header, which may name a patient
_LONGEST = 120  # characters
_MOST = 2
_READERS = {"nibabel", "pydicom", "PIL"}
_LOGGER = logging.getLogger("nibabel.global")  # through which nibabel warns, with a handler of its own

_here = threading.local()
_installing = threading.Lock()
_passed_on: list[Any] = [warnings.showwarning]


class _Collecting:
    """Stands in a filter of `warnings` where the pattern of a message stands; matches in threads that collect."""

    pattern = "(?!)"  # nothing, for those that hand the filters of this process on to another one, as scikit-learn does

    def match(self, _text: str) -> bool:
        return _words() is not None


class _Diverted(logging.Filter):
    """Takes the records of a logger in threads that collect."""

    def filter(self, record: logging.LogRecord) -> bool:
        words = _words()
        if words is not None:
            words.append(record.getMessage())
        return words is None


class _NoWarning(UserWarning):
    """Is never raised: a filter for it makes `warnings` look at its filters anew."""


_FILTERS: list[Any] = [("always", _Collecting(), category, None, 0) for category in (UserWarning, RuntimeWarning)]
_DIVERTED = _Diverted()


@contextmanager
def collected_warnings() -> Iterator[list[str]]:
    """Collects what libraries warn of in this thread; the list is complete when the block has ended.

    Quoted values are left out of it, as they may name a patient. Warnings of arithmetic count where a library that
    reads files calculates, with what a header says; those of other code are no words on a file, and are shown as ever.

    >>> with collected_warnings() as found:
    ...     warnings.warn("Invalid value for VR CS: 'head'.")
    >>> found
    ['Invalid value for VR CS: (…).']
    """
    with _installing:
        _install()
    outer, told = _words(), list[str]()
    words: list[str] = []
    _here.words = words
    try:
        yield told
    finally:
        _here.words = outer
        distinct = dict.fromkeys(map(_shortened, words))
        more = len(distinct) - _MOST
        told += [*distinct][:_MOST] + ([f"{more} more warnings"] if more > 0 else [])


def _install() -> None:
    """Puts the hook in place, also after someone has set `warnings` back to what it was before."""
    if _FILTERS[0] not in warnings.filters:
        warnings.filterwarnings("ignore", category=_NoWarning)
        warnings.filters[:0] = _FILTERS  # type: ignore[index]
    if warnings.showwarning is not _show:
        _passed_on[0] = warnings.showwarning
        warnings.showwarning = _show  # type: ignore[assignment]
    if _DIVERTED not in _LOGGER.filters:
        _LOGGER.addFilter(_DIVERTED)


def _show(message: Warning | str, category: type[Warning], file: str, *place: Any) -> None:
    words = _words()
    if words is None or (category is RuntimeWarning and not _READERS & set(Path(file).parts)):
        _passed_on[0](message, category, file, *place)
    else:
        words.append(str(message))


def _words() -> list[str] | None:
    return getattr(_here, "words", None)


def _shortened(message: str) -> str:
    words = _QUOTED.sub("(…)", on_one_line(message) or "Warning")
    return words if len(words) <= _LONGEST else f"{words[:_LONGEST].rstrip()}…"
