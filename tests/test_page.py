"""The page in a real browser against a real server: drop, look, decide, export, judge; by mouse, keys and on a phone.

Needs Chromium (found as `chromium`, `chromium-browser` or `google-chrome`, or named by BRAINSIFT_CHROMIUM) and the
extra `test`; is skipped without.
"""

import base64
import csv
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import zipfile
from collections import Counter
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import nibabel
import numpy as np
import pydicom
import pytest
import requests
from PIL import Image
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage, generate_uid

from brainsift.cli.main import main
from brainsift.images.phantom import draw
from brainsift.inference.bundle import load_bundle, write_bundle
from brainsift.inference.decision import COLUMNS, Prediction, log_odds, make_rule
from brainsift.inference.model_card import statements
from brainsift.inference.predictor import Predictor
from brainsift.inference.volume_decision import summarise_volumes
from brainsift.volumes.inputs import find_images

sync_api = pytest.importorskip("playwright.sync_api", reason="needs playwright, of the extra `test`")
axe_api = pytest.importorskip("axe_playwright_python.sync_playwright", reason="needs axe-playwright-python")
expect = sync_api.expect
expect.set_options(timeout=60_000)  # machines may be busy; nothing is timed here

NAMES = ("chromium", "chromium-browser", "google-chrome")
CHROMIUM = os.environ.get("BRAINSIFT_CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium; set BRAINSIFT_CHROMIUM to its path")

WORDS = {"tumor": "Tumor", "no_tumor": "No tumor", "refer": "Refer", "": "Unreadable"}
SIDE = 96
PHONE = {"viewport": {"width": 360, "height": 740}, "is_mobile": True, "has_touch": True}
SHADES = """canvas => {
  const copy = new OffscreenCanvas(canvas.width, canvas.height).getContext('2d', {willReadFrequently: true});
  copy.drawImage(canvas, 0, 0);
  const {data} = copy.getImageData(0, 0, canvas.width, canvas.height);
  let coloured = 0, bright = 0;
  for (let i = 0; i < data.length; i += 4) { coloured += data[i] - data[i + 2] > 25; bright += data[i + 2] > 40; }
  return {coloured, bright};
}"""
DROP = """(files) => {
  const transfer = new DataTransfer();
  for (const {name, content} of files) {
    transfer.items.add(new File([Uint8Array.from(atob(content), c => c.charCodeAt(0))], name));
  }
  for (const type of ['dragenter', 'dragover', 'drop']) {
    document.body.dispatchEvent(new DragEvent(type, {dataTransfer: transfer, bubbles: true, cancelable: true}));
  }
}"""


