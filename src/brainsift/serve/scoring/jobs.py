"""What is being scored and what was: progress, answers and files of each job, until it is deleted or expires."""

import asyncio
import contextlib
import secrets
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

from brainsift.core.errors import BrainsiftError, NotFoundError, PendingError, ServeError
from brainsift.images.decode import DecodedImage
from brainsift.inference.predictor import Prediction, Rule
from brainsift.inference.volume_decision import VolumeAnswer, summarise_volumes
from brainsift.serve.scoring.engine import Engine, Work
from brainsift.serve.scoring.uploads import Upload
from brainsift.volumes.reader import find_slice
from brainsift.volumes.slices import Loaded

_OVER = ("done", "cancelled", "failed")
_MOST = 1000  # jobs that are remembered; the oldest that are over give way
_SWEEP_S = 20.0
_FEW = 16  # files, whose headers are read in no time
_LISTED = 2  # jobs of more files whose headers are read at once


class Job:
    """One request's work; used from the event loop only, except for `picture`.

    Args:
        upload: its files.
        rule: that decides.
        maps: whether answers are shown with their tumor maps.

    Attributes:
        state: "queued", "running", "done", "cancelled" or "failed".
        done: slices that were scored.
        total: slices in all; None until they are listed.
        answers: what is complete, in order.
        error: why it failed.
        first_error: of the first slice that could not be read.
        files_in_use: whether it is being scored or recorded.
        cases: of the history, one an answer, as far as they are kept.
    """

    def __init__(self, upload: Upload, rule: Rule, *, maps: bool = False) -> None:
        self.id = secrets.token_urlsafe(16)
        self.upload, self.rule, self.maps = upload, rule, maps
        self.created = datetime.now(UTC).isoformat(timespec="seconds")
        self.state, self.done = "queued", 0
        self.total: int | None = None
        self.answers: list[Prediction] = []
        self.cases: list[int] = []
        self.error: BrainsiftError | None = None
        self.first_error: BrainsiftError | None = None
        self.touched = time.monotonic()
        self.files_in_use = False
        self._stored: list[str] = []  # names of the slices on the disk
        self._work: Work | None = None
        self._news = asyncio.Event()

    @property
    def over(self) -> bool:
        """Whether nothing more will come."""
        return self.state in _OVER

    def volumes(self) -> list[VolumeAnswer]:
        """Returns one answer a volume, once it is done."""
        if self.state != "done":
            return []
        return summarise_volumes(self.answers, self.rule)

    async def news(self, after: int, wait_s: float) -> None:
        """Returns as soon as there are answers from ``after`` on, there is progress, it is over, or time is up."""
        if not self.over and len(self.answers) <= after:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._news.wait(), wait_s)

    async def finished(self) -> None:
        """Returns when it is over."""
        while not self.over:
            await self._news.wait()

    def read(self, place: int) -> DecodedImage:
        """Reads the picture of a slice again; raises as `load` does."""
        return self.load(place).image

    def load(self, place: int) -> Loaded:
        """Reads a slice again.

        Raises:
            NotFoundError: no such slice.
            InputError: it cannot be read.
        """
        if not 0 <= place < len(self.answers):
            raise NotFoundError("slice", f"{place} is not there", "Slices count from 0, and come as they are scored.")
        if self.answers[place].probability is None:
            raise NotFoundError("slice", f"{place} cannot be read", "Its answer says why.")
        return find_slice(self._stored[place]).load()

    def start(self, engine: Engine, loop: asyncio.AbstractEventLoop) -> None:
        """Lists the slices and hands them over; from a thread, since headers are read.

        Raises:
            BrainsiftError: the files cannot be used.
        """
        slices = self.upload.slices()
        self._stored = [piece.name for piece in slices]

        def later(action: Callable[..., None], *values: object) -> None:
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody asks any more
                loop.call_soon_threadsafe(action, *values)

        work = Work(
            self.upload.renamed(slices),
            self.rule,
            lambda answers, done: later(self._hear, answers, done),
            lambda error: later(self._end, error),
        )
        self._work = work
        later(self._run, work.total)
        engine.submit(work)

    def fail(self, error: BrainsiftError) -> None:
        """Ends it with an error."""
        self._end(error)

    def cancel(self, engine: Engine) -> None:
        """Ends it before it is done."""
        if not self.over:
            self.state = "cancelled"
            self._tell()
        if self._work is not None:
            engine.cancel(self._work)

    @property
    def weight(self) -> int:
        """What it weighs in the queue."""
        return 1 if self._work is None else self._work.weight

    def _run(self, total: int) -> None:
        if not self.over:
            self.state, self.total = "running", total
            self._tell()

    def _hear(self, answers: list[Prediction], done: int) -> None:
        if not self.over:
            self.answers += answers
            self.done = done
            self._tell()

    def _end(self, error: Exception | None) -> None:
        if self.over:
            return
        self.first_error = self._work.first_error if self._work else None
        if error is not None:
            wrapped = ServeError("job", f"failed: {type(error).__name__}", "Tell who runs the service.")
            self.error = error if isinstance(error, BrainsiftError) else wrapped
        self.state = "done" if error is None else "failed"
        self._tell()

    def _tell(self) -> None:
        self.touched = time.monotonic()
        self._news.set()
        self._news = asyncio.Event()


