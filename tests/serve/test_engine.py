"""The engine: large jobs delay nobody, results come in order, a fault of ours is never told as one of the file."""

import asyncio
import logging
import threading
import time
from functools import cache

import pytest

from brainsift.core.errors import (
    BusyError,
    InputError,
    NotFoundError,
    PendingError,
    ServeError,
    UnreadableImageError,
)
from brainsift.images.decode import from_array
from brainsift.images.phantom import draw
from brainsift.inference.decision import Rule
from brainsift.inference.predictor import BATCH, Predictor
from brainsift.serve.config import ServeConfig
from brainsift.serve.scoring.engine import Engine, without_quotes
from brainsift.serve.scoring.job import Job
from brainsift.serve.scoring.reservation import Queue
from brainsift.serve.scoring.uploads import Store
from brainsift.volumes.slices import Loaded, Slice, broken_slice, coarse_of

RULE = Rule(0.5)


@pytest.fixture(scope="module")
def predictor():
    return Predictor(threads=2)


@pytest.fixture
def queue():
    return Queue(1000)


@pytest.fixture
def engine(predictor, queue):
    made = Engine(predictor, queue)
    yield made
    made.close()


@pytest.fixture
def make(tmp_path, queue):
    """Makes a job of slices."""
    store = Store(ServeConfig(), tmp_path)

    def made(slices, rule=RULE):
        job = Job(store.new(), rule, queue.reserve())
        job.begin([(one.name, one) for one in slices])
        return job

    yield made
    assert queue.waiting == 0  # every job gave back its room
    store.close()


@pytest.fixture
def ended(until):
    """Waits for the end of a job, and returns it."""

    def wait(job):
        until(lambda: job.over)
        return job

    return wait


@cache
def drawn(seed):
    return draw(seed, tumor=True, size=96).pixels


def head(name, *, seed=1, volume="", before=lambda: None):
    pixels = drawn(seed)

    def load():
        before()
        return Loaded(from_array(pixels), coarse_of(pixels) if volume else None)

    return Slice(name, volume, load)


def test_results_come_in_order_and_volumes_as_a_whole(engine, predictor, make, ended, until):
    late = threading.Event()
    volume = [head(f"v#{n}", seed=n, volume="v", before=late.wait if n == 2 else lambda: None) for n in range(1, 5)]
    slices = [head("a"), *volume, head("z")]
    job = make(slices)
    engine.submit(job)
    until(lambda: job.done == 5)
    assert [one.path for one in job.predictions] == ["a"] and job.state == "running"
    late.set()
    assert [one.path for one in ended(job).predictions] == [piece.name for piece in slices]
    assert (job.state, job.done) == ("done", 6)
    assert job.predictions[0].probability == predictor.score(drawn(1)).probability


def test_a_volume_is_given_whole_or_refused(engine, make, ended, until):
    late = threading.Event()
    volume = [head(f"v#{n}", seed=n, volume="v", before=late.wait if n == 2 else lambda: None) for n in range(1, 4)]
    job = make([head("a"), *volume, *(head(f"w#{n}", seed=n, volume="w") for n in range(1, 3))])
    engine.submit(job)
    until(lambda: job.done >= 3)
    assert job.volumes_of([0], RULE) == []
    for ask in (lambda: job.volumes_of([0, 3], RULE), lambda: job.places_of_volume(3)):
        with pytest.raises(PendingError, match="is still being scored"):
            ask()
    late.set()
    found = ended(job).volumes_of([5, 3, 1], RULE)
    assert [[one.path for one in volume.slices] for volume in found] == [["w#1", "w#2"], ["v#1", "v#2", "v#3"]]
    assert [job.places_of_volume(place) for place in (2, 5)] == [range(1, 4), range(4, 6)]
    with pytest.raises(NotFoundError, match="of slice 0 is not there"):
        job.places_of_volume(0)
    with pytest.raises(NotFoundError, match="has no number 6"):
        job.volumes_of([6], RULE)


