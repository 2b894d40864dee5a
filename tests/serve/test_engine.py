"""The engine: a full queue refuses, large works hold nobody up, answers come in order, surprises cost one image."""

import threading
from dataclasses import replace
from functools import cache

import pytest

from brainsift.core.errors import BusyError, InputError, ServeError, UnreadableImageError
from brainsift.images.decode import from_array
from brainsift.images.phantom import draw
from brainsift.inference.predictor import BATCH, Predictor, Rule
from brainsift.serve.scoring.engine import Engine, Work, quiet
from brainsift.volumes.slices import Loaded, Slice, broken_slice, coarse_of

RULE = Rule(0.5)


class Heard:
    """Gathers what a work says."""

    def __init__(self, slices, rule=RULE):
        self.answers, self.counts, self.error = [], [], None
        self.ended = threading.Event()
        self.work = Work(slices, rule, self.hear, self.end)

    def hear(self, answers, scored):
        self.answers += answers
        self.counts.append(scored)

    def end(self, error):
        assert not self.ended.is_set()
        self.error = error
        self.ended.set()

    def wait(self):
        assert self.ended.wait(60)
        return self


@pytest.fixture(scope="module")
def predictor():
    return Predictor(threads=2)


@pytest.fixture
def engine(predictor):
    made = Engine(predictor, queue=3)
    yield made
    made.close()


@cache
def drawn(seed):
    return draw(seed, tumor=True, size=96).pixels


def head(name, *, seed=1, volume="", before=lambda: None):
    pixels = drawn(seed)

    def load():
        before()
        return Loaded(from_array(pixels), coarse_of(pixels) if volume else None)

    return Slice(name, volume, load)


def test_answers_come_in_order_and_volumes_as_a_whole(engine, predictor):
    late = threading.Event()
    slices = [head("a"), *(head(f"v#{n}", seed=n, volume="v") for n in range(1, 5)), head("z")]
    slices[2] = replace(slices[2], load=lambda: late.wait(60) and slices[1].load())
    heard = Heard(slices)
    engine.submit(heard.work)
    while heard.work.scored < 5:
        assert not heard.ended.wait(0.01)
    assert [answer.path for answer in heard.answers] == ["a"]
    late.set()
    heard.wait()
    assert [answer.path for answer in heard.answers] == [piece.name for piece in slices]
    assert sorted(heard.counts) == heard.counts and heard.counts[-1] == 6
    assert heard.answers[0].probability == predictor.score(drawn(1)).probability


def test_each_work_is_decided_by_its_own_rule(engine):
    works = [Heard([head("a")], rule) for rule in (Rule(0.0), Rule(1.1), Rule(0.5, 1e9))]
    for one in works:
        engine.submit(one.work)
    assert [one.wait().answers[0].decision for one in works] == ["tumor", "no_tumor", "refer"]


def test_a_full_queue_refuses_until_there_is_room(engine):
    with engine.place() as first, engine.place(), engine.place():
        with pytest.raises(BusyError, match="3 slices wait") as refused, engine.place():
            pass
        assert 1 <= refused.value.wait_s <= 30
        first(0)
        with engine.place():
            pass
    assert engine.waiting == 0


def test_a_small_work_overtakes_a_large_one(engine):
    large = Heard([head(f"l{n}") for n in range(200)])
    small = Heard([head("s")])
    engine.submit(large.work)
    engine.submit(small.work)
    small.wait()
    assert not large.ended.is_set() and large.work.scored < 100
    large.wait()


def test_few_slices_are_decoded_ahead(predictor):
    class Stuck:
        threads, go = 2, threading.Event()
        read = staticmethod(predictor.read)

        def answer(self, jobs, rules):
            assert self.go.wait(60)
            return predictor.answer(jobs, rules)

    started = []
    engine = Engine(Stuck(), queue=3)
    heard = Heard([head(f"{n}", before=lambda: started.append(1)) for n in range(100)])
    engine.submit(heard.work)
    ahead = Stuck.threads * BATCH
    while len(started) < ahead:
        assert not heard.ended.wait(0.01)
    assert not heard.ended.wait(0.3) and len(started) == ahead
    Stuck.go.set()
    assert len(heard.wait().answers) == len(started) == 100
    engine.close()


def test_only_two_volumes_are_in_memory_at_once(engine):
    go, reading = threading.Event(), set()
    works = [Heard([head(f"{n}#1", volume=f"{n}", before=lambda n=n: (reading.add(n), go.wait(60)))]) for n in range(4)]
    for one in works:
        engine.submit(one.work)
    plain = Heard([head("plain")])
    while len(reading) < 2:
        assert not works[0].ended.wait(0.01)
    engine.submit(plain.work)
    assert reading == {0, 1}
    go.set()
    assert [one.wait().error for one in (*works, plain)] == [None] * 5


def test_a_cancelled_work_ends_and_others_go_on(engine):
    cancelled, other = Heard([head(f"{n}") for n in range(100)]), Heard([head("o")] * 20)
    engine.submit(cancelled.work)
    engine.submit(other.work)
    engine.cancel(cancelled.work)
    known = len(cancelled.wait().answers)
    assert other.wait().answers[-1].status == "ok"
    assert len(cancelled.answers) == known < 100 and len(other.answers) == 20


def test_a_surprise_in_a_decoder_costs_one_image(engine):
    def surprise():
        raise MemoryError("secret name of a patient")

    slices = [head("a"), Slice("b", "", surprise), broken_slice("c", "", ServeError("x", "y", "z")), head("d")]
    heard = Heard(slices)
    engine.submit(heard.work)
    assert [answer.status for answer in heard.wait().answers] == ["ok", "unreadable", "unreadable", "ok"]
    assert "secret" not in heard.answers[1].detail and isinstance(heard.work.first_error, InputError)


def test_a_failing_network_ends_the_works_and_not_the_engine(predictor):
    class Flaky:
        threads = 1
        read = staticmethod(predictor.read)
        fails = True

        def answer(self, jobs, rules):
            if self.fails:
                raise RuntimeError("no")
            return predictor.answer(jobs, rules)

    flaky = Flaky()
    engine = Engine(flaky, queue=3)
    heard = Heard([head("a")])
    engine.submit(heard.work)
    assert isinstance(heard.wait().error, ServeError)
    flaky.fails = False
    again = Heard([head("a")])
    engine.submit(again.work)
    assert again.wait().error is None
    engine.close()


def test_closing_ends_what_waits(predictor):
    engine = Engine(predictor, queue=3)
    heard = Heard([head(f"{n}") for n in range(100)])
    engine.submit(heard.work)
    engine.close()
    assert "stopped" in str(heard.wait().error)
    late = Heard([head("a")])
    engine.submit(late.work)
    assert "stopped" in str(late.wait().error)
    empty = Engine(predictor, queue=3)
    nothing = Heard([])
    empty.submit(nothing.work)
    assert nothing.wait().error is None
    empty.close()


def test_what_other_libraries_say_of_a_header_stays_inside():
    inner = UnreadableImageError("/stored/0", "cannot be read as DICOM: bad value 'Doe^John'", "Export it again.")
    inner.__cause__ = ValueError("bad value 'Doe^John'")
    told = quiet(inner, "scan.dcm")
    assert (told.subject, told.rule) == ("scan.dcm", "cannot be read as DICOM")
    own = UnreadableImageError("/stored/0", "is tiny: 3 x 3 pixels", "")
    assert quiet(own, "a").rule == own.rule
