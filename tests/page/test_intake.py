"""Files come in: dropped, dragged, picked; what is left out, refused or lost is said."""

import csv
import io
import os
import re
import shutil
import zipfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import requests
from playwright.sync_api import expect

from brainsift.inference.decision import make_rule
from brainsift.inference.predictor import Predictor
from brainsift.inference.volume_decision import summarise_volumes
from brainsift.volumes.inputs import find_images

from .actions import (
    PHONE,
    WORDS,
    called,
    download,
    drag,
    drop,
    open_case,
    read_shades,
    row,
    wait_until,
    wait_until_scored,
)
from .scans import SIDE, draw_volume, write_nifti, write_series

pytestmark = pytest.mark.browser


def test_a_drop_of_all_kinds_is_answered_as_the_command_line_does(open_page, files, images, expected, bundle):
    page = open_page()
    expect(page.get_by_role("heading", name="Is there a tumor")).to_be_visible()
    expect(page.locator("#privacy")).to_contain_text("stay on this machine")
    drop(page, [*images, files / "head.nii.gz"])
    wait_until_scored(page, len(images) + 1)
    for name, answer in expected.items():
        expect(row(page, name).locator("td .decision")).to_have_text(called(answer))
        shown = f"{answer.probability:.3f}" if answer.status == "ok" else "–"
        expect(row(page, name).locator(".bar-value")).to_have_text(shown)
    slices = list(Predictor(bundle, threads=1).predict([files / "head.nii.gz"]))
    volume = summarise_volumes(slices, make_rule(bundle))[0]
    expect(row(page, "head.nii.gz").locator("td .decision")).to_have_text(WORDS[volume.decision])
    expect(row(page, "head.nii.gz").locator(".bar-value")).to_have_text(f"{volume.probability:.3f}")
    assert {called(answer) for answer in expected.values()} == set(WORDS.values()) - {
        "Refer"
    }  # else the files show too little
    expect(page.locator("#live")).to_contain_text("Done.")


def test_a_folder_with_a_series_is_one_case_and_other_files_are_left_out(open_page, files):
    page = open_page()
    page.set_input_files("#pick-folder", files / "study")
    wait_until_scored(page, 1)
    expect(page.locator("#skipped")).to_contain_text("1 file")
    expect(page.locator("#prediction-kind")).to_have_text("Volume, 6 slices")
    expect(page.locator("#case-where")).to_have_text("study/ax t1")


def test_a_folder_that_is_dragged_in_is_walked(open_page, files, images, tmp_path):
    shutil.copytree(files / "study", tmp_path / "study")
    (tmp_path / "study" / "deeper").mkdir()
    shutil.copy(images[-1], tmp_path / "study" / "deeper")
    for place in range(119):  # a browser lists 100 files at a time
        shutil.copy(files / "broken.png", tmp_path / "study" / "deeper" / f"{place}.png")
    page = open_page()
    drag(page, tmp_path / "study", images[-1])
    wait_until_scored(page, 122)
    expect(page.locator("#skipped")).to_have_text("1 file is not an image and was left out.")
    shown = page.locator("#case-rows .case-name").all_text_contents()[:8]  # only rows in view are there
    assert [shown[0], *shown[2:]] == [images[-1].name, *(f"{place}.png" for place in range(6))]
    expect(row(page, "IM0001").or_(row(page, "series 1"))).to_contain_text("6 slices")
    page.locator("#search").fill("118.png")
    open_case(page, "118.png")
    page.locator("#search").fill("")
    expect(page.locator("#case-where")).to_have_text("study/deeper")
    page.reload()
    wait_until_scored(page, 122)
    page.keyboard.press("Control+Home")
    assert page.locator("#case-rows .case-name").all_text_contents()[:8] == shown
    paths = [found["path"] for found in csv.DictReader(io.StringIO(download(page, "#export-csv")))]
    assert {f"study/deeper/{images[-1].name}", images[-1].name} < set(paths) and len(set(paths)) == 127
    expect(page.locator("body")).not_to_have_class(re.compile("dragging"))


