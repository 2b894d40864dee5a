"""Does a command end with the same result after faults: `kill -9`, a full disk, a read-only folder, a folder that goes?

First the command runs undisturbed on drawn images. Then it is killed at a random moment of that duration, and started
again, until it ends; often it is killed several times before. What is looked at:

- the result, compared with the undisturbed one: tables, JSON without times, and weights byte for byte;
- after each kill, every file that has its final name: it must be whole;
- at the end: no temporary file, no lock that holds, no process of it that still runs.

The other faults end with a clear error and no traceback, leave nothing half-written, and once the fault is gone the
same command ends with the same result. `full` and `read-only` mount a small file system and so need root on Linux.

`serve` is killed while four clients send images: each image that it acknowledged is in its history, as it was scored.

Usage:
    python bench/kill.py COMMAND [--times 50] [--faults kill full read-only vanishing] [--seed 0] [-o FILE.json]
        COMMAND: audit, train, tune, study, predict, release or serve
"""

import argparse
import csv
import hashlib
import json
import random
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from compileall import compile_dir
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image
from processes import Served, family, is_running, serving

import brainsift
from brainsift.client import Client
from brainsift.core.environment import describe
from brainsift.core.errors import BrainsiftError
from brainsift.core.files import write_json
from brainsift.images.phantom import write_phantoms

FAULTS = ("kill", "full", "read-only", "vanishing")
_IMAGES = 64  # enough groups for five subsets
_AGAIN = 0.7  # of the starts after a kill are killed as well
_LINGER_S = 90.0  # after which no process of a killed command may run
_TIMEOUT_S = 900.0
_ROOM = 2**31  # bytes; enough for any of the commands
# What tells of the time or the place of a run, not of its result.
_OF_THE_RUN = {"seconds", "hours", "created", "training_seconds", "peak_memory_mb", "hardware", "commit", "command"}
_TIMED_COLUMNS = {"seconds", "images_per_second"}
_TEMPORARY = re.compile(r"^\.(?!.*lock$)")

Result = dict[str, str]


@dataclass(frozen=True)
class Work:
    """The places of a measurement: drawn images, their audit, and the folder that the command writes to."""

    images: Path
    manifest: Path
    out: Path


_SMALL = ("--size", "32", "--threads", "1", "--batch-size", "8", "--precision", "fp32")
COMMANDS: dict[str, Callable[[Work], list[str]]] = {
    "audit": lambda work: ["audit", str(work.images), "-o", str(work.out), "--workers", "1"],
    "train": lambda work: ["train", str(work.manifest), "-o", str(work.out), "--epochs", "3", *_SMALL],
    "tune": lambda work: [
        "tune", str(work.manifest), "-o", str(work.out), "--trials", "5", "--trial-epochs", "1", *_SMALL
    ],
    "study": lambda work: [
        "study", "--data", str(work.images), "-o", str(work.out), "--quick", "--models", "compact", "--protocols",
        "grouped", "--tune-models", "compact", "--trials", "2", "--trial-epochs", "1", "--size", "32", "--threads", "1",
    ],
    "predict": lambda work: [
        "predict", str(work.images), "--threads", "1", "--csv", str(work.out / "predictions.csv"), "--json",
        str(work.out / "predictions.json"), "--volumes", str(work.out / "volumes.csv"), "--heatmaps",
        str(work.out / "maps"), "--report", str(work.out / "report.html"),
    ],
    "release": lambda work: [
        "release", "--data", str(work.images), "-o", str(work.out), "--epochs", "2", "--epoch-images", "16", *_SMALL
    ],
}  # fmt: skip


@dataclass
class Figures:
    """What was counted.

    Attributes:
        command: that was disturbed.
        undisturbed_s: seconds that it takes by itself.
        faults: number by kind.
        ends: number of runs that came to their end after faults, and were compared.
        findings: what must not be.
    """

    command: str
    undisturbed_s: float = 0.0
    faults: Counter[str] = field(default_factory=Counter)
    ends: int = 0
    findings: list[str] = field(default_factory=list)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=[*COMMANDS, "serve"])
    parser.add_argument("--times", type=int, default=50, help="of each fault")
    parser.add_argument("--faults", nargs="+", choices=FAULTS, default=FAULTS)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("-o", "--output", type=Path, help="write JSON")
    arguments = parser.parse_args()
    rng = random.Random(f"{arguments.command}-{arguments.seed}")
    with tempfile.TemporaryDirectory(prefix="kill-") as folder:
        if arguments.command == "serve":
            figures = disturb_service(Path(folder), arguments.times, rng)
        else:
            figures = disturb(arguments.command, Path(folder), arguments, rng)
    counts = ", ".join(f"{count} × {fault}" for fault, count in figures.faults.items())
    print(f"{figures.command}: {counts}; {figures.ends} ends compared; {len(figures.findings)} findings")
    print(*(f"- {words}" for words in figures.findings), sep="\n")
    if arguments.output:
        told = {**asdict(figures), "faults": dict(figures.faults), "environment": describe()}
        write_json(arguments.output, told)
    sys.exit(bool(figures.findings))


