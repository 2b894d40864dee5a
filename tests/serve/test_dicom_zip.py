"""`POST /api/v1/dicom.zip`: the objects of `predict --dicom` for series that were uploaded, and what is left out."""

import io
import sys
import threading
import time
import warnings
import zipfile
from importlib.util import find_spec

import pydicom
import pytest
import requests
from PIL import Image

from brainsift.batch.predict_files import predict_files
from brainsift.images.phantom import draw
from brainsift.volumes.slices import Slice

from ..page.scans import draw_volume, write_nifti, write_series

NEEDED = {
    "StudyInstanceUID": "1.2.826.0.1.88",
    "FrameOfReferenceUID": "1.2.826.0.1.88.9",
    "PixelSpacing": [2.0, 2.0],
    "SliceThickness": 4.0,
}


@pytest.fixture(scope="module", autouse=True)
def highdicom():
    if find_spec("highdicom") is None:
        pytest.skip("needs dicom: highdicom is not installed")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two DICOM series, a NIfTI volume and a plain image."""
    made = tmp_path_factory.mktemp("uploads")
    write_series(made / "a", 8, 5, SeriesDescription="ax t1", **NEEDED)
    write_series(made / "b", 12, 5, SeriesDescription="ax t2", **NEEDED)
    write_nifti(made / "head.nii", draw_volume(12, 4))
    Image.fromarray(draw(4, tumor=True, size=96).pixels).save(made / "plain.png")
    return made


def upload(url, paths):
    """Scores files as one job; returns its results."""
    files = [("files", (path.name, path.read_bytes())) for path in paths]
    job = requests.post(f"{url}/api/v1/jobs", files=files).json()
    while job["state"] in ("queued", "running"):
        job = requests.get(f"{url}/api/v1/jobs/{job['id']}?wait=5").json()
    return job


def export(url, *slices, **query):
    return requests.post(f"{url}/api/v1/dicom.zip", json={"slices": list(slices)}, params=query)


def members(reply):
    assert (reply.status_code, reply.headers["Content-Type"]) == (200, "application/zip"), reply.text
    with zipfile.ZipFile(io.BytesIO(reply.content)) as packed:
        return {name: packed.read(name) for name in packed.namelist()}


def without_times(content):
    """A data set and all it holds, but for the times at which it was made."""
    found = pydicom.dcmread(io.BytesIO(content))

    def drop(dataset, element):
        if element.VR in ("DA", "TM", "DT"):
            del dataset[element.tag]

    found.walk(drop)
    return found


@pytest.mark.slow
def test_objects_are_those_of_the_command_line(served, folder, tmp_path):
    job = upload(served.url, sorted(path for path in folder.rglob("*") if path.is_file()))
    assert {one["volume"] for one in job["answers"]} == {"ax t1", "ax t2", "head.nii", ""}
    found = members(export(served.url, {"job": job["id"]}))
    predict_files([folder / "a", folder / "b"], dicom=tmp_path / "out")
    wanted = {str(path.relative_to(tmp_path / "out")): path for path in (tmp_path / "out").rglob("*.dcm")}
    assert {name.split("/")[1][:3] for name in wanted} == {"str", "seg", "sec"}
    assert sorted(found) == sorted([*wanted, "left-out.txt"])
    for name, path in wanted.items():
        assert without_times(found[name]) == without_times(path.read_bytes()), name
    assert found["left-out.txt"].decode().startswith("volume-00002: no DICOM object: none of its files is a DICOM")


def test_one_slice_stands_for_its_series_and_the_query_for_its_threshold(served, folder):
    job = upload(served.url, sorted((folder / "b").iterdir()))
    whole = members(export(served.url, {"job": job["id"]}))
    asked = {"job": job["id"], "slices": [2]}
    alone = members(export(served.url, asked))
    assert {name: without_times(content) for name, content in alone.items()} == {
        name: without_times(content) for name, content in whole.items()
    }
    screened = members(export(served.url, asked, threshold="screening"))
    reports = [one["volume-00000/structured-report-1.dcm"] for one in (alone, screened)]
    assert [b"(confirm)" in one for one in reports] == [True, False]
    assert [b"(screening)" in one for one in reports] == [False, True]


def test_what_cannot_be_made_is_said(served, folder, monkeypatch):
    job = upload(served.url, [folder / "head.nii", folder / "plain.png"])
    for slices, status, words in (
        (None, 422, "none of its files is a DICOM image"),
        ([4], 422, "there is no volume among the slices"),
        ([5], 404, "has no number 5 yet; 5 are scored"),
    ):
        reply = export(served.url, {"job": job["id"], "slices": slices})
        assert reply.status_code == status and words in reply.json()["rule"]
    assert export(served.url, {"job": "none"}).status_code == 404
    monkeypatch.setitem(sys.modules, "highdicom", None)
    reply = export(served.url, {"job": job["id"]})
    assert (reply.status_code, reply.json()["code"]) == (501, "missing_extra")
    assert "pip install 'brainsift[dicom]'" in reply.json()["remedy"]


def test_a_volume_that_is_still_scored_is_refused(served, folder, monkeypatch):
    held, read = threading.Event(), Slice.load

    def load(one):
        held.wait()
        return read(one)

    monkeypatch.setattr(Slice, "load", load)
    files = [("files", (path.name, path.read_bytes())) for path in sorted((folder / "a").iterdir())]
    job = requests.post(f"{served.url}/api/v1/jobs", files=files).json()["id"]
    try:
        while requests.get(f"{served.url}/api/v1/jobs/{job}").json()["state"] != "running":
            time.sleep(0.01)
        replies = [export(served.url, {"job": job, "slices": slices}) for slices in (None, [0])]
    finally:
        held.set()
    assert [(reply.status_code, reply.json()["code"]) for reply in replies] == [(409, "pending")] * 2
    assert replies[1].json()["rule"] == "is still being scored"
    while requests.get(f"{served.url}/api/v1/jobs/{job}?wait=5").json()["state"] == "running":
        pass
    assert "volume-00000/structured-report-1.dcm" in members(export(served.url, {"job": job}))


def test_nothing_that_is_written_on_the_way_names_the_patient(served, folder, tmp_path, caplog, capfd):
    patient = {"PatientName": "Zwetschgenbaum^Aurelia\\\\", "PatientID": "ZQ-77120934" * 8, "PatientSex": "unheard-of"}
    with warnings.catch_warnings(action="ignore"):
        write_series(tmp_path / "odd", 8, 3, StudyDate="no date at all", **patient, **NEEDED)
    caplog.clear()
    capfd.readouterr()
    job = upload(served.url, sorted((tmp_path / "odd").iterdir()))
    found = members(export(served.url, {"job": job["id"]}))
    assert b"Zwetschgenbaum^Aurelia" in found["volume-00000/structured-report-1.dcm"]
    written = caplog.text + "".join(capfd.readouterr())
    assert not any(word in written for word in ("Zwetschgenbaum", "ZQ-77120934", "unheard-of", "no date at all"))