class Jobs:
    """The jobs that can be asked for.

    Args:
        engine: that scores.
        expiry_s: seconds after which a job that nobody asks for is forgotten.
        ended: is awaited with each job that is done, while its files are there.
    """

    def __init__(
        self, engine: Engine, *, expiry_s: float, ended: Callable[[Job], Awaitable[None]] | None = None
    ) -> None:
        self._engine = engine
        self._expiry_s = expiry_s
        self._ended = ended
        self._jobs: dict[str, Job] = {}
        self._listing = ThreadPoolExecutor(_LISTED, thread_name_prefix="list")
        self._running: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        return len(self._jobs)

    @property
    def busy(self) -> bool:
        """Whether some are not over."""
        return bool(self._running)

    def keep(self, job: Job, place: contextlib.ExitStack, weigh: Callable[[int], None]) -> None:
        """Starts a job that can be asked for; ``place`` in the queue is held until it is over."""
        self._make_room()
        self._jobs[job.id] = job

        async def run() -> None:
            with place:
                await self.run(job, weigh)

        task = asyncio.create_task(run())
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def run(self, job: Job, weigh: Callable[[int], None]) -> None:
        """Scores a job; returns when it is over, and recorded: until then its files stay, even if it is deleted."""
        job.files_in_use = True
        try:
            await self._run(job, weigh)
        finally:
            job.files_in_use = False
            if job.id not in self._jobs:  # nobody can ask for it any more
                job.upload.close()

    async def _run(self, job: Job, weigh: Callable[[int], None]) -> None:
        try:
            await self._list(job)
            weigh(job.weight)
            if job.over:  # cancelled while it was listed
                job.cancel(self._engine)
            await job.finished()
        except BrainsiftError as error:
            job.fail(error)
        except asyncio.CancelledError:
            job.cancel(self._engine)
            raise
        except Exception as error:  # a job must never hang
            job.fail(ServeError("job", f"failed: {type(error).__name__}", "Tell who runs the service."))
        if self._ended and job.state == "done":
            await self._ended(job)

    async def _list(self, job: Job) -> None:
        """Starts a job; those of many files wait for each other, and hold up no small one."""
        loop = asyncio.get_running_loop()
        pool = self._listing if len(job.upload.files) > _FEW else None
        await loop.run_in_executor(pool, job.start, self._engine, loop)

    def find(self, job_id: str) -> Job:
        """Returns a job, which then lives on.

        Raises:
            NotFoundError: no such job.
        """
        job = self._jobs.get(job_id)
        if job is None:
            raise NotFoundError("job", "is not there", "It expired, was deleted, or never was; send the files again.")
        job.touched = time.monotonic()
        return job

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
            raise PendingError("job", f"is {job.state}", "Ask for its state first.")
        return job

    def delete(self, job_id: str) -> None:
        """Cancels and forgets a job.

        Raises:
            NotFoundError: no such job.
        """
        self._forget(self.find(job_id))

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

    def make_room(self) -> bool:
        """Forgets the job that is over and was not asked for the longest; tells whether there was one."""
        over = [job for job in self._jobs.values() if job.over]
        if over:
            self._forget(min(over, key=lambda job: job.touched))
        return bool(over)

    def _make_room(self) -> None:
        while len(self._jobs) >= _MOST and self.make_room():
            pass

    def _forget(self, job: Job) -> None:
        del self._jobs[job.id]
        job.cancel(self._engine)
        if not job.files_in_use:
            job.upload.close()
