"""A running service: its parts, and how they start and stop."""

import asyncio
import contextlib
import ctypes
import sys
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from typing import TypeVar

from brainsift import __version__
from brainsift.core.files import sha256_of
from brainsift.inference.bundle import Bundle
from brainsift.inference.predictor import Predictor
from brainsift.serve.config import ServeConfig
from brainsift.serve.history.recording import record
from brainsift.serve.history.store import History
from brainsift.serve.prometheus import Metrics
from brainsift.serve.scoring.blocks import Blocks
from brainsift.serve.scoring.engine import Engine
from brainsift.serve.scoring.job import Job
from brainsift.serve.scoring.jobs import Jobs
from brainsift.serve.scoring.reservation import Queue
from brainsift.serve.scoring.uploads import Store

_Result = TypeVar("_Result")
# The C library keeps freed memory, for each thread that once asked for it: so few threads draw, and the service gives
# freed memory back to the system now and then.
_DRAWING, _WAITING = 2, 4
_GIVE_BACK_S = 20.0


class Service:
    """The parts that the routes work with.

    Args:
        config: how it runs.
        bundle: the network.
    """

    def __init__(self, config: ServeConfig, bundle: Bundle) -> None:
        self.config, self.bundle = config, bundle
        self.metrics = Metrics()
        self._deadline: float | None = None
        self.predictor = Predictor(bundle, threads=config.threads)
        self.queue = Queue(config.queue)
        self.engine = Engine(self.predictor, self.queue, measured=self.metrics.scored)
        self.history = History(config.keep, keep_images=config.keep_images) if config.keep else None
        self.store = Store(config)
        self.blocks = Blocks(bundle.size)
        self._drawing = ThreadPoolExecutor(_DRAWING, thread_name_prefix="draw")
        self.jobs = Jobs(self.engine, expiry_s=60 * config.expiry_minutes, record=self._record)
        self.metrics.watch("waiting_slices", "Slices that wait.", lambda: self.queue.waiting)
        self.metrics.watch("jobs", "Jobs that can be asked for.", lambda: len(self.jobs))
        self.metrics.watch("stored_bytes", "Bytes of uploads on the disk.", lambda: self.store.used)

    @property
    def stopping(self) -> bool:
        """Whether it takes no more work."""
        return self._deadline is not None

    @property
    def left_s(self) -> float:
        """Seconds that accepted work still has."""
        return self.config.grace_s if self._deadline is None else max(0.0, self._deadline - time.monotonic())

    def stop(self) -> None:
        """Takes no more work from now on."""
        self._deadline = self._deadline or time.monotonic() + self.config.grace_s

    @cached_property
    def model(self) -> dict[str, str]:
        """Name, version and checksum of the network."""
        checksum = sha256_of(self.bundle.network.read_bytes())
        return {"name": self.bundle.name, "version": __version__, "network_sha256": checksum}

    async def draw(self, action: Callable[[], _Result]) -> _Result:
        """Runs an action that decodes or draws pictures in one of the few threads for that."""
        return await asyncio.get_running_loop().run_in_executor(self._drawing, action)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Forgets what expires while it runs, and cleans up."""
        waiting = ThreadPoolExecutor(_WAITING, thread_name_prefix="wait")  # for the disk: archives, headers, history
        asyncio.get_running_loop().set_default_executor(waiting)
        background = [asyncio.create_task(one) for one in (self.jobs.sweep(), _give_memory_back())]
        try:
            yield
        finally:
            self.stop()
            for task in background:
                task.cancel()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.jobs.drain(), self.left_s)
            self.jobs.close()
            await asyncio.to_thread(self.engine.close)
            self._drawing.shutdown(wait=False, cancel_futures=True)
            self.store.close()
            if self.history:
                self.history.close()

    async def _record(self, job: Job) -> None:
        if self.history:
            model = f"{self.bundle.name} {__version__}"
            if not await asyncio.to_thread(record, self.history, job, model=model, size=self.bundle.size):
                self.metrics.not_kept()


async def _give_memory_back() -> None:
    """Gives freed memory back to the system every 20 s, where the C library can (glibc); runs until it is cancelled."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    while trim:
        await asyncio.sleep(_GIVE_BACK_S)
        await asyncio.to_thread(trim, 0)
