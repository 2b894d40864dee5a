"""Downloads, against a stand-in for Kaggle on this machine."""

import io
import json
import os
import sys
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
from PIL import Image

from brainsift.core.errors import DownloadError, MissingExtraError, UsageError
from brainsift.datasets.catalog import collect
from brainsift.datasets.download import FETCHABLE, MARKER, fetch


def archive(names, padding=0) -> bytes:
    """Zips small drawn heads: a bright disc on black, noise for a tissue."""
    random = np.random.default_rng(0)
    y, x = np.mgrid[-1:1:96j, -1:1:96j]
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as packed:
        for name in names:
            head = ((x**2 + y**2 < 0.6) * random.integers(60, 200, (96, 96))).astype(np.uint8)
            image = io.BytesIO()
            Image.fromarray(head).save(image, "PNG")
            packed.writestr(name, image.getvalue())
        packed.writestr("padding.bin", random.bytes(padding))
    return content.getvalue()


BR35H_NAMES = [f"{folder}/{folder}{i}.png" for folder in ("yes", "no") for i in range(4)]
BR35H = archive(BR35H_NAMES)


class StandIn(ThreadingHTTPServer):
    """Answers as Kaggle and its storage do: version, redirect, archive with byte ranges."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Answer)
        self.content, self.status, self.cut_at = BR35H, 200, None
        self.served: list[str] = []


class Answer(BaseHTTPRequestHandler):
    server: StandIn

    def do_POST(self):
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.server.status != 200:
            self._send(self.server.status, b"{}", {"Content-Type": "application/json"})
        elif self.path.endswith("/GetDataset"):
            body = json.dumps({"currentVersionNumber": 7}).encode()
            self._send(200, body, {"Content-Type": "application/json"})
        else:
            self._send(302, b"", {"Location": f"http://127.0.0.1:{self.server.server_port}/storage/archive.zip"})

    def do_GET(self):
        content, wanted = self.server.content, self.headers.get("Range", "")
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted else 0
        self.server.served.append(wanted or "all")
        self._send(206 if start else 200, content[start:], {"Accept-Ranges": "bytes"}, self.server.cut_at)

    def _send(self, status, body, headers, cut_at=None):
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body[:cut_at])

    def log_message(self, *_):
        pass


@pytest.fixture
def kaggle(monkeypatch, tmp_path):
    """A stand-in that kagglehub takes for Kaggle; no credentials of the person who runs the tests are used."""
    import kagglehub.config
    from kagglesdk import kaggle_env

    server = StandIn()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    monkeypatch.setenv("KAGGLE_API_ENVIRONMENT", "LOCALHOST")
    monkeypatch.setitem(
        kaggle_env._env_to_endpoint, kaggle_env.KaggleEnv.LOCAL, f"http://127.0.0.1:{server.server_port}"
    )
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setattr(kagglehub.config, "DEFAULT_KAGGLE_CREDENTIALS_FOLDER", str(tmp_path / "home"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")
    for name in ("KAGGLE_API_TOKEN", "KAGGLE_USERNAME", "KAGGLE_KEY", "KAGGLEHUB_CACHE"):
        monkeypatch.delenv(name, raising=False)
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.mark.slow
def test_a_download_lands_in_its_place_and_happens_once(kaggle, tmp_path, capsys):
    first = fetch(["br35h"], tmp_path / "data")[0]
    assert (first.path, first.images, first.downloaded) == (tmp_path / "data/br35h", 8, True)
    assert len(collect([f"br35h={first.path}"])) == 8
    assert json.loads((first.path / MARKER).read_text())["version"] == "7"
    assert not list((tmp_path / "data/.kagglehub").rglob("*.archive"))
    again = fetch(["br35h"], tmp_path / "data")[0]
    assert not again.downloaded
    assert kaggle.served == ["all"]
    assert capsys.readouterr().out == ""


@pytest.mark.slow
def test_an_interrupted_download_goes_on_where_it_was(kaggle, tmp_path):
    mebibyte = 2**20  # kagglehub writes in steps of this size
    kaggle.content = archive(BR35H_NAMES, padding=3 * mebibyte)
    kaggle.cut_at = 2 * mebibyte + 5000
    with pytest.raises(DownloadError, match="go on where it was"):
        fetch(["br35h"], tmp_path)
    assert not (tmp_path / "br35h").exists()
    kaggle.cut_at = None
    assert fetch(["br35h"], tmp_path)[0].images == 8
    assert kaggle.served == ["all", "all", f"bytes={2 * mebibyte}-"]


@pytest.mark.slow
def test_a_damaged_archive_is_not_kept(kaggle, tmp_path):
    kaggle.content = b"no archive at all"
    with pytest.raises(DownloadError, match=r"damaged.*downloads all anew"):
        fetch(["br35h"], tmp_path)
    kaggle.content = BR35H
    assert fetch(["br35h"], tmp_path)[0].images == 8


@pytest.mark.slow
def test_another_layout_than_expected(kaggle, tmp_path):
    kaggle.content = archive(["first/a.png", "second/b.png"])
    with pytest.raises(DownloadError, match="layout of `br35h`"):
        fetch(["br35h"], tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize(("status", "words"), [(403, "HTTP 403"), (404, "HTTP 404"), (500, "HTTP 500")])
def test_refusals_name_the_handle_and_the_way_out(kaggle, tmp_path, status, words):
    kaggle.status = status
    with pytest.raises(DownloadError) as caught:
        fetch(["preet"], tmp_path)
    assert caught.value.subject == "preetviradiya/brian-tumor-dataset"
    assert words in caught.value.rule
    assert "https://www.kaggle.com/datasets/preetviradiya/brian-tumor-dataset" in caught.value.remedy
    assert f"preet={tmp_path / 'preet'}" in caught.value.remedy
    assert ("KAGGLE_API_TOKEN" in caught.value.remedy) == (status == 403)


@pytest.mark.slow
def test_no_network(kaggle, tmp_path, monkeypatch):
    from kagglesdk import kaggle_env

    with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as closed:
        port = closed.server_port
    monkeypatch.setitem(kaggle_env._env_to_endpoint, kaggle_env.KaggleEnv.LOCAL, f"http://127.0.0.1:{port}")
    with pytest.raises(DownloadError, match=r"cannot be reached.*Is there a network.*in a browser"):
        fetch(["br35h"], tmp_path)


def test_a_fault_of_ours_is_not_blamed_on_the_network(kaggle, tmp_path, monkeypatch):
    import kagglehub

    monkeypatch.setattr(kagglehub, "dataset_download", lambda _handle: {}["no such key"])
    with pytest.raises(KeyError):
        fetch(["br35h"], tmp_path)


def test_a_collection_unpacked_by_hand_is_taken(kaggle, tmp_path):
    with zipfile.ZipFile(io.BytesIO(BR35H)) as packed:
        packed.extractall(tmp_path / "br35h")
    assert fetch(["br35h"], tmp_path)[0].downloaded is False
    assert kaggle.served == []


def test_a_folder_in_the_way_is_left_alone(kaggle, tmp_path):
    (tmp_path / "br35h").mkdir()
    (tmp_path / "br35h/thesis.txt").write_text("precious")
    with pytest.raises(UsageError, match="Move it away"):
        fetch(["br35h"], tmp_path)
    assert (tmp_path / "br35h/thesis.txt").read_text() == "precious"


def test_names_that_cannot_be_fetched(tmp_path):
    assert FETCHABLE == ("br35h", "preet", "kinds44")
    with pytest.raises(UsageError, match="cheng"):
        fetch(["br35h", "cheng"], tmp_path)


def test_without_kagglehub(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "kagglehub", None)
    with pytest.raises(MissingExtraError, match=r"brainsift\[train\]"):
        fetch(["br35h"], tmp_path)


@pytest.mark.slow
def test_the_environment_is_put_back(kaggle, tmp_path, monkeypatch):
    monkeypatch.setenv("KAGGLEHUB_CACHE", "mine")
    fetch(["br35h"], tmp_path)
    assert os.environ["KAGGLEHUB_CACHE"] == "mine"
    assert "DISABLE_KAGGLE_CACHE" not in os.environ