def disturb(name: str, folder: Path, arguments: argparse.Namespace, rng: random.Random) -> Figures:
    """Runs a command undisturbed, and then with each kind of fault."""
    work = _prepared(folder)
    figures = Figures(name)
    command = [sys.executable, "-m", "brainsift", *COMMANDS[name](work)]
    if str(work.manifest) in command:
        audit = ["audit", str(work.images), "-o", str(work.manifest.parent), "--no-probes"]
        run_to_end([sys.executable, "-m", "brainsift", *audit])
    compile_dir(Path(brainsift.__file__).parent, quiet=1)  # so that the first start takes no longer than others
    started = time.monotonic()
    first_s = _first_file_s(command, work.out)
    figures.undisturbed_s = time.monotonic() - started
    expected = result_of(work.out)
    size = sum(path.stat().st_size for path in work.out.rglob("*") if path.is_file())
    disturbed = Disturbed(command, work.out, expected, figures, rng)
    for fault in arguments.faults:
        if fault == "kill":
            disturbed.kill(arguments.times, first_s)
        else:
            for _ in range(arguments.times):
                disturbed.meet(fault, first_s, size)
                print(f"{name}: {figures.faults}, {len(figures.findings)} findings", file=sys.stderr, flush=True)
    return figures


def _prepared(folder: Path) -> Work:
    images = write_phantoms(folder / "drawn", count=_IMAGES, seed=1).parent
    shutil.rmtree(images / "masks")  # a folder of masks is no class
    return Work(images, folder / "audit" / "manifest.csv", folder / "out")


def run_to_end(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
    """Runs a command that must end well.

    Raises:
        RuntimeError: it does not.
    """
    done = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command[2:])} ended with {done.returncode}: {done.stderr[-2000:]}")
    return done


def _first_file_s(command: Sequence[str], out: Path) -> float:
    """Runs a command to its end; returns the seconds until it first wrote something."""
    started, first_s = time.monotonic(), 0.0
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        while process.poll() is None:
            if not first_s and out.is_dir() and any(out.iterdir()):
                first_s = time.monotonic() - started
            time.sleep(0.01)
    if process.returncode:
        raise RuntimeError(f"ended with {process.returncode}")
    return first_s


