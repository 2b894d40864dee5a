"""Progress of long work, as a value that is handed up: the caller decides whether to show it."""

from collections.abc import Callable
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Progress:
    """How far a stage of the work has come.

    Attributes:
        stage: its name, the same until the next stage starts.
        done: finished steps, images or files of the stage.
        total: all of them.
        detail: more about the moment, such as the epoch.
    """

    stage: str
    done: int
    total: int
    detail: str = ""


Report = Callable[[Progress], None]
"""Takes each step of progress. What it raises ends the work."""


def silent(progress: Progress) -> None:
    """Shows nothing."""


def within(report: Report, name: str) -> Report:
    """Returns a report that puts the name of the whole before each stage: ``tune compact: trial 3``."""
    return lambda progress: report(replace(progress, stage=f"{name}: {progress.stage}"))
