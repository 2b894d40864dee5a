"""The page of a batch: every case with its answer, safe against what file names hold, and complete without pictures."""

import os
import re
import sys

import numpy as np
import pytest
from PIL import Image, ImageFile

from brainsift.core.errors import MissingExtraError
from brainsift.core.reasons import Reason
from brainsift.images.phantom import draw
from brainsift.inference.bundle import Bundle
from brainsift.inference.decision import Prediction, Rule, log_odds
from brainsift.inference.volume_decision import summarise_volumes
from brainsift.pages.batch_page import Cases, batch_report, write_batch_report
from brainsift.pages.html import _printer


def _bundle(tmp_path):
    (tmp_path / "network.onnx").write_bytes(b"a network")
    return Bundle(tmp_path, "compact", "standard", 128, 1.0, {"balanced": 0.4})


def _page(tmp_path, answers):
    bundle = _bundle(tmp_path)
    volumes = summarise_volumes(answers, Rule(0.4))
    write_batch_report(answers, volumes, bundle, 0.4, tmp_path / "page.html")
    return (tmp_path / "page.html").read_text(encoding="utf-8")


def test_each_case_stands_with_its_picture_and_why(tmp_path):
    answers = []
    for seed, probability in enumerate((0.9, 0.1)):
        path = tmp_path / f"{seed}.png"
        Image.fromarray(draw(seed, tumor=seed == 0).pixels).save(path)
        tumor_map = np.full((16, 16), probability, np.float32)
        answers.append(
            Prediction(str(path), "ok", log_odds(probability), ("tumor", "no_tumor")[seed], tumor_map=tumor_map)
        )
    answers.append(Prediction("broken.png", "unreadable", None, "", Reason.BROKEN_FILE, "is empty"))
    page = _page(tmp_path, answers)
    assert page.count("data:image/jpeg") == 2 and page.count("<tr data-name") == 3
    assert "is empty" in page and "0.900" in page and "not a medical device" in page
    assert not re.search(r"(src|href)=\"https?:", page)


def test_names_of_files_are_text_and_not_markup(tmp_path):
    page = _page(
        tmp_path, [Prediction("<script>alert(1)</script>.png", "unreadable", None, "", Reason.BROKEN_FILE, "<b>no</b>")]
    )
    assert "<script>alert" not in page and "&lt;b&gt;no" in page


def test_a_name_that_is_no_utf8_is_shown_with_an_escape(tmp_path):
    answers = [Prediction(os.fsdecode(b"M\xfcller.png"), "unreadable", None, "", Reason.BROKEN_FILE, "is empty")]
    bundle = _bundle(tmp_path)
    page = batch_report(answers, [], bundle, 0.4, lambda place: pytest.fail("it has no picture"))
    assert "M\\udcfcller.png" in page and page.encode()


def test_a_file_that_is_gone_keeps_its_answer(tmp_path):
    tumor_map = np.zeros((16, 16), np.float32)
    page = _page(
        tmp_path, [Prediction(str(tmp_path / "gone.png"), "ok", log_odds(0.3), "no_tumor", tumor_map=tumor_map)]
    )
    assert "gone.png" in page and "0.300" in page and "data:image" not in page


def test_volumes_have_a_table_of_their_own(tmp_path):
    answers = [Prediction(f"v.nii#{number}", "ok", log_odds(0.8), "tumor", volume="v.nii") for number in range(1, 5)]
    assert "most suspicious" in _page(tmp_path, answers)


def test_only_the_most_suspicious_keep_their_maps(monkeypatch):
    monkeypatch.setattr("brainsift.pages.batch_page._PICTURES", 3)
    cases, tumor_map = Cases(), np.zeros((16, 16), np.float32)
    for probability in (0.3, 0.9, 0.1, 0.8, 0.5):
        cases.add(Prediction(f"{probability}.png", "ok", log_odds(probability), "tumor", tumor_map=tumor_map))
    kept = [answer.probability for answer in cases.predictions if answer.tumor_map is not None]
    assert kept == pytest.approx([0.9, 0.8, 0.5]) and len(cases.predictions) == 5


def test_of_many_cases_the_most_suspicious_are_listed_and_all_are_counted(tmp_path, monkeypatch):
    monkeypatch.setattr("brainsift.pages.batch_page._PICTURES", 1)
    monkeypatch.setattr("brainsift.pages.batch_page._CASES", 3)
    answers = [
        Prediction(f"{number}.png", "ok", log_odds(probability), "tumor" if probability > 0.4 else "no_tumor")
        for number, probability in enumerate((0.3, 0.9, 0.1, 0.8, 0.5))
    ]
    answers.append(Prediction("broken.png", "unreadable", None, "", Reason.BROKEN_FILE, "is empty"))
    cases = Cases()
    for answer in answers:
        cases.add(answer)
    assert [answer.path for answer in cases.predictions] == ["1.png", "3.png", "4.png"]
    cases.write([], _bundle(tmp_path), 0.4, tmp_path / "some.html")
    for page in ((tmp_path / "some.html").read_text(encoding="utf-8"), _page(tmp_path, answers)):
        assert re.findall(r'<tr data-name="(.)', page) == ["1", "3", "4"]
        assert "<strong>3</strong> tumor" in page and "<strong>1</strong> unreadable" in page and "6 images" in page
        assert "Only the 3 most suspicious are listed; 3 more stand in the CSV table" in page
        assert "The 2 least suspicious of them have no picture" in page


@pytest.mark.slow
def test_the_page_can_be_a_pdf(tmp_path):
    try:
        _printer()
    except MissingExtraError as error:
        pytest.skip(f"needs pango: {error}")
    path = tmp_path / "head.png"
    Image.fromarray(draw(0, tumor=True).pixels).save(path)
    answers = [Prediction(str(path), "ok", log_odds(0.9), "tumor", tumor_map=np.full((16, 16), 0.9, np.float32))]
    bundle = _bundle(tmp_path)
    write_batch_report(answers, [], bundle, 0.4, tmp_path / "page.pdf")
    content = (tmp_path / "page.pdf").read_bytes()
    assert content.startswith(b"%PDF") and b"/Image" in content
    assert not ImageFile.LOAD_TRUNCATED_IMAGES


def test_a_pdf_without_its_library_is_refused_with_a_remedy(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "weasyprint", None)
    bundle = _bundle(tmp_path)
    with pytest.raises(MissingExtraError, match=r"brainsift\[pdf\]"):
        write_batch_report([], [], bundle, 0.4, tmp_path / "page.pdf")
    assert not list(tmp_path.glob("*.pdf"))
