"""`brainsift.show`: a page like that of a notebook, on another port of this machine, shows the case in a frame."""

import dataclasses
import threading
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest
from playwright.sync_api import expect

import brainsift as bs
from brainsift import notebook_frame
from brainsift.core.errors import InputError, UsageError

from .actions import wait_until

pytestmark = pytest.mark.browser


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@contextmanager
def notebook_page(folder, outputs):
    """Serves a page that holds what cells of a notebook returned; gives its port."""
    cells = "".join(f"<div class=output>{one._repr_html_()}</div>" for one in outputs)
    text = f'<!doctype html><html lang=en><meta charset="utf-8"><title>Notebook</title><body>{cells}'
    (folder / "notebook.html").write_text(text)
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=folder)) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture(autouse=True, scope="module")
def _ends():
    """What `show` started ends with this file, as it would with the notebook."""
    yield
    for process, _ in notebook_frame._servers.values():
        process.stdin.close()
        assert process.wait(30) == 0
        process.stdout.close()
    notebook_frame._servers.clear()


@pytest.fixture
def open_notebook(browser):
    context = browser.new_context(viewport={"width": 1100, "height": 1500})
    context.set_default_timeout(60_000)
    yield lambda url: _went(context.new_page(), url)
    context.close()


def _went(page, url):
    page.goto(url)
    return page


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_notebook_shows_a_prediction_and_a_volume(open_notebook, files, tmp_path, host):
    prediction = bs.Predictor(threads=1).score(files / "tumor-4.png")
    outputs = [
        bs.show(prediction),
        bs.show(files / "head.nii.gz"),
        bs.show([files / "tumor-4.png", files / "plain-2.png"]),
    ]
    with notebook_page(tmp_path, outputs) as port:
        page = open_notebook(f"http://{host}:{port}/notebook.html")
        image, volume, both = (page.frame_locator(f".output:nth-of-type({number}) iframe") for number in (1, 2, 3))
        expect(image.locator("#case-title")).to_have_text("tumor-4.png")
        expect(image.locator("#prediction-number")).to_have_text(f"{prediction.probability:.3f}")
        expect(image.locator("#search")).to_be_hidden()
        expect(image.locator(".notice")).to_be_visible()
        expect(volume.locator("#case-title")).to_have_text("head.nii.gz")
        expect(volume.locator("#slice-number")).to_contain_text("/ 9")
        expect(both.locator("#case-rows tr")).to_have_count(2)
        with page.context.expect_page() as opened:
            page.get_by_role("link", name="Open in a tab").first.click()
        expect(opened.value.locator("#case-title")).to_have_text("tumor-4.png")


def test_pages_of_other_machines_show_nothing(open_notebook, files):
    shown = bs.show(files / "plain-2.png")
    page = open_notebook("about:blank")
    page.context.grant_permissions(["local-network-access"])  # else newer browsers refuse before they ask the service
    page.route(
        "https://lab.example/**", lambda route: route.fulfill(body=shown._repr_html_(), content_type="text/html")
    )
    said = []
    page.on("console", lambda message: said.append(message.text))
    page.goto("https://lab.example/notebook.html")
    wait_until(page, lambda: any("frame-ancestors" in one for one in said))
    expect(page.frame_locator("iframe").locator("#case-title")).to_have_count(0)


def test_a_prediction_is_shown_only_as_it_was_made(files, tmp_path):
    prediction = bs.Predictor(threads=1).score(files / "tumor-4.png")
    moved = tmp_path / "tumor-4.png"
    moved.write_bytes((files / "plain-2.png").read_bytes())
    with pytest.raises(UsageError, match="gives another result"):
        bs.show(dataclasses.replace(prediction, path=str(moved)))
    with pytest.raises(InputError, match="does not exist"):
        bs.show(tmp_path / "gone.png")
    with pytest.raises(bs.BundleError):
        bs.show(moved, bundle=tmp_path)


def test_a_volume_is_shown_from_its_files(files):
    volume = bs.predict_volume(files / "head.nii.gz")
    assert notebook_frame._files_of(volume) == [str(files / "head.nii.gz")]
    series = bs.predict_volume(files / "study" / "ax t1")
    assert sorted(notebook_frame._files_of(series)) == sorted(map(str, (files / "study" / "ax t1").iterdir()))
    assert bs.show(series).url.startswith("http://127.0.0.1:")
