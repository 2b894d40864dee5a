"""Searches the history by words, verdict and decision."""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager

from brainsift.core.errors import SlowError, UsageError
from brainsift.serve.history.contours import CASES
from brainsift.serve.history.database import folded

_MOST_WORDS = 10
_MOST_SECONDS = 5.0
_CHECK_EVERY = 1000  # instructions of SQLite
_WORD = "id IN (SELECT ifnull(part_of, id) FROM cases WHERE instr(folded(name||' '||detail||' '||note), ?))"


def find(
    connection: sqlite3.Connection, *, query: str, verdict: str, decision: str, limit: int, offset: int
) -> tuple[int, list[sqlite3.Row]]:
    """Finds images and volumes; arguments, result and errors are those of `History.search`."""
    words = list(dict.fromkeys(folded(query).split()))
    if len(words) > _MOST_WORDS:
        raise UsageError("query", f"has {len(words)} words, more than {_MOST_WORDS}", "Search for fewer words.")
    tests = [(_WORD, word) for word in words]
    outcome = "CASE WHEN status = 'ok' THEN decision ELSE status END"
    given = [("ifnull(verdict, 'none') = ?", verdict), (f"{outcome} = ?", decision)]
    tests += [test for test in given if test[1]]
    where = " AND ".join(["part_of IS NULL", *(test for test, _ in tests)])
    with _in_time(connection):
        found = connection.execute(
            f"SELECT id FROM cases WHERE {where} ORDER BY id DESC", [value for _, value in tests]
        )
        numbers = [row["id"] for row in found]
    page = numbers[offset : offset + limit]
    marks = ", ".join("?" * len(page))
    return len(numbers), connection.execute(
        f"SELECT * FROM {CASES} WHERE id IN ({marks}) ORDER BY id DESC", page
    ).fetchall()


@contextmanager
def _in_time(connection: sqlite3.Connection) -> Iterator[None]:
    end = time.monotonic() + _MOST_SECONDS
    connection.set_progress_handler(lambda: time.monotonic() > end, _CHECK_EVERY)
    try:
        yield
    except sqlite3.OperationalError as error:
        if time.monotonic() <= end:
            raise
        rule = f"took longer than {_MOST_SECONDS:g} s"
        raise SlowError("search", rule, "Search for fewer words, or delete old cases.") from error
    finally:
        connection.set_progress_handler(None, 0)
