"""Deliveries in simulated time against a real archive that comes and goes, and the replies that it may give."""

from contextlib import ExitStack
from pathlib import Path

import pydicom
import pytest

from brainsift.node.intake import Intake
from brainsift.node.outbox import FIRST_S, GIVE_UP_S, LONGEST_S, Outbox
from brainsift.node.settings import Dicom, Series, Settings, Target
from brainsift.node.targets import UNANSWERED, Commitments, open_target
from brainsift.node.worker import MISSING_EARLIER, Scoring, Worker

from .conftest import free_port, instances, orthanc, results, send, write_series

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("network")]


@pytest.fixture(scope="module")
def scoring():
    from brainsift.dicom_results.result_set import ResultOptions
    from brainsift.inference.predictor import Predictor

    return Scoring(Predictor(threads=1), ResultOptions(segmentation=False, secondary_capture=False))


class Clock:
    """Time that passes when a test says so."""

    def __init__(self):
        self.now = 1_700_000_000.0

    def __call__(self):
        return self.now


class Bench:
    """A node without its threads: its parts, in simulated time."""

    def __init__(self, folder: Path, scoring, target: Target, **options):
        self.clock = Clock()
        self.intake = Intake(folder / "node", reserve_mb=0, clock=self.clock)
        self.journal = self.intake.journal
        settings = Settings(folder / "node", targets=(target,), series=Series(quiet_s=60, force_s=5400))
        self.worker = Worker(settings, self.intake, scoring, clock=self.clock, **options)
        partner = open_target(target, Dicom(), Commitments())
        self.outbox = Outbox(target.name, partner, self.journal, folder / "node" / "results", clock=self.clock)

    def receive(self, files):
        for one in files:
            self.intake.take(one.read_bytes(), door="test")

    def scored(self, files):
        self.receive(files)
        self.clock.now += 60
        assert self.worker.step() == 1

    @property
    def delivery(self):
        (found,) = self.journal.deliveries()
        return found


def targets(port, web_port):
    return (
        Target(name="archive", port=port, ae_title="ORTHANC"),
        Target(name="archive", kind="web", url=f"http://127.0.0.1:{web_port}/dicom-web"),
    )


@pytest.mark.parametrize("kind", [0, 1], ids=["dicom", "web"])
def test_a_target_that_is_down_for_an_hour_gets_the_results_when_it_is_back(tmp_path, scoring, kind):
    port, web_port = free_port(), free_port()
    bench = Bench(tmp_path, scoring, targets(port, web_port)[kind])
    bench.scored(write_series(tmp_path / "in", count=3))
    waits, start = [], bench.clock.now
    while bench.clock.now - start < 3600:
        assert bench.outbox.deliver_due() == 0
        waits.append(bench.delivery.due - bench.clock.now)
        assert bench.outbox.deliver_due() == 0  # nothing is due before its time
        bench.clock.now = bench.delivery.due
    assert waits == [FIRST_S * 2**number for number in range(len(waits))]
    assert bench.delivery.error.startswith("cannot be reached")
    with orthanc(tmp_path / "orthanc", free_port(), port=port, web_port=web_port) as archive:
        assert bench.outbox.deliver_due() == 1
        assert [one.Modality for one in results(archive)] == ["SR"]
    assert bench.journal.series()[0].state == "delivered"


def test_after_seven_days_it_is_given_up_and_retry_starts_again(tmp_path, scoring):
    bench = Bench(tmp_path, scoring, Target(name="away", port=free_port(), ae_title="AWAY"))
    bench.scored(write_series(tmp_path / "in", count=3))
    start, waits = bench.clock.now, []
    while bench.delivery.state == "waiting":
        bench.outbox.deliver_due()
        waits.append(bench.delivery.due - bench.clock.now)
        bench.clock.now = max(bench.clock.now, bench.delivery.due)
        if waits.count(LONGEST_S) == 3:  # the wait grows no more: nothing new happens until the last hours
            bench.clock.now = max(bench.clock.now, start + GIVE_UP_S - 2 * LONGEST_S)
    assert max(waits) == LONGEST_S
    assert GIVE_UP_S <= bench.clock.now - start <= GIVE_UP_S + 2 * LONGEST_S
    assert bench.journal.series()[0].state == "failed"
    assert bench.journal.retry(at=bench.clock.now) == 1
    assert bench.journal.series()[0].state == "sending"
    assert bench.delivery.due == bench.clock.now


def test_a_wrong_title_is_refused_for_good(tmp_path, scoring):
    with orthanc(tmp_path / "orthanc", free_port()) as archive:
        bench = Bench(tmp_path, scoring, Target(name="archive", port=archive.port, ae_title="OTHER"))
        bench.scored(write_series(tmp_path / "in", count=3))
        assert bench.outbox.deliver_due() == 0
        while bench.delivery.error == UNANSWERED:  # on a busy machine, now and then
            bench.clock.now = bench.delivery.due
            assert bench.outbox.deliver_due() == 0
    assert (bench.delivery.state, bench.delivery.error) == ("failed", "rejected the association: check the AE titles")


def test_one_target_that_is_down_does_not_hold_back_another(tmp_path, scoring):
    with orthanc(tmp_path / "orthanc", free_port()) as archive:
        bench = Bench(tmp_path, scoring, Target(name="archive", port=archive.port, ae_title="ORTHANC"))
        away = Target(name="away", port=free_port(), ae_title="AWAY")
        settings = Settings(tmp_path / "node", targets=(Target(name="archive", ae_title="ORTHANC"), away))
        bench.worker = Worker(settings, bench.intake, scoring, clock=bench.clock)
        bench.scored(write_series(tmp_path / "in", count=3))
        assert bench.outbox.deliver_due() == 1
    assert bench.journal.delivery_counts() == {("archive", "delivered"): 1, ("away", "waiting"): 1}
    assert bench.journal.series()[0].state == "sending"


