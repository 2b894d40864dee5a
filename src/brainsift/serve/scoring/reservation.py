"""Room in the queue: how many slices may wait, and for whom room is held."""

import math
import threading

from brainsift.core.errors import BusyError

_HEAVIEST = 32  # a job counts for no more slices than this: they are taken as room comes
_LONGEST_WAIT_S = 30
_SMOOTHING = 0.05  # weight of a new measurement


class Queue:
    """Counts the slices that wait, of all requests together. Any thread may use it.

    Args:
        limit: slices that may wait.
    """

    def __init__(self, limit: int) -> None:
        self._limit, self._held = limit, 0
        self._seconds_per_slice = 0.02
        self._lock = threading.Lock()

    @property
    def waiting(self) -> int:
        """Slices that wait; a large job counts as 32."""
        return self._held

    def check_room(self) -> None:
        """Refuses where there is no room; holds none.

        Raises:
            BusyError: the queue is full; it says after how many seconds to try again.
        """
        if self._held >= self._limit:
            wait_s = min(max(math.ceil(self._held * self._seconds_per_slice), 1), _LONGEST_WAIT_S)
            error = BusyError("queue", f"is full: {self._limit} slices wait", f"Try again in {wait_s} s.")
            error.wait_s = wait_s
            raise error

    def reserve(self) -> "Reservation":
        """Holds room for one slice, until the reservation is released.

        Raises:
            BusyError: the queue is full.
        """
        with self._lock:
            self.check_room()
            self._held += 1
        return Reservation(self)

    def measured(self, seconds_per_slice: float) -> None:
        """Takes how long slices took, from which the time to wait is estimated."""
        with self._lock:
            self._seconds_per_slice += _SMOOTHING * (seconds_per_slice - self._seconds_per_slice)

    def _add(self, slices: int) -> None:
        with self._lock:
            self._held += slices


class Reservation:
    """Room in the queue that one request holds until it is released; as a context manager, until the block ends.

    Args:
        queue: whose room it is, counted for one slice already.
    """

    def __init__(self, queue: Queue) -> None:
        self._queue, self._held = queue, 1
        self._released, self._lock = False, threading.Lock()

    def resize(self, slices: int) -> None:
        """Holds room for so many slices, 32 at most, from now on; does nothing once it is released."""
        with self._lock:
            if not self._released:
                held = min(slices, _HEAVIEST)
                self._queue._add(held - self._held)
                self._held = held

    def release(self) -> None:
        """Gives the room back; may be called again."""
        self.resize(0)
        with self._lock:
            self._released = True

    def __enter__(self) -> "Reservation":
        """Returns itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Gives the room back."""
        self.release()
