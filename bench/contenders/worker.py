"""What every contender is: a process that does a task whenever it is asked, so that start-up is not timed.

A line of JSON in, a line of JSON out; the first line out tells the versions in use.
Standard library alone: a contender runs in an environment of its own.
"""

import csv
import json
import os
import sys
import time
from collections.abc import Callable, Iterable
from importlib import metadata
from pathlib import Path
from typing import Any

Answers = Iterable[tuple[str, float]]


def answer(do: Callable[[dict[str, Any]], dict[str, Any]], *, packages: tuple[str, ...]) -> None:
    """Answers tasks from standard input until it ends.

    Args:
        do: a task to its answer.
        packages: whose versions are told.
    """
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what libraries print must not mix with the answers
    print(json.dumps({"versions": {name: metadata.version(name) for name in packages}}), file=answers, flush=True)
    for line in sys.stdin:
        print(json.dumps(do(json.loads(line))), file=answers, flush=True)


def serve(score: Callable[[list[str]], Answers], *, packages: tuple[str, ...]) -> None:
    """Scores files: "list", one path a line, to "csv"; the answer has "seconds", and "cpu_seconds" of the process.

    Args:
        score: paths to pairs of a path and its probability.
        packages: whose versions are told.
    """
    answer(lambda task: _timed(score, task), packages=packages)


def _timed(score: Callable[[list[str]], Answers], task: dict[str, Any]) -> dict[str, Any]:
    start, cpu = time.perf_counter(), time.process_time()
    paths = Path(task["list"]).read_text(encoding="utf-8").splitlines()
    with Path(task["csv"]).open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("path", "probability"))
        for row in score(paths):
            writer.writerow(row)
    return {"seconds": time.perf_counter() - start, "cpu_seconds": time.process_time() - cpu}
