"""Scores the slices of all jobs with one network: read one by one, scored in batches across jobs, in fair turns.

A slice of each job is taken in turn, so that a large volume delays nobody. Each thread reads slices until there are
enough for a batch, or none left to read, and scores the batch. So the number of decoded slices in memory does not grow
with the number that wait.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from brainsift.core.errors import BrainsiftError, InputError, ServeError
from brainsift.inference.decision import Prediction
from brainsift.inference.predictor import BATCH, Predictor, Read
from brainsift.serve.scoring.job import Job
from brainsift.serve.scoring.reservation import Queue
from brainsift.volumes.reader import import_decoders
from brainsift.volumes.slices import Slice

_log = logging.getLogger("brainsift.serve")
_VOLUMES = 2  # jobs with volumes that are read at once, since a volume is in memory as a whole


@dataclass(eq=False)
class _Task:
    """A slice in the engine: first to be read, then, with what was read, to be scored."""

    job: Job
    place: int
    slice: Slice
    read: Read | InputError | None = None
    seconds: float = 0.0


class Engine:
    """Scores jobs in its own threads.

    Args:
        predictor: reads and scores slices; the engine has as many threads as it.
        queue: is told how long slices take.
        measured: is called with the predictions of each batch.
    """

    def __init__(
        self, predictor: Predictor, queue: Queue, *, measured: Callable[[Sequence[Prediction]], None] | None = None
    ) -> None:
        import_decoders()  # before the threads start: two that import one library at once can fail
        self.predictor = predictor
        self._queue = queue
        self._measured = measured or (lambda predictions: None)
        self._turns: deque[Job] = deque()
        self._later: deque[Job] = deque()  # jobs with volumes whose turn has not come
        self._read: deque[_Task] = deque()
        self._stopped = False
        self._changed = threading.Condition(threading.RLock())
        self._threads = [
            threading.Thread(target=self._run, name=f"score-{number}", daemon=True)
            for number in range(predictor.threads)
        ]
        for thread in self._threads:
            thread.start()

    def submit(self, job: Job) -> None:
        """Takes a job whose slices are listed."""
        with self._changed:
            if self._stopped:
                job.end(_stopped())
            elif not job.over:
                (self._later if job.has_volumes else self._turns).append(job)
                self._changed.notify_all()

    def cancel(self, job: Job) -> None:
        """Cancels a job; what is being scored of it is thrown away."""
        with self._changed:
            job.end(cancelled=True)
            self._changed.notify_all()  # a volume may have made room for the next

    def close(self) -> None:
        """Stops the threads; jobs that are not over fail."""
        with self._changed:
            self._stopped = True
            for job in {*self._turns, *self._later, *(task.job for task in self._read)}:
                job.end(_stopped())
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def _run(self) -> None:
        while task := self._next():
            if isinstance(task, _Task):
                self._decode(task)
            else:
                self._score([one for one in task if not one.job.over])

    def _next(self) -> _Task | list[_Task] | None:
        """Waits for a slice to read, or for enough of them to score; returns None when it is time to stop."""
        with self._changed:
            while not self._stopped:
                if len(self._read) < BATCH and (task := self._take()):
                    return task
                if self._read:
                    return [self._read.popleft() for _ in range(min(BATCH, len(self._read)))]
                self._changed.wait()
            return None

    def _take(self) -> _Task | None:
        """Returns a slice of the job whose turn it is; the lock is held."""
        self._turns = deque(job for job in self._turns if not job.over)
        self._later = deque(job for job in self._later if not job.over)
        while self._later and sum(job.has_volumes for job in self._turns) < _VOLUMES:
            self._turns.append(self._later.popleft())
        for job in tuple(self._turns):
            self._turns.rotate(-1)
            if taken := job.take():
                return _Task(job, *taken)
        return None

    def _decode(self, task: _Task) -> None:
        started = time.perf_counter()
        try:
            task.read = self.predictor.read(task.slice)
        except Exception as error:  # a fault of ours: it says nothing about the file, and other jobs go on
            _log.exception("reading failed", extra={"facts": {"error": type(error).__name__}})
            self._end(task.job, error)
            return
        if isinstance(task.read, InputError):
            task.read = without_quotes(task.read, task.slice.name)
        task.seconds = time.perf_counter() - started
        with self._changed:
            self._read.append(task)

    def _score(self, batch: Sequence[_Task]) -> None:
        if not batch:
            return
        started = time.perf_counter()
        try:
            reads = [(task.slice, task.read) for task in batch if task.read is not None]
            results = list(self.predictor.predict_batch(reads, [task.job.rule for task in batch]))
            self._measured([prediction for prediction, _ in results])
            for task, (prediction, coarse) in zip(batch, results, strict=True):
                if isinstance(task.read, InputError):
                    task.job.first_error = task.job.first_error or task.read
                task.job.put(task.place, prediction, coarse)
        except Exception as error:  # the thread goes on for other jobs
            _log.exception("scoring failed", extra={"facts": {"error": type(error).__name__}})
            for task in batch:
                self._end(task.job, error)
        seconds = time.perf_counter() - started + sum(task.seconds for task in batch)
        self._queue.measured(seconds / len(batch) / len(self._threads))
        with self._changed:
            self._changed.notify_all()  # a volume may have made room for the next

    def _end(self, job: Job, error: Exception) -> None:
        with self._changed:
            job.end(error)
            self._changed.notify_all()


def _stopped() -> ServeError:
    return ServeError("service", "was stopped before this was scored", "Start it again, and send the files again.")


def without_quotes(error: InputError, name: str) -> InputError:
    """Returns an error under another name, without what another library said: that may quote the header of a file."""
    foreign = error.__cause__ is not None and not isinstance(error.__cause__, BrainsiftError)
    rule = error.rule.partition(":")[0] if foreign else error.rule
    return type(error)(name, rule, error.remedy, reason=error.reason)
