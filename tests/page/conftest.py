"""What the tests of the page share: drawn files, one server per session, one browser per file, one context per page."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from brainsift.images.phantom import draw
from brainsift.inference.bundle import load_bundle
from brainsift.inference.predictor import Predictor

from .scans import SIDE, draw_volume, write_nifti, write_series

BROWSERS = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")  # the lightest first


@pytest.fixture(scope="session")
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
    write_nifti(folder / "head.nii.gz", draw_volume(12, 9))
    write_series(folder / "study" / "ax t1", 8, 6)
    (folder / "study" / "notes.txt").write_text("no image")
    return folder


@pytest.fixture(scope="session")
def images(files):
    return sorted(path for path in files.iterdir() if path.suffix == ".png")


@pytest.fixture(scope="session")
def bundle():
    return load_bundle()


@pytest.fixture(scope="session")
def expected(images, bundle):
    """What `brainsift predict` says of the images."""
    return {Path(answer.path).name: answer for answer in Predictor(bundle, threads=1).predict(images)}


@pytest.fixture(scope="session")
def server(serving, tmp_path_factory):
    """The address of a server with a history, for all tests that need no other."""
    with serving(keep=tmp_path_factory.mktemp("kept") / "history", keep_images=True, threads=1) as running:
        yield running.url


@pytest.fixture(scope="module")
def browser():
    """One browser per file: while it is open, an event loop runs in this thread, where other tests run their own."""
    from playwright.sync_api import expect, sync_playwright  # which a base install lacks

    expect.set_options(timeout=60_000)  # machines may be busy; nothing is timed here
    chromium = os.environ.get("BRAINSIFT_CHROMIUM") or next(filter(None, map(shutil.which, BROWSERS)), None)
    if chromium is None:
        pytest.skip("needs chromium: install it, or set BRAINSIFT_CHROMIUM to its path")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield browser
        browser.close()


def _is_complaint(said):
    # A test that stops its own server leaves a page that asks once more: with a running server, none is ever refused.
    return said.type in ("error", "warning") and "net::ERR_CONNECTION_" not in said.text


@pytest.fixture
def open_page(browser, server):
    """Opens pages; at the end, none of them has complained."""
    from playwright.sync_api import expect

    contexts, complaints = [], []

    def open_one(url=server, *, strict=True, **options):
        context = browser.new_context(accept_downloads=True, **{"viewport": {"width": 1440, "height": 900}, **options})
        context.set_default_timeout(60_000)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: complaints.append(str(error)))
        if strict:
            page.on("console", lambda said: complaints.append(said.text) if _is_complaint(said) else None)
        page.goto(url)
        expect(page.locator("body[data-ready=true]")).to_be_attached()
        return page

    yield open_one
    for context in contexts:
        context.close()
    assert complaints == []
