"""Processes of brainsift to be measured, loaded, or killed: a real server, and what the kernel says of a process."""

import contextlib
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from brainsift.client import Client
from brainsift.core.errors import BrainsiftError

_START_S, _STOP_S = 120.0, 60.0
_PEAK = "5"  # what the kernel wants written to clear_refs so that the peak starts anew


def reset_peak(pid: int | str = "self") -> None:
    """Lets the peak of a process's memory start from what it has now."""
    Path(f"/proc/{pid}/clear_refs").write_text(_PEAK)


def memory_mb(pid: int | str = "self", key: str = "VmRSS") -> float:
    """Returns the resident memory of a process, millions of bytes, or with the key VmHWM its peak; 0 once it ended."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0.0
    found = re.search(rf"^{key}:\s*(\d+)", status, re.MULTILINE)
    return int(found[1]) * 1024 / 1e6 if found else 0.0


def family(pid: int) -> Iterator[int]:
    """Yields a process and what it started, as far as they still run."""
    yield pid
    try:
        tasks = list(Path(f"/proc/{pid}/task").iterdir())
        children = [int(child) for task in tasks for child in (task / "children").read_text().split()]
    except OSError:  # it has ended
        return
    for child in children:
        yield from family(child)


def is_running(pid: int) -> bool:
    """Tells whether a process still runs: it is there, and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def peak_mb(pid: int | str = "self") -> float:
    """Returns the greatest resident memory of a process since `reset_peak`, in MB."""
    return memory_mb(pid, "VmHWM")


class Served:
    """A running `brainsift serve`.

    Attributes:
        url: its address.
        process: of the server.
    """

    def __init__(self, process: subprocess.Popen[str], url: str, log: Path) -> None:
        self.url, self.process, self._log = url, process, log

    def ask(self, path: str, maps: bool, *, seconds: float) -> tuple[dict[str, Any], float]:
        """Sends a file; returns the status and the rows of the reply, and the peak memory of the server."""
        reset_peak(self.process.pid)
        client = Client(self.url, timeout_s=seconds)
        try:
            reply = client.predict(path, maps=maps)
            rows = [
                {name: one.get(name) for name in ("name", "status", "probability", "reason")}
                for one in reply["answers"]
            ]
            told = {"status": 200, "words": "", "rows": rows}
        except BrainsiftError as error:
            told = {"status": error.http_status, "words": str(error), "rows": []}
        return told, self.peak()

    def peak(self) -> float:
        return peak_mb(self.process.pid)

    def memory(self) -> float:
        return memory_mb(self.process.pid)

    def alive(self) -> bool:
        return self.process.poll() is None

    def log(self) -> str:
        """Returns what the server wrote to its log."""
        return self._log.read_text(errors="replace")


@contextlib.contextmanager
def serving(*flags: str, variables: Mapping[str, str] | None = None) -> Iterator[Served]:
    """Starts `brainsift serve` on a free port, waits until it is ready, and stops it at the end.

    Args:
        *flags: of the command.
        variables: to add to its environment.

    Raises:
        RuntimeError: it did not start.
    """
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder, "log")
        command = [sys.executable, "-m", "brainsift", "serve", "--no-browser", "--port", "0", *flags]
        with log.open("w") as errors:
            environment = {**os.environ, **(variables or {})}
            process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True, env=environment)
        try:
            assert process.stdout is not None
            os.set_blocking(process.stdout.fileno(), True)
            url = process.stdout.readline().strip().rstrip("/")
            server = Served(process, url, log)
            _wait_until_ready(server)
            yield server
        finally:
            process.terminate()
            try:
                process.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _wait_until_ready(server: Served) -> None:
    until = time.monotonic() + _START_S
    while time.monotonic() < until and server.alive():
        with contextlib.suppress(BrainsiftError):
            Client(server.url).get("/readyz")
            return
        time.sleep(0.1)
    raise RuntimeError(f"brainsift serve did not start:\n{server.log()[-2000:]}")
