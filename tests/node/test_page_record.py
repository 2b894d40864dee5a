"""What the page shows of a series that came in: a case of the history with its slices, and no name of the patient."""

import pytest

from brainsift.node.intake import Intake
from brainsift.node.page_record import PageRecord
from brainsift.node.settings import Series, Settings
from brainsift.node.worker import Scoring, Worker
from brainsift.serve.history.store import History

from .conftest import PATIENT, write_series

pytestmark = pytest.mark.slow


def test_a_series_is_a_case_of_the_history_that_opens_as_any_other(tmp_path):
    pytest.importorskip("highdicom", reason="needs dicom: highdicom is not installed")
    from brainsift.dicom_results.result_set import ResultOptions
    from brainsift.inference.predictor import Predictor

    predictor = Predictor(threads=1)
    intake = Intake(tmp_path / "node", reserve_mb=0)
    for one in write_series(tmp_path / "in", count=4):
        name = intake.take(one.read_bytes(), door="test").series
    record = PageRecord(tmp_path / "history", keep_images=True, bundle=predictor.bundle)
    settings = Settings(tmp_path / "node", series=Series(quiet_s=0.0))
    scoring = Scoring(predictor, ResultOptions(segmentation=False, secondary_capture=False))
    assert Worker(settings, intake, scoring, scored=record).step() == 1
    history = History(tmp_path / "history", keep_images=True)
    total, (case,) = history.search()
    assert total == 1
    assert case.name.startswith(f"series {name[:8]}")
    assert case.slices == 4
    slices = history.slices(case.id)
    assert len(slices) == 4
    assert history.image(slices[0].id, "picture").startswith(b"\x89PNG")
    assert history.judge(case.id, "tumor").verdict == "tumor"
    texts = [case.name, case.volume, case.detail, *(one.name + one.volume for one in slices)]
    assert not any(value in text for value in PATIENT.values() for text in texts)
    history.close()
