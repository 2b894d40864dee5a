"""Slices of many requests through one network: decoded one by one, scored in batches across requests, in fair turns.

A `Work` is what one request wants scored. A slice of each work is taken in turn, so that a large volume holds nobody
up. Each thread reads slices until there are enough for a batch, or no more to read, and scores that: what is decoded
ahead, and so what is in memory, does not grow with what waits.
"""

import logging
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from brainsift.core.errors import BrainsiftError, BusyError, InputError, ServeError, UnreadableImageError
from brainsift.inference.predictor import BATCH, Prediction, Predictor, Read, Rule, settled
from brainsift.volumes.slices import Coarse, Slice

_log = logging.getLogger("brainsift.serve")
_HEAVIEST = 32  # a work weighs no more than this in the queue: its slices are taken as room comes
_VOLUMES = 2  # works with volumes that are read at once, since a volume is in memory as a whole
_LONGEST_WAIT_S = 30


class Work:
    """What one request wants scored.

    Args:
        slices: in order; those of one volume follow each other.
        rule: that decides.
        heard: is called with answers, in the order of the slices, from a thread of the engine. The answers for a
            volume come together.
        ended: is called once when there is nothing more to come, with what went wrong, or None.
    """

    def __init__(
        self,
        slices: Sequence[Slice],
        rule: Rule,
        heard: Callable[[list[Prediction], int], None],
        ended: Callable[[Exception | None], None],
    ) -> None:
        self.rule = rule
        self.total = len(slices)
        self.weight = min(self.total, _HEAVIEST)
        self.has_volumes = any(one.volume for one in slices)
        self.first_error: InputError | None = None
        self.scored = 0
        self._volumes = [one.volume for one in slices]
        self._waiting = deque(enumerate(slices))
        self._found: dict[int, tuple[Prediction, Coarse | None]] = {}
        self._group: list[tuple[Prediction, Coarse | None]] = []
        self._next = 0
        self._heard, self._ended = heard, ended
        self.over = False

    def take(self) -> tuple[int, Slice] | None:
        """Returns the next slice to read."""
        return self._waiting.popleft() if self._waiting and not self.over else None

    def put(self, place: int, answer: Prediction, coarse: Coarse | None) -> None:
        """Takes the answer for a slice; passes on what is complete."""
        if self.over:
            return
        self._found[place] = answer, coarse
        self.scored += 1
        ready: list[Prediction] = []
        while self._next in self._found:
            self._group.append(self._found.pop(self._next))
            volume = self._volumes[self._next]
            self._next += 1
            if not volume or self._volumes[self._next : self._next + 1] != [volume]:
                ready += settled(self._group) if volume else [answer for answer, _ in self._group]
                self._group = []
        self._heard(ready, self.scored)
        if self._next == self.total:
            self.end(None)

    def end(self, error: Exception | None) -> None:
        """Ends it, once."""
        if not self.over:
            self.over = True
            self._waiting.clear()
            self._ended(error)


@dataclass(frozen=True, eq=False)
class _Waiting:
    work: Work
    place: int
    slice: Slice


@dataclass(frozen=True, eq=False)
class _Decoded(_Waiting):
    read: Read | InputError
    seconds: float