def test_a_series_in_several_folders_is_one_case_as_on_the_command_line(open_page, tmp_path, bundle):
    write_series(tmp_path / "study" / "a", 8, 6)
    write_series(tmp_path / "study" / "c", 4, 4)  # another series
    (tmp_path / "study" / "b").mkdir()
    for name in ("IM0004", "IM0005", "IM0006"):
        (tmp_path / "study" / "a" / name).rename(tmp_path / "study" / "b" / name.replace("4", "1"))
    answers = list(Predictor(bundle, threads=1).predict(find_images([tmp_path / "study"])))
    told = {answer.path.removeprefix(f"{tmp_path}/"): str(answer.to_dict()["probability"]) for answer in answers}
    volumes = summarise_volumes(answers, make_rule(bundle))
    page = open_page()
    page.set_input_files("#pick-folder", tmp_path / "study")
    wait_until_scored(page, 2)
    for _ in range(2):
        rows = list(csv.DictReader(io.StringIO(download(page, "#export-csv"))))
        assert {one["path"]: one["probability"] for one in rows} == told
        assert sorted(Counter(one["volume"] for one in rows).values()) == sorted(one.n_slices for one in volumes)
        page.reload()
        wait_until_scored(page, 2)


def test_an_archive_of_a_series_is_one_case(open_page, files, tmp_path):
    with zipfile.ZipFile(tmp_path / "study.zip", "w") as archive:
        for path in sorted((files / "study").rglob("*")):
            archive.write(path, path.relative_to(files))
    page = open_page()
    drag(page, tmp_path / "study.zip")
    wait_until_scored(page, 1)
    expect(page.locator("#prediction-kind")).to_have_text("Volume, 6 slices")
    wait_until(page, lambda: read_shades(page)["bright"] > 500)


def test_stop_ends_what_runs_and_leaves_what_is_there(open_page, images, tmp_path):
    write_nifti(tmp_path / "long.nii", np.repeat(draw_volume(12, 9)[4:5, ::3, ::3], 3000, axis=0))
    page = open_page()
    drop(page, images[-1:])
    wait_until_scored(page, 1)
    page.set_input_files("#pick-files", tmp_path / "long.nii")
    expect(page.locator("#progress-words")).to_contain_text("of 3,000")
    with page.expect_response(lambda reply: reply.request.method == "DELETE" and "/jobs/" in reply.url) as deleted:
        page.get_by_role("button", name="Stop").click()
    assert deleted.value.status == 204
    wait_until_scored(page, 1)
    expect(page.locator("#progress")).to_be_hidden()
    expect(page.locator("#skipped")).to_have_text("Stopped. 1 file was not scored.")
    expect(page.locator("#live")).to_have_text("Stopped. 1 file was not scored.")
    expect(page.get_by_role("button", name="Add files")).to_be_focused()
    drop(page, images[-2:-1])
    wait_until_scored(page, 2)
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
    wait_until_scored(page, 1)
    said = "2 files are not images and were left out. 1 file or folder could not be opened."
    expect(page.locator("#skipped")).to_have_text(said)
    expect(page.locator("#live")).to_contain_text(said)
    page.evaluate("() => { Blob.prototype.text = () => Promise.reject(new DOMException('gone', 'NotFoundError')); }")
    shutil.copy(images[-1], tmp_path / "plain")
    page.evaluate("async () => (await import('/page/banner.js')).fail(new Error('an old one'))")
    expect(page.get_by_role("alert")).to_contain_text("An old one.")
    with page.expect_response(lambda reply: reply.request.method == "POST"):
        page.set_input_files("#pick-files", [tmp_path / "plain", images[-1]])
    wait_until_scored(page, 3)
    expect(page.get_by_role("alert")).to_be_hidden()
    page.evaluate("async () => (await import('/page/banner.js')).fail(new Error('a new one'))")
    page.get_by_role("button", name="Close", exact=True).click()
    expect(page.get_by_role("alert")).to_be_hidden()


def test_what_comes_new_is_shown(open_page, images):
    page = open_page(viewport={"width": 1440, "height": 720})
    drop(page, images[:5])
    wait_until_scored(page, 5)
    expect(page.locator("#case-title")).not_to_be_empty()
    drop(page, images[5:6])  # nobody chose the case that is shown
    expect(page.locator("#case-title")).to_have_text(images[5].name)
    expect(row(page, images[5].name)).to_be_in_viewport()
    open_case(page, images[0].name)
    page.locator("#case-rows tr").first.scroll_into_view_if_needed()
    drop(page, images[6:7])
    expect(row(page, images[6].name)).to_be_in_viewport()
    expect(page.locator("#case-title")).to_have_text(images[0].name)


def test_clear_forgets_here_and_on_the_server(open_page, server, images):
    page = open_page()
    with page.expect_response(lambda reply: reply.request.method == "POST" and reply.url.endswith("/jobs")) as sent:
        drop(page, images)
    wait_until_scored(page, len(images))
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
    wait_until_scored(page, len(picked))
    for path in picked:
        said = expect(row(page, path.name).locator(".cell-why"))
        (said.to_contain_text if path in gone else said.not_to_contain_text)("was moved or changed")
    unread = page.locator("#case-rows td .decision", has_text="Unreadable")
    expect(unread).to_have_count(len(gone) + 1)  # and broken.png
    expect(page.get_by_role("alert")).to_be_hidden()