class Disturbed:
    """A command that meets faults.

    Args:
        command: to start.
        out: folder that it writes to.
        expected: its result without faults.
        figures: where to count.
        rng: draws the moments.
    """

    def __init__(
        self, command: Sequence[str], out: Path, expected: Result, figures: Figures, rng: random.Random
    ) -> None:  # fmt: skip
        self.command, self.out, self.expected, self.figures, self.rng = command, out, expected, figures, rng

    def kill(self, times: int, first_s: float) -> None:
        """Kills it so many times; starts after a kill are often killed as well."""
        latest = self.figures.undisturbed_s
        shutil.rmtree(self.out, ignore_errors=True)
        while self.figures.faults["kill"] < times:
            moment = self.rng.uniform(0.8 * first_s, latest)
            process = self._start()
            with suppress(subprocess.TimeoutExpired):
                process.wait(moment)
            if process.poll() is None:
                started = list(family(process.pid))
                process.send_signal(signal.SIGKILL)
                process.wait()
                self.figures.faults["kill"] += 1
                self._finding_unless(not _outlast(started), f"killed at {moment:.1f} s, its processes go on")
                self._look(f"killed at {moment:.1f} s")
                if self.rng.random() < _AGAIN and self.figures.faults["kill"] < times:
                    continue
                process = self._start()
            self._end(process, f"after a kill at {moment:.1f} s")
            shutil.rmtree(self.out, ignore_errors=True)
            words = f"{self.figures.command}: {self.figures.faults['kill']} kills, {self.figures.ends} ends"
            print(f"{words}, {len(self.figures.findings)} findings", file=sys.stderr, flush=True)

    def meet(self, fault: str, first_s: float, size: int) -> None:
        """Lets it meet another fault, and then end without it."""
        moment = self.rng.uniform(0.8 * first_s, self.figures.undisturbed_s)
        room = self.rng.randrange(4096, max(size, 8192)) if fault == "full" else _ROOM
        if fault == "read-only" and self.rng.random() < 0.3:
            moment = 0.0
        where = f"full after {room} bytes" if fault == "full" else f"{fault} at {moment:.1f} s"
        shutil.rmtree(self.out, ignore_errors=True)
        self.out.mkdir()
        with ExitStack() as stack:
            remount = None if fault == "vanishing" else stack.enter_context(_mounted(self.out, room))
            if fault == "read-only" and not moment and remount:
                remount("ro")
            process = self._start()
            if fault != "full":
                with suppress(subprocess.TimeoutExpired):
                    process.wait(moment)
            if fault == "vanishing":
                shutil.rmtree(self.out, ignore_errors=True)
            elif fault == "read-only" and remount:
                while not remount("ro") and process.poll() is None:  # not while a file is open for writing
                    time.sleep(0.01)
            self._refused(process, where)
            self._look(where)
            if remount:
                remount("rw")
                remount(f"size={_ROOM}")
            self._end(self._start(), where)
        self.figures.faults[fault] += 1

    def _start(self) -> subprocess.Popen[str]:
        return subprocess.Popen(self.command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)

    def _refused(self, process: subprocess.Popen[str], where: str) -> None:
        """Waits for an error in words, or for a good end where the fault came too late or did no harm."""
        said = process.communicate(timeout=_TIMEOUT_S)[1]
        clear = process.returncode in (0, 2, 3, 4, 5) and "Traceback" not in said
        self._finding_unless(clear, f"{where}: ended with {process.returncode}: {said[-800:]}")
        if process.returncode == 0 and not where.startswith("vanishing"):
            missing = sorted(self.expected.keys() - result_of(self.out).keys())
            told = not missing or "cannot be written" in said
            self._finding_unless(told, f"{where}: ended well without a word, but {missing[:5]} are missing")

    def _end(self, process: subprocess.Popen[str], where: str) -> None:
        """Waits for the end, and compares what is there then."""
        said = process.communicate(timeout=_TIMEOUT_S)[1]
        self.figures.ends += 1
        if process.returncode:
            self.figures.findings.append(f"{where}: started anew, it ended with {process.returncode}: {said[-800:]}")
            return
        self._look(where)
        found = result_of(self.out)
        for name in sorted(self.expected.keys() | found.keys()):
            same = found.get(name) == self.expected.get(name)
            self._finding_unless(same, f"{where}: {name} is {'another' if name in found else 'missing'}")
        left = [str(path.relative_to(self.out)) for path in self.out.rglob("*") if _TEMPORARY.match(path.name)]
        self._finding_unless(not left, f"{where}: left behind: {left[:5]}")

    def _look(self, where: str) -> None:
        for path in sorted(self.out.rglob("*")) if self.out.is_dir() else []:
            if path.is_file() and not path.name.startswith("."):
                fault = fault_of(path)
                self._finding_unless(not fault, f"{where}: {path.relative_to(self.out)} is not whole: {fault}")

    def _finding_unless(self, holds: bool, words: str) -> None:
        if not holds:
            self.figures.findings.append(words)
            print(f"finding: {words}", file=sys.stderr, flush=True)


def _outlast(pids: Sequence[int]) -> list[int]:
    """Waits until processes have ended; returns those that go on."""
    until = time.monotonic() + _LINGER_S
    while (left := [pid for pid in pids if is_running(pid)]) and time.monotonic() < until:
        time.sleep(0.05)
    return left


@contextmanager
def _mounted(folder: Path, size: int) -> Iterator[Callable[[str], bool]]:
    """Mounts a file system in memory; yields what mounts it anew with another option, and tells whether it could."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)], check=True)

    def remount(option: str) -> bool:
        words = ["mount", "-o", f"remount,{option}", str(folder)]
        return subprocess.run(words, check=False, capture_output=True).returncode == 0

    try:
        yield remount
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fault_of(path: Path) -> str:
    """Tells why a file is not whole; "" where it is, or where nothing is known of its kind."""
    check = _CHECKS.get(path.suffix)
    try:
        return check(path) if check else ""
    except Exception as error:  # whatever a parser raises
        return f"{type(error).__name__}: {error}"


def _fault_of_json(path: Path) -> str:
    json.loads(path.read_bytes())
    return ""


def _fault_of_table(path: Path) -> str:
    text = path.read_text()
    widths = sorted({len(row) for row in csv.reader(text.splitlines())})
    return "" if text.endswith("\n") and len(widths) == 1 else f"rows of {widths} cells"


def _fault_of_page(path: Path) -> str:
    return "" if path.read_text().rstrip().endswith("</html>") else "it has no end"


def _fault_of_picture(path: Path) -> str:
    with Image.open(path) as picture:
        picture.load()
    return ""


def _fault_of_database(path: Path) -> str:
    with closing(sqlite3.connect(path)) as database:
        said = database.execute("PRAGMA integrity_check").fetchone()[0]
    return "" if said == "ok" else str(said)


def _fault_of_weights(path: Path) -> str:
    from safetensors.numpy import load_file

    load_file(path)
    return ""


def _fault_of_network(path: Path) -> str:
    import onnx

    onnx.load(path)
    return ""


_CHECKS = {
    ".json": _fault_of_json,
    ".csv": _fault_of_table,
    ".html": _fault_of_page,
    ".png": _fault_of_picture,
    ".sqlite": _fault_of_database,
    ".safetensors": _fault_of_weights,
    ".onnx": _fault_of_network,
}


def result_of(folder: Path) -> Result:
    """Returns a digest of each file that a command ends with; pages tell the time, and so only have to be there."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if (
            not path.is_file()
            or path.name.startswith(".")
            or path.suffix in (".sqlite", ".u8", ".keys", ".pt", ".html")
        ):
            continue
        if name == "seconds.json" or path.name == "environment.json":
            continue
        if path.suffix == ".json":
            words = json.dumps(_of_the_result(json.loads(path.read_text())), sort_keys=True).encode()
        elif path.suffix == ".csv":
            with path.open(newline="") as file:
                rows = [{key: one[key] for key in one if key not in _TIMED_COLUMNS} for one in csv.DictReader(file)]
            words = json.dumps(rows).encode()
        elif path.suffix in (".md", ".svg", ".txt"):
            words = b""
        else:
            words = path.read_bytes()
        found[name] = hashlib.sha256(words).hexdigest()
    return found


