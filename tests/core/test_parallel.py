"""Results come in the order of the tasks, few are ahead, and who stops early leaves nothing running."""

import threading
import time

import pytest

from brainsift.core.parallel import map_in_order


def test_results_come_in_order_whichever_is_ready_first():
    def slow_at_first(number):
        time.sleep(0.05 if number == 0 else 0)
        return number

    assert list(map_in_order(slow_at_first, range(50), threads=4)) == list(range(50))
    assert list(map_in_order(str, [], threads=2)) == []


def test_tasks_are_taken_only_as_results_are():
    taken = []

    def tasks():
        for number in range(100):
            taken.append(number)
            yield number

    results = map_in_order(abs, tasks(), threads=2, ahead=3)
    for number in range(10):
        assert next(results) == number and len(taken) == 6 + number
    results.close()
    assert len(taken) == 15


def test_an_error_comes_at_the_place_of_its_task():
    results = map_in_order(lambda number: 1 / number, [1, 2, 0, 4], threads=2)
    assert [next(results), next(results)] == [1, 0.5]
    with pytest.raises(ZeroDivisionError):
        next(results)


def test_who_stops_early_drops_what_has_not_begun():
    go, begun = threading.Event(), []

    def work(number):
        begun.append(number)
        go.wait(10 if number else 0)

    results = map_in_order(work, range(100), threads=1, ahead=8)
    next(results)
    threading.Timer(0.1, go.set).start()
    results.close()
    assert len(begun) <= 3
