"""What the page shows of a series that came in: a case of the history with its slices, and no name of the patient."""

import sqlite3
import threading

import numpy as np
import pydicom
import pytest

from brainsift.node.intake import Intake
from brainsift.node.page_record import PageRecord
from brainsift.node.settings import Series, Settings
from brainsift.node.worker import Scoring, Worker
from brainsift.serve.history.store import FILE, History

from .conftest import PATIENT, write_series

pytestmark = pytest.mark.slow


class Shown:
    """A node without its doors and targets, and its history."""

    def __init__(self, folder):
        from brainsift.dicom_results.result_set import ResultOptions
        from brainsift.inference.predictor import Predictor

        predictor = Predictor(threads=1)
        self.folder, self.intake = folder, Intake(folder / "node", reserve_mb=0)
        self.record = PageRecord(folder / "history", keep_images=True, predictor=predictor)
        self.scoring = Scoring(predictor, ResultOptions(segmentation=False, secondary_capture=False))
        self.history = History(folder / "history", keep_images=True)

    def receive(self, files):
        return [self.intake.take(one.read_bytes(), door="test").series for one in files][-1]

    def work(self, show=None):
        settings = Settings(self.folder / "node", series=Series(quiet_s=0.0))
        assert Worker(settings, self.intake, self.scoring, show=show or self.record).step() == 1

    def cases(self):
        """The cases, the newest first, with their slices."""
        return [(one, self.history.slices(one.id)) for one in self.history.search()[1]]


@pytest.fixture
def shown(tmp_path):
    pytest.importorskip("highdicom", reason="needs dicom: highdicom is not installed")
    made = Shown(tmp_path)
    yield made
    made.history.close()


def test_a_series_is_a_case_of_the_history_that_opens_as_any_other(shown, tmp_path):
    name = shown.receive(write_series(tmp_path / "in", count=4))
    shown.work()
    ((case, slices),) = shown.cases()
    assert case.name.startswith(f"series {name[:12]} v1")
    assert case.slices == len(slices) == 4
    assert shown.history.image(slices[0].id, "picture").startswith(b"\x89PNG")
    assert shown.history.judge(case.id, "tumor").verdict == "tumor"
    texts = [case.name, case.volume, case.detail, *(one.name + one.volume for one in slices)]
    assert not any(value in text for value in PATIENT.values() for text in texts)


def test_a_description_with_the_name_of_the_patient_is_not_shown(shown, tmp_path):
    family = PATIENT["PatientName"].partition("^")[0]
    shown.receive(write_series(tmp_path / "in", count=3, SeriesDescription=f"t1 {family}"))
    shown.work()
    ((case, slices),) = shown.cases()
    assert not any(family in one.name + one.volume + one.detail for one in (case, *slices))


