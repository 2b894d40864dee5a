"""How much does `brainsift serve` take, beside the endpoint that people usually write (`serve_bare.py`)?

All servers run on this machine's loopback, each image of a request is another drawn head, and each client sends its
next request when it has its answer. Rounds go through servers and numbers of clients in turn, so that a busy machine
is busy for all of them. Counted in the same run: requests/s, latencies, refusals (429), errors; then the time to the
answer for a slice by way of a job, the time from a drop on the page, in Chromium, to the answer in its list, and the
service's memory under load.

Usage:
    pip install -r bench/requirements-serve.txt
    python bench/serve.py [--seconds 10] [--rounds 3] [--memory-seconds 600] [-o FILE]
    python bench/serve.py --rounds 0 --memory-seconds 0    # the page alone; needs Chromium
"""

import argparse
import asyncio
import base64
import io
import itertools
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
import psutil
from PIL import Image

from brainsift.core.environment import describe
from brainsift.core.files import write_json
from brainsift.core.text import markdown_table
from brainsift.images.phantom import draw
from brainsift.volumes.inputs import find_images

OURS = "brainsift serve"
_BOUNDARY = "bench-of-brainsift"
_MOST_REQUESTS = 50_000  # in one measurement
_START_SECONDS, _STOP_SECONDS = 180, 60
_TRIES = 20
_SAMPLE_SECONDS = 5.0
_BROWSERS = ("chromium", "chromium-browser", "google-chrome")
# Drops a picture, and resolves to the milliseconds until the frame after which its row tells the answer.
_DROP = """({name, content}) => new Promise((resolve) => {
  const transfer = new DataTransfer();
  transfer.items.add(new File([Uint8Array.from(atob(content), (sign) => sign.charCodeAt(0))], name));
  const rows = document.getElementById("case-rows");
  const start = performance.now();
  const look = () => {
    const row = [...rows.children].find((one) => one.textContent.includes(name));
    if (!row?.querySelector(".bar-value").textContent) return;
    watch.disconnect();
    requestAnimationFrame(() => setTimeout(() => resolve(performance.now() - start)));
  };
  const watch = new MutationObserver(look);
  watch.observe(rows, { childList: true, subtree: true, characterData: true });
  document.body.dispatchEvent(new DragEvent("drop", { dataTransfer: transfer, bubbles: true, cancelable: true }));
})"""


@dataclass(frozen=True)
class Kind:
    """A server to measure.

    Attributes:
        name: in the tables.
        command: that starts it; `--port N --threads N` is added.
        ready: path that answers once it is up.
        path: that takes an image.
        part: name of the multipart part.
    """

    name: str
    command: tuple[str, ...]
    ready: str
    path: str
    part: str


def _bare(name: str, *flags: str) -> Kind:
    return Kind(name, (str(Path(__file__).with_name("serve_bare.py")), *flags), "/openapi.json", "/predict", "file")


KINDS = (
    Kind(OURS, ("-m", "brainsift", "serve", "--no-browser"), "/readyz", "/api/v1/predict", "files"),
    _bare("bare: async def, Pillow's resize"),
    _bare("bare: def in threads, Pillow's resize", "--handler", "threads"),
    _bare("bare: async def, brainsift's preprocessing", "--preprocess", "brainsift"),
)


@dataclass(frozen=True)
class Server:
    """A running server."""

    kind: Kind
    process: subprocess.Popen[bytes]
    port: int

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    def memory_mb(self) -> float:
        process = psutil.Process(self.process.pid)
        return sum(one.memory_info().rss for one in (process, *process.children(recursive=True))) / 2**20


