"""A fresh service: its threads import nothing, and good files are never called unreadable while it warms up."""

import io
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import nibabel
import numpy as np
import pytest
import requests

from brainsift.images.phantom import draw

# Fresh processes that read files of every kind; they print the modules that a worker thread was the first to import.
RECORDER = r"""
import json, sys, threading
from importlib.abc import MetaPathFinder

late = set()

class Recorder(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        thread = threading.current_thread()
        if thread is not threading.main_thread() and "portal" not in thread.name:  # there runs the event loop
            late.add((thread.name, name))

sys.meta_path.insert(0, Recorder())

def imported_late():
    return sorted(
        f"{thread}: {name}"
        for thread, name in late
        if name in sys.modules and name.split(".")[0] not in sys.stdlib_module_names
    )

from pathlib import Path
"""
PREDICT = r"""
from brainsift.inference.predictor import Predictor

paths = sorted(path for path in Path(sys.argv[2]).iterdir() if path.suffix in (".dcm", ".gz", ".nii", ".png"))
found = list(Predictor(threads=4).predict([*paths[:2], *paths]))
print(json.dumps({"late": imported_late(), "statuses": {one.path: one.status for one in found}}))
"""
SERVE = r"""
from fastapi.testclient import TestClient
from brainsift.serve.config import ServeConfig
from brainsift.serve.http.app import create_app

app = create_app(ServeConfig(threads=2, keep=Path(sys.argv[1]), keep_images=True))
files = [("files", (path.name, path.read_bytes())) for path in sorted(Path(sys.argv[2]).iterdir())]
with TestClient(app, base_url="http://localhost") as client:
    found = client.post("/api/v1/predict", files=files).json()
    job = client.post("/api/v1/jobs", files=files).json()["id"]
    while client.get(f"/api/v1/jobs/{job}?wait=5").json()["state"] != "done":
        pass
    for answer in found["answers"]:
        for layer in ("picture", "picture", "map"):
            query = {"depth": "16"} if layer == "picture" else {}
            client.get(f"/api/v1/jobs/{job}/slices/{answer['id']}/{layer}.png", params=query)
    pages = [client.get(f"/api/v1/jobs/{job}/{name}").status_code for name in ("report.html", "result.csv")]
    pages += [client.get("/api/v1/history").status_code, client.get("/api/v1/history/export.csv").status_code]
statuses = {one["name"]: one["status"] for one in found["answers"]}
print(json.dumps({"late": imported_late(), "statuses": statuses, "pages": pages}))
"""


def stack(seed=9):
    """Five slices of a head as a NIfTI volume."""
    slices = np.stack([draw(seed, tumor=True, size=96).pixels * share for share in (0.6, 0.7, 0.9, 1.0, 0.9)])
    return nibabel.Nifti1Image(slices.transpose(2, 1, 0).astype(np.int16), np.eye(4))


@pytest.fixture
def kinds(tmp_path):
    """A folder with a head in every kind of file that is read."""
    from PIL import Image
    from pydicom import dcmwrite
    from pydicom.dataset import FileDataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage, RLELossless, generate_uid

    folder = tmp_path / "kinds"
    folder.mkdir()
    head = draw(4, tumor=True, size=96).pixels
    for ending in ("png", "jpg", "tif", "bmp", "gif", "webp", "jp2", "pgm"):
        Image.fromarray(head).save(folder / f"a.{ending}")
    Image.fromarray(head.astype(np.uint16) * 100).save(folder / "deep.png")
    for name in ("scan.nii", "scan.nii.gz"):
        stack().to_filename(folder / name)
    for number, syntax in enumerate((ExplicitVRLittleEndian, RLELossless)):
        meta = FileMetaDataset()
        meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = MRImageStorage, generate_uid()
        meta.TransferSyntaxUID = ExplicitVRLittleEndian
        made = FileDataset("", {}, file_meta=meta, preamble=bytes(128))
        made.SOPClassUID, made.SOPInstanceUID = MRImageStorage, meta.MediaStorageSOPInstanceUID
        made.Modality, made.SeriesInstanceUID = "MR", f"1.2.{number}"
        made.Rows, made.Columns = head.shape
        made.SamplesPerPixel, made.PhotometricInterpretation = 1, "MONOCHROME2"
        made.BitsAllocated, made.BitsStored, made.HighBit, made.PixelRepresentation = 16, 12, 11, 0
        made.WindowCenter, made.WindowWidth, made.RescaleSlope, made.RescaleIntercept = 100, 250, 1, 0
        made.PixelData = head.astype(np.uint16).tobytes()
        if syntax != ExplicitVRLittleEndian:
            made.compress(syntax)
        dcmwrite(folder / f"{number}.dcm", made, enforce_file_format=True)
    return folder


def result_of(script, *arguments):
    words = [sys.executable, "-c", RECORDER + script, *map(str, arguments)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.slow
def test_threads_of_the_service_import_nothing(kinds, tmp_path):
    found = result_of(SERVE, tmp_path / "kept", kinds)
    assert found["late"] == []
    assert set(found["statuses"].values()) == {"ok"} and len(found["statuses"]) == 9 + 2 * 5 + 2
    assert found["pages"] == [200] * 4


@pytest.mark.slow
def test_threads_of_the_predictor_import_nothing(kinds, tmp_path):
    found = result_of(PREDICT, tmp_path, kinds)
    assert found["late"] == []
    assert set(found["statuses"].values()) == {"ok"} and len(found["statuses"]) == 2 + 2 * 5 + 2


def answers(url):
    try:
        return requests.get(url).ok
    except requests.ConnectionError:
        return False


@pytest.mark.slow
@pytest.mark.parametrize("attempt", range(3))
def test_two_volumes_at_once_are_read_by_a_fresh_server(attempt, until):
    content = stack().to_bytes()
    words = ["serve", "--port", "0", "--no-browser", "--threads", "2"]
    server = subprocess.Popen(
        [sys.executable, "-m", "brainsift", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    try:
        url = server.stdout.readline().strip().rstrip("/")
        until(lambda: server.poll() is not None or answers(f"{url}/healthz"))

        def ask(number):
            files = {"files": (f"{number}.nii", io.BytesIO(content))}
            return requests.post(f"{url}/api/v1/predict", files=files).json()

        with ThreadPoolExecutor(4) as clients:
            for reply in clients.map(ask, range(4)):
                assert {one["status"] for one in reply["answers"]} == {"ok"}, reply
    finally:
        server.kill()
        server.communicate()