def test_a_file_beyond_the_limits_is_refused_in_words(open_page, serving, tmp_path):
    with serving(upload_mb=1, threads=1) as running:
        page = open_page(running.url)
        sent = []
        page.on("request", lambda request: request.method == "POST" and sent.append(request.url))
        (tmp_path / "large.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(2 * 2**20))
        page.set_input_files("#pick-files", tmp_path / "large.png")
        wait_until_scored(page, 1)
        open_case(page, "large.png")
        expect(page.locator("#prediction-reason")).to_contain_text("has 2.0 MB, more than the 1 MB of one upload")
        assert sent == []
        page.reload()
        wait_until_scored(page, 1)
        open_case(page, "large.png")
        expect(page.locator("#prediction-reason")).to_contain_text("has 2.0 MB")
        page.get_by_role("button", name="Clear the list").click()
        page.get_by_role("button", name="Clear", exact=True).click()
        expect(page.locator("#case-rows tr")).to_have_count(0)
        page.reload()
        expect(page.locator("body[data-ready=true]")).to_be_attached()
        expect(page.locator("#case-rows tr")).to_have_count(0)


def test_dicom_files_beyond_one_upload_are_refused_whole(open_page, serving, files, images, tmp_path):
    shutil.copytree(files / "study", tmp_path / "study")
    for path in images:
        shutil.copy(path, tmp_path / "study")
    write_series(tmp_path / "study" / "short", 8, 4)
    with serving(files=5, threads=1) as running:
        page = open_page(running.url)
        page.set_input_files("#pick-folder", tmp_path / "study")
        wait_until_scored(page, len(images) + 2)
        open_case(page, "study/ax t1/")
        expect(page.locator("#prediction .decision")).to_have_text("Unreadable")
        reason = page.locator("#prediction-reason")
        expect(reason).to_contain_text("6 DICOM files")
        expect(reason).to_contain_text("5 files")
        expect(reason).to_contain_text("--files")
        expect(row(page, "short").or_(row(page, "series 1"))).to_contain_text("4 slices")
    with serving(upload_mb=1, threads=1) as running:
        page = open_page(running.url)
        write_series(tmp_path / "large" / "ax", 8, 6)
        for path in (tmp_path / "large" / "ax").iterdir():
            path.write_bytes(path.read_bytes() + bytes(2**18))
        page.set_input_files("#pick-folder", tmp_path / "large")
        wait_until_scored(page, 1)
        expect(page.locator("#prediction-reason")).to_contain_text("--upload-mb")


@pytest.mark.parametrize(("look", "listed"), [({}, 0), ({}, 1), (PHONE, 0)], ids=["alone", "case open", "phone"])
def test_the_picture_of_a_volume_is_there_while_it_is_scored(open_page, images, tmp_path, look, listed):
    write_nifti(tmp_path / "long.nii.gz", np.repeat(draw_volume(12, 25), 8, axis=0))
    page = open_page(**look)
    if listed:
        drop(page, images[-1:])
        wait_until_scored(page, 1)
        expect(page.locator("#case-title")).to_have_text(images[-1].name)
    page.evaluate(WATCH_PREVIEW)
    page.set_input_files("#pick-files", tmp_path / "long.nii.gz")
    wait_until_scored(page, listed + 1)
    seen = page.evaluate("() => window.seen")
    assert seen["width"] == SIDE and seen["rows"] == listed and seen["shown"] >= 96
    assert seen["place"] == ("pending" if look or listed else "case-none")
    words = r"long\.nii\.gz: \d+ of 200 slices scored\. The result comes after the last one\."
    assert re.fullmatch(words, seen["words"])
    expect(page.locator("#preview")).to_be_hidden()
    expect(page.locator("#case-title")).to_have_text("long.nii.gz")


WATCH_PREVIEW = """() => {
  const image = document.getElementById('preview-image');
  image.addEventListener('load', () => {
    const words = document.getElementById('preview-words').textContent;
    const rows = document.querySelectorAll('#case-rows tr').length;
    const place = image.closest('#pending, #case-none').id;
    const [width, shown] = [image.naturalWidth, image.clientWidth];
    if (image.checkVisibility()) window.seen = {width, shown, words, rows, place};
  });
}"""
