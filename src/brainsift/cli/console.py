"""What commands print: progress on standard error, tables on standard output."""

import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager

from brainsift.core.progress import Progress, Report
from brainsift.core.text import SHARES, Bounds, duration, interval

_PATIENCE_S = 0.5  # work that is done by then shows no bar
_LINE_EVERY_S = 30.0
NOTICE = "Research use only. Not a medical device."


def say(text: str) -> None:
    """Prints a line for people."""
    print(text)


@contextmanager
def progress_bar() -> Iterator[Report]:
    """Shows the progress on standard error: a bar on a terminal, else a line every half minute."""
    if not sys.stderr.isatty():
        yield _lines()
        return
    start = time.monotonic()
    with ExitStack() as stack:
        show: Report | None = None

        def report(progress: Progress) -> None:
            nonlocal show
            if show is None and time.monotonic() - start > _PATIENCE_S:
                show = stack.enter_context(_bar())
            if show:
                show(progress)

        yield report


def _lines() -> Report:
    start = last = time.monotonic()

    def report(progress: Progress) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last < _LINE_EVERY_S:
            return
        last = now
        detail = f", {progress.detail}" if progress.detail else ""
        words = f"{progress.stage}: {progress.done} of {progress.total}{detail} (after {duration(now - start)})"
        print(words, file=sys.stderr, flush=True)

    return report


@contextmanager
def _bar() -> Iterator[Report]:
    # Rich costs as much time to import as one image costs to score.
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Bars(*columns, console=Console(stderr=True), transient=True) as bars:
        bar = bars.add_task("starting", total=None)
        stage = ""

        def report(progress: Progress) -> None:
            nonlocal stage
            if progress.stage != stage:  # the time left is that of the stage
                bars.reset(bar, total=progress.total)
                stage = progress.stage
            words = f"{progress.stage}, {progress.detail}" if progress.detail else progress.stage
            bars.update(bar, completed=progress.done, total=progress.total, description=words)

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