class Engine:
    """Scores works.

    Args:
        predictor: that reads and answers.
        queue: slices that may wait.
        measured: is called with the size and the statuses of each batch.
    """

    def __init__(
        self, predictor: Predictor, *, queue: int, measured: Callable[[Sequence[Prediction]], None] | None = None
    ) -> None:
        self.predictor = predictor
        self._queue = queue
        self._measured = measured or (lambda answers: None)
        self._reserved = 0
        self._turns: deque[Work] = deque()
        self._later: deque[Work] = deque()  # works with volumes whose turn has not come
        self._ready: deque[_Decoded] = deque()
        self._stopped = False
        self._seconds_a_slice = 0.02
        self._changed = threading.Condition(threading.RLock())
        self._threads = [
            threading.Thread(target=self._run, name=f"score-{number}", daemon=True)
            for number in range(predictor.threads)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def waiting(self) -> int:
        """Slices that wait, each work counted up to a limit."""
        return self._reserved

    def check_room(self) -> None:
        """Raises BusyError if the queue is full."""
        if self._reserved >= self._queue:
            raise self._busy()

    @contextmanager
    def place(self) -> Iterator[Callable[[int], None]]:
        """Holds a place in the queue; yields a function that sets how much it weighs.

        Raises:
            BusyError: the queue is full.
        """
        held = 0

        def weigh(weight: int) -> None:
            nonlocal held
            with self._changed:
                self._reserved += weight - held
                held = weight

        with self._changed:
            self.check_room()
            weigh(1)
        try:
            yield weigh
        finally:
            weigh(0)

    def submit(self, work: Work) -> None:
        """Takes a work."""
        with self._changed:
            if self._stopped:
                work.end(ServeError("service", "was stopped before this was scored", "Start it again."))
            elif not work.total:
                work.end(None)
            else:
                (self._later if work.has_volumes else self._turns).append(work)
                self._changed.notify_all()

    def cancel(self, work: Work) -> None:
        """Ends a work; what is being scored of it is thrown away."""
        with self._changed:
            work.end(None)
            self._changed.notify_all()

    def close(self) -> None:
        """Stops the threads; works that are not done end with an error."""
        with self._changed:
            self._stopped = True
            for work in {*self._turns, *self._later, *(one.work for one in self._ready)}:
                work.end(ServeError("service", "was stopped before this was scored", "Start it again."))
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def _busy(self) -> BusyError:
        wait_s = min(max(math.ceil(self._reserved * self._seconds_a_slice), 1), _LONGEST_WAIT_S)
        error = BusyError("queue", f"is full: {self._queue} slices wait", f"Try again in {wait_s} s.")
        error.wait_s = wait_s
        return error

    def _run(self) -> None:
        while self._step():
            pass

    def _step(self) -> bool:
        task = self._next()
        if isinstance(task, _Waiting):
            self._decode(task)
        elif task:
            self._score(task)
        return task is not None

    def _next(self) -> _Waiting | list[_Decoded] | None:
        """Waits for a slice to read, or for enough of them to score; returns None when it is time to stop."""
        with self._changed:
            while not self._stopped:
                if len(self._ready) < BATCH and (taken := self._take()):
                    return taken
                if self._ready:
                    return [self._ready.popleft() for _ in range(min(BATCH, len(self._ready)))]
                self._changed.wait()
            return None

    def _take(self) -> _Waiting | None:
        """Returns a slice of the work whose turn it is; the lock is held."""
        self._turns = deque(work for work in self._turns if not work.over)
        self._later = deque(work for work in self._later if not work.over)
        while self._later and sum(work.has_volumes for work in self._turns) < _VOLUMES:
            self._turns.append(self._later.popleft())
        for work in tuple(self._turns):
            self._turns.rotate(-1)
            if taken := work.take():
                return _Waiting(work, *taken)
        return None

    def _decode(self, task: _Waiting) -> None:
        started = time.perf_counter()
        read = self._read(task.slice)
        decoded = _Decoded(task.work, task.place, task.slice, read, time.perf_counter() - started)
        with self._changed:
            self._ready.append(decoded)

    def _read(self, piece: Slice) -> Read | InputError:
        try:
            read = self.predictor.read(piece)
        except Exception as error:  # a decoder's surprise must cost one image, not the service
            _log.error("reading failed", extra={"facts": {"error": type(error).__name__}})
            return UnreadableImageError(piece.name, "cannot be read", "Save it again, or leave it out.")
        return quiet(read, piece.name) if isinstance(read, InputError) else read

    def _score(self, batch: Sequence[_Decoded]) -> None:
        started = time.perf_counter()
        try:
            self._answer([one for one in batch if not one.work.over])
        except Exception as error:  # the thread has to live on for other requests
            _log.exception("scoring failed", extra={"facts": {"error": type(error).__name__}})
            for one in batch:
                one.work.end(ServeError("network", f"failed: {type(error).__name__}", "Tell who runs the service."))
        took = time.perf_counter() - started + sum(one.seconds for one in batch)
        with self._changed:
            self._seconds_a_slice += 0.05 * (took / len(batch) / len(self._threads) - self._seconds_a_slice)
            self._changed.notify_all()  # a volume may have made room for the next

    def _answer(self, batch: Sequence[_Decoded]) -> None:
        answers = self.predictor.answer([(one.slice, one.read) for one in batch], [one.work.rule for one in batch])
        found = list(answers)
        self._measured([answer for answer, _ in found])
        with self._changed:
            for one, (answer, coarse) in zip(batch, found, strict=True):
                if isinstance(one.read, InputError):
                    one.work.first_error = one.work.first_error or one.read
                one.work.put(one.place, answer, coarse)


def quiet(error: InputError, name: str) -> InputError:
    """Returns an error under another name, without what another library said: that may quote the header of a file."""
    foreign = error.__cause__ is not None and not isinstance(error.__cause__, BrainsiftError)
    return type(error)(name, error.rule.partition(":")[0] if foreign else error.rule, error.remedy)
