"""Contenders in turns: A B C A B C ..., so that a busy neighbour slows all of them, and ratios can be believed."""

import json
import os
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from brainsift.core.environment import describe
from brainsift.core.files import write_json

CONTENDERS = Path(__file__).parent / "contenders"
Entry = dict[str, Any]


@dataclass(frozen=True)
class Spread:
    """The median of some figures, the least and the greatest of them."""

    median: float
    low: float
    high: float

    @staticmethod
    def of(values: Sequence[float]) -> "Spread":
        """Sums figures up."""
        return Spread(median(values), min(values), max(values))

    def __str__(self) -> str:
        return f"{_short(self.median)} ({_short(self.low)}–{_short(self.high)})"


@dataclass
class Figures:
    """What was measured of one contender, a figure a turn."""

    name: str
    values: list[float] = field(default_factory=list)
    note: str = ""

    def ratios(self, other: "Figures") -> Spread:
        """Returns this contender's figures by another's, turn by turn."""
        return Spread.of([mine / its for mine, its in zip(self.values, other.values, strict=True)])

    def to_dict(self, first: "Figures", *, rises: bool) -> Entry:
        """Returns all of it; ``rises`` tells whether a greater figure is the better one."""
        ratio = first.ratios(self) if rises else self.ratios(first)
        spread = {"figures": vars(Spread.of(self.values)), "ratio": vars(ratio)}
        return {"name": self.name, **spread, "turns": self.values, "note": self.note}


class Worker:
    """A contender's process.

    Args:
        script: of the folder `contenders`.
        python: of the environment that it runs in.
    """

    def __init__(self, script: str, python: str) -> None:
        self._process = subprocess.Popen(
            [python, str(CONTENDERS / script)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.versions: dict[str, str] = self._read()["versions"]

    def ask(self, listed: Path, csv: Path) -> Entry:
        """Has a list of files scored."""
        return self.do(list=str(listed), csv=str(csv))

    def do(self, **task: Any) -> Entry:
        """Has a task done."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(task) + "\n")
        self._process.stdin.flush()
        return self._read()

    def close(self) -> None:
        """Ends the process."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()

    def _read(self) -> Entry:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise OSError(f"{self._process.args} ended with code {self._process.wait()}")
        answer: Entry = json.loads(line)
        return answer


def in_turns(turns: Mapping[str, Callable[[], float]], *, rounds: int) -> dict[str, Figures]:
    """Calls each contender once a round and keeps the figure that it returns."""
    figures = {name: Figures(name) for name in turns}
    for _ in range(rounds):
        for name, turn in turns.items():
            figures[name].values.append(turn())
    return figures


def table(figures: Sequence[Figures], *, unit: str, rises: bool = True) -> str:
    """Returns a Markdown table; ratios say how many times better the first contender is, turn by turn."""
    first = figures[0]
    lines = [f"| | {unit} | {first.name} is better by |", "|---|---:|---:|"]
    for one in figures:
        ratio = "1" if one is first else str(first.ratios(one) if rises else one.ratios(first))
        name = f"{one.name}, {one.note}" if one.note else one.name
        lines.append(f"| {name} | {Spread.of(one.values)} | {ratio} |")
    return "\n".join(lines)


def hardware() -> Entry:
    """Returns the machine, what brainsift runs on, and how busy the machine is: above 0.5 a core, do not believe it."""
    return {**describe(), "load": round(os.getloadavg()[0], 2)}


def machine_line(machine: Entry) -> str:
    """Returns one line about the machine."""
    cores, memory = machine["cores"], machine["memory_gib"]
    versions = ", ".join(
        f"{name} {machine[name]}" for name in ("brainsift", "python", "onnxruntime", "numpy", "pillow")
    )
    commit = f" ({machine['commit']})" if machine["commit"] else ""
    return f"{machine['processor']}, {cores} cores, {memory} GiB; load before {machine['load']}; {versions}{commit}"


def save(output: Path | None, entry: Entry) -> None:
    """Writes JSON where it is asked for."""
    if output:
        write_json(output, entry)


def _short(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
