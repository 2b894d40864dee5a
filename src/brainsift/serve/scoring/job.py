"""One request for predictions, from its files to its results."""

import asyncio
import contextlib
import secrets
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from brainsift.core.errors import BrainsiftError, InputError, NotFoundError, PendingError, ServeError
from brainsift.inference.decision import Prediction, Rule
from brainsift.inference.volume_decision import NearlyEmptyEnds, VolumePrediction, summarise_volume, summarise_volumes
from brainsift.serve.scoring.reservation import Reservation
from brainsift.serve.scoring.uploads import Upload
from brainsift.volumes.acquisition import Acquisition
from brainsift.volumes.reader import find_slice
from brainsift.volumes.slices import Coarse, Loaded, Slice

_OVER = ("done", "cancelled", "failed")


class Job:
    """One request for predictions. Any thread may use it.

    Its life: it is *queued* until its slices are listed (`begin`) and *running* while the engine takes them one by one
    (`take`) and hands their predictions back (`put`); it ends (`end`) as *done*, *cancelled* or *failed*.

    Args:
        upload: its files, which it removes when it is closed.
        rule: decides each prediction.
        reservation: its room in the queue, which it gives back when it ends.
        maps: whether replies show the tumor maps.

    Attributes:
        id: a secret that cannot be guessed; whoever knows it may read the results.
        state: "queued", "running", "done", "cancelled" or "failed".
        total: number of slices; None until they are listed.
        has_volumes: whether some of its slices belong to a volume.
        done: number of slices that were scored.
        predictions: of the first slices, in order. The predictions for a volume come together.
        error: why it failed.
        first_error: of the first slice that could not be read.
        cases: numbers of its cases in the history, one per prediction, as far as they are kept.
        files_in_use: whether it is being scored or recorded.
        touched: when it was last asked for or made progress, by `time.monotonic`.
    """

    def __init__(self, upload: Upload, rule: Rule, reservation: Reservation, *, maps: bool = False) -> None:
        self.id = secrets.token_urlsafe(16)
        self.upload, self.rule, self.reservation, self.maps = upload, rule, reservation, maps
        self.created = datetime.now(UTC).isoformat(timespec="seconds")
        self.touched = time.monotonic()
        self.state = "queued"
        self.total: int | None = None
        self.has_volumes = False
        self.done = 0
        self.predictions: list[Prediction] = []
        self.cases: list[int] = []
        self.error: BrainsiftError | None = None
        self.first_error: InputError | None = None
        self.files_in_use = False
        self._lock = threading.RLock()
        self._waiting: deque[tuple[int, Slice]] = deque()  # slices that nobody has taken yet, with their places
        self._stored: list[str] = []  # names of the slices on the disk
        self._volumes: list[str] = []  # of the slices
        self._acquisitions: list[Acquisition] = []  # of the slices
        self._found: dict[int, tuple[Prediction, Coarse | None]] = {}  # predictions that wait for others
        self._next = 0  # place of the first slice without a prediction
        self._ends = NearlyEmptyEnds()
        self._listeners: set[Callable[[], None]] = set()

    @property
    def over(self) -> bool:
        """Whether nothing more will come."""
        return self.state in _OVER

    def begin(self, slices: Sequence[tuple[str, Slice]]) -> None:
        """Sets the slices; does nothing if the job is over.

        Args:
            slices: in order, those of one volume together; each with its name on the disk.
        """
        with self._lock:
            if self.over:
                return
            self._stored = [name for name, _ in slices]
            self._volumes = [one.volume for _, one in slices]
            self._acquisitions = [one.acquisition for _, one in slices]
            self.has_volumes = any(self._volumes)
            self._waiting = deque(enumerate(one for _, one in slices))
            self.state, self.total = "running", len(slices)
            self.reservation.resize(self.total)
            if not slices:
                self.end()
            self._tell()

    def take(self) -> tuple[int, Slice] | None:
        """Returns the next slice to read, with its place; None where none is left."""
        with self._lock:
            return self._waiting.popleft() if self._waiting else None

    def put(self, place: int, prediction: Prediction, coarse: Coarse | None) -> None:
        """Takes the prediction for a slice; after the last one the job is done.

        Args:
            place: of the slice, from 0.
            prediction: for it.
            coarse: what the slices of a volume are compared by.
        """
        with self._lock:
            if self.over:
                return
            self._found[place] = prediction, coarse
            self.done += 1
            while self._next in self._found:
                self.predictions += self._ends.add(*self._found.pop(self._next))
                volume, self._next = self._volumes[self._next], self._next + 1
                if self._volumes[self._next : self._next + 1] != [volume]:  # it was the last slice of its volume
                    self.predictions += self._ends.finish()
            if self.done == self.total:
                self.end()
            self._tell()

    def end(self, error: Exception | None = None, *, cancelled: bool = False) -> None:
        """Ends the job, unless it is over, and gives back its room in the queue.

        Args:
            error: why it failed; None where it did not. One that is none of ours is told by its type only.
            cancelled: nobody wants it any more.
        """
        with self._lock:
            if self.over:
                return
            if error is not None:
                unknown = ServeError("job", f"failed: {type(error).__name__}", "Tell the person who runs the service.")
                self.error = error if isinstance(error, BrainsiftError) else unknown
            self.state = "cancelled" if cancelled else "done" if error is None else "failed"
            self._waiting.clear()
            self._found.clear()
            self.reservation.release()
            self._tell()

    def close(self) -> None:
        """Cancels the job if it is not over, and removes its files."""
        self.end(cancelled=True)
        self.upload.close()

    async def news(self, after: int, wait_s: float | None = None) -> None:
        """Returns when there are more predictions than ``after``, there is progress, it is over, or time is up.

        Args:
            after: number of predictions that are known.
            wait_s: time, seconds; None: as long as it takes.
        """
        loop, heard = asyncio.get_running_loop(), asyncio.Event()

        def listener() -> None:
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
                loop.call_soon_threadsafe(heard.set)

        with self._lock:
            if self.over or len(self.predictions) > after:
                return
            self._listeners.add(listener)
        try:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(heard.wait(), wait_s)
        finally:
            self._listeners.discard(listener)

    async def finished(self) -> None:
        """Returns when it is over."""
        while not self.over:
            await self.news(len(self.predictions))

    def results(self, after: int = 0) -> tuple[list[Prediction], list[VolumePrediction]]:
        """Returns the predictions from ``after`` on, and one for each volume that they belong to."""
        with self._lock:
            found = self.predictions[after:]
            start = after
            while 0 < start < len(self.predictions) and self._volumes[start] == self._volumes[start - 1] != "":
                start -= 1
            return found, summarise_volumes(self.predictions[start:], self.rule) if found else []

    def file(self, place: int) -> int | None:
        """Returns the place of a slice's file among those that were sent; None where an archive was sent."""
        return self.upload.place_of(self._stored[place])

    def acquisition(self, place: int) -> Acquisition:
        """Returns what the header of a slice says of it."""
        return self._acquisitions[place]

    def volumes_of(self, places: Iterable[int], rule: Rule) -> list[VolumePrediction]:
        """Returns the volumes that slices belong to, each whole, with its slices under their names on the disk.

        Args:
            places: of the slices, from 0; plain images are left out.
            rule: decides each slice and each volume.

        Raises:
            NotFoundError: no such slice, or one of the volumes was never scored to its end.
            PendingError: one of the volumes is still being scored.
        """
        with self._lock:
            found, taken = list[VolumePrediction](), set[int]()
            for place in places:
                if place in taken:
                    continue
                if 0 <= place < len(self._volumes) and self._volumes[place]:
                    own = self.places_of_volume(place)
                    taken.update(own)
                    slices = tuple(replace(self.predictions[one].decided(rule), path=self._stored[one]) for one in own)
                    found.append(replace(summarise_volume(slices, rule), slices=slices))
                elif not 0 <= place < len(self.predictions):
                    raise _not_scored(place, len(self.predictions))
            return found

    def places_of_volume(self, place: int) -> range:
        """Returns the places of all slices of the volume that a slice belongs to.

        Raises:
            NotFoundError: no such slice, it belongs to no volume, or the volume was never scored to its end.
            PendingError: the volume is still being scored.
        """
        with self._lock:
            if not 0 <= place < len(self._volumes) or not self._volumes[place]:
                raise NotFoundError("volume", f"of slice {place} is not there", "Name a slice of a volume.")
            volume, start, end = self._volumes[place], place, place + 1
            while start and self._volumes[start - 1] == volume:
                start -= 1
            while end < len(self._volumes) and self._volumes[end] == volume:
                end += 1
            if end > len(self.predictions):  # the predictions for a volume come together
                if not self.over:
                    raise PendingError(
                        "volume", "is still being scored", "Try again when all of its slices are scored."
                    )
                raise NotFoundError("volume", f"was not scored to its end: the job is {self.state}", "Send it again.")
            return range(start, end)

    def load(self, place: int) -> Loaded:
        """Reads a slice, again or before it is scored.

        Raises:
            NotFoundError: no such slice, or it cannot be read.
            InputError: it cannot be read, or not any more.
        """
        if not 0 <= place < len(self._stored):
            raise _not_scored(place, len(self.predictions))
        if place < len(self.predictions) and self.predictions[place].status == "unreadable":
            raise NotFoundError("slice", f"{place} cannot be read", "Its `detail` says why.")
        return find_slice(self._stored[place]).load()

    def _tell(self) -> None:
        self.touched = time.monotonic()
        for listener in tuple(self._listeners):
            listener()


def _not_scored(place: int, scored: int) -> NotFoundError:
    rule = f"has no number {place} yet; {scored} are scored"
    return NotFoundError("slice", rule, "Slices count from 0, and come as they are scored.")
