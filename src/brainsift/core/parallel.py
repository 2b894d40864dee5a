"""Work in threads or processes, results in the order of the tasks."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import chain, islice
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from concurrent.futures import Executor, Future

Task = TypeVar("Task")
Result = TypeVar("Result")


def map_in_order(
    function: Callable[[Task], Result], tasks: Iterable[Task], *, threads: int, ahead: int = 8
) -> Iterator[Result]:
    """Yields the result for each task, in the order of the tasks.

    What is in memory does not grow with the number of tasks: new ones are taken only as results are. Where the caller
    stops early, the tasks that have not begun are dropped.

    Args:
        function: is called in threads.
        tasks: are taken in the thread of the caller.
        threads: 1 or more.
        ahead: tasks per thread that wait, or whose results do.

    Raises:
        Exception: what ``function`` or ``tasks`` raise, at the place of that task.

    >>> list(map_in_order(str, range(4), threads=2))
    ['0', '1', '2', '3']
    """
    remaining = iter(tasks)
    first = list(islice(remaining, 2))
    if len(first) < 2:  # needs no thread, and a command for one image need not load what starts them
        yield from map(function, first)
        return
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(threads) as pool:
        yield from in_order(pool, function, chain(first, remaining), room=ahead * threads)


def in_order(
    pool: "Executor", function: Callable[[Task], Result], tasks: Iterable[Task], *, room: int
) -> Iterator[Result]:
    """Yields the result for each task as `map_in_order` does, from a pool of threads or of processes.

    Args:
        pool: calls the function.
        function: is called in the pool.
        tasks: are taken in the thread of the caller.
        room: tasks that wait, or whose results do.

    Raises:
        Exception: what ``function``, ``tasks`` or the pool raise, at the place of that task.
    """
    remaining, waiting = iter(tasks), deque["Future[Result]"]()
    try:
        while True:
            waiting.extend(pool.submit(function, task) for task in islice(remaining, room - len(waiting)))
            if not waiting:
                return
            yield waiting.popleft().result()
    finally:
        for future in waiting:
            future.cancel()
