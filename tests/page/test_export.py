"""The exports hold what the list shows, as the command line writes it."""

import csv
import io
import json
import re
import zipfile
from collections import Counter
from datetime import datetime

import numpy as np
import pydicom
import pytest
from playwright.sync_api import expect

from brainsift import __version__
from brainsift.batch.predict_files import predict_files
from brainsift.inference.decision import COLUMNS, make_rule
from brainsift.inference.predictor import Predictor
from brainsift.inference.volume_decision import VOLUME_COLUMNS, summarise_volumes
from brainsift.volumes.inputs import find_images

from .actions import download, drop, wait_until_scored
from .scans import draw_volume, write_nifti, write_series

pytestmark = pytest.mark.browser


def test_exports_hold_what_the_list_shows(open_page, files, images, expected, bundle):
    page = open_page()
    drop(page, [*images, files / "head.nii.gz"])
    wait_until_scored(page, len(images) + 1)
    rows = list(csv.DictReader(io.StringIO(download(page, "#export-csv"))))
    assert list(rows[0])[: len(COLUMNS)] == list(COLUMNS)
    made = {(one["rule"], float(one["threshold"]), one["network"], one["version"]) for one in rows}
    assert made == {("default", bundle.thresholds["balanced"], bundle.name, __version__)}
    assert {datetime.fromisoformat(one["made"]).tzinfo is not None for one in rows} == {True}
    assert len(rows) == len(images) + 9
    for found in (found for found in rows if not found["volume"]):
        answer = expected[found["path"]]
        for name in ("status", "decision", "reason", "detail"):
            assert found[name] == getattr(answer, name)
        assert found["probability"] == ("" if answer.probability is None else str(round(answer.probability, 6)))
    (volume,) = csv.DictReader(io.StringIO(download(page, "#export-volumes")))
    (told,) = summarise_volumes(Predictor(bundle, threads=1).predict([files / "head.nii.gz"]), make_rule(bundle))
    assert list(volume)[: len(VOLUME_COLUMNS)] == list(VOLUME_COLUMNS)
    for name in ("n_slices", "n_scored", "decision", "threshold", "reason", "detail"):
        assert volume[name] == str(told.to_dict()[name])
    page.locator("#filters button", has_text="Not a brain MRI").click()
    expect(page.locator("#case-rows tr")).to_have_count(1)
    saved = json.loads(download(page, "#export-json"))
    assert [answer["path"] for answer in saved["answers"]] == ["holiday.png"]
    assert saved["threshold"] == bundle.thresholds["balanced"] and "Research use only" in saved["notice"]
    page.locator("#filters button", has_text="All").click()
    expect(page.locator("#case-rows tr")).to_have_count(len(images) + 1)
    report = download(page, "#export-report")
    names = re.findall(r'data-name="([^"]*)"', report)
    assert sorted(names) == sorted(found["path"] for found in rows)  # as `brainsift predict --report` lists them
    readable = sum(found["status"] != "unreadable" for found in rows)
    assert report.count('src="data:image/jpeg') == readable and "Research use only" in report
    assert not re.findall(r'(?:src|href)="(?!data:|#)', report)  # it loads nothing


def test_a_report_that_cannot_be_made_is_told(open_page, images):
    page = open_page(strict=False)  # Chromium writes the refusal to its console
    drop(page, images[-1:])
    wait_until_scored(page, 1)
    page.route("**/report.html*", lambda route: route.fulfill(status=503, body="full"))
    page.locator("#export summary").click()
    page.click("#export-report")
    expect(page.get_by_role("alert")).to_contain_text("The server answered with status 503")
    expect(page.locator("#export summary")).to_have_text("Export")


