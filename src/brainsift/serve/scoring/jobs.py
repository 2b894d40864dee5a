"""The jobs of the service: they are started, found by their id, and forgotten when they are deleted or expire."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor

from brainsift.core.errors import BrainsiftError, NotFoundError, PendingError
from brainsift.serve.scoring.engine import Engine
from brainsift.serve.scoring.job import Job

_log = logging.getLogger("brainsift.serve")
_MOST = 1000  # jobs that are remembered; the oldest that are over give way
_SWEEP_S = 20.0
_FEW = 16  # files, whose headers are read in no time
_LISTED = 2  # jobs of more files whose headers are read at once


class Jobs:
    """Runs jobs, and remembers those that can be asked for; used from the event loop only.

    Args:
        engine: scores them.
        expiry_s: seconds after which a job that nobody asks for is forgotten.
        record: is awaited with each job that is done, while its files are still there.
    """

    def __init__(
        self, engine: Engine, *, expiry_s: float, record: Callable[[Job], Awaitable[None]] | None = None
    ) -> None:
        self._engine, self._expiry_s, self._record = engine, expiry_s, record
        self._jobs: dict[str, Job] = {}
        self._listing = ThreadPoolExecutor(_LISTED, thread_name_prefix="list")
        self._running: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        return len(self._jobs)

    @property
    def busy(self) -> bool:
        """Whether some jobs are still running."""
        return bool(self._running)

    def start(self, job: Job) -> None:
        """Runs a job in the background, and remembers it."""
        while len(self._jobs) >= _MOST and self.make_room():
            pass
        self._jobs[job.id] = job
        task = asyncio.create_task(self.run(job))
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def run(self, job: Job) -> None:
        """Runs a job to its end and records it; until then its files stay, even if it is deleted."""
        job.files_in_use = True
        try:
            await self._score(job)
            if self._record and job.state == "done":
                await self._record(job)
        finally:
            job.files_in_use = False
            if job.id not in self._jobs:  # nobody can ask for it any more
                job.close()

    async def _score(self, job: Job) -> None:
        # Jobs of many files wait for each other while their headers are read, and delay no small one.
        pool = self._listing if len(job.upload.files) > _FEW else None

        def submit() -> None:
            job.begin(job.upload.slices())
            self._engine.submit(job)

        try:
            await asyncio.get_running_loop().run_in_executor(pool, submit)
            await job.finished()
        except asyncio.CancelledError:
            self._engine.cancel(job)
            raise
        except Exception as error:
            if not isinstance(error, BrainsiftError):
                _log.exception("listing failed", extra={"facts": {"error": type(error).__name__}})
            job.end(error)

    def find(self, job_id: str) -> Job:
        """Returns a job, which is then kept for longer.

        Raises:
            NotFoundError: no such job.
        """
        job = self._jobs.get(job_id)
        if job is None:
            raise NotFoundError("job", "is not there: it expired, was deleted, or never was", "Send the files again.")
        job.touched = time.monotonic()
        return job

    def of_case(self, number: int) -> tuple[Job, int] | None:
        """Returns the job that has the files of a case of the history, and the place of the case's slice in it.

        Any thread may call it.

        Args:
            number: of an image or a slice.

        Returns:
            None where no such job is remembered.
        """
        for job in list(self._jobs.values()):
            if number in job.cases:
                job.touched = time.monotonic()
                return job, job.cases.index(number)
        return None

    def find_done(self, job_id: str) -> Job:
        """Returns a job that is done.

        Raises:
            NotFoundError: no such job.
            PendingError: it is not done.
            BrainsiftError: why it failed.
        """
        job = self.find(job_id)
        if job.error:
            raise job.error
        if job.state != "done":
            raise PendingError("job", f"is {job.state}", f"Ask /api/v1/jobs/{job_id} until its state is `done`.")
        return job

    def delete(self, job_id: str) -> None:
        """Cancels and forgets a job.

        Raises:
            NotFoundError: no such job.
        """
        self._forget(self.find(job_id))

    def make_room(self) -> bool:
        """Forgets the job that is over and was not asked for the longest; returns whether there was one."""
        over = [job for job in self._jobs.values() if job.over]
        if over:
            self._forget(min(over, key=lambda job: job.touched))
        return bool(over)

    async def sweep(self) -> None:
        """Forgets jobs as they expire; runs until it is cancelled."""
        while True:
            await asyncio.sleep(min(_SWEEP_S, self._expiry_s))
            old = time.monotonic() - self._expiry_s
            for job in [job for job in self._jobs.values() if job.touched < old]:
                self._forget(job)

    async def drain(self) -> None:
        """Returns when no job is running."""
        while self._running:
            await asyncio.wait(set(self._running))

    def close(self) -> None:
        """Forgets all jobs."""
        for job in list(self._jobs.values()):
            self._forget(job)
        self._listing.shutdown(wait=False, cancel_futures=True)

    def _forget(self, job: Job) -> None:
        del self._jobs[job.id]
        self._engine.cancel(job)
        if not job.files_in_use:
            job.close()