def stack(seed, count):
    """(count, height, width): a head with a tumor in the slices of its second half, smaller towards its ends."""
    with_tumor, without = (draw(seed, tumor=tumor, size=SIDE).pixels for tumor in (True, False))
    slices = []
    for place in range(count):
        share = np.sqrt(1 - ((place - (count - 1) / 2) / (count / 2 + 0.2)) ** 2)
        side = max(8, round(SIDE * share))
        canvas = Image.new("L", (SIDE, SIDE))
        pixels = with_tumor if count // 2 <= place < count - 2 else without
        canvas.paste(Image.fromarray(pixels).resize((side, side)), ((SIDE - side) // 2,) * 2)
        slices.append(np.asarray(canvas))
    return np.stack(slices)


def write_series(folder, seed, count):
    """DICOM files without a suffix, as archives have them."""
    folder.mkdir(parents=True)
    for place, pixels in enumerate(stack(seed, count)):
        meta = FileMetaDataset()
        meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = MRImageStorage, generate_uid()
        meta.TransferSyntaxUID = ExplicitVRLittleEndian
        made = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
        made.SOPClassUID, made.SOPInstanceUID = MRImageStorage, meta.MediaStorageSOPInstanceUID
        made.Modality, made.SeriesInstanceUID, made.InstanceNumber = "MR", "1.2.3", place + 1
        made.ImageOrientationPatient, made.ImagePositionPatient = [1, 0, 0, 0, 1, 0], [0, 0, 5 * place]
        made.Rows, made.Columns = pixels.shape
        made.SamplesPerPixel, made.PhotometricInterpretation = 1, "MONOCHROME2"
        made.BitsAllocated, made.BitsStored, made.HighBit, made.PixelRepresentation = 16, 12, 11, 0
        made.PixelData = pixels.astype(np.uint16).tobytes()
        pydicom.dcmwrite(folder / f"IM{place + 1:04d}", made, enforce_file_format=True)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Drawn files of each kind, in the order in which the page takes them: images first, then the volume."""
    folder = tmp_path_factory.mktemp("files")
    for seed, tumor in ((4, True), (12, True), (2, False), (3, False), (5, False)):
        pixels = draw(seed, tumor=tumor, size=2 * SIDE).pixels
        Image.fromarray(pixels).save(folder / f"{'tumor' if tumor else 'plain'}-{seed}.png")
    y, x = np.mgrid[:120, :160]
    photo = np.stack([128 + 127 * np.sin(x / 9), 128 + 127 * np.cos(y / 7), (x * y) % 255], axis=2)
    Image.fromarray(photo.astype(np.uint8)).save(folder / "holiday.png")
    (folder / "broken.png").write_bytes(b"\x89PNG not really")
    turned = stack(12, 9)[:, ::-1, ::-1].transpose(2, 1, 0)
    nibabel.Nifti1Image(turned.astype(np.int16), np.diag([1.0, 1.0, 5.0, 1.0])).to_filename(folder / "head.nii.gz")
    write_series(folder / "study" / "ax t1", 8, 6)
    (folder / "study" / "notes.txt").write_text("no image")
    return folder


@pytest.fixture(scope="module")
def images(files):
    return sorted(path for path in files.iterdir() if path.suffix == ".png")


@pytest.fixture(scope="module")
def bundle():
    return load_bundle()


@pytest.fixture(scope="module")
def expected(images, bundle):
    """What `brainsift predict` says of the images."""
    return {Path(answer.path).name: answer for answer in Predictor(bundle, threads=1).predict(images)}


@contextmanager
def serving(*arguments):
    """Runs the command; gives the address that it prints and the process."""
    command = [sys.executable, "-m", "brainsift", "serve", "--no-browser", "--port", "0", "--threads", "1"]
    process = subprocess.Popen(
        [*command, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    url = next(match[0] for line in process.stdout if (match := re.search(r"http://\S+", line)))
    threading.Thread(target=process.stdout.read, daemon=True).start()  # a full pipe would stop the server
    try:
        yield url.rstrip("/"), process
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with serving("--keep", tmp_path_factory.mktemp("kept") / "history", "--keep-images") as (url, _):
        yield url


@pytest.fixture(scope="module")
def browser():
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def open_page(browser, server):
    """Opens pages; at the end, none of them has complained."""
    contexts, complaints = [], []

    def open_one(url=server, *, strict=True, **options):
        context = browser.new_context(accept_downloads=True, **{"viewport": {"width": 1440, "height": 900}, **options})
        context.set_default_timeout(60_000)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: complaints.append(str(error)))
        if strict:
            page.on("console", lambda said: said.type in ("error", "warning") and complaints.append(said.text))
        page.goto(url)
        expect(page.locator("body[data-ready=true]")).to_be_attached()
        return page

    yield open_one
    for context in contexts:
        context.close()
    assert complaints == []


@contextmanager
def occupied(url):
    """Has a long job fill the queue."""
    stack = np.repeat(draw(1, tumor=False, size=64).pixels[..., None].astype(np.int16), 4000, axis=2)
    volume = nibabel.Nifti1Image(stack, np.eye(4)).to_bytes()
    job = requests.post(f"{url}/api/v1/jobs", files={"files": ("long.nii", volume)}).json()
    yield
    assert requests.delete(f"{url}/api/v1/jobs/{job['id']}").status_code == 204


def drop(page, paths):
    """Drops files on the page, as the mouse does."""
    contents = [{"name": path.name, "content": base64.b64encode(path.read_bytes()).decode()} for path in paths]
    page.evaluate(DROP, contents)


def done(page, count):
    """Waits until all is scored and listed."""
    expect(page.locator("#case-rows tr")).to_have_count(count)
    expect(page.locator("body")).to_have_attribute("data-busy", "false")


def natural(name):
    """A key: numbers in names sort as numbers."""
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", name)]


def row(page, name):
    return page.locator("#case-rows tr").filter(has_text=name)


def open_case(page, name):
    row(page, name).get_by_role("button").click()
    expect(page.locator("#case-title")).to_have_text(name)


def shades(page):
    return page.locator("#stage canvas").evaluate(SHADES)


def until(page, happens):
    """Waits for what no locator sees: pixels of the canvas."""
    for _ in range(3000):
        if happens():
            return
        page.evaluate("() => new Promise(requestAnimationFrame)")
    raise AssertionError("did not happen")


def counts(page):
    """Of the filter's buttons: label to number."""
    labels = page.locator("#filters button").all_text_contents()
    return {match[1]: int(match[2]) for text in labels if (match := re.match(r"\s*(.+?)\s+(\d+)$", text))}


def downloaded(page, button):
    page.locator("#export summary").click()
    with page.expect_download() as download:
        page.click(button)
    return Path(download.value.path()).read_text(encoding="utf-8")


def test_a_drop_of_all_kinds_is_answered_as_the_command_line_does(open_page, files, images, expected, bundle):
    page = open_page()
    expect(page.get_by_role("heading", name="Is there a tumor")).to_be_visible()
    expect(page.locator("#privacy")).to_contain_text("stay on this machine")
    drop(page, [*images, files / "head.nii.gz"])
    done(page, len(images) + 1)
    for name, answer in expected.items():
        expect(row(page, name).locator("td .decision")).to_have_text(WORDS[answer.decision])
        shown = "–" if answer.probability is None else f"{answer.probability:.3f}"
        expect(row(page, name).locator(".bar-value")).to_have_text(shown)
    slices = list(Predictor(bundle, threads=1).predict([files / "head.nii.gz"]))
    volume = summarise_volumes(slices, make_rule(bundle))[0]
    expect(row(page, "head.nii.gz").locator("td .decision")).to_have_text(WORDS[volume.decision])
    expect(row(page, "head.nii.gz").locator(".bar-value")).to_have_text(f"{volume.probability:.3f}")
    assert {answer.decision for answer in expected.values()} == set(WORDS)  # else the files show too little
    expect(page.locator("#live")).to_contain_text("Done.")


def test_a_folder_with_a_series_is_one_case_and_other_files_are_left_out(open_page, files):
    page = open_page()
    page.set_input_files("#pick-folder", files / "study")
    done(page, 1)
    expect(page.locator("#skipped")).to_contain_text("1 file")
    expect(page.locator("#answer-kind")).to_have_text("Volume, 6 slices")
    expect(page.locator("#case-where")).to_have_text("study/ax t1")


GONE = {"code": "not_found", "subject": "job", "rule": "is not there", "remedy": "Send the files again."}


def drag(page, *paths):
    """Drags files or folders from outside onto the page, as the system does."""
    session = page.context.new_cdp_session(page)
    data = {"items": [], "files": [str(path) for path in paths], "dragOperationsMask": 1}
    for kind in ("dragEnter", "dragOver", "drop"):
        session.send("Input.dispatchDragEvent", {"type": kind, "x": 300, "y": 300, "data": data})


def test_a_folder_that_is_dragged_in_is_walked(open_page, files, images, tmp_path):
    shutil.copytree(files / "study", tmp_path / "study")
    (tmp_path / "study" / "deeper").mkdir()
    for name in [images[-1].name, *(f"{place}.png" for place in range(119))]:  # a browser lists 100 files at a time
        shutil.copy(images[-1], tmp_path / "study" / "deeper" / name)
    page = open_page()
    drag(page, tmp_path / "study", images[-1])
    done(page, 122)
    expect(page.locator("#skipped")).to_have_text("1 file is not an image and was left out.")
    shown = page.locator("#case-rows .case-name").all_text_contents()
    assert [shown[0], *shown[2:]] == [images[-1].name, *(f"{place}.png" for place in range(119)), images[-1].name]
    expect(row(page, "IM0001").or_(row(page, "series 1"))).to_contain_text("6 slices")
    open_case(page, "118.png")
    expect(page.locator("#case-where")).to_have_text("study/deeper")
    page.reload()
    done(page, 122)
    assert page.locator("#case-rows .case-name").all_text_contents() == shown
    paths = [found["path"] for found in csv.DictReader(io.StringIO(downloaded(page, "#export-csv")))]
    assert {f"study/deeper/{images[-1].name}", images[-1].name} < set(paths) and len(set(paths)) == 127
    expect(page.locator("body")).not_to_have_class(re.compile("dragging"))


def test_an_archive_of_a_series_is_one_case(open_page, files, tmp_path):
    with zipfile.ZipFile(tmp_path / "study.zip", "w") as archive:
        for path in sorted((files / "study").rglob("*")):
            archive.write(path, path.relative_to(files))
    page = open_page()
    drag(page, tmp_path / "study.zip")
    done(page, 1)
    expect(page.locator("#answer-kind")).to_have_text("Volume, 6 slices")
    until(page, lambda: shades(page)["bright"] > 500)


def test_two_fingers_zoom_and_one_moves(open_page, images):
    page = open_page(**PHONE)
    page.set_input_files("#pick-files", images[-1:])
    done(page, 1)
    row(page, images[-1].name).get_by_role("button").tap()
    until(page, lambda: shades(page)["bright"] > 500)
    box = page.locator("#stage canvas").bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    session = page.context.new_cdp_session(page)

    def touch(kind, *points):
        points = [{"x": x + dx, "y": y + dy, "id": place} for place, (dx, dy) in enumerate(points)]
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    def zoom():
        return int(page.locator(".zoom-words").inner_text().split("\u00a0")[0])

    touch("touchStart", (-30, 0), (30, 0))
    for apart in (40, 60, 80, 90):
        touch("touchMove", (-apart, 0), (apart, 0))
    touch("touchEnd")
    until(page, lambda: 250 < zoom() <= 310)  # three times as far apart
    assert page.evaluate("() => visualViewport.scale") == 1  # the picture, not the page
    before = shades(page)
    touch("touchStart", (0, 0))
    touch("touchMove", (40, 20))
    touch("touchMove", (90, 60))
    touch("touchEnd")
    until(page, lambda: shades(page) != before)
    touch("touchStart", (-90, 0), (90, 0))
    for apart in (60, 30, 10):
        touch("touchMove", (-apart, 0), (apart, 0))
    touch("touchEnd")
    until(page, lambda: zoom() == 100)


def test_stop_ends_what_runs_and_leaves_what_is_there(open_page, images, tmp_path):
    slices = np.repeat(stack(12, 9)[4:5], 3000, axis=0).transpose(2, 1, 0)
    nibabel.Nifti1Image(slices.astype(np.int16), np.eye(4)).to_filename(tmp_path / "long.nii")
    page = open_page()
    drop(page, images[-1:])
    done(page, 1)
    page.set_input_files("#pick-files", tmp_path / "long.nii")
    expect(page.locator("#progress-words")).to_contain_text("of 3,000")
    with page.expect_response(lambda reply: reply.request.method == "DELETE" and "/jobs/" in reply.url) as deleted:
        page.get_by_role("button", name="Stop").click()
    assert deleted.value.status == 204
    done(page, 1)
    expect(page.locator("#progress")).to_be_hidden()
    expect(page.locator("#skipped")).to_have_text("Stopped. 1 file was not scored.")
    expect(page.locator("#live")).to_have_text("Stopped. 1 file was not scored.")
    expect(page.get_by_role("button", name="Add files")).to_be_focused()
    drop(page, images[-2:-1])
    done(page, 2)
    expect(page.locator("#skipped")).to_be_hidden()
    expect(page.locator("#live")).to_contain_text("Done.")
    page = open_page()
    page.route("**/api/v1/jobs", lambda route: None)
    drop(page, images)
    page.get_by_role("button", name="Stop").click()
    expect(page.locator("#nothing-found")).to_have_text(f"Stopped. {len(images)} files were not scored.")
    expect(page.locator("#live")).to_have_text(f"Stopped. {len(images)} files were not scored.")


def test_what_holds_no_image_is_told(open_page, files, images, tmp_path):
    notes = tmp_path / "notes"
    notes.mkdir()
    page = open_page()
    told = page.locator("#nothing-found")
    drag(page, notes)
    expect(told).to_have_text("No images found.")
    for name in ("a.txt", "b.pdf"):
        (notes / name).write_text("no image")
    drag(page, notes)
    expect(told).to_be_visible()
    for node in (told, page.locator("#live")):
        expect(node).to_have_text("No images found: 2 files were left out.")
    shutil.copy(images[-1], notes)
    closed = shutil.copy(images[-2], tmp_path / "closed.png")
    page.evaluate("""() => {
      const { webkitGetAsEntry } = DataTransferItem.prototype;
      DataTransferItem.prototype.webkitGetAsEntry = function () {
        const entry = webkitGetAsEntry.call(this);
        if (entry.isFile) entry.file = (_, reject) => reject(new DOMException("closed", "NotReadableError"));
        return entry;
      };
    }""")
    drag(page, closed, notes)
    done(page, 1)
    said = "2 files are not images and were left out. 1 file or folder could not be opened."
    expect(page.locator("#skipped")).to_have_text(said)
    expect(page.locator("#live")).to_contain_text(said)
    page.evaluate("() => { Blob.prototype.text = () => Promise.reject(new DOMException('gone', 'NotFoundError')); }")
    shutil.copy(images[-1], tmp_path / "plain")
    page.evaluate("async () => (await import('/page/banner.js')).fail(new Error('an old one'))")
    expect(page.get_by_role("alert")).to_contain_text("An old one.")
    with page.expect_response(lambda reply: reply.request.method == "POST"):
        page.set_input_files("#pick-files", [tmp_path / "plain", images[-1]])
    done(page, 3)
    expect(page.get_by_role("alert")).to_be_hidden()
    page.evaluate("async () => (await import('/page/banner.js')).fail(new Error('a new one'))")
    page.get_by_role("button", name="Close", exact=True).click()
    expect(page.get_by_role("alert")).to_be_hidden()


def test_what_comes_new_is_shown(open_page, images):
    page = open_page(viewport={"width": 1440, "height": 720})
    drop(page, images[:5])
    done(page, 5)
    expect(page.locator("#case-title")).not_to_be_empty()
    drop(page, images[5:6])  # nobody chose the case that is shown
    expect(page.locator("#case-title")).to_have_text(images[5].name)
    expect(row(page, images[5].name)).to_be_in_viewport()
    open_case(page, images[0].name)
    page.locator("#case-rows tr").first.scroll_into_view_if_needed()
    drop(page, images[6:7])
    expect(row(page, images[6].name)).to_be_in_viewport()
    expect(page.locator("#case-title")).to_have_text(images[0].name)


def test_a_job_that_is_lost_goes_again_once(open_page, server, files, images, expected):
    page = open_page(strict=False)  # Chromium writes each 404 to its console
    known = 3
    lost = []

    def lose(route):
        """Answers for some, and then the server does not know the job any more."""
        job = route.request.url.rpartition("/")[2].partition("?")[0]
        if not lost:
            lost.append(job)
            reply = {"state": ""}
            while reply["state"] != "done":
                reply = requests.get(f"{server}/api/v1/jobs/{job}?wait=20").json()
            requests.delete(f"{server}/api/v1/jobs/{job}")
            route.fulfill(json={**reply, "state": "running", "done": known, "answers": reply["answers"][:known]})
        else:
            route.continue_()

    follow = re.compile(r"/jobs/[^/]+\?after=\d+&wait")
    page.route(follow, lose)
    drop(page, images)
    done(page, len(images))
    expect(page.locator("#case-rows .case-name")).to_have_text(sorted(expected, key=natural))
    for name, answer in expected.items():
        expect(row(page, name).locator("td .decision")).to_have_text(WORDS[answer.decision])
    page.unroute_all()
    page.reload()
    done(page, len(images) - known)
    for told in (page.locator("#skipped"), page.locator("#live")):
        expect(told).to_contain_text(f"The server has forgotten {known} cases of this list.")
    page.route(follow, lambda route: route.fulfill(status=404, json=GONE), times=1)
    drop(page, [files / "head.nii.gz"])
    done(page, len(images) - known + 1)
    expect(row(page, "head.nii.gz")).to_contain_text("9 slices")
    page.route(follow, lambda route: route.fulfill(status=404, json=GONE))
    drop(page, images[:1])
    done(page, len(images) - known + 2)
    open_case(page, images[0].name)
    expect(page.locator("#answer-words")).to_have_text("This file was not scored.")
    expect(page.locator("#answer-reason")).to_contain_text("lost it before it was scored. Drop it again.")


def test_clear_forgets_here_and_on_the_server(open_page, server, images):
    page = open_page()
    with page.expect_response(lambda reply: reply.request.method == "POST" and reply.url.endswith("/jobs")) as sent:
        drop(page, images)
    done(page, len(images))
    page.get_by_role("button", name="Clear the list").click()
    page.get_by_role("button", name="Keep").click()
    expect(page.locator("#case-rows tr")).to_have_count(len(images))
    page.get_by_role("button", name="Clear the list").click()
    page.get_by_role("button", name="Clear", exact=True).click()
    expect(page.get_by_role("heading", name="Is there a tumor")).to_be_visible()
    expect(page.get_by_role("button", name="Choose files")).to_be_focused()
    expect(page.locator("#case-title")).to_be_hidden()
    expect(page.locator("#live")).to_have_text("The list is empty.")
    assert requests.get(f"{server}/api/v1/jobs/{sent.value.json()['id']}").status_code == 404
    page.reload()
    expect(page.locator("body[data-ready=true]")).to_be_attached()
    expect(page.locator("#case-rows tr")).to_have_count(0)


def test_the_page_asks_for_the_token(open_page, browser, images):
    token = "a-token-of-more-than-16"
    with serving("--token", token) as (url, _):
        address = url.partition("/?")[0]
        assert url == f"{address}/?token={token}"
        page = open_page(url)  # as it is printed
        expect(page).to_have_url(f"{address}/")
        drop(page, images[-1:])
        done(page, 1)
        other = browser.new_page()
        assert other.goto(address).status == 401
        expect(other.get_by_role("alert")).to_have_count(0)
        other.get_by_label("Token").fill("another-token-of-16")
        other.get_by_role("button", name="Open").click()
        expect(other.get_by_role("alert")).to_contain_text("not the token")
        assert not axe_api.Axe().run(other).response["violations"]
        other.get_by_label("Token").fill(token)
        other.keyboard.press("Enter")
        expect(other.locator("body[data-ready=true]")).to_be_attached()
        expect(other).to_have_url(f"{address}/")
        other.close()


def test_the_case_shows_the_map_and_it_fades(open_page, images):
    page = open_page()
    drop(page, images)
    done(page, len(images))
    open_case(page, "tumor-4.png")
    expect(page.locator("#answer-words")).to_contain_text("reaches the threshold")
    until(page, lambda: shades(page)["coloured"] > 500)
    strong = shades(page)["coloured"]
    page.locator("#case-tools").get_by_label("Opacity").fill("0")
    until(page, lambda: 0 < shades(page)["coloured"] < strong / 2)  # the contour is left
    page.locator("#case-tools").get_by_label("Contour").uncheck()
    until(page, lambda: shades(page)["coloured"] == 0)
    bright = shades(page)["bright"]
    page.locator("#case-tools").get_by_label("Level").fill("1")
    until(page, lambda: shades(page)["bright"] < bright / 2)
    page.locator("#case-tools").get_by_role("button", name="Reset").click()
    until(page, lambda: shades(page)["bright"] == bright)


def test_the_mouse_zooms_moves_and_windows(open_page, images):
    page = open_page()
    drop(page, images[-1:])
    done(page, 1)
    until(page, lambda: shades(page)["bright"] > 500)
    box = page.locator("#stage canvas").bounding_box()
    middle = (box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.move(*middle)
    page.mouse.wheel(0, -400)
    expect(page.locator(".zoom-words").first).not_to_have_text("100\u00a0%")
    zoomed = shades(page)
    page.mouse.down()
    page.mouse.move(middle[0] + 150, middle[1] + 90)
    page.mouse.up()
    until(page, lambda: shades(page) != zoomed)
    page.mouse.move(*middle)
    page.mouse.down(button="right")
    page.mouse.move(middle[0] + 60, middle[1] - 30)
    page.mouse.up(button="right")
    expect(page.locator("#case-tools").get_by_label("Width")).to_have_value("1.2")
    expect(page.locator("#case-tools").get_by_label("Level")).to_have_value("0.4")
    page.mouse.dblclick(*middle)
    expect(page.locator(".zoom-words").first).to_have_text("100\u00a0%")


LOOKS = """async ([deep, plain]) => {
  const { picture } = await import("/page/pictures.js");
  const { shadesOf } = await import("/page/window.js");
  const shown = ([image, shades]) => Array.from(image.grey, (grey) => shades[grey]);
  const images = [await picture(deep), await picture(plain)];
  return images.map((image) => [image.most, shown([image, shadesOf(image, image.window)])]);
}"""
SHADE = """(canvas, [x, y]) => {
  const side = Math.min(canvas.width, canvas.height);
  const at = [canvas.width / 2 + (x - 0.5) * side, canvas.height / 2 + (y - 0.5) * side];
  const copy = new OffscreenCanvas(canvas.width, canvas.height).getContext("2d", {willReadFrequently: true});
  copy.drawImage(canvas, 0, 0);
  return copy.getImageData(...at.map(Math.floor), 1, 1).data[0];
}"""
PLAIN, FAINT = (0.3, 0.3), (0.7, 0.7)  # places on the slice, as shares of its sides


def shade(page, place):
    return page.locator("#stage canvas").evaluate(SHADE, place)


def write_deep(path, *scales):
    """A volume of 12 bits: even, with black and white stripes, and a patch that is four values of 4095 brighter."""
    even = np.full((SIDE, SIDE), 2000)
    even[:3], even[3:6] = 0, 4095
    even[SIDE // 2 :, SIDE // 2 :] += 4
    stack = np.stack([even * scale for scale in scales])
    turned = stack[:, ::-1, ::-1].transpose(2, 1, 0)
    nibabel.Nifti1Image(turned.astype(np.int16), np.diag([1.0, 1.0, 5.0, 1.0])).to_filename(path)
    return path


def test_a_first_look_at_16_bits_is_the_picture_of_8(open_page, files, tmp_path):
    head = draw(4, tumor=True, size=2 * SIDE).pixels
    Image.fromarray(head.astype(np.uint16) * 16).save(tmp_path / "deep.png")
    series = pydicom.dcmread(files / "study" / "ax t1" / "IM0003")
    windowed, inverted = {"WindowCenter": 90, "WindowWidth": 80}, {"PhotometricInterpretation": "MONOCHROME1"}
    for name, tags in (("windowed.dcm", windowed), ("inverted.dcm", windowed | inverted)):
        for tag, value in tags.items():
            setattr(series, tag, value)
        series.save_as(tmp_path / name)
    write_deep(tmp_path / "volume.nii", 1)
    page = open_page()
    for count, path in enumerate((*sorted(tmp_path.iterdir()), files / "tumor-4.png"), start=1):
        with page.expect_response(re.compile(r"depth=16$")) as asked:
            drop(page, [path])
            done(page, count)
            open_case(page, path.name)
        (most, shown), (least, plain) = page.evaluate(LOOKS, [asked.value.url, asked.value.url.partition("?")[0]])
        assert (most, least) == (255 if path.name == "tumor-4.png" else 65535, 255)
        assert np.abs(np.subtract(shown, plain)).max() <= (most > 255) and np.ptp(plain) == 255
        expect(page.locator(".window-words")).to_have_text(re.compile(r"W \d+ L \d+" if most > 255 else "^$"))
        if most == 255:
            assert page.locator("#case-tools .slider-value").all_text_contents()[1:] == ["100\u00a0%", "50\u00a0%"]


def test_a_narrow_window_shows_what_lies_between_two_greys(open_page, tmp_path):
    page = open_page()
    drop(page, [write_deep(tmp_path / "faint.nii", 1)])
    done(page, 1)
    page.keyboard.press("m")
    tools = page.locator("#case-tools")
    words = page.locator(".window-words")
    expect(words).to_have_text("W 4095 L 2048")
    until(page, lambda: shade(page, PLAIN) == shade(page, FAINT) == 125)
    tools.get_by_label("Width").fill("0.01")
    tools.get_by_label("Level").fill("0.489")
    expect(words).to_have_text("W 41 L 2002")
    expect(tools.get_by_label("Level")).to_have_attribute("aria-valuetext", "2002")
    until(page, lambda: shade(page, FAINT) - shade(page, PLAIN) >= 20)
    tools.get_by_label("Level").fill("1")
    expect(words).to_have_text("W 41 L 4095")  # the whole range, though nothing lies there
    until(page, lambda: shade(page, FAINT) == shade(page, PLAIN) == 0)
    tools.get_by_role("button", name="Reset").click()
    expect(words).to_have_text("W 4095 L 2048")
    until(page, lambda: shade(page, PLAIN) == shade(page, FAINT) == 125)


def test_a_chosen_window_stays_between_slices_and_others_follow_them(open_page, images, tmp_path):
    page = open_page()
    drop(page, [write_deep(tmp_path / "deep.nii", 1 / 3, 1, 1 / 5), images[-1]])
    done(page, 2)
    open_case(page, "deep.nii")
    page.keyboard.press("m")
    words = page.locator(".window-words")

    def scrolled(*texts):
        page.keyboard.press("Home")
        for place, text in enumerate(texts):
            expect(page.locator("#slice-number")).to_have_text(f"{place + 1} / 3")
            expect(words).to_have_text(text)
            yield place
            page.keyboard.press("ArrowRight")

    own = [re.compile("W 1365 "), re.compile("W 4095 "), re.compile("W 819 ")]
    assert len(list(scrolled(*own))) == 3
    page.keyboard.press("Home")
    expect(words).to_have_text(own[0])
    page.locator("#stage canvas").hover()
    box = page.locator("#stage canvas").bounding_box()
    page.keyboard.down("Shift")
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] / 2 - 200, box["y"] + box["height"] / 2 + 30)
    page.mouse.up()
    page.keyboard.up("Shift")
    chosen = "W 455 L 819"  # 300 pixels are the width that it began with
    for place in scrolled(chosen, chosen, chosen):
        expected = np.clip(255 * ((int(2000 / (3, 1, 5)[place]) - 819) / 455 + 0.5), 0, 255)
        until(page, lambda expected=expected: abs(shade(page, PLAIN) - expected) <= 2)
    page.keyboard.press("w")
    assert len(list(scrolled(*own))) == 3
    expect(page.locator("#case-verdict")).to_be_visible()  # it is kept
    page.get_by_role("link", name="History").click()
    page.locator("#history-rows tr").filter(has_text="deep.nii").get_by_role("button").click()
    expect(page.locator("#case-where")).to_contain_text("network")
    until(page, lambda: shades(page)["bright"] > 500)
    expect(words).to_be_empty()  # kept pictures are of 8 bits
    expect(page.locator("#case-tools .slider-value").nth(1)).to_have_text("100\u00a0%")


def test_what_cannot_be_judged_says_why(open_page, images, expected, tmp_path):
    page = open_page()
    drop(page, images)
    done(page, len(images))
    open_case(page, "holiday.png")
    expect(page.locator("#answer-words")).to_contain_text("cannot judge this image")
    expect(page.locator("#answer-reason")).to_contain_text(expected["holiday.png"].detail)
    open_case(page, "broken.png")
    expect(page.locator("#answer-reason")).to_contain_text(f"The file {expected['broken.png'].detail}")
    expect(page.locator("#stage .stage-message")).to_contain_text("no picture")
    (tmp_path / "none.png").touch()
    drop(page, [tmp_path / "none.png"])
    done(page, len(images) + 1)
    open_case(page, "none.png")
    expect(page.locator("#answer-reason")).to_contain_text("The file is empty: 0 bytes")


def test_a_threshold_decides_the_whole_list_anew(open_page, images, expected, bundle):
    page = open_page()
    drop(page, images)
    done(page, len(images))

    def told(**choice):
        answers = Predictor(bundle, threads=1, **choice).predict(images)
        found = Counter(WORDS[answer.decision] for answer in answers)
        return {label: found[label] for label in WORDS.values()} | {"All": len(images)}

    for name in ("Screening", "Confirm", "Even", "Balanced"):
        page.locator("#threshold-names label", has_text=name).click()
        expect(page.locator("#threshold-value")).to_have_text(f"{bundle.thresholds[name.lower()]:.3f}")
        named = told(threshold=name.lower())
        until(page, lambda named=named: counts(page) == named)
    page.locator("#sensitivity").fill("0.97")
    expect(page.locator("#threshold-value")).to_have_text(f"{bundle.threshold(0.97):.3f}")
    wanted = told(threshold=0.97)
    until(page, lambda: counts(page) == wanted)
    promised = min(bundle.margins, key=float)
    page.locator("#max-error").select_option(promised)
    expect(page.locator("input[name=threshold]:checked")).to_have_count(0)
    page.locator("#max-error").select_option("never")
    expect(page.locator("#threshold-value")).to_have_text(f"{bundle.threshold(0.97):.3f}")
    page.locator("#max-error").select_option(promised)
    page.locator("#threshold-names label", has_text="Even").click()
    expect(page.locator("#threshold-name")).to_have_text("Even")
    page.locator("#max-error").select_option(promised)
    referred = told(max_error=float(promised))
    until(page, lambda: counts(page) == referred)
    assert len({json.dumps(one, sort_keys=True) for one in (told(), wanted, referred)}) > 1
    page.reload()  # the choice and the cases outlive it
    done(page, len(images))
    expect(page.locator("#max-error")).to_have_value(promised)
    until(page, lambda: counts(page) == referred)


def test_a_volume_is_decided_at_confirm_unless_a_threshold_is_wanted(open_page, files, tmp_path, bundle):
    scan = files / "head.nii.gz"
    (volume,) = summarise_volumes(Predictor(bundle, threads=1).predict([scan]), make_rule(bundle))
    limits = {"balanced": volume.probability - 0.01, "confirm": volume.probability + 0.01, "even": 0.5}
    shutil.copytree(bundle.folder, tmp_path / "bundle")
    write_bundle(replace(bundle, folder=tmp_path / "bundle", thresholds=limits))
    arguments = ["--bundle", str(tmp_path / "bundle"), "--threads", "1"]

    def told(*wanted):
        main(["predict", *arguments, *wanted, str(scan), "--volumes", str(tmp_path / "v.csv")])
        (found,) = csv.DictReader((tmp_path / "v.csv").open())
        return found["decision"], float(found["threshold"])

    with serving(*arguments[:2]) as (url, _):
        page = open_page(url)
        drop(page, [scan])
        done(page, 1)
        for name in ("", "balanced", "confirm"):
            if name:
                page.locator("#threshold-names label", has_text=name.capitalize()).click()
            limit = limits[name or "confirm"]
            decision = "tumor" if volume.probability >= limit else "no_tumor"
            assert told(*(["--threshold", name] if name else [])) == (decision, limit)
            parts = [("files", (scan.name, scan.read_bytes()))]
            reply = requests.post(f"{url}/api/v1/predict", files=parts, params={"threshold": name} if name else {})
            assert [(one["decision"], one["threshold"]) for one in reply.json()["volumes"]] == [(decision, limit)]
            expect(page.locator("#answer .decision")).to_have_text(WORDS[decision])
            expect(page.locator("#answer-scale")).to_contain_text(f"threshold {limit:.3f}")
            shown = json.loads(downloaded(page, "#export-json"))["volumes"]
            assert [(one["decision"], one["threshold"]) for one in shown] == [(decision, limit)]


RULES = """async (cases) => {
  const { decide, makeRule, ofVolumes, summarise } = await import("/page/decide.js");
  const model = await (await fetch("/api/v1/model")).json();
  return cases.map(({choice, answers}) => {
    const rule = makeRule(choice, model);
    const {decision, probability, suspicious} = summarise(answers, ofVolumes(rule));
    return [ofVolumes(rule).threshold, answers.map((one) => decide(one, rule)), decision, probability, suspicious];
  });
}"""


def test_the_rules_of_the_page_are_those_of_python(open_page, bundle):
    rng = np.random.default_rng(3)
    wishes = [({}, {}), ({"sensitivity": 0.97}, {"threshold": 0.97})]
    wishes += [({"name": name}, {"threshold": name}) for name in bundle.thresholds]
    wishes += [({"maxError": float(share)}, {"max_error": float(share)}) for share in bundle.margins]
    cases, expected = [], []
    for turn in range(200):
        choice, wanted = wishes[turn % len(wishes)]
        rule = make_rule(bundle, **wanted)
        answers = []
        for place in range(rng.integers(2, 9)):
            status = rng.choice(["ok", "ok", "ok", "not_brain_mri", "unreadable"])
            probability = None if status == "unreadable" else round(float(rng.beta(2, 1)) ** 0.2, 6)
            logit = None if probability is None else log_odds(probability)
            decision = "unreadable" if logit is None else "refer"
            decision = rule.decide(logit) if status == "ok" else decision
            answers.append(Prediction(str(place), str(status), logit, decision, volume="v"))
        (volume,) = summarise_volumes(answers, rule)
        told = "unreadable" if {answer.status for answer in answers} == {"unreadable"} else volume.decision
        suspicious = [int(name) for name in volume.suspicious]
        expected.append(
            [volume.threshold, [one.decision for one in answers], told, volume.to_dict()["probability"], suspicious]
        )
        cases.append({"choice": choice, "answers": [one.to_dict() for one in answers]})
    found = open_page().evaluate(RULES, cases)
    for one in found:
        one[3] = one[3] and round(one[3], 6)
    assert found == expected
    assert len({one[2] for one in expected}) > 2


TRACKPAD = """async (canvas, ways) => {
  await new Promise((resolve) => setTimeout(resolve, 500));  // a rest: what was scrolled before is forgotten
  for (const deltaY of ways) canvas.dispatchEvent(new WheelEvent("wheel", {deltaY, cancelable: true}));
}"""


def test_a_volume_is_scrolled(open_page, files, bundle):
    page = open_page()
    drop(page, [files / "head.nii.gz"])
    done(page, 1)
    answers = list(Predictor(bundle, threads=1).predict([files / "head.nii.gz"]))
    scored = [place for place, answer in enumerate(answers) if answer.status == "ok"]
    best = max(scored, key=lambda place: answers[place].probability)
    number = page.locator("#slice-number")
    expect(number).to_have_text(f"{best + 1} / {len(answers)}")
    expect(page.locator("#strip .strip-bar")).to_have_count(len(answers))
    page.locator("#slice-slider").fill("1")
    expect(page.locator("#slice-title")).to_have_text("Slice 1")
    expect(page.locator("#slice-decision")).to_have_text(WORDS[answers[0].decision])
    box = page.locator("#strip svg").bounding_box()
    page.mouse.click(box["x"] + box["width"] - 3, box["y"] + 10)
    expect(number).to_have_text(f"{len(answers)} / {len(answers)}")
    page.locator("#stage canvas").hover()
    page.mouse.wheel(0, -100)
    expect(number).to_have_text(f"{len(answers) - 1} / {len(answers)}")
    page.locator("#stage canvas").evaluate(TRACKPAD, [-8] * 20)
    expect(number).to_have_text(f"{len(answers) - 3} / {len(answers)}")
    page.locator("#stage canvas").evaluate(TRACKPAD, [-100, -40, 40, 39])  # turned round in between
    expect(number).to_have_text(f"{len(answers) - 4} / {len(answers)}")
    expect(page.locator("#live")).to_contain_text(f"Slice {len(answers) - 4} of {len(answers)}: ")
    page.keyboard.press("Home")
    expect(number).to_have_text(f"1 / {len(answers)}")
    page.get_by_role("button", name="Most suspicious", exact=True).click()
    expect(page.locator("#slice-probability")).to_have_text(f"{answers[best].probability:.3f}")
    page.locator("#suspicious button").nth(1).click()
    expect(number).not_to_have_text(f"{best + 1} / {len(answers)}")


@contextmanager
def held(page, pattern, go_on=lambda route: route.continue_()):
    """Holds back what the page asks for; gives what lets go of all that was asked for so far, and tells of how many."""
    routes = []

    def hold(route):
        routes.append(route)

    def let_go():
        count = len(routes)
        while routes:
            go_on(routes.pop())
        return count

    page.route(pattern, hold)
    yield let_go
    page.unroute(pattern)
    let_go()


def test_no_picture_stands_under_the_name_of_another(open_page, files, images):
    page = open_page()
    drop(page, images[-1:])
    done(page, 1)
    open_case(page, images[-1].name)
    until(page, lambda: shades(page)["bright"] > 500)
    drop(page, [files / "head.nii.gz"])  # only now, or it might be opened first, and its picture be there already
    done(page, 2)
    loading = page.locator("#stage").get_by_text("Loading")
    expect(loading).to_be_hidden()
    with held(page, re.compile(r"/picture.png\?depth=16$")) as let_go:
        for go in (lambda: open_case(page, "head.nii.gz"), lambda: page.keyboard.press("Home")):
            go()
            expect(loading).to_be_visible()
            until(page, lambda: shades(page) == {"bright": 0, "coloured": 0})
            until(page, lambda: let_go() == 0 and loading.is_hidden())
            until(page, lambda: shades(page)["bright"] > 50)


def test_the_table_sorts_filters_and_finds(open_page, images, expected):
    page = open_page()
    drop(page, images)
    done(page, len(images))
    names = page.locator("#case-rows .case-name")
    page.get_by_role("button", name="Probability").click()
    by_probability = sorted(expected, key=lambda name: -(expected[name].probability or -1))
    expect(names).to_have_text(by_probability)
    expect(page.locator("th[data-by=probability]")).to_have_attribute("aria-sort", "descending")
    page.get_by_role("button", name="Case", exact=True).click()
    expect(names).to_have_text(sorted(expected, key=natural))
    page.locator("#filters button", has_text="No tumor").click()
    expect(names).to_have_text(sorted(name for name, answer in expected.items() if answer.decision == "no_tumor"))
    page.locator("#search").fill("nothing like it")
    expect(names).to_have_count(0)
    expect(page.locator("#no-match")).to_be_visible()
    page.get_by_role("button", name="Show all").click()
    expect(names).to_have_count(len(images))
    page.get_by_role("button", name="Table only").click()
    expect(page.locator("#case-title")).to_be_hidden()
    expect(row(page, "holiday.png").locator(".cell-why")).to_contain_text(expected["holiday.png"].detail)
    page.keyboard.press("ArrowDown")
    expect(page.locator("#live")).to_contain_text(f"{names.nth(1).inner_text()}: ")
    expect(page.locator("#case-title")).to_be_hidden()
    page.locator("#case-rows .selected button").press("Enter")
    expect(page.locator("#case-title")).to_have_text(names.nth(1).inner_text())


def test_a_row_keeps_the_focus_while_others_come(open_page, images):
    page = open_page()
    drop(page, images[:1])
    done(page, 1)
    page.get_by_role("button", name="Probability").click()
    focused = page.locator("#case-rows .case-open", has_text=images[0].name)
    focused.focus()
    for count in range(2, len(images) + 1):
        drop(page, images[count - 1 : count])
        done(page, count)
        expect(focused).to_be_focused()
    page.get_by_role("button", name="Probability").evaluate("button => button.click()")  # the focus stays
    expect(page.locator("th[data-by=probability]")).to_have_attribute("aria-sort", "ascending")
    until(page, lambda: page.locator("#case-rows .bar-value").first.inner_text() == "–")
    expect(focused).to_be_focused()


def test_show_more_leads_to_what_it_showed(open_page, tmp_path):
    for place in range(201):
        (tmp_path / f"{place}.png").write_bytes(b"\x89PNG not really")
    with serving("--keep", tmp_path / "history") as (url, _):
        page = open_page(url)
        drop(page, sorted(tmp_path.glob("*.png")))
        expect(page.locator("#more")).to_be_visible()
        expect(page.locator("body")).to_have_attribute("data-busy", "false")
        page.locator("#more").press("Enter")
        expect(page.locator("#case-rows .case-open").nth(200)).to_be_focused()
        page.get_by_role("link", name="History").click()
        for shown in range(50, 201, 50):
            expect(page.locator("#history-rows tr")).to_have_count(shown)
            page.locator("#history-more").press("Enter")
        expect(page.locator("#history-rows .case-open").nth(200)).to_be_focused()


def test_exports_hold_what_the_list_shows(open_page, files, images, expected, bundle):
    page = open_page()
    drop(page, [*images, files / "head.nii.gz"])
    done(page, len(images) + 1)
    rows = list(csv.DictReader(io.StringIO(downloaded(page, "#export-csv"))))
    assert list(rows[0]) == list(COLUMNS)
    assert len(rows) == len(images) + 9
    for found in (found for found in rows if not found["volume"]):
        answer = expected[found["path"]]
        assert (found["status"], found["decision"], found["detail"]) == (answer.status, answer.decision, answer.detail)
        assert found["reason"] == answer.reason
        assert found["probability"] == ("" if answer.probability is None else str(round(answer.probability, 6)))
    page.locator("#filters button", has_text="Refer").click()
    expect(page.locator("#case-rows tr")).to_have_count(1)
    saved = json.loads(downloaded(page, "#export-json"))
    assert [answer["path"] for answer in saved["answers"]] == ["holiday.png"]
    assert saved["threshold"] == bundle.thresholds["balanced"] and "Research use only" in saved["notice"]
    page.locator("#filters button", has_text="All").click()
    expect(page.locator("#case-rows tr")).to_have_count(len(images) + 1)
    report = downloaded(page, "#export-report")
    names = re.findall(r'data-name="([^"]*)"', report)
    assert sorted(names) == sorted(found["path"] for found in rows)  # as `brainsift predict --report` lists them
    readable = sum(found["status"] != "unreadable" for found in rows)
    assert report.count('src="data:image/jpeg') == readable and "Research use only" in report


def test_volumes_of_one_slice_are_exported_as_the_command_line_does(open_page, tmp_path, bundle):
    y, x = np.mgrid[:120, :160]
    photo = (128 + 127 * np.sin(x / 9) * np.cos(y / 7)).astype(np.int16)
    head = stack(12, 9)[5, ::-1, ::-1].T.astype(np.int16)
    (tmp_path / "study").mkdir()
    for name, pixels in (("head.nii", head), ("photo.nii", photo)):
        nibabel.Nifti1Image(pixels[..., None], np.eye(4)).to_filename(tmp_path / "study" / name)
    write_series(tmp_path / "study" / "short", 8, 1)
    (scan,) = (tmp_path / "study" / "short").iterdir()
    short = pydicom.dcmread(scan)
    short.PixelData, short.SeriesInstanceUID = short.PixelData[:100], "1.2.4"
    short.save_as(scan)
    write_series(tmp_path / "study" / "whole", 8, 6)
    paths = find_images([tmp_path / "study"])
    volumes = summarise_volumes(Predictor(bundle, threads=1).predict(paths), make_rule(bundle))
    page = open_page()
    page.set_input_files("#pick-folder", tmp_path / "study")
    done(page, len(volumes))
    saved = json.loads(downloaded(page, "#export-json"))
    same = ("n_slices", "n_scored", "n_not_brain_mri", "n_unreadable", "decision", "threshold", "reason")

    def comparable(one, suspicious):
        probability = None if one["probability"] is None else round(one["probability"], 6)
        return (*(one[name] for name in same), probability, len(suspicious))

    wanted = [comparable(one.to_dict(), one.suspicious) for one in volumes]
    found = [comparable(one, one["suspicious"]) for one in saved["volumes"]]
    assert sorted(found, key=str) == sorted(wanted, key=str)
    assert Counter(one.n_scored for one in volumes) == {0: 2, 1: 1, 6: 1}  # else the files show too little
    paths = {answer["path"] for answer in saved["answers"]}
    assert {name for one in saved["volumes"] for name in one["suspicious"]} <= paths


def test_names_are_text_never_markup(open_page, files, tmp_path):
    name = "<img src=x onerror=alert(1)>.png"
    shutil.copy(files / "tumor-4.png", tmp_path / name)
    page = open_page()
    page.set_input_files("#pick-files", tmp_path / name)
    done(page, 1)
    expect(page.locator("#case-title")).to_have_text(name)
    assert page.locator("img[src=x]").count() == 0
    assert "<img src=x" not in downloaded(page, "#export-report")


def test_history_is_searched_judged_exported_and_deleted(open_page, server, images):
    page = open_page()
    drop(page, images)
    done(page, len(images))
    page.get_by_role("link", name="History").click()
    page.locator("#history-decision").select_option("unreadable")
    expect(page.locator("#history-rows tr").filter(has_not_text="Unreadable")).to_have_count(0)
    expect(page.locator("#history-rows tr").filter(has_text="broken.png").first).to_be_visible()
    page.locator("#history-decision").select_option("")
    page.locator("#history-search").fill("tumor-12")
    expect(page.locator("#history-rows tr").filter(has_not_text="tumor-12.png")).to_have_count(0)
    kept = page.locator("#history-rows tr").filter(has_text="tumor-12.png")
    kept.first.get_by_role("button").click()
    expect(page.locator("#case-title")).to_have_text("tumor-12.png")
    until(page, lambda: page.locator("#stage canvas").evaluate(SHADES)["coloured"] > 500)
    page.locator("#case-verdict label", has_text="Disagree").first.click()
    expect(page.locator(".save-state").first).to_have_text("Saved")
    page.locator("#case-verdict textarea").first.fill("a vessel")
    page.locator("#case-verdict textarea").first.blur()
    expect(kept.first.locator(".badge")).to_have_text("Disagree")
    expect(kept.first.locator(".has-note")).to_be_visible()
    page.locator("#history-verdicts").select_option("disagree")
    expect(page.locator("#history-total")).to_have_text("1 case")
    with page.expect_download() as download:
        page.locator("#history-export summary").click()
        page.locator("#export-images").click()
    table = list(csv.DictReader(io.StringIO(Path(download.value.path()).read_text(encoding="utf-8"))))
    assert [(found["verdict"], found["note"]) for found in table if found["verdict"]] == [("disagree", "a vessel")]
    page.locator("#delete-case").click()
    page.get_by_role("button", name="Keep").click()
    expect(page.locator("#history-total")).to_have_text("1 case")
    page.locator("#delete-case").click()
    page.get_by_role("button", name="Delete", exact=True).click()
    expect(page.locator("#history-empty")).to_be_visible()
    page.locator("#history-verdicts").select_option("")
    page.locator("#history-search").fill("")
    expect(page.locator("#history-rows tr").first).to_be_visible()
    page.locator("#history-delete-all").click()
    page.get_by_role("button", name="Delete all").last.click()
    expect(page.locator("#history-total")).to_have_text("0 cases")


def test_a_verdict_is_given_where_the_case_is_looked_at(open_page, server, images):
    page = open_page()
    drop(page, images[-1:])
    done(page, 1)
    expect(page.locator("#case-verdict")).to_be_visible()
    page.locator("#case-verdict label", has_text="Unsure").first.click()
    expect(page.locator(".save-state").first).to_have_text("Saved")
    page.locator("#case-verdict textarea").first.fill("typed until the reload")
    page.reload()
    page.get_by_role("link", name="History").click()
    page.locator("#history-verdicts").select_option("unsure")
    expect(page.locator("#history-total")).to_have_text("1 case")
    wanted = {"query": "typed until the reload"}
    until(page, lambda: requests.get(f"{server}/api/v1/history", params=wanted).json()["total"] == 1)


def test_a_verdict_that_is_not_saved_is_taken_back(open_page, images):
    page = open_page(strict=False)  # Chromium writes the refusal to its console
    drop(page, images[-2:])
    done(page, 2)
    open_case(page, images[-2].name)
    expect(page.locator("#case-verdict")).to_be_visible()
    with held(page, "**/verdict", lambda route: route.fulfill(status=507, body="full")) as let_go:
        page.locator("#case-verdict label", has_text="Disagree").first.click()
        until(page, let_go)
        expect(page.locator(".save-state").first).to_contain_text("Not saved")
        expect(page.locator(".save-state").first).to_be_in_viewport()
        expect(page.locator("#case-verdict input:checked")).to_have_count(0)
        page.locator("#case-verdict label", has_text="Disagree").first.click()
        open_case(page, images[-1].name)
        expect(page.locator("#case-verdict")).to_be_visible()
        until(page, let_go)
        expect(page.locator("#live")).to_contain_text(f"The verdict on {images[-2].name} was not saved")
        expect(page.locator(".save-state").first).to_be_empty()


def test_a_case_that_was_deleted_elsewhere_leaves_the_list(open_page, server, images):
    page = open_page(strict=False)  # Chromium writes to its console that it is not there
    drop(page, images[-1:])
    done(page, 1)
    expect(page.locator("#case-verdict")).to_be_visible()
    page.get_by_role("link", name="History").click()
    first = page.locator("#history-rows tr").first
    first.evaluate("row => row.id = 'going'")
    newest = requests.get(f"{server}/api/v1/history", params={"limit": 1}).json()["cases"][0]["id"]
    assert requests.delete(f"{server}/api/v1/history/{newest}").ok
    first.get_by_role("button").click()
    expect(page.locator("#going")).to_have_count(0)
    expect(page.locator("#history-error")).to_be_visible()
    expect(page.locator("#case-body")).to_be_hidden()


def test_a_verdict_is_asked_for_however_long_the_keeping_takes(open_page, files):
    page = open_page()
    looks = []

    def slowly(route):
        reply = route.fetch()
        job = reply.json()
        if job["state"] == "done":
            looks.append(job["cases"])
        route.fulfill(response=reply, json={**job, "cases": job["cases"][: max(0, len(looks) - 4)]})

    page.route(re.compile(r"/jobs/.*after=9007199254740991"), slowly)
    drop(page, [files / "head.nii.gz"])
    done(page, 1)
    expect(page.locator("#case-verdict")).to_be_visible()
    assert len(looks) > 10


def test_a_volume_of_the_history_is_one_case_with_its_slices(open_page, files, images):
    page = open_page(strict=False)  # Chromium writes to its console that what was deleted is not there
    drop(page, [images[0], files / "head.nii.gz"])
    done(page, 2)
    open_case(page, "head.nii.gz")
    shown = [page.locator(node).inner_text() for node in ("#answer-number", "#answer-scale", "#answer-words")]
    expect(page.locator("#case-verdict")).to_be_visible()
    page.get_by_role("link", name="History").click()
    page.locator("#history-search").fill("head.nii")
    expect(page.locator("#history-rows tr").filter(has_not_text="head.nii.gz")).to_have_count(0)
    kept = page.locator("#history-rows tr").first
    expect(kept).to_contain_text("9 slices")
    kept.get_by_role("button").click()
    expect(page.locator("#case-body")).to_be_visible()  # hidden, it still holds what was shown before
    expect(page.locator("#case-where")).to_contain_text("network")
    expect(page.locator("#answer-kind")).to_have_text("Volume, 9 slices")
    assert [page.locator(node).inner_text() for node in ("#answer-number", "#answer-scale", "#answer-words")] == shown
    expect(page.locator("#strip .strip-bar")).to_have_count(9)
    until(page, lambda: shades(page)["coloured"] > 500)
    page.keyboard.press("Home")
    expect(page.locator("#slice-number")).to_have_text("1 / 9")
    page.locator("#case-verdict label", has_text="Disagree").first.click()
    expect(kept.locator(".badge")).to_have_text("Disagree")
    page.locator("#slice-verdict summary").click()
    expect(page.locator("#slice-verdict-title")).to_have_text("On slice 1 alone")
    page.locator("#slice-verdict label", has_text="Unsure").click()
    expect(page.locator("#slice-verdict .save-state")).to_have_text("Saved")
    page.get_by_role("button", name="Next slice").click()
    expect(page.locator("#slice-verdict input:checked")).to_have_count(0)
    tables = {}
    for of in ("cases", "images"):
        page.locator("#history-export summary").click()
        with page.expect_download() as download:
            page.locator(f"#export-{of}").click()
        rows = csv.DictReader(io.StringIO(Path(download.value.path()).read_text(encoding="utf-8")))
        tables[of] = [(row["verdict"], row["label"]) for row in rows if row["name"].startswith("head.nii.gz")]
    assert ("disagree", "0" if "Tumor" in page.locator("#answer-decision").inner_text() else "1") in tables["cases"]
    assert ("unsure", "") in tables["images"] and ("disagree", "0") not in tables["images"]
    page.locator("#delete-case").click()
    page.get_by_role("button", name="Delete", exact=True).click()
    page.get_by_role("link", name="Cases").click()
    expect(page.locator("#case-title")).to_have_text("head.nii.gz")
    expect(page.locator("#delete-case")).to_be_hidden()


def test_a_case_of_the_history_that_comes_late_stays_there(open_page, files, images):
    page = open_page()
    drop(page, [images[-1], files / "head.nii.gz"])
    done(page, 2)
    open_case(page, "head.nii.gz")
    expect(page.locator("#case-verdict")).to_be_visible()  # it is kept
    open_case(page, images[-1].name)
    page.get_by_role("link", name="History").click()
    with held(page, "**/history/*/slices") as let_go:
        with page.expect_request("**/history/*/slices"):
            page.locator("#history-rows tr").filter(has_text="head.nii.gz").first.get_by_role("button").click()
        page.get_by_role("link", name="Cases").click()
        expect(page.locator("#case-title")).to_have_text(images[-1].name)
        with page.expect_response("**/history/*/slices"):
            let_go()
    page.evaluate("() => fetch('/api/v1/model').then((reply) => reply.text())")
    expect(page.locator("#case-where")).to_be_empty()
    expect(page.locator("#case-title")).to_have_text(images[-1].name)
    page.get_by_role("link", name="History").click()
    expect(page.locator("#case-where")).to_contain_text("network")
    expect(page.locator("#case-title")).to_have_text("head.nii.gz")


def test_about_shows_the_model_card(open_page, bundle):
    page = open_page()
    page.get_by_role("link", name="About").click()
    expect(page.locator("#about-notice")).to_have_text(bundle.notice)
    rows = page.locator("#performance tbody tr")
    expect(rows).to_have_count(len(bundle.provenance["figures"]))
    expect(page.locator("#facts")).to_contain_text(bundle.name)
    expect(page.locator("#performance h3")).to_have_text("Held-out groups, all sources together")
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Keyboard shortcuts")).to_be_visible()
    page.keyboard.press("Escape")
    for title, text in statements(bundle):
        expect(page.get_by_role("region", name=title, exact=True)).to_have_text(title + text)


def test_dark_follows_the_system_and_the_button(open_page):
    page = open_page(color_scheme="dark")
    background = "() => getComputedStyle(document.body).backgroundColor"
    dark = page.evaluate(background)
    page.locator("#theme").click()
    light = page.evaluate(background)
    assert dark != light
    page.reload()
    assert page.evaluate(background) == light
    expect(page.locator("#theme")).to_have_attribute("aria-label", "Theme: light")
    page.locator("#theme").click()
    assert page.evaluate(background) == dark


def test_a_phone_shows_one_thing_at_a_time(open_page, files, images):
    page = open_page(**PHONE)

    def fits():
        return page.evaluate("() => document.documentElement.scrollWidth <= window.innerWidth")

    assert fits()
    page.set_input_files("#pick-files", [*images, files / "head.nii.gz"])
    done(page, len(images) + 1)
    expect(page.locator("#case-title")).to_be_hidden()
    assert fits()
    page.locator(".threshold summary").tap()
    assert fits()
    row(page, "head.nii.gz").get_by_role("button").tap()
    expect(page.locator("#case-title")).to_be_visible()
    expect(page.locator("#search")).to_be_hidden()
    assert fits()
    page.get_by_role("button", name="Back to the list").tap()
    expect(page.locator("#search")).to_be_visible()
    row(page, images[0].name).get_by_role("button").tap()
    expect(page.locator("#search")).to_be_hidden()
    page.go_back()  # the system's
    expect(page.locator("#search")).to_be_visible()
    page.go_forward()
    expect(page.locator("#case-title")).to_have_text(images[0].name)
    page.go_back()
    expect(page.locator("#search")).to_be_visible()
    for view in ("History", "About"):
        page.get_by_role("link", name=view).tap()
        assert fits()


OVERFLOW = """() => {
  const boxes = [document.documentElement, ...document.querySelectorAll(
    ".list-pane, .case-pane, .list-head, .table-box, .segments, .segment, .filter-bar, .cases th, .cases td")];
  return boxes.filter((box) => box.clientWidth && box.scrollWidth > box.clientWidth)
    .map((box) => `${box.className || box.tagName}: ${box.innerText.slice(0, 30)}`);
}"""


def test_nothing_overflows_its_pane_at_any_width(open_page, files, images):
    page = open_page()
    drop(page, [*images, files / "head.nii.gz"])
    done(page, len(images) + 1)
    open_case(page, "head.nii.gz")
    expect(page.locator("#case-verdict")).to_be_visible()
    page.locator("#case-verdict label", has_text="Disagree").first.click()
    expect(page.locator(".save-state").first).to_have_text("Saved")
    for view in ("Cases", "History"):
        page.get_by_role("link", name=view).click()
        expect(page.locator(f"#view-{view.lower()} tbody tr", has_text="head.nii.gz").first).to_be_attached()
        for width in (1440, 1180, 1024, 760, 360, 320):
            page.set_viewport_size({"width": width, "height": 800})
            page.locator(f"#view-{view.lower()}").evaluate("view => { view.dataset.pane = 'list'; }")
            assert (view, width, page.evaluate(OVERFLOW)) == (view, width, [])
        page.set_viewport_size({"width": 1440, "height": 900})


def test_a_small_screen_shows_a_case_from_its_top_and_more_than_one_row(open_page, images):
    page = open_page(viewport={"width": 1024, "height": 500})
    drop(page, images)
    done(page, len(images))
    assert page.locator("#view-cases .table-box").evaluate("box => box.scrollHeight <= box.clientHeight")
    expect(page.locator("#case-rows tr").first).to_have_class("selected")
    pane = page.locator("#case-pane")
    pane.evaluate("pane => { pane.scrollTop = 200; }")
    assert pane.evaluate("pane => pane.scrollTop") > 0
    page.locator("#next-case").evaluate("button => button.click()")
    expect(page.locator("#case-rows tr").nth(1)).to_have_class(re.compile("selected"))
    until(page, lambda: pane.evaluate("pane => pane.scrollTop") == 0)


def test_high_contrast_tells_apart_what_is_chosen(open_page, images):
    page = open_page(forced_colors="active")
    drop(page, images)
    done(page, len(images))
    open_case(page, images[-1].name)

    def drawn(node):
        return page.locator(node).first.evaluate(
            "node => ['backgroundColor', 'borderColor', 'outlineStyle'].map((name) => getComputedStyle(node)[name])"
        )

    switch = page.locator("#case-tools .switch")
    on = drawn("#case-tools .switch")
    switch.uncheck()
    assert drawn("#case-tools .switch") != on
    for kind, chosen in (
        ("#filters button", "[aria-pressed=true]"),
        ("#views a", "[aria-current]"),
        ("#case-rows tr", ".selected"),
    ):
        assert drawn(f"{kind}{chosen}") != drawn(f"{kind}:not({chosen})")


def test_keys_are_enough(open_page, files, images):
    page = open_page()
    page.on("filechooser", lambda chooser: chooser.set_files([*images, files / "head.nii.gz"]))
    page.keyboard.press("Tab")
    expect(page.get_by_text("Skip to the content")).to_be_focused()
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="brainsift")).to_be_focused()  # there is no case to skip to
    page.get_by_role("button", name="Choose files").focus()
    page.keyboard.press("Enter")
    done(page, len(images) + 1)
    first = page.locator("#case-rows .case-open").first
    first.focus()
    page.keyboard.press("ArrowDown")
    expect(page.locator("#case-rows tr").nth(1)).to_have_class(re.compile("selected"))
    expect(page.locator("#case-rows .case-open").nth(1)).to_be_focused()
    expect(page.locator("#live")).to_contain_text(f"{page.locator('#case-title').inner_text()}: ")
    page.keyboard.press("ArrowUp")
    expect(first).to_have_attribute("aria-current", "true")
    page.keyboard.press("Enter")
    expect(page.locator("#case-title")).to_be_focused()
    first.focus()
    page.get_by_text("Skip to the case").press("Enter")
    expect(page.locator("#case-title")).to_be_focused()
    page.keyboard.press("/")
    expect(page.locator("#search")).to_be_focused()
    page.keyboard.type("head")
    expect(page.locator("#case-rows tr")).to_have_count(1)
    page.keyboard.press("Tab")
    page.locator("#case-rows .case-open").first.focus()
    page.keyboard.press("Enter")
    expect(page.locator("#case-title")).to_have_text("head.nii.gz")
    page.keyboard.press("End")
    expect(page.locator("#slice-number")).to_have_text("9 / 9")
    page.keyboard.press("ArrowLeft")
    expect(page.locator("#slice-number")).to_have_text("8 / 9")
    page.keyboard.press("Shift+S")
    expect(page.locator("#slice-probability")).to_have_text(page.locator("#suspicious .figures").first.inner_text())
    page.keyboard.press("M")
    expect(page.locator("#case-tools").get_by_label("Opacity")).to_have_value("0")
    page.keyboard.press("+")
    expect(page.locator(".zoom-words").first).to_have_text("125\u00a0%")
    page.locator("input[name=threshold][value=balanced]").focus()
    page.keyboard.press("ArrowRight")
    expect(page.locator("#threshold-name")).to_have_text("Screening")
    page.locator("#case-rows .case-open").first.focus()
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Keyboard shortcuts")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog", name="Keyboard shortcuts")).to_be_hidden()


