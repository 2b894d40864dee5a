"""The exports hold what the list shows, as the command line writes it."""

import csv
import gzip
import io
import json
import re
import zipfile
from collections import Counter
from datetime import datetime
from pathlib import Path

import nibabel
import numpy as np
import pydicom
import pypdfium2
import pytest
import requests
from PIL import Image
from playwright.sync_api import expect

from brainsift import __version__
from brainsift.batch.predict_files import predict_files
from brainsift.inference.decision import COLUMNS, make_rule
from brainsift.inference.predictor import Predictor
from brainsift.inference.volume_decision import VOLUME_COLUMNS, summarise_volumes
from brainsift.volumes.inputs import find_images

from .actions import download, drop, open_case, read_shades, wait_until, wait_until_scored
from .scans import draw_volume, write_nifti, write_series

pytestmark = pytest.mark.browser
IMAGE = pypdfium2.raw.FPDF_PAGEOBJ_IMAGE


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


COPIED = """async () => {
  const [item] = await navigator.clipboard.read();
  const bitmap = await createImageBitmap(await item.getType('image/png'));
  const canvas = new OffscreenCanvas(bitmap.width, bitmap.height);
  canvas.getContext('2d').drawImage(bitmap, 0, 0);
  const shown = document.querySelector('#stage canvas');
  const copy = new OffscreenCanvas(shown.width, shown.height);
  copy.getContext('2d').drawImage(shown, 0, 0);
  const size = [0, 0, shown.width, shown.height];
  const [one, other] = [canvas, copy].map((drawn) => drawn.getContext('2d').getImageData(...size).data);
  let [same, marked] = [0, 0];
  const edge = 40 * shown.width / shown.clientWidth;
  for (let place = 0; place < one.length; place += 4) {
    const x = (place / 4) % shown.width;
    const alike = one[place] === other[place] && one[place + 1] === other[place + 1];
    same += alike;
    marked += !alike && x < edge;  // a letter at the left side
  }
  return {types: item.types, size: [bitmap.width, bitmap.height], wanted: [shown.width, shown.height],
    same: same / (one.length / 4), marked};
}"""


def test_the_picture_is_copied_as_it_is_shown_with_its_sides(open_page, tmp_path):
    write_series(tmp_path / "study", 8, 5, PixelSpacing=[2.0, 2.0])
    page = open_page(permissions=["clipboard-read", "clipboard-write"])
    page.set_input_files("#pick-folder", tmp_path / "study")
    wait_until_scored(page, 1)
    expect(page.locator("#stage .side[data-side=left]")).to_have_text("R")
    wait_until(page, lambda: read_shades(page)["colored"] > 100)
    page.get_by_role("button", name="Copy the picture").click()
    expect(page.locator("#live")).to_have_text("The picture is on the clipboard.")
    copied = page.evaluate(COPIED)
    assert copied["types"] == ["image/png"] and copied["size"] == copied["wanted"]
    assert copied["same"] > 0.99 and copied["marked"] > 10


def test_the_map_of_a_volume_is_saved_as_nifti(open_page, files):
    page = open_page()
    drop(page, [files / "head.nii.gz"])
    wait_until_scored(page, 1)
    with page.expect_download() as saved:
        page.get_by_role("button", name="Save the map of the volume as NIfTI").click()
    assert re.fullmatch(r"brainsift-[-0-9]+-tumor-map\.nii\.gz", saved.value.suggested_filename)
    found = nibabel.Nifti1Image.from_bytes(gzip.decompress(Path(saved.value.path()).read_bytes()))
    source = nibabel.load(files / "head.nii.gz")
    assert found.shape == source.shape and np.allclose(found.affine, source.affine)
    assert found.get_fdata().min() >= 0 and 0.5 < found.get_fdata().max() <= 1


def test_two_exports_within_one_second_have_two_names(open_page, images):
    page = open_page()
    drop(page, images[-1:])
    wait_until_scored(page, 1)
    names = []
    page.on("download", lambda saved: names.append(saved.suggested_filename))
    page.evaluate("for (const id of ['export-csv', 'export-csv']) document.getElementById(id).click()")
    wait_until(page, lambda: len(names) == 2)
    assert len(set(names)) == 2
    assert all(re.fullmatch(r"brainsift-\d{4}-\d\d-\d\d-\d{6}-\d{3}-slices\.csv", name) for name in names)


def printed(page, path):
    """Prints the page; returns the words of the PDF, and its sheets as pictures, (height, width, 3), 72 dpi."""
    path.write_bytes(page.pdf(prefer_css_page_size=True, print_background=True))
    with pypdfium2.PdfDocument(path) as pdf:
        words = " ".join(" ".join(sheet.get_textpage().get_text_range() for sheet in pdf).split())
        return words, [sheet.render().to_numpy()[..., :3].astype(int) for sheet in pdf]