@pytest.mark.parametrize(
    ("tags", "state", "words"),
    [
        ({"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]}, "skipped", "not an original slice: a localizer"),
        ({"BodyPartExamined": "KNEE"}, "skipped", "not MR of a head: other_body_part"),
        ({"Rows": 4000}, "failed", "no image could be read"),
    ],
)
def test_a_series_without_a_result_is_a_case_that_says_why(shown, tmp_path, tags, state, words):
    shown.receive(write_series(tmp_path / "in", count=3, SeriesNumber=7, SeriesDescription="ax t1", **tags))
    shown.work()
    (series,) = shown.intake.journal.series()
    assert (series.state, series.reason) == (state, words)
    ((case, slices),) = shown.cases()
    assert (case.status, case.decision) == ("unreadable", "")
    if state == "skipped":
        assert case.name == f"series {series.name[:12]} v1 7 ax t1"
        assert (case.detail, case.reason, slices) == (f"Nothing was sent: {words}", "not_taken", [])
    # Scored again, it is skipped again: still one case.
    shown.intake.journal.rescore([series.id], at=0.0)
    shown.work()
    assert [one.id for one, _ in shown.cases()] == [case.id]


def test_a_series_most_of_whose_slices_are_no_head_gets_no_result(shown, tmp_path):
    files = write_series(tmp_path / "in", count=6)
    generator = np.random.default_rng(0)
    for one in files[2:]:
        noise = pydicom.dcmread(one)
        noise.PixelData = generator.integers(0, 900, (noise.Rows, noise.Columns)).astype("<u2").tobytes()
        noise.save_as(one)
    shown.receive(files)
    shown.work()
    (series,) = shown.intake.journal.series()
    assert (series.state, series.reason) == ("skipped", "only 2 of 6 slices look like MR of a head")
    assert not list((tmp_path / "node/results").rglob("*.dcm"))
    ((case, slices),) = shown.cases()
    assert case.decision == "refer" and len(slices) == 6
    assert case.detail.endswith("nothing was sent: only 2 of 6 slices look like MR of a head")


def test_a_head_half_of_whose_slices_cannot_be_read_is_referred(shown, tmp_path):
    files = write_series(tmp_path / "in", count=6)
    for one in files[2:]:
        short = pydicom.dcmread(one)
        short.PixelData = short.PixelData[:100]
        short.save_as(one)
    shown.receive(files)
    shown.work()
    assert shown.intake.journal.series()[0].state == "delivered"
    ((case, _),) = shown.cases()
    assert (case.decision, case.reason) == ("refer", "too_few_slices")


class Killed(BaseException):
    """Ends a step where a kill would."""


def test_a_series_is_one_case_after_a_kill_before_the_journal_knew(shown, tmp_path):
    shown.receive(write_series(tmp_path / "in", count=4))

    def stop(outcome):
        shown.record(outcome)
        raise Killed

    for _ in range(2):
        with pytest.raises(Killed):
            shown.work(stop)
    ((case, _),) = shown.cases()
    shown.history.judge(case.id, "no_tumor", "a vessel")
    shown.work()
    assert [(one.id, one.verdict, len(kept)) for one, kept in shown.cases()] == [(case.id, "no_tumor", 4)]
    assert shown.intake.journal.series()[0].state == "delivered"


def test_a_case_that_a_kill_left_half_is_made_anew(shown, tmp_path):
    shown.receive(write_series(tmp_path / "in", count=4))

    def stop(outcome):
        shown.record(outcome)
        raise Killed

    with pytest.raises(Killed):
        shown.work(stop)
    ((case, slices),) = shown.cases()
    with sqlite3.connect(tmp_path / "history" / FILE) as connection:
        connection.execute("DELETE FROM cases WHERE id >= ?", [slices[2].id])
    connection.close()
    shown.work()
    ((again, slices),) = shown.cases()
    assert again.id != case.id and again.name == case.name and len(slices) == 4


def test_late_slices_of_a_skipped_series_replace_the_case_that_says_why(shown, tmp_path):
    localizer = {"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]}
    shown.receive(write_series(tmp_path / "a", count=2, **localizer))
    shown.work()
    shown.receive(write_series(tmp_path / "b", count=5)[2:])
    shown.work()
    ((case, slices),) = shown.cases()
    assert case.status == "ok" and len(slices) == 3
    shown.receive(write_series(tmp_path / "b", count=6)[5:])
    shown.work()
    assert [one.name.split()[2] for one, _ in shown.cases()] == ["v2", "v1"]


def test_a_case_is_recorded_once_another_program_lets_go_of_the_history(shown, tmp_path):
    shown.receive(write_series(tmp_path / "in", count=4))
    holding = sqlite3.connect(tmp_path / "history" / FILE, isolation_level=None, check_same_thread=False)
    holding.execute("BEGIN IMMEDIATE")
    letting_go = threading.Timer(3, holding.rollback)  # longer than one attempt waits
    letting_go.start()
    shown.work()
    letting_go.join()
    holding.close()
    ((case, slices),) = shown.cases()
    assert case.slices == len(slices) == 4


def test_a_series_without_any_head_says_that_nothing_was_sent(shown, tmp_path):
    files = write_series(tmp_path / "in", count=4)
    generator = np.random.default_rng(0)
    for one in files:
        noise = pydicom.dcmread(one)
        noise.PixelData = generator.integers(0, 900, (noise.Rows, noise.Columns)).astype("<u2").tobytes()
        noise.save_as(one)
    shown.receive(files)
    shown.work()
    ((case, slices),) = shown.cases()
    assert (case.status, case.decision, len(slices)) == ("not_brain_mri", "refer", 4)
    assert case.detail.startswith(slices[0].detail)
    assert case.detail.endswith("nothing was sent: no slice looks like MR of a head")
