"""The parts of a running service, and how they start and stop."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from functools import cached_property

from brainsift import __version__
from brainsift.core.files import sha256_of
from brainsift.inference.bundle import Bundle
from brainsift.inference.predictor import Prediction, Predictor
from brainsift.serve.config import ServeConfig
from brainsift.serve.history.recording import record
from brainsift.serve.history.store import History
from brainsift.serve.prometheus import Metrics
from brainsift.serve.schemas import Answer, Volume
from brainsift.serve.scoring.engine import Engine
from brainsift.serve.scoring.jobs import Job, Jobs
from brainsift.serve.scoring.uploads import Store


class Service:
    """What the routes work with.

    Args:
        config: how it runs.
        bundle: the network.
    """

    def __init__(self, config: ServeConfig, bundle: Bundle) -> None:
        self.config, self.bundle = config, bundle
        self.metrics = Metrics()
        self._deadline: float | None = None
        self.predictor = Predictor(bundle, threads=config.threads)
        self.engine = Engine(self.predictor, queue=config.queue, measured=self.metrics.scored)
        self.history = History(config.keep, keep_images=config.keep_images) if config.keep else None
        self.store = Store(config)
        self.jobs = Jobs(self.engine, expiry_s=60 * config.expiry_minutes, ended=self._record)
        self.metrics.watch("waiting_slices", "Slices that wait.", lambda: self.engine.waiting)
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
    def network_sha256(self) -> str:
        """Of the network's file."""
        return sha256_of(self.bundle.network.read_bytes())

    @property
    def model(self) -> dict[str, str]:
        """Which network answers."""
        return {"name": self.bundle.name, "version": __version__, "network_sha256": self.network_sha256}

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Forgets what expires while it runs, and cleans up."""
        sweep = asyncio.create_task(self.jobs.sweep())
        try:
            yield
        finally:
            self.stop()
            sweep.cancel()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.jobs.drain(), self.left_s)
            self.jobs.close()
            await asyncio.to_thread(self.engine.close)
            self.store.close()
            if self.history:
                self.history.close()

    async def _record(self, job: Job) -> None:
        if self.history:
            model = f"{self.bundle.name} {__version__}"
            if not await asyncio.to_thread(record, self.history, job, model=model, size=self.bundle.size):
                self.metrics.not_kept()


def answers_of(job: Job, after: int = 0) -> list[Answer]:
    """Returns a job's answers as they go over the wire."""
    return [_answer(place, answer, maps=job.maps) for place, answer in enumerate(job.answers[after:], start=after)]


def volumes_of(job: Job) -> list[Volume]:
    """Returns a job's volumes as they go over the wire."""
    return [Volume(**{**vars(one), "suspicious": list(one.suspicious)}) for one in job.volumes()]


def _answer(place: int, answer: Prediction, *, maps: bool) -> Answer:
    drawn = (
        {"map": None if answer.tumor_map is None else answer.tumor_map.astype(float).round(4).tolist()} if maps else {}
    )
    return Answer(
        id=place,
        name=answer.path,
        status=answer.status,  # type: ignore[arg-type]
        probability=answer.probability,
        decision=answer.decision,  # type: ignore[arg-type]
        detail=answer.detail,
        volume=answer.volume,
        has_map=answer.tumor_map is not None,
        **drawn,
    )