@dataclass
class Tally:
    """What came back in one measurement."""

    seconds: float = 0.0
    latencies: list[float] = field(default_factory=list)
    busy: int = 0
    errors: int = 0

    def rate(self) -> float:
        return len(self.latencies) / self.seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 8, 64])
    parser.add_argument("--seconds", type=float, default=10.0, help="of one measurement")
    parser.add_argument("--rounds", type=int, default=3, help="0 leaves the loads and the other servers out")
    parser.add_argument("--memory-seconds", type=float, default=600.0, help="0 leaves it out")
    parser.add_argument("--threads", type=int, default=0, help="of each server's network; 0 for all cores")
    parser.add_argument("--images", type=Path, help="a folder of images; drawn heads by default")
    parser.add_argument("-o", "--output", type=Path, help="JSON")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the servers are stopped as well
    images = _read(arguments.images) if arguments.images else _drawn(64)
    with ExitStack() as stack:
        kinds = KINDS if arguments.rounds else KINDS[:1]
        servers = [stack.enter_context(running(kind, arguments.threads)) for kind in kinds]
        loads = asyncio.run(all_loads(servers, images, arguments))
        first = asyncio.run(first_answers(servers[0], images))
        page = asyncio.run(page_answers(servers[0], images))
    memory: list[tuple[float, float]] = []
    if arguments.memory_seconds:
        with running(KINDS[0], arguments.threads) as server:
            memory = asyncio.run(memory_under_load(server, images, arguments))
    results = summary(loads, first, page, memory) | {"environment": describe(), "arguments": _plain(arguments)}
    print(tables(results))
    if arguments.output:
        write_json(arguments.output, results)


@contextmanager
def running(kind: Kind, threads: int) -> Iterator[Server]:
    """Starts a server, waits until it is ready, stops it."""
    with socket.socket() as free, tempfile.TemporaryFile() as log:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        free.close()
        command = [sys.executable, *kind.command, "--port", str(port), "--threads", str(threads)]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=log)
        try:
            server = Server(kind, process, port)
            asyncio.run(_wait(server))
            yield server
        except TimeoutError:
            log.seek(0)
            sys.exit(f"{kind.name} did not start:\n{log.read().decode(errors='replace')[-2000:]}")
        finally:
            process.terminate()
            process.wait(_STOP_SECONDS)


async def _wait(server: Server) -> None:
    async with aiohttp.ClientSession() as session:
        until = time.perf_counter() + _START_SECONDS
        while time.perf_counter() < until:
            try:
                async with session.get(server.url(server.kind.ready)) as reply:
                    if reply.status == 200:
                        return
            except aiohttp.ClientError:
                pass
            if server.process.poll() is not None:
                break
            await asyncio.sleep(0.2)
    raise TimeoutError


async def all_loads(
    servers: Sequence[Server], images: Sequence[bytes], arguments: argparse.Namespace
) -> dict[tuple[str, int], list[Tally]]:
    """Measures every server with every number of clients, in rounds."""
    found: dict[tuple[str, int], list[Tally]] = {}
    for server in servers:
        await load(server, images, clients=8, seconds=min(2.0, arguments.seconds))  # warm
    for turn, clients in itertools.product(range(arguments.rounds), arguments.clients):
        for server in servers if turn % 2 == 0 else reversed(servers):
            tally = await load(server, images, clients=clients, seconds=arguments.seconds)
            print(f"{server.kind.name}, {clients} clients: {tally.rate():.0f} requests/s", file=sys.stderr)
            found.setdefault((server.kind.name, clients), []).append(tally)
    return found


async def load(server: Server, images: Sequence[bytes], *, clients: int, seconds: float) -> Tally:
    """Lets clients send one request after the other for some seconds."""
    tally, start = Tally(), time.perf_counter()
    bodies = itertools.cycle([_body(image, server.kind.part) for image in images])
    timeout, connector = aiohttp.ClientTimeout(total=60), aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(timeout=timeout, connector=connector, headers=_HEADERS) as session:
        await asyncio.gather(*(_client(session, server, bodies, tally, start + seconds) for _ in range(clients)))
    tally.seconds = time.perf_counter() - start
    return tally


