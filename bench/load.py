"""Does `brainsift serve` stand a crowd: slices, volumes, broken files and slow uploads from many clients for minutes?

A real server runs on this machine. Each client sends one request after the other, of a kind drawn at random: a slice,
a volume as a job whose result it waits for, a broken file, or an upload that comes in drops or stops half way. Wrong is
every reply but 200, 202, 429 (busy), and for broken files 413 and 422. The memory of the server is sampled; the second
fifth of the time, when all is warm, is compared with the last. At the end the server has to be idle again, with no
upload left on its disk.

Usage:
    pip install -r bench/requirements-serve.txt
    python bench/load.py [--clients 64] [--minutes 10] [--seed 0] [-o FILE.json]
"""

import argparse
import asyncio
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
from mutations import Base, bases, make_case
from processes import Served, serving

from brainsift.core.environment import describe
from brainsift.core.files import write_json
from brainsift.core.text import markdown_table

KINDS = {"slice": 0.6, "volume": 0.15, "broken": 0.15, "slow": 0.07, "gone": 0.03}  # shares of the requests
_GOOD = {"slice": (200, 429), "volume": (200, 202, 429), "broken": (200, 202, 413, 422, 429), "slow": (200, 429)}
_DROPS, _DROP_S = 20, 0.25  # pieces of a slow upload, and the time between two
_SAMPLE_S = 2.0
_REQUEST_S = 150.0
_IDLE_S = 60.0
_GROWTH = 0.10  # of the memory from the second fifth to the last that counts as flat
_GROWTH_MB = 20.0


@dataclass
class Counts:
    """What came back.

    Attributes:
        replies: number by kind of request and status; 0 where the connection broke.
        latencies_s: of what was replied to with 200, by kind.
        wrong: what must not be.
        memory: (seconds, MB) of the server.
    """

    replies: Counter[tuple[str, int]] = field(default_factory=Counter)
    latencies_s: dict[str, list[float]] = field(default_factory=lambda: {kind: [] for kind in KINDS})
    wrong: list[str] = field(default_factory=list)
    memory: list[tuple[float, float]] = field(default_factory=list)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("-o", "--output", type=Path, help="write JSON")
    arguments = parser.parse_args()
    files = {
        "slice": [one for kind in ("png", "jpeg", "tiff") for one in bases(kind)],
        "volume": [*bases("nifti"), *bases("zip")],
        "broken": [_broken(arguments.seed, number) for number in range(500)],
    }
    counts = Counts()
    with (
        tempfile.TemporaryDirectory(prefix="load-") as folder,
        serving(variables={"TMPDIR": folder}) as server,
    ):
        asyncio.run(crowd(server, files, arguments, counts))
        left = [path for path in Path(folder).rglob("*") if path.is_file()]
        if left:
            counts.wrong.append(f"{len(left)} files of uploads are left")
        if faults := server.log().count("Traceback"):
            counts.wrong.append(f"{faults} errors in the log: {server.log()[-2000:]}")
    growth = memory_growth(counts.memory)
    early, late = growth["early_mb"], growth["late_mb"]
    if late > early * (1 + _GROWTH) and late > early + _GROWTH_MB:
        counts.wrong.append(f"the memory grew from {early:.0f} to {late:.0f} MB")
    print(tables(counts, growth))
    if arguments.output:
        write_json(arguments.output, {**_plain(counts), "memory_mb": growth, "environment": describe()})
    sys.exit(bool(counts.wrong))


def _broken(seed: int, number: int) -> Base:
    case = make_case(seed, number, ("png", "jpeg", "tiff", "dicom", "nifti", "zip"))
    return Base(case.name, case.content)


async def crowd(
    server: Served, files: dict[str, list[Base]], arguments: argparse.Namespace, counts: Counts
) -> None:  # fmt: skip
    """Lets clients send for some minutes, and samples the memory meanwhile."""
    start = time.monotonic()
    until = start + 60 * arguments.minutes
    timeout, connector = aiohttp.ClientTimeout(total=_REQUEST_S), aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(server.url, timeout=timeout, connector=connector) as session:
        clients = [
            asyncio.create_task(_client(session, random.Random(f"{arguments.seed}-{number}"), files, counts, until))
            for number in range(arguments.clients)
        ]
        waiting = asyncio.gather(*clients)
        while not waiting.done():
            counts.memory.append((time.monotonic() - start, server.memory()))
            if not server.alive():
                counts.wrong.append("the server ended")
                waiting.cancel()
            await asyncio.wait([waiting], timeout=_SAMPLE_S)
        await waiting
        await _wait_until_idle(session, counts)


async def _client(
    session: aiohttp.ClientSession, rng: random.Random, files: dict[str, list[Base]], counts: Counts, until: float
) -> None:
    while time.monotonic() < until:
        kind = rng.choices(list(KINDS), list(KINDS.values()))[0]
        base = rng.choice(files.get(kind, files["slice"]))
        started = time.monotonic()
        try:
            status, wait_s, words = await _SENDERS.get(kind, _send)(session, base)
        except (aiohttp.ClientError, TimeoutError, ConnectionError) as error:
            status, wait_s, words = 0, 0.1, f"{type(error).__name__}: {error}"
        if kind == "gone":  # nobody was there to read a reply
            counts.replies[kind, -1] += 1
            continue
        counts.replies[kind, status] += 1
        if status == 200:
            counts.latencies_s[kind].append(time.monotonic() - started)
        elif status not in _GOOD[kind]:
            counts.wrong.append(f"{kind} {base.name}: {status} {words}"[:300])
        if status in (0, 429):
            await asyncio.sleep(min(wait_s, 2.0))


