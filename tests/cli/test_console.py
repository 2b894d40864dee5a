"""Progress on standard error, with and without a terminal."""

import pytest

from brainsift.cli import console
from brainsift.core.progress import Progress, silent, within


@pytest.fixture
def clock(monkeypatch):
    """A clock that the test sets."""
    now = [0.0]
    monkeypatch.setattr(console.time, "monotonic", lambda: now[0])
    return now


def test_without_a_terminal_a_line_comes_every_half_minute(clock, capsys):
    with console.progress_bar() as report:
        for second in range(0, 100, 5):
            clock[0] = second
            report(Progress("compact", second, 100, "epoch 1/2"))
    assert capsys.readouterr().err.splitlines() == [
        "compact: 30 of 100, epoch 1/2 (after 30 s)",
        "compact: 60 of 100, epoch 1/2 (after 1 min 0 s)",
        "compact: 90 of 100, epoch 1/2 (after 1 min 30 s)",
    ]


def test_short_work_without_a_terminal_prints_nothing(capsys):
    with console.progress_bar() as report:
        for done in range(1, 11):
            report(Progress("reading files", done, 10))
    assert capsys.readouterr() == ("", "")


def test_the_bar_starts_anew_with_each_stage_and_not_with_each_epoch(monkeypatch):
    resets = []
    from rich.progress import Progress as Bars

    monkeypatch.setattr(Bars, "reset", lambda self, task, **values: resets.append(values["total"]))
    with console._bar() as report:
        for stage, detail in (("compact", "epoch 1/2"), ("compact", "epoch 2/2"), ("preprocessing", "")):
            report(Progress(stage, 1, 7 if detail else 9, detail))
    assert resets == [7, 9]


def test_a_stage_within_another_carries_both_names():
    seen = []
    within(seen.append, "fold 0")(Progress("compact", 1, 2, "epoch 1/2"))
    assert seen == [Progress("fold 0: compact", 1, 2, "epoch 1/2")]
    assert silent(seen[0]) is None
