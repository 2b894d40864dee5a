"""What the commands share: progress on standard error, tables on standard output."""

import argparse
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from brainsift.core.text import SHARES, Bounds, interval

Report = Callable[[int, int, str], None]
_PATIENCE = 0.5  # seconds; what is done by then shows no bar
NOTICE = "Research use only. Not a medical device."


def add_output(parser: argparse.ArgumentParser, what: str) -> None:
    """Adds ``-o DIR``."""
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="DIR", help=what)


def say(text: str) -> None:
    """Prints a line for people."""
    print(text)


@contextmanager
def progress_bar() -> Iterator[Report]:
    """Shows one bar with the time left, on a terminal; yields ``report(done, total, words)``."""
    if not sys.stderr.isatty():
        yield lambda done, total, words: None
        return
    start = time.monotonic()
    with ExitStack() as stack:
        show: Report | None = None

        def report(done: int, total: int, words: str) -> None:
            nonlocal show
            if show is None and time.monotonic() - start > _PATIENCE:
                show = stack.enter_context(_bar())
            if show:
                show(done, total, words)

        yield report


@contextmanager
def _bar() -> Iterator[Report]:
    from rich.console import Console  # costs as much to import as one image to score
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bars:
        bar = bars.add_task("starting", total=None)
        last = ""

        def report(done: int, total: int, words: str) -> None:
            nonlocal last
            stage = words.split(" epoch ", maxsplit=1)[0]
            if stage != last:
                bars.reset(bar, total=total)
                last = stage
            bars.update(bar, completed=done, total=total, description=words)

        yield report


def show_table(title: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Prints a table."""
    from rich.console import Console
    from rich.table import Table

    say(title)
    table = Table(header_style="bold")
    for index, name in enumerate(head):
        table.add_column(name, justify="left" if index == 0 else "right", overflow="fold")
    for row in rows:
        table.add_row(*row)
    Console(highlight=False).print(table)


def show_scores(title: str, rows: Sequence[tuple[str, Mapping[str, Bounds]]]) -> None:
    """Prints the main scores of several sets of images."""
    names = ("accuracy", "sensitivity", "specificity", "roc_auc")
    head = ("", "accuracy", "sensitivity", "specificity", "ROC AUC")
    cells = [(name, *(interval(scores.get(key), percent=key in SHARES) for key in names)) for name, scores in rows]
    show_table(title, head, cells)