def _headers(base: Base) -> dict[str, str]:
    return {"Content-Type": "application/octet-stream", "X-Filename": base.name}


async def _send(session: aiohttp.ClientSession, base: Base) -> tuple[int, float, str]:
    async with session.post("/api/v1/predict", data=base.content, headers=_headers(base)) as reply:
        return reply.status, float(reply.headers.get("Retry-After", 1)), (await reply.text())[:200]


async def _send_job(session: aiohttp.ClientSession, base: Base) -> tuple[int, float, str]:
    """Sends a job, waits for its end, reads its result and a picture, and deletes it."""
    async with session.post("/api/v1/jobs", data=base.content, headers=_headers(base)) as reply:
        if reply.status not in (200, 202):
            return reply.status, float(reply.headers.get("Retry-After", 1)), (await reply.text())[:200]
        job = await reply.json()
    path, known = f"/api/v1/jobs/{job['id']}", 0
    while job["state"] in ("queued", "running"):
        async with session.get(f"{path}?after={known}&wait=5") as reply:
            if reply.status != 200:
                return reply.status, 1.0, (await reply.text())[:200]
            job = await reply.json()
            known += len(job["answers"])
    status, words = 200, job["state"]
    for part in ("/result", "/slices/0/picture.png", "/slices/0/map.png"):
        async with session.get(path + part) as reply:
            content = await reply.read()
            if reply.status not in (200, 404):
                status, words = reply.status, content[:200].decode(errors="replace")
    async with session.delete(path) as reply:
        await reply.read()
    return status, 1.0, words


async def _send_slowly(session: aiohttp.ClientSession, base: Base) -> tuple[int, float, str]:
    async def drops() -> AsyncIterator[bytes]:
        size = -(-len(base.content) // _DROPS)
        for start in range(0, len(base.content), size):
            yield base.content[start : start + size]
            await asyncio.sleep(_DROP_S)

    async with session.post("/api/v1/predict", data=drops(), headers=_headers(base)) as reply:
        return reply.status, float(reply.headers.get("Retry-After", 1)), (await reply.text())[:200]


async def _send_half(session: aiohttp.ClientSession, base: Base) -> tuple[int, float, str]:
    """Says how long the upload is, sends half of it, and hangs up."""
    host, port = str(session._base_url.host), session._base_url.port
    _, writer = await asyncio.open_connection(host, port)
    lines = ("POST /api/v1/predict HTTP/1.1", f"Host: {host}", "Content-Type: application/octet-stream",
             f"Content-Length: {len(base.content)}", "", "")  # fmt: skip
    writer.write("\r\n".join(lines).encode() + base.content[: len(base.content) // 2])
    await writer.drain()
    writer.close()
    return 0, 0.0, ""


_SENDERS = {"volume": _send_job, "slow": _send_slowly, "gone": _send_half}


async def _wait_until_idle(session: aiohttp.ClientSession, counts: Counts) -> None:
    """Sends a slice to see that the server still scores; waits until nothing is in its queue."""
    until = time.monotonic() + _IDLE_S
    status = 0
    while time.monotonic() < until:
        status = (await _send(session, bases("png")[0]))[0]
        if status == 200:
            break
        await asyncio.sleep(0.5)
    else:
        counts.wrong.append(f"after all clients had ended, a slice was replied to with {status}")
    await asyncio.sleep(2.0)  # those that hung up


def memory_growth(samples: Sequence[tuple[float, float]]) -> dict[str, float]:
    """Compares the second fifth of the time with the last, in MB."""
    sizes = np.array([size for _, size in samples])
    fifth = max(len(sizes) // 5, 1)
    return {
        "start_mb": float(sizes[0]),
        "early_mb": float(np.median(sizes[fifth : 2 * fifth])),
        "late_mb": float(np.median(sizes[-fifth:])),
        "peak_mb": float(sizes.max()),
    }


def tables(counts: Counts, growth: dict[str, float]) -> str:
    """Returns the figures as Markdown."""
    statuses = sorted({status for _, status in counts.replies if status >= 0})
    rows = []
    for kind in KINDS:
        times = np.percentile(counts.latencies_s[kind] or [np.nan], (50, 95, 99)) * 1000
        sent = sum(count for (one, _), count in counts.replies.items() if one == kind)
        cells = [str(counts.replies[kind, status]) for status in statuses]
        rows.append([kind, str(sent), *cells, *(f"{one:.0f}" for one in times)])
    head = ("request", "sent", *(str(status) for status in statuses), "p50, ms", "p95, ms", "p99, ms")
    words = "Memory: {start_mb:.0f} MB at the start, {early_mb:.0f} MB warm, {late_mb:.0f} MB at the end"
    return "\n\n".join(
        [
            markdown_table(head, rows),
            f"{words}, at most {{peak_mb:.0f}} MB.".format(**growth),
            f"{len(counts.wrong)} wrong.",
            *(f"- {one}" for one in counts.wrong[:20]),
        ]
    )


def _plain(counts: Counts) -> dict[str, Any]:
    replies: dict[str, dict[str, int]] = {kind: {} for kind in KINDS}
    for (kind, status), count in counts.replies.items():
        replies[kind][str(status)] = count
    return {"replies": replies, "wrong": counts.wrong, "memory": counts.memory}


if __name__ == "__main__":
    main()
