"""Slices of many requests through one network: decoded by threads, scored in batches across requests, in fair turns.

A `Work` is what one request wants scored. A slice of each work is taken in turn, so that a large volume holds nobody
up; only a few slices are decoded ahead, so that what is in memory does not grow with what waits.
"""

import logging
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

from brainsift.errors import BrainsiftError, BusyError, InputError, ServeError, UnreadableImageError
from brainsift.predict import Prediction, Predictor, Read, Rule, settled
from brainsift.slices import Coarse, Slice

_log = logging.getLogger("brainsift.serve")
_BATCH = 32
_AHEAD = 32  # slices that are decoded or wait for the network
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
class _Decoded:
    work: Work
    place: int
    slice: Slice
    read: Read | InputError


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
        self._ahead = 0
        self._stopped = False
        self._seconds_a_slice = 0.02
        self._changed = threading.Condition(threading.RLock())
        self._pool = ThreadPoolExecutor(predictor.threads, thread_name_prefix="decode")
        self._network = threading.Thread(target=self._score, name="network", daemon=True)
        self._network.start()

    @property
    def waiting(self) -> int:
        """Slices that wait, each work counted up to a limit."""
        return self._reserved

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
            if self._reserved >= self._queue:
                raise self._busy()
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
                self._feed()

    def cancel(self, work: Work) -> None:
        """Ends a work; what is being scored of it is thrown away."""
        with self._changed:
            work.end(None)
            self._feed()

    def close(self) -> None:
        """Stops the threads; works that are not done end with an error."""
        with self._changed:
            self._stopped = True
            for work in {*self._turns, *self._later, *(one.work for one in self._ready)}:
                work.end(ServeError("service", "was stopped before this was scored", "Start it again."))
            self._changed.notify_all()
        self._network.join()
        self._pool.shutdown(cancel_futures=True)

    def _busy(self) -> BusyError:
        wait_s = min(max(math.ceil(self._reserved * self._seconds_a_slice), 1), _LONGEST_WAIT_S)
        error = BusyError("queue", f"is full: {self._queue} slices wait", f"Try again in {wait_s} s.")
        error.wait_s = wait_s
        return error

    def _feed(self) -> None:
        """Has slices decoded, one of each work in turn; the lock is held."""
        self._turns = deque(work for work in self._turns if not work.over)
        self._later = deque(work for work in self._later if not work.over)
        while self._later and sum(work.has_volumes for work in self._turns) < _VOLUMES:
            self._turns.append(self._later.popleft())
        idle = 0
        while self._ahead < _AHEAD and idle < len(self._turns):
            work = self._turns[0]
            self._turns.rotate(-1)
            taken = work.take()
            idle = 0 if taken else idle + 1
            if taken:
                self._ahead += 1
                self._pool.submit(self._decode, work, *taken)

    def _decode(self, work: Work, place: int, piece: Slice) -> None:
        read: Read | InputError = UnreadableImageError(piece.name, "was cancelled", "Send it again.")
        if not work.over:
            read = self._read(piece)
        with self._changed:
            self._ready.append(_Decoded(work, place, piece, read))
            self._changed.notify()

    def _read(self, piece: Slice) -> Read | InputError:
        try:
            read = self.predictor.read(piece)
        except Exception as error:  # a decoder's surprise must cost one image, not the service
            _log.error("reading failed", extra={"facts": {"error": type(error).__name__}})
            return UnreadableImageError(piece.name, "cannot be read", "Save it again, or leave it out.")
        return quiet(read, piece.name) if isinstance(read, InputError) else read

    def _score(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._ready or self._stopped)
                if self._stopped:
                    return
                batch = [self._ready.popleft() for _ in range(min(_BATCH, len(self._ready)))]
            started = time.perf_counter()
            try:
                self._answer([one for one in batch if not one.work.over])
            except Exception as error:  # the thread has to live on for other requests
                _log.exception("scoring failed", extra={"facts": {"error": type(error).__name__}})
                for one in batch:
                    one.work.end(ServeError("network", f"failed: {type(error).__name__}", "Tell who runs the service."))
            with self._changed:
                self._ahead -= len(batch)
                took = (time.perf_counter() - started) / len(batch)
                self._seconds_a_slice += 0.05 * (took - self._seconds_a_slice)
                self._feed()

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