def test_a_volume_of_a_job_that_was_cancelled_is_refused(engine, make, until):
    late = threading.Event()
    job = make([head("v#1", volume="v"), head("v#2", volume="v", before=late.wait)])
    engine.submit(job)
    until(lambda: job.done)
    engine.cancel(job)
    late.set()
    with pytest.raises(NotFoundError, match="was not scored to its end: the job is cancelled"):
        job.volumes_of([0], RULE)


def test_each_job_is_decided_by_its_own_rule(engine, make, ended):
    jobs = [make([head("a")], rule) for rule in (Rule(0.0), Rule(1.1), Rule(0.5, 1e9))]
    for job in jobs:
        engine.submit(job)
    assert [ended(job).predictions[0].decision for job in jobs] == ["tumor", "no_tumor", "refer"]


def test_a_full_queue_refuses_until_there_is_room():
    queue = Queue(3)
    with queue.reserve() as first, queue.reserve(), queue.reserve():
        with pytest.raises(BusyError, match="3 slices wait") as refused:
            queue.reserve()
        assert 1 <= refused.value.wait_s <= 30
        first.release()
        queue.reserve().release()
        first.resize(5)  # it is released: nothing is held any more
        assert queue.waiting == 2
    assert queue.waiting == 0


def test_a_large_job_counts_as_32_slices():
    queue = Queue(100)
    with queue.reserve() as reservation:
        reservation.resize(5000)
        assert queue.waiting == 32
        reservation.resize(7)
        assert queue.waiting == 7
    assert queue.waiting == 0


def test_a_busy_queue_estimates_the_time_to_wait():
    queue = Queue(20)
    reservations = [queue.reserve() for _ in range(20)]
    for _ in range(200):
        queue.measured(0.5)
    with pytest.raises(BusyError, match=r"Try again in 10 s\."):
        queue.check_room()
    for one in reservations:
        one.release()


@pytest.mark.slow
def test_a_small_job_overtakes_a_large_one(engine, make, ended):
    large, small = make([head(f"l{n}") for n in range(200)]), make([head("s")])
    engine.submit(large)
    engine.submit(small)
    ended(small)
    assert not large.over and large.done < 100
    assert ended(large).done == 200


class Wrapped:
    """The real predictor, with something done before it scores a batch."""

    def __init__(self, predictor, before):
        self.threads, self.read, self._predictor, self._before = predictor.threads, predictor.read, predictor, before

    def predict_batch(self, batch, rules):
        self._before()
        return self._predictor.predict_batch(batch, rules)


def test_news_is_heard_at_each_step_and_by_all_who_wait(predictor, queue, make):
    go = threading.Semaphore(0)
    engine = Engine(Wrapped(predictor, go.acquire), queue)
    job = make([head(f"{n}") for n in range(3 * BATCH)])

    async def follow():
        known, steps = 0, []
        while not job.over:
            await job.news(known, 60)
            known = len(job.predictions)
            steps.append(known)
        return steps

    async def both():
        followers = [asyncio.create_task(follow()) for _ in range(2)]
        await job.news(0, 0.01)  # nothing happens: time is up
        assert not job.predictions
        engine.submit(job)
        while not job.over:
            known = job.done
            go.release()
            while job.done == known:
                await job.news(len(job.predictions), 0.05)
        await job.finished()
        return await asyncio.gather(*followers)

    for steps in asyncio.run(both()):
        assert steps == sorted(steps) and steps[-1] == 3 * BATCH
    assert not job._listeners
    engine.close()


@pytest.mark.slow
def test_few_slices_are_decoded_ahead(predictor, queue, make, ended, until):
    go, started = threading.Event(), []
    engine = Engine(Wrapped(predictor, go.wait), queue)
    job = make([head(f"{n}", before=lambda: started.append(1)) for n in range(100)])
    engine.submit(job)
    ahead = predictor.threads * BATCH
    until(lambda: len(started) == ahead)
    time.sleep(0.2)  # more would have been decoded by now
    assert len(started) == ahead and not job.predictions
    go.set()
    assert len(ended(job).predictions) == len(started) == 100
    engine.close()