@pytest.mark.parametrize("look", [{}, {"color_scheme": "dark"}, PHONE], ids=["light", "dark", "phone"])
def test_no_serious_barrier_in_any_view(open_page, files, images, look):
    page = open_page(**look)
    options = {"resultTypes": ["violations"]}
    if "color_scheme" in look:  # only colours differ from the light page
        options["runOnly"] = {"type": "rule", "values": ["color-contrast"]}
    found = {}

    def check(view):
        violations = axe_api.Axe().run(page, options=options).response["violations"]
        serious = [one for one in violations if one["impact"] in ("serious", "critical")]
        found[view] = [(one["id"], [node["html"][:120] for node in one["nodes"]][:3]) for one in serious]

    check("empty")
    page.set_input_files("#pick-files", [*images, files / "head.nii.gz"])
    done(page, len(images) + 1)
    page.locator(".threshold").evaluate("details => { details.open = true; }")
    check("list")
    for name in ("head.nii.gz", "holiday.png"):
        open_case(page, name)
        check(name)
        if "is_mobile" in look:
            page.get_by_role("button", name="Back to the list").click()
    if not look:
        open_case(page, "broken.png")
        check("broken.png")
        page.get_by_role("button", name="Table only").click()
        check("table")
        page.locator("#help").click()
        check("shortcuts")
        page.keyboard.press("Escape")
    page.get_by_role("link", name="History").click()
    page.locator("#history-rows button").first.click()
    check("history")
    page.get_by_role("link", name="About").click()
    check("about")
    assert not {view: serious for view, serious in found.items() if serious}