def test_volumes_of_one_slice_are_exported_as_the_command_line_does(open_page, tmp_path, bundle):
    y, x = np.mgrid[:120, :160]
    photo = 128 + 127 * np.sin(x / 9) * np.cos(y / 7)
    (tmp_path / "study").mkdir()
    for name, pixels in (("head.nii", draw_volume(12, 9)[5]), ("photo.nii", photo)):
        write_nifti(tmp_path / "study" / name, [pixels])
    write_series(tmp_path / "study" / "short", 8, 1)
    (scan,) = (tmp_path / "study" / "short").iterdir()
    short = pydicom.dcmread(scan)
    short.PixelData = short.PixelData[:100]
    short.save_as(scan)
    write_series(tmp_path / "study" / "whole", 8, 6)
    paths = find_images([tmp_path / "study"])
    volumes = summarise_volumes(Predictor(bundle, threads=1).predict(paths), make_rule(bundle))
    page = open_page()
    page.set_input_files("#pick-folder", tmp_path / "study")
    wait_until_scored(page, len(volumes))
    saved = json.loads(download(page, "#export-json"))
    counts = ("n_slices", "n_scored", "n_not_brain_mri", "n_unreadable")
    names = (*counts, "decision", "threshold", "reason", "probability")
    for one in saved["volumes"]:
        one["probability"] = one["probability"] and round(one["probability"], 6)
    found = [[one[name] for name in names] + [len(one["suspicious"])] for one in saved["volumes"]]
    wanted = [[one.to_dict()[name] for name in names] + [len(one.suspicious)] for one in volumes]
    assert sorted(found, key=str) == sorted(wanted, key=str)
    assert Counter(one[1] for one in wanted) == {0: 2, 1: 1, 6: 1}  # else the files show too little
    paths = {answer["path"] for answer in saved["answers"]}
    assert {name for one in saved["volumes"] for name in one["suspicious"]} <= paths


def test_series_are_exported_as_the_objects_of_the_command_line(open_page, images, tmp_path):
    pytest.importorskip("highdicom", reason="needs dicom: highdicom is not installed")
    uids = {"StudyInstanceUID": "1.2.826.0.1.88", "FrameOfReferenceUID": "1.2.826.0.1.88.9"}
    write_series(tmp_path / "study", 8, 5, PixelSpacing=[2.0, 2.0], SliceThickness=4.0, **uids)
    page = open_page()
    drop(page, images[-1:])
    wait_until_scored(page, 1)
    page.locator("#export summary").click()
    expect(page.locator("#export-report")).to_be_visible()
    expect(page.locator("#export-dicom")).to_be_hidden()
    page.locator("#export summary").click()
    page.set_input_files("#pick-folder", tmp_path / "study")
    wait_until_scored(page, 2)
    page.locator("#export summary").click()
    with page.expect_download() as saved:
        page.click("#export-dicom")
    expect(page.locator("#live")).to_have_text("ZIP saved")
    assert re.fullmatch(r"brainsift-[-0-9]+-DICOM-objects\.zip", saved.value.suggested_filename)
    predict_files(tmp_path / "study", dicom=tmp_path / "out")
    with zipfile.ZipFile(saved.value.path()) as packed:
        found = {name: pydicom.dcmread(io.BytesIO(packed.read(name))).SOPInstanceUID for name in packed.namelist()}
    made = (tmp_path / "out").rglob("*.dcm")
    wanted = {path: pydicom.dcmread(path).SOPInstanceUID for path in made}
    assert found == {str(path.relative_to(tmp_path / "out")): uid for path, uid in wanted.items()} != {}


def test_the_picture_is_copied_as_it_is_shown(open_page, images):
    page = open_page(permissions=["clipboard-read", "clipboard-write"])
    drop(page, images[-1:])
    wait_until_scored(page, 1)
    page.get_by_role("button", name="Copy the picture").click()
    expect(page.locator("#live")).to_have_text("The picture is on the clipboard.")
    kinds = page.evaluate("async () => (await navigator.clipboard.read()).map((one) => one.types)")
    assert kinds == [["image/png"]]