def test_what_arrived_unseen_is_not_sent_twice_with_other_bytes(tmp_path, scoring):
    """As after a connection that broke before the reply: the same objects go again, and one set is there."""
    with orthanc(tmp_path / "orthanc", free_port()) as archive:
        bench = Bench(tmp_path, scoring, Target(name="archive", port=archive.port, ae_title="ORTHANC"))
        bench.scored(write_series(tmp_path / "in", count=3))
        first = bench.delivery
        assert bench.outbox.deliver_due() == 1
        before = instances(archive)
        bench.journal.update(first, "waiting", at=bench.clock.now)
        assert bench.outbox.deliver_due() == 1
        assert instances(archive) == before
        assert len(before) == 1


def test_a_series_is_complete_when_it_is_quiet_and_nobody_sends(tmp_path, scoring):
    sending = set()
    bench = Bench(tmp_path, scoring, Target(name="a", ae_title="A"), sending=lambda: sending)
    files = write_series(tmp_path / "in", count=4)
    bench.receive(files[:2])
    bench.clock.now += 59
    assert bench.worker.step() == 0
    bench.receive(files[2:])
    bench.clock.now += 59
    assert bench.worker.step() == 0
    sending.add(bench.journal.series()[0].name)
    bench.clock.now += 1000
    assert bench.worker.step() == 0
    bench.clock.now += 5400
    assert bench.worker.step() == 1
    (version,) = bench.journal.versions(1)
    assert version.forced
    (report,) = (tmp_path / "node" / "results").rglob("structured-report*.dcm")
    assert pydicom.dcmread(report).CompletionFlag == "PARTIAL"


def test_the_time_in_which_no_node_ran_is_no_quiet_time(tmp_path, scoring):
    bench = Bench(tmp_path, scoring, Target(name="a", ae_title="A"))
    files = write_series(tmp_path / "in", count=4)
    bench.receive(files[:2])
    bench.clock.now += 3600
    settings = Settings(tmp_path / "node", series=Series(quiet_s=60, force_s=5400))
    bench.worker = Worker(settings, bench.intake, scoring, clock=bench.clock)
    assert bench.worker.step() == 0
    bench.receive(files[2:])  # the sender goes on
    bench.clock.now += 60
    assert bench.worker.step() == 1
    assert len(bench.journal.versions(1)) == 1
    assert len(bench.journal.instances(1)) == 4


def test_the_count_of_the_archive_ends_the_wait_early_and_makes_it_longer(tmp_path, scoring):
    with ExitStack() as stack:
        archive = stack.enter_context(orthanc(tmp_path / "orthanc", free_port()))
        partner = open_target(Target(name="a", port=archive.port, ae_title="ORTHANC"), Dicom(), Commitments())
        web = open_target(targets(0, archive.web_port)[1], Dicom(), Commitments())
        files = write_series(tmp_path / "in", count=4)
        send(archive.port, *files, called="ORTHANC")
        source = pydicom.dcmread(files[0])
        names = (source.StudyInstanceUID, source.SeriesInstanceUID)
        assert partner.count(*names) == web.count(*names) == 4
        assert partner.count(names[0], "1.2.3") is web.count(names[0], "1.2.3") is None
        bench = Bench(tmp_path, scoring, Target(name="a", ae_title="A"), count=partner.count)
        bench.receive(files[:3])
        bench.clock.now += 600
        assert bench.worker.step() == 0  # one is missing
        bench.receive(files[3:])
        bench.clock.now += 1
        assert bench.worker.step() == 1
        assert not bench.journal.versions(1)[0].forced


def test_images_go_after_their_time_and_late_ones_alone_are_not_scored(tmp_path, scoring):
    with orthanc(tmp_path / "orthanc", free_port()) as archive:
        bench = Bench(tmp_path, scoring, Target(name="archive", port=archive.port, ae_title="ORTHANC"))
        files = write_series(tmp_path / "in", count=4)
        bench.scored(files[:3])
        bench.clock.now += 25 * 3600
        bench.worker.remove_old()
        assert len(list((tmp_path / "node" / "series").rglob("*.dcm"))) == 3  # it was not delivered yet
        bench.outbox.deliver_due()
        bench.clock.now += 25 * 3600
        bench.worker.remove_old()
        assert not list((tmp_path / "node" / "series").rglob("*.dcm"))
        bench.receive(files[:2])  # a resend of what was scored: no new version
        bench.clock.now += 60
        bench.worker.step()
        assert bench.journal.series()[0].state == "delivered"
        bench.receive(files[3:])  # new, but one of the others is missing
        bench.clock.now += 60
        bench.worker.step()
        assert bench.journal.series()[0].reason == MISSING_EARLIER
        bench.receive(files)
        bench.clock.now += 60
        bench.worker.step()
        assert [one.number for one in bench.journal.versions(1)] == [1, 2]
        assert bench.journal.series()[0].state == "sending"


def test_another_network_makes_a_new_version_once(tmp_path, scoring):
    from dataclasses import replace

    bench = Bench(tmp_path, scoring, Target(name="a", ae_title="A"))
    bench.scored(write_series(tmp_path / "in", count=3))
    bench.worker.begin()
    bench.clock.now += 60
    bench.worker.step()
    assert len(bench.journal.versions(1)) == 1
    other = Scoring(scoring.predictor, replace(scoring.options, secondary_capture=True))
    for _ in range(2):
        bench.worker = Worker(Settings(tmp_path / "node"), bench.intake, other, clock=bench.clock)
        bench.worker.begin()
        bench.clock.now += 60
        bench.worker.step()
    assert [one.number for one in bench.journal.versions(1)] == [1, 2]