async def _client(
    session: aiohttp.ClientSession, server: Server, bodies: Iterator[bytes], tally: Tally, until: float
) -> None:
    while time.perf_counter() < until and len(tally.latencies) < _MOST_REQUESTS:
        start = time.perf_counter()
        try:
            async with session.post(server.url(server.kind.path), data=next(bodies)) as reply:
                await reply.read()
                status, wait_s = reply.status, float(reply.headers.get("Retry-After", 1))
        except (aiohttp.ClientError, TimeoutError):
            status = 0
        if status == 200:
            tally.latencies.append(time.perf_counter() - start)
        elif status == 429:
            tally.busy += 1
            await asyncio.sleep(min(wait_s, 2.0))
        else:
            tally.errors += 1
            await asyncio.sleep(0.1)


_HEADERS = {"Content-Type": f"multipart/form-data; boundary={_BOUNDARY}"}


def _body(image: bytes, part: str) -> bytes:
    head = f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="{part}"; filename="slice.png"\r\n\r\n'
    return head.encode() + image + f"\r\n--{_BOUNDARY}--\r\n".encode()


async def first_answers(server: Server, images: Sequence[bytes]) -> list[float]:
    """Measures the page's way: seconds from the submission of a slice as a job to its answer."""
    found = []
    async with aiohttp.ClientSession() as session:
        for image in images[:_TRIES]:
            start = time.perf_counter()
            async with session.post(server.url("/api/v1/jobs"), data=_body(image, "files"), headers=_HEADERS) as reply:
                job = await reply.json()
            while not job["answers"]:
                async with session.get(server.url(f"/api/v1/jobs/{job['id']}?after=0&wait=5")) as reply:
                    job = await reply.json()
            found.append(time.perf_counter() - start)
            async with session.delete(server.url(f"/api/v1/jobs/{job['id']}")) as reply:
                reply.raise_for_status()
    return found


async def page_answers(server: Server, images: Sequence[bytes]) -> list[float]:
    """Measures what a reader waits for: seconds from the drop of a slice to its answer in the list of the page."""
    chromium = os.environ.get("BRAINSIFT_CHROMIUM") or next(filter(None, map(shutil.which, _BROWSERS)), None)
    if chromium is None:
        print("Without Chromium, the page is left out.", file=sys.stderr)
        return []
    from playwright.async_api import async_playwright

    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = await browser.new_page()
        await page.goto(server.url("/"))
        await page.wait_for_selector("body[data-ready=true]")
        found = []
        for number, image in enumerate(images[: _TRIES + 1]):
            file = {"name": f"slice {number:03d}.png", "content": base64.b64encode(image).decode()}
            found.append(await page.evaluate(_DROP, file) / 1000)
            await page.wait_for_timeout(300)  # what follows the answer: the picture, the map
        await browser.close()
    return found[1:]  # at the first, Chromium compiles


async def memory_under_load(
    server: Server, images: Sequence[bytes], arguments: argparse.Namespace
) -> list[tuple[float, float]]:
    """Samples the resident memory under the largest number of clients: (seconds, MB)."""
    start, samples = time.perf_counter(), [(0.0, server.memory_mb())]
    busy = asyncio.create_task(
        load_for(server, images, clients=max(arguments.clients), seconds=arguments.memory_seconds)
    )
    while not busy.done():
        await asyncio.wait([busy], timeout=_SAMPLE_SECONDS)
        samples.append((time.perf_counter() - start, server.memory_mb()))
    await busy
    return samples


async def load_for(server: Server, images: Sequence[bytes], *, clients: int, seconds: float) -> None:
    """Loads a server for a long time, in measurements of at most 30 s so that no list grows long."""
    until = time.perf_counter() + seconds
    while (left := until - time.perf_counter()) > 0:
        await load(server, images, clients=clients, seconds=min(left, 30.0))