def test_a_busy_server_is_asked_again(open_page, images):
    with serving("--queue", "1") as (url, _):
        page = open_page(url, strict=False)  # Chromium writes each 429 to its console
        with occupied(url), page.expect_response(lambda reply: reply.status == 429):
            drop(page, images)
        done(page, len(images))
        page.get_by_role("link", name="History").click()
        expect(page.locator("#history-off")).to_contain_text("--keep")


def test_a_lost_server_is_told_and_found_again(open_page, images):
    with serving() as (url, process):
        page = open_page(url, strict=False)
        page.route("**/picture.png?side=96", lambda route: route.abort())
        drop(page, images[-2:])
        done(page, 2)
        expect(page.locator("#case-rows .thumb > *")).to_have_count(0)  # above all not the sign of what is unreadable
        process.send_signal(signal.SIGTERM)
        process.wait(30)
        open_case(page, images[-2].name)
        expect(page.get_by_role("alert")).to_contain_text("does not answer")
        expect(page.locator(".stage-message")).to_contain_text("cannot be reached")
    with serving("--port", url.rsplit(":", 1)[1]) as (_, process):
        expect(page.get_by_role("alert")).to_be_hidden()  # nothing else is asked for
        expect(page.locator(".stage-message")).to_contain_text("no longer has this picture")
        process.send_signal(signal.SIGTERM)
        process.wait(30)
        drop(page, images[:1])
        expect(page.get_by_role("alert")).to_contain_text("does not answer")
    with serving("--port", url.rsplit(":", 1)[1]):
        done(page, 3)
        expect(page.get_by_role("alert")).to_be_hidden()