def _of_the_result(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _of_the_result(one) for key, one in value.items() if key not in _OF_THE_RUN}
    return [_of_the_result(one) for one in value] if isinstance(value, list) else value


# The service


def disturb_service(folder: Path, times: int, rng: random.Random) -> Figures:
    """Kills a server that keeps a history while clients send images; looks for every image that it acknowledged."""
    figures = Figures("serve")
    images = write_phantoms(folder / "drawn", count=_IMAGES, seed=1).parent
    files = sorted((images / "tumor").iterdir()) + sorted((images / "no_tumor").iterdir())
    keep, spool = folder / "keep", folder / "spool"
    spool.mkdir()
    flags = ("--keep", str(keep), "--keep-images", "--threads", "1")
    acknowledged: Counter[tuple[str, float]] = Counter()
    while figures.faults["kill"] <= times:  # the last start is not killed
        with serving(*flags, variables={"TMPDIR": str(spool)}) as server:
            _check_history(server, keep, acknowledged, figures)
            left = list(spool.iterdir())
            if len(left) > 1:
                figures.findings.append(f"uploads of killed servers are left: {len(left) - 1} folders")
            if figures.faults["kill"] == times:
                return figures
            threads = [threading.Thread(target=_send, args=(server.url, files, n, acknowledged)) for n in range(4)]
            for thread in threads:
                thread.start()
            time.sleep(rng.uniform(0.0, 2.0))
            server.process.kill()
            for thread in threads:
                thread.join()
            figures.faults["kill"] += 1
            words = f"serve: {figures.faults['kill']} kills, {acknowledged.total()} acknowledged"
            print(f"{words}, {len(figures.findings)} findings", file=sys.stderr, flush=True)
    return figures


_LOCK = threading.Lock()


def _send(url: str, files: Sequence[Path], first: int, acknowledged: Counter[tuple[str, float]]) -> None:
    """Sends one image after the other until the server is gone."""
    client, number = Client(url, timeout_s=60), first
    while True:
        try:
            for one in client.predict(files[number % len(files)])["answers"]:
                with _LOCK:
                    acknowledged[one["name"], one["probability"]] += 1
        except (BrainsiftError, OSError):
            return
        number += 4


def _check_history(
    server: Served, keep: Path, acknowledged: Counter[tuple[str, float]], figures: Figures
) -> None:  # fmt: skip
    figures.ends += 1
    client, found, offset = Client(server.url), Counter[tuple[str, float]](), 0
    known = set()
    while cases := client.get(f"/api/v1/history?limit=500&offset={offset}")["cases"]:
        offset += len(cases)
        for one in cases:
            found[one["name"], one["probability"]] += 1
            known.add(str(one["id"]))
            picture = keep / "images" / f"{one['id']}.png"
            if one["picture"] and (not picture.is_file() or fault_of(picture)):
                figures.findings.append(f"the picture of case {one['id']} is not whole")
    lost = acknowledged - found
    if lost:
        figures.findings.append(
            f"{lost.total()} acknowledged images are not in the history, such as {next(iter(lost))}"
        )
    strays = [path.name for path in (keep / "images").iterdir() if path.stem.removesuffix("-map") not in known]
    if strays:
        figures.findings.append(f"pictures without a case: {strays[:5]}")


if __name__ == "__main__":
    main()