def summary(
    loads: dict[tuple[str, int], list[Tally]],
    first: Sequence[float],
    page: Sequence[float],
    memory: Sequence[tuple[float, float]],
) -> dict[str, Any]:
    """Returns the figures as JSON takes them."""
    rates = {key: float(np.median([tally.rate() for tally in tallies])) for key, tallies in loads.items()}
    rows = [
        {
            "server": name,
            "clients": clients,
            "requests_per_s": rates[name, clients],
            "rounds": [tally.rate() for tally in tallies],
            "ours_times_as_many": rates[OURS, clients] / rates[name, clients] if rates[name, clients] else None,
            "latency_ms": _percentiles([one for tally in tallies for one in tally.latencies]),
            "busy": sum(tally.busy for tally in tallies),
            "errors": sum(tally.errors for tally in tallies),
        }
        for (name, clients), tallies in loads.items()
    ]
    return {
        "loads": rows,
        "first_answer_ms": _percentiles(first),
        "page_answer_ms": _percentiles(page),
        "memory": _memory(memory),
    }


def _percentiles(seconds: Sequence[float]) -> dict[str, float]:
    if not seconds:
        return {}
    values = np.percentile(seconds, (50, 95, 99, 100)) * 1000
    return dict(zip(("p50", "p95", "p99", "max"), map(float, values), strict=True))


def _memory(samples: Sequence[tuple[float, float]]) -> dict[str, Any]:
    """Compares the second fifth of the time, when all is warm, with the last."""
    if len(samples) < 10:
        return {"samples": samples}
    sizes = np.array([size for _, size in samples])
    fifth = len(sizes) // 5
    early, late = float(np.median(sizes[fifth : 2 * fifth])), float(np.median(sizes[-fifth:]))
    start, peak = float(sizes[0]), float(sizes.max())
    return {"start_mb": start, "early_mb": early, "late_mb": late, "peak_mb": peak, "samples": samples}


def tables(results: dict[str, Any]) -> str:
    """Returns the figures as Markdown."""
    head = ("server", "clients", "requests/s (rounds)", "p50, ms", "p95, ms", "p99, ms", "429", "errors", "ours is")
    rows = [_row(row) for row in sorted(results["loads"], key=lambda row: row["clients"])]
    parts = [markdown_table(head, rows)] if rows else []
    memory = results["memory"]
    for name, words in (("first", "A slice by way of a job"), ("page", "From the drop to the answer on the page")):
        if times := results[f"{name}_answer_ms"]:
            parts.append(f"{words}: {times['p50']:.0f} ms (median), {times['max']:.0f} ms (slowest of {_TRIES}).")
    if "late_mb" in memory:
        words = "Memory: {start_mb:.0f} MB at the start, {early_mb:.0f} MB warm, {late_mb:.0f} MB at the end"
        parts.append(f"{words}, at most {{peak_mb:.0f}} MB.".format(**memory))
    return "\n\n".join(parts)


def _row(row: dict[str, Any]) -> list[str]:
    spread = f"{min(row['rounds']):.0f}–{max(row['rounds']):.0f}"
    times = [f"{row['latency_ms'].get(name, float('nan')):.0f}" for name in ("p50", "p95", "p99")]
    ratio = "" if row["server"] == OURS or not row["ours_times_as_many"] else f"{row['ours_times_as_many']:.1f} ×"
    rate = f"{row['requests_per_s']:.0f} ({spread})"
    return [row["server"], str(row["clients"]), rate, *times, str(row["busy"]), str(row["errors"]), ratio]


def _drawn(count: int) -> list[bytes]:
    return [_png(draw(seed, tumor=seed % 2 == 0, size=256).pixels) for seed in range(count)]


def _png(grey: Any) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(grey).save(buffer, "PNG")
    return buffer.getvalue()


def _read(folder: Path) -> list[bytes]:
    return [Path(path).read_bytes() for path in itertools.islice(find_images([folder]), 256)]


def _plain(arguments: argparse.Namespace) -> dict[str, Any]:
    return {name: str(value) if isinstance(value, Path) else value for name, value in vars(arguments).items()}


if __name__ == "__main__":
    main()