@pytest.mark.parametrize("options", [{}, {"color_scheme": "dark"}], ids=["light", "dark"])
def test_a_print_shows_the_case_or_the_table_and_no_controls(open_page, images, tmp_path, bundle, options):
    write_series(tmp_path / "study", 8, 5, SeriesDescription="ax t1 after contrast agent", PixelSpacing=[2.0, 2.0])
    page = open_page(**options)
    drop(page, images)
    wait_until_scored(page, len(images))
    page.set_input_files("#pick-folder", tmp_path / "study")
    wait_until_scored(page, len(images) + 1)
    open_case(page, "ax t1 after contrast agent")
    wait_until(page, lambda: read_shades(page)["colored"] > 100)
    words, sheets = printed(page, tmp_path / "case.pdf")
    number = page.locator("#prediction-number").inner_text()
    checksum = json.loads((bundle.folder / "bundle.json").read_text())["checksums"]["network.onnx"]
    shown = ("ax t1 after contrast agent", number, "2.00 × 2.00 × 5.00", "Most suspicious slices")
    for said in (*shown, "Research use only", checksum[:12], f"brainsift {__version__}", "Rule default"):
        assert said in words, said
    assert re.search(r"Printed \d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d\d:\d\d", words)
    for control in ("Export", "Opacity", "Add files", "Threshold on the map", "Verdict", "100 %", "holiday.png"):
        assert control not in words, control
    assert len(sheets) == 1
    inner = sheets[0][35:-35, 35:-35].copy()
    sheets[0][35:-35, 35:-35] = 255
    assert sheets[0].min() == 255  # nothing reaches into the margin, where it would be cut off
    assert (inner.max(axis=2) < 40).sum() > 40_000  # the picture
    assert (np.ptp(inner, axis=2) > 60).sum() > 1_000  # the map
    page.get_by_role("button", name="Table only").click()
    words, _ = printed(page, tmp_path / "table.pdf")
    for path in images:
        assert path.name in words
    assert "Add files" not in words and "Rule default" in words


def test_tables_and_results_of_the_service_say_what_made_them(served_job, bundle):
    url, job = served_job
    model = requests.get(f"{url}/api/v1/model").json()
    origin = {
        "rule": "balanced",
        "margin": "0.0",
        "network": bundle.name,
        "network_sha256": model["network_sha256"],
        "version": __version__,
    }
    for of, columns in (("slices", COLUMNS), ("volumes", VOLUME_COLUMNS)):
        reply = requests.get(f"{url}/api/v1/jobs/{job}/result.csv", params={"of": of})
        rows = list(csv.DictReader(io.StringIO(reply.text)))
        assert len(rows) == (6 if of == "slices" else 1)
        assert list(rows[0])[: len(columns)] == list(columns)
        for one in rows:
            assert {name: one[name] for name in origin} == origin
            assert datetime.fromisoformat(one["made"]).tzinfo is not None
        limit = bundle.thresholds["balanced"] if of == "slices" else bundle.volumes.thresholds["confirm"]
        assert {float(one["threshold"]) for one in rows} == {limit}
        name = re.search(r'filename="([^"]+)"', reply.headers["Content-Disposition"])[1]
        assert re.fullmatch(rf"brainsift-\d{{4}}-\d\d-\d\d-\d{{6}}-\d{{6}}-{of}\.csv", name)
    result = requests.get(f"{url}/api/v1/jobs/{job}/result").json()
    assert (result["rule"], result["model"]["network_sha256"]) == ("balanced", model["network_sha256"])
    assert datetime.fromisoformat(result["made"]).tzinfo is not None
    report = requests.get(f"{url}/api/v1/jobs/{job}/report.html").text
    meta = re.search(r'class="meta">([^<]*)<', report)[1]
    assert re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d UTC, brainsift ", meta)
    for said in (__version__, f"network {bundle.name} {model['network_sha256'][:12]}", "(balanced)", "of volumes"):
        assert said in meta


@pytest.fixture
def served_job(server, tmp_path):
    """The address of the service, and the number of a job with a volume of five slices and an image."""
    write_series(tmp_path / "study", 8, 5)
    files = [("files", (path.name, path.read_bytes())) for path in sorted((tmp_path / "study").iterdir())]
    picture = io.BytesIO()
    Image.fromarray(draw_volume(12, 9)[5]).save(picture, "PNG")
    job = requests.post(f"{server}/api/v1/jobs", files=[*files, ("files", ("one.png", picture.getvalue()))]).json()[
        "id"
    ]
    while requests.get(f"{server}/api/v1/jobs/{job}?wait=5").json()["state"] != "done":
        pass
    return server, job