def test_only_two_volumes_are_in_memory_at_once(engine, make, ended, until):
    go, reading = threading.Event(), set()
    jobs = [make([head(f"{n}#1", volume=f"{n}", before=lambda n=n: (reading.add(n), go.wait(60)))]) for n in range(4)]
    plain = make([head("plain")])
    for job in (*jobs, plain):
        engine.submit(job)
    until(lambda: len(reading) == 2)
    assert reading == {0, 1}
    go.set()
    assert [ended(job).state for job in (*jobs, plain)] == ["done"] * 5


def test_a_cancelled_job_ends_and_others_go_on(engine, make, ended):
    cancelled, other = make([head(f"{n}") for n in range(100)]), make([head("o")] * 20)
    engine.submit(cancelled)
    engine.submit(other)
    engine.cancel(cancelled)
    known = len(cancelled.predictions)
    assert cancelled.state == "cancelled"
    assert [one.status for one in ended(other).predictions] == ["ok"] * 20
    assert len(cancelled.predictions) == known < 100


def test_a_job_that_was_cancelled_while_it_was_listed_is_not_scored(engine, make, queue, tmp_path):
    job = Job(Store(ServeConfig(), tmp_path).new(), RULE, queue.reserve())
    job.close()
    job.begin([("a", head("a"))])
    engine.submit(job)
    assert (job.state, job.total, job.take()) == ("cancelled", None, None)


def test_files_that_cannot_be_read_are_told_and_others_go_on(engine, make, ended):
    broken = UnreadableImageError("b", "is broken", "Save it again.")
    job = make([head("a"), broken_slice("b", "", broken), head("c")])
    engine.submit(job)
    assert [one.status for one in ended(job).predictions] == ["ok", "unreadable", "ok"]
    assert job.state == "done" and isinstance(job.first_error, InputError)


@pytest.mark.parametrize("fault", [MemoryError("Doe^Jane"), AttributeError("Doe^Jane"), ServeError("x", "y", "z")])
def test_a_fault_of_ours_is_no_statement_about_the_file(engine, make, caplog, fault, ended):
    def load():
        raise fault

    job, other = make([head("a"), Slice("b", "", load)]), make([head("c")])
    with caplog.at_level(logging.ERROR, "brainsift.serve"):
        engine.submit(job)
        engine.submit(other)
        assert isinstance(ended(job).error, ServeError) and job.state == "failed"
        assert ended(other).state == "done"
    assert not any(one.status == "unreadable" for one in job.predictions)
    assert "Doe" not in str(job.error)
    (record,) = (one for one in caplog.records if one.message == "reading failed")
    assert record.exc_info[1] is fault  # with its trace


def test_a_network_that_fails_ends_the_job_and_not_the_engine(predictor, queue, make, caplog, ended):
    faults = [RuntimeError("no")]

    def fail_once():
        if faults:
            raise faults.pop()

    engine = Engine(Wrapped(predictor, fail_once), queue)
    first = make([head("a")])
    engine.submit(first)
    assert isinstance(ended(first).error, ServeError) and "scoring failed" in caplog.messages
    second = make([head("a")])
    engine.submit(second)
    assert ended(second).state == "done"
    engine.close()


def test_closing_ends_the_jobs_that_wait(predictor, queue, make, ended):
    engine = Engine(predictor, queue)
    job = make([head(f"{n}") for n in range(100)])
    engine.submit(job)
    engine.close()
    assert "stopped" in str(ended(job).error)
    late = make([head("a")])
    engine.submit(late)
    assert "stopped" in str(ended(late).error)
    assert make([]).state == "done"  # nothing to score


def test_words_of_other_libraries_on_a_header_stay_inside():
    inner = UnreadableImageError("/stored/0", "cannot be read as DICOM: bad value 'Doe^John'", "Export it again.")
    inner.__cause__ = ValueError("bad value 'Doe^John'")
    shown = without_quotes(inner, "scan.dcm")
    assert (shown.subject, shown.rule) == ("scan.dcm", "cannot be read as DICOM")
    own = UnreadableImageError("/stored/0", "is tiny: 3 x 3 pixels", "")
    assert without_quotes(own, "a").rule == own.rule