def test_a_file_beyond_the_limits_is_refused_in_words(open_page, tmp_path):
    with serving("--upload-mb", "1") as (url, _):
        page = open_page(url, strict=False)
        (tmp_path / "large.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(2 * 2**20))
        page.set_input_files("#pick-files", tmp_path / "large.png")
        done(page, 1)
        open_case(page, "large.png")
        expect(page.locator("#answer-reason")).to_contain_text("larger than")
        page.reload()
        done(page, 1)
        open_case(page, "large.png")
        expect(page.locator("#answer-reason")).to_contain_text("larger than")
        page.get_by_role("button", name="Clear the list").click()
        page.get_by_role("button", name="Clear", exact=True).click()
        expect(page.locator("#case-rows tr")).to_have_count(0)
        page.reload()
        expect(page.locator("body[data-ready=true]")).to_be_attached()
        expect(page.locator("#case-rows tr")).to_have_count(0)


HOLD = """() => {
  const { send } = XMLHttpRequest.prototype;
  const held = new Promise((resolve) => { window.letGo = resolve; });
  XMLHttpRequest.prototype.send = function (body) { held.then(() => send.call(this, body)); };
}"""


def test_a_file_that_is_gone_before_it_is_sent_holds_up_no_other(open_page, files, images, tmp_path):
    page = open_page(strict=False)  # Chromium writes what it cannot send to its console
    picked = [Path(shutil.copy(path, tmp_path)) for path in [*images, files / "head.nii.gz"]]
    page.evaluate(HOLD)
    page.set_input_files("#pick-files", picked)
    expect(page.locator("body")).to_have_attribute("data-busy", "true")
    moved, changed = gone = [picked[-1], picked[-2]]
    moved.unlink()
    changed.write_bytes(b"another")
    os.utime(changed, (0, 0))
    page.evaluate("letGo()")
    done(page, len(picked))
    for path in picked:
        said = expect(row(page, path.name).locator(".cell-why"))
        (said.to_contain_text if path in gone else said.not_to_contain_text)("was moved or changed")
    unread = page.locator("#case-rows td .decision", has_text="Unreadable")
    expect(unread).to_have_count(len(gone) + 1)  # and broken.png
    expect(page.get_by_role("alert")).to_be_hidden()


def test_dicom_files_beyond_one_upload_are_refused_whole(open_page, files, images, tmp_path):
    shutil.copytree(files / "study", tmp_path / "study")
    for path in images:
        shutil.copy(path, tmp_path / "study")
    write_series(tmp_path / "study" / "short", 8, 4)
    with serving("--files", "5") as (url, _):
        page = open_page(url)
        page.set_input_files("#pick-folder", tmp_path / "study")
        done(page, len(images) + 2)
        open_case(page, "study/ax t1/")
        expect(page.locator("#answer .decision")).to_have_text("Unreadable")
        reason = page.locator("#answer-reason")
        expect(reason).to_contain_text("6 DICOM files")
        expect(reason).to_contain_text("5 files")
        expect(reason).to_contain_text("--files")
        expect(row(page, "short").or_(row(page, "series 1"))).to_contain_text("4 slices")
    with serving("--upload-mb", "1") as (url, _):
        page = open_page(url)
        write_series(tmp_path / "large" / "ax", 8, 6)
        for path in (tmp_path / "large" / "ax").iterdir():
            path.write_bytes(path.read_bytes() + bytes(2**18))
        page.set_input_files("#pick-folder", tmp_path / "large")
        done(page, 1)
        expect(page.locator("#answer-reason")).to_contain_text("--upload-mb")
