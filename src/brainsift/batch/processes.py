"""Predictions for many files in worker processes of this machine.

Python runs one thread at a time, and a third of the work per image is Python's: threads of one process wait for each
other, processes do not. A worker takes a second to start, so that few files are scored in threads.
"""

import os
import signal
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from functools import partial
from itertools import chain, islice
from threading import Thread

from brainsift.batch.chunks import chunks_of
from brainsift.core.errors import BrainsiftError
from brainsift.core.parallel import in_order
from brainsift.inference.decision import Prediction
from brainsift.inference.predictor import Predictor
from brainsift.volumes.grouping import Unit

_FILES_PER_WORKER = 256  # at least; they take as long as the start of a worker
_MOST_WORKERS = 61  # that Windows can wait for
_AHEAD = 4  # chunks per worker that wait, or whose predictions do

_own: list[Predictor] = []
"""The predictor of this process, if it is a worker."""


def predict_in_processes(
    paths: Iterable[str], make: Callable[..., Predictor], *, workers: int
) -> Generator[Prediction, None, None]:
    """Yields the same predictions as `Predictor.predict`, in the same order.

    Args:
        paths: of the files.
        make: makes a predictor, and takes the number of its threads as `threads`. It goes to other processes.
        workers: processes with one thread each, at most; where there are too few files, or too few series, for two of
            them, threads of this process.

    Raises:
        BrainsiftError: the workers cannot start.
    """
    remaining, workers = iter(paths), min(workers, _MOST_WORKERS)
    first = list(islice(remaining, _FILES_PER_WORKER * workers))
    enough = len(first) // _FILES_PER_WORKER
    if enough < 2:
        yield from make(threads=workers).predict(chain(first, remaining))
        return
    chunks = chunks_of(chain(first, remaining))
    ready = list(islice(chunks, enough))
    if len(ready) < 2:  # a single series
        yield from make(threads=workers).predict(chain.from_iterable(ready))
        return
    from concurrent.futures import ProcessPoolExecutor  # a command for few images need not load what starts processes
    from concurrent.futures.process import BrokenProcessPool
    from multiprocessing import get_context

    # A process that is forked may hold a lock that a thread of this one had.
    context, load = get_context("spawn"), partial(make, threads=1)
    remaining_chunks, handed_out = chain(ready, chunks), deque[list[Unit]]()
    started = False
    with ProcessPoolExecutor(len(ready), mp_context=context, initializer=_start, initargs=(load,)) as pool:
        tasks = _noted(remaining_chunks, handed_out)
        try:
            for predictions in in_order(pool, _score, tasks, room=_AHEAD * len(ready)):
                started = True
                handed_out.popleft()
                yield from predictions
        except BrokenProcessPool as error:
            if not started:
                rule, remedy = "cannot start, or were killed at once", "Use threads of this process: --threads 2."
                raise BrainsiftError("worker processes", rule, remedy) from error
        else:
            return
    # A worker was killed, for lack of memory perhaps: this process goes on alone.
    yield from load().predict(chain.from_iterable(chain(handed_out, remaining_chunks)))


def _noted(chunks: Iterable[list[Unit]], handed_out: deque[list[Unit]]) -> Iterator[list[Unit]]:
    for chunk in chunks:
        handed_out.append(chunk)
        yield chunk


def _start(make: Callable[[], Predictor]) -> None:
    """Turns this process into a worker. It ends when its parent ends, for whatever reason."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent, which gets the same signal, ends the work
    Thread(target=_end_with_parent, daemon=True).start()
    _own.append(make())


def _end_with_parent() -> None:
    from multiprocessing import parent_process

    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _score(chunk: list[Unit]) -> list[Prediction]:
    return list(_own[0].predict(chunk))
