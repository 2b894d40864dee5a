"""How long does a whole process take to start and to answer for one image, and how much memory does it need?

Contenders take turns: Python itself, brainsift, its help, `brainsift predict` of one image, and a Keras script that
loads its network and scores the same image. Every process is new, the files are in the page cache. What
`brainsift predict` imports is listed by the time that each package takes, from `python -X importtime`.

Usage:
    BRAINSIFT_DATA=../shared/data python bench/start.py --rivals-python RIVALS/bin/python [-o FILE.json]
"""

import argparse
import json
import re
import subprocess
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from real_images import sample
from side_by_side import CONTENDERS, Entry, Figures, Spread, hardware, machine_line, save

_IMPORT = re.compile(r"import time:\s*(\d+) \|\s*(\d+) \|\s*(\S+)")
_TOP = 15
_PYTHONS_OWN = sys.stdlib_module_names | {"org"}  # `copy` looks for Jython


@dataclass(frozen=True)
class Command:
    """A process to start, and the peak memory of each time that it ran, MB."""

    name: str
    words: list[str]
    memory_mb: list[float] = field(default_factory=list)

    def seconds(self) -> float:
        """Runs it and returns the time that it takes, from nothing to its exit."""
        launch = [sys.executable, "-I", "-S", str(CONTENDERS / "launch.py"), *self.words]
        ran = json.loads(subprocess.run(launch, capture_output=True, text=True, check=True).stdout)
        if ran["code"]:
            raise RuntimeError(f"{' '.join(self.words)} ended with code {ran['code']}")
        self.memory_mb.append(ran["kibibytes"] / 1024)
        return float(ran["seconds"])


def main() -> None:
    """Measures."""
    arguments = _arguments()
    machine, (image,) = hardware(), sample(1, seed=arguments.seed)
    with tempfile.TemporaryDirectory() as folder:
        commands = _commands(arguments.rivals_python, image, Path(folder))
        figures = _measured(commands, arguments.rounds)
    packages = _packages([sys.executable, "-X", "importtime", "-m", "brainsift", "predict", image])
    print(machine_line(machine))
    print(f"{arguments.rounds} turns each; medians (least–greatest)\n")
    print(_table(commands, figures))
    print(f"\n{_imports_table(packages)}")
    save(arguments.output, {"machine": machine, **_entry(commands, figures, packages)})


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--seed", type=int, default=0, help="of the draw of the image")
    parser.add_argument("--rivals-python", default="", help="with requirements-rivals.txt; left out: no Keras")
    parser.add_argument("-o", "--output", type=Path, help="write JSON")
    return parser.parse_args()


def _commands(rivals: str, image: str, folder: Path) -> list[Command]:
    brainsift = [sys.executable, "-m", "brainsift"]
    commands = [
        Command("`brainsift predict one.jpg`", [*brainsift, "predict", image]),
        Command("brainsift, its help", [*brainsift, "--help"]),
        Command("`python -c pass`", [sys.executable, "-c", "pass"]),
    ]
    if not rivals:
        print("left out: Keras: no Python is given for it", file=sys.stderr)
        return commands
    script, network = str(CONTENDERS / "keras_cnn.py"), str(folder / "cnn.keras")
    subprocess.run([rivals, script, "--save", network], check=True, stderr=subprocess.DEVNULL)
    return [*commands, Command("Keras script: load, predict one", [rivals, script, "--predict", network, image])]


def _measured(commands: list[Command], rounds: int) -> list[Figures]:
    """Returns seconds, in turns; each command runs once before, which writes compiled bytecode."""
    for command in commands:
        command.seconds()
        command.memory_mb.clear()
    figures = [Figures(command.name) for command in commands]
    for _ in range(rounds):
        for command, one in zip(commands, figures, strict=True):
            one.values.append(command.seconds())
    return figures


def _packages(words: list[str]) -> Counter[str]:
    """Returns the milliseconds that importing each package takes by itself, and all of them together."""
    log = subprocess.run(words, capture_output=True, text=True, check=True).stderr
    packages = Counter[str]()
    for own, _, name in _IMPORT.findall(log):
        top = name.split(".")[0]
        packages["Python's own" if top in _PYTHONS_OWN else top] += int(own) / 1000
    return packages


def _table(commands: list[Command], figures: list[Figures]) -> str:
    lines = ["| process | seconds | by `brainsift predict` | peak memory, MB |", "|---|---:|---:|---:|"]
    for command, one in zip(commands, figures, strict=True):
        seconds = Spread.of(one.values)
        lines.append(
            f"| {one.name} | {seconds.median:.3f} ({seconds.low:.3f}–{seconds.high:.3f}) | {one.ratios(figures[0])} "
            f"| {Spread.of(command.memory_mb).median:.0f} |"
        )
    return "\n".join(lines)


def _imports_table(packages: Counter[str]) -> str:
    lines = ["| imported by `brainsift predict` | ms, its own |", "|---|---:|"]
    lines += [f"| {name} | {spent:.1f} |" for name, spent in packages.most_common(_TOP)]
    return "\n".join([*lines, f"| all | {packages.total():.1f} |"])


def _entry(commands: list[Command], figures: list[Figures], packages: Counter[str]) -> Entry:
    entries = [
        {**one.to_dict(figures[0], rises=False), "memory_mb": command.memory_mb}
        for command, one in zip(commands, figures, strict=True)
    ]
    return {"processes": entries, "import_ms": dict(packages.most_common())}


if __name__ == "__main__":
    main()
