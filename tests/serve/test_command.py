"""`brainsift serve` as a process: it says where it listens, stops gracefully, and leaves nothing behind."""

import io
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import requests
from PIL import Image

from brainsift.cli.main import main
from brainsift.client import Client
from brainsift.core.errors import (
    BusyError,
    InputError,
    NotFoundError,
    ServeError,
    UnavailableError,
    UnreadableImageError,
    UploadError,
    UsageError,
)
from brainsift.images.phantom import draw
from brainsift.inference.predictor import Predictor

ROOT = Path(__file__).resolve().parents[2]


def picture(path, seed, *, tumor=False):
    Image.fromarray(draw(seed, tumor=tumor).pixels).save(path)
    return path


def answers(url):
    try:
        return requests.get(url).ok
    except requests.ConnectionError:
        return False


@pytest.fixture
def process(tmp_path, until):
    """The command, started; its temporary files go where the test can see them."""
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    words = ["serve", "--port", "0", "--no-browser", "--threads", "1"]
    started = subprocess.Popen(
        [sys.executable, "-m", "brainsift", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "TMPDIR": str(temporary), "PYTHONUNBUFFERED": "1"},
    )
    started.temporary = temporary
    started.url = started.stdout.readline().strip().rstrip("/")
    until(lambda: started.poll() is not None or answers(f"{started.url}/readyz"))
    assert started.poll() is None
    yield started
    started.kill()
    started.communicate()


@pytest.mark.slow
def test_it_finishes_what_it_accepted_and_leaves_nothing(process, tmp_path, until):
    broken = tmp_path / "Doe^Jane.dcm"
    broken.write_bytes(bytes(128) + b"DICM" + b"\x10\x00\x10\x00PN\x08\x00Doe^Jane" + b"\x28\x00\x10\x00US\x02\x00\xff")
    slices = [("files", (f"{n}.png", picture(tmp_path / f"{n}.png", n).read_bytes())) for n in range(4)]
    slices = [("files", ("Doe^Jane.dcm", broken.read_bytes()))] + slices * 25
    job = requests.post(f"{process.url}/api/v1/jobs", files=slices).json()
    assert any(process.temporary.rglob("1-000000.dcm"))
    states = []

    def follow():
        after = 0
        while not states or states[-1] in ("queued", "running"):
            reply = requests.get(f"{process.url}/api/v1/jobs/{job['id']}?after={after}&wait=20").json()
            after += len(reply["answers"])
            states.append(reply["state"])
        states.append(len(requests.get(f"{process.url}/api/v1/jobs/{job['id']}/result").json()["answers"]))
        states.append(after)

    follower = threading.Thread(target=follow)
    follower.start()
    until(lambda: states)
    process.send_signal(signal.SIGTERM)
    follower.join()
    assert states[-3:] == ["done", 101, 101]
    _, log = process.communicate(timeout=60)
    assert process.returncode == 0
    assert not any(process.temporary.iterdir())
    assert "Doe" not in log and "Traceback" not in log and '"route": "/api/v1/jobs/{job_id}"' in log


@pytest.mark.slow
def test_the_log_is_json_also_of_what_is_no_http(process):
    host, _, port = process.url.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall(b"hello\r\n\r\n")
        assert connection.recv(1000).startswith(b"HTTP/1.1 400")
    process.send_signal(signal.SIGTERM)
    _, log = process.communicate(timeout=60)
    told = [json.loads(line)["event"] for line in log.splitlines() if line.startswith("{")]
    assert "Invalid HTTP request received." in told and log.count("Invalid HTTP") == 1


def test_a_busy_port_is_said_clearly(capsys):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        assert main(["serve", "--no-browser", "--port", str(taken.getsockname()[1])]) == 2
    assert "cannot listen on" in capsys.readouterr().err
    wrong = ("--host 0.0.0.0", "--token short", "--queue 0", "--keep-images", "--port 99999")
    for words in map(str.split, wrong):
        assert main(["serve", "--no-browser", *words]) == 2
    assert "--token" in capsys.readouterr().err


@pytest.mark.slow
def test_the_browser_is_opened(monkeypatch, serving, until):
    from brainsift.serve.http import server

    opened = []
    monkeypatch.setattr(server.webbrowser, "open", opened.append)
    made = server.Server
    monkeypatch.setattr(server, "Server", lambda app: made(app, url="http://127.0.0.1:1/"))
    with serving():
        until(lambda: opened)
    assert opened == ["http://127.0.0.1:1/"]


def test_the_client_does_what_the_page_does(served, tmp_path):
    client = Client(served.url)
    paths = [picture(tmp_path / f"{n}.png", n, tumor=n == 1) for n in range(3)]
    expected = [one.to_dict()["probability"] for one in Predictor().predict(paths)]
    assert [one["probability"] for one in client.predict(paths)["answers"]] == expected
    (found,) = client.predict(str(paths[0]), threshold="screening", maps=True)["answers"]
    assert found["map"] and found["reason"] == ""
    job = client.submit(paths)
    assert [one["probability"] for one in job.result()["answers"]] == expected
    sizes = {Image.open(io.BytesIO(content)).size for content in (job.picture(1), job.map(1))}
    assert len(sizes) == 1
    job.delete()
    with pytest.raises(NotFoundError):
        job.progress()
    assert client.model()["size"] == 128
    (tmp_path / "broken.png").write_bytes(b"no picture")
    with pytest.raises(UnreadableImageError, match=r"broken\.png"):
        client.predict(tmp_path / "broken.png")
    with pytest.raises(UsageError, match="magic"):
        client.predict(paths[0], threshold="magic")
    with pytest.raises(UsageError, match=r"treshold: is not a query parameter .* Write threshold\."):
        client.predict(paths[0], treshold="screening")
    with pytest.raises(ServeError, match="cannot be reached"):
        Client("http://127.0.0.1:1").model()


@pytest.mark.slow
def test_a_patient_client_waits_for_a_busy_service(serving, tmp_path):
    path = picture(tmp_path / "a.png", 1)
    with serving(queue=1) as running:
        reservation = running.service.queue.reserve()
        with pytest.raises(BusyError) as refused:
            Client(running.url).predict(path)
        assert refused.value.wait_s >= 1
        large = tmp_path / "large.png"
        large.write_bytes(bytes(40 * 2**20))  # who is still sending hears why, too
        with pytest.raises(BusyError):
            Client(running.url).predict(large)
        threading.Timer(0.5, reservation.release).start()
        assert Client(running.url, patience_s=60).predict(path)["answers"]


def test_a_client_hears_that_it_sent_too_much(serving, tmp_path):
    large = tmp_path / "large.png"
    large.write_bytes(bytes(40 * 2**20))
    with serving(upload_mb=16) as running, pytest.raises(UploadError, match="larger than"):
        Client(running.url).predict(large)


@pytest.mark.slow
def test_jobs_expire_and_can_be_cancelled(serving, tmp_path, until):
    files = [picture(tmp_path / f"{n}.png", n) for n in range(3)]
    with serving(expiry_minutes=0.005) as running:
        folder = running.service.store.folder
        job = Client(running.url).submit(files)
        until(lambda: not any(folder.iterdir()))
        with pytest.raises(NotFoundError):
            job.progress()
        assert running.service.store.used == 0
    assert not folder.exists()
    with serving() as running:
        long = Client(running.url).submit(files * 100)
        long.delete()
        until(lambda: not running.service.jobs.busy)
        with pytest.raises(NotFoundError):
            long.result()
        assert running.service.store.used == 0 and not any(running.service.store.folder.iterdir())


@pytest.mark.slow
def test_accepted_work_has_the_time_of_grace_once(serving):
    with serving(grace_s=5) as running:
        assert running.service.left_s == 5
        running.service.stop()
        running.service._deadline -= 4
        running.service.stop()  # told again
        assert 0 < running.service.left_s <= 1
        running.service._deadline -= 4
        assert running.service.left_s == 0


def test_a_service_that_stops_says_so(serving, tmp_path):
    with serving() as running:
        running.service.stop()
        with pytest.raises(UnavailableError):
            Client(running.url).predict(picture(tmp_path / "a.png", 1))
        assert requests.get(f"{running.url}/readyz").status_code == 503
        assert requests.get(f"{running.url}/healthz").status_code == 200
        running.service._deadline = None


@pytest.fixture
def answering():
    """Starts a listener that reads one request and answers bytes; gives its address and what it has read."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        heard = []

        def start(reply):
            def answer():
                connection, _ = listener.accept()
                with connection:
                    heard.append(connection.recv(2**16))
                    connection.sendall(reply)

            threading.Thread(target=answer, daemon=True).start()
            return f"http://127.0.0.1:{listener.getsockname()[1]}", heard

        yield start


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_what_is_sent_to_this_machine_passes_no_proxy(served, answering, monkeypatch, tmp_path, host):
    proxy, heard = answering(b"HTTP/1.1 502 Bad Gateway\r\n\r\n")
    for name in ("http_proxy", "all_proxy"):
        monkeypatch.setenv(name, proxy)
    monkeypatch.delenv("no_proxy", raising=False)
    client = Client(served.url.replace("127.0.0.1", host), token="a-token-of-16-signs")
    assert client.predict(picture(tmp_path / "a.png", 1))["answers"]
    assert not heard
    with pytest.raises(ServeError, match="502"):
        Client("http://brainsift.example").model()  # elsewhere the environment decides
    assert heard


def test_the_health_check_of_the_container_passes_no_proxy(served, answering, monkeypatch):
    (line,) = re.findall(r"HEALTHCHECK .*\\\n +CMD (.*)", (ROOT / "Dockerfile").read_text())
    address = served.url.removeprefix("http://")
    proxy, heard = answering(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    monkeypatch.setenv("http_proxy", proxy)
    for host, code in ((address, 0), ("127.0.0.1:1", 1)):
        words = json.loads(line.replace("127.0.0.1:8765", host))
        assert subprocess.run([sys.executable, *words[1:]], check=False, stderr=subprocess.DEVNULL).returncode == code
    assert not heard


BUSY = b'{"code": "busy", "subject": "queue", "rule": "is full", "remedy": "Wait."}'


@pytest.mark.parametrize(
    ("reply", "kind", "words"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\n<html>login</", ServeError, "is not JSON"),
        (b'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"a"', ServeError, "IncompleteRead"),
        (b"HTTP/1.1 502 No\r\nContent-Length: 100\r\n\r\n<html>", ServeError, "502"),
        (b"SSH-2.0-OpenSSH\r\n", ServeError, "BadStatusLine"),
        (b"", ServeError, "cannot be reached"),
        (b"HTTP/1.1 429 No\r\nRetry-After: Wed, 21 Oct 2015 07:28:00 GMT\r\n\r\n" + BUSY, BusyError, "is full"),
    ],
)
def test_what_is_no_service_is_told_as_an_error_of_ours(answering, reply, kind, words):
    with pytest.raises(kind, match=words):
        Client(answering(reply)[0]).model()


def test_what_the_client_cannot_use_is_an_error_of_ours(served, tmp_path):
    for url in ("127.0.0.1:8765", "file:///etc/passwd", "http://[::1", "http://"):
        with pytest.raises(UsageError, match="url"):
            Client(url)
    with pytest.raises(UsageError, match="line break"):
        Client(token="a-token-of-16-signs\n")
    for path in (tmp_path / "not there.png", tmp_path):
        with pytest.raises(InputError, match="cannot be read"):
            Client(served.url).predict(path)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere files cannot have such names")
@pytest.mark.parametrize(
    ("name", "shown"),
    [
        (b"a\r\nX-Evil: 1\r\n\r\n.png", "aX-Evil: 1.png"),
        (b'a"b\\.png', "a%22b.png"),
        (b"\xff\xfe.png", "??.png"),
        ("hä\u202eg.png".encode(), "häg.png"),
    ],
)
def test_names_of_files_stay_within_their_header(served, tmp_path, name, shown):
    path = tmp_path / os.fsdecode(name)
    (answer,) = Client(served.url).predict(picture(tmp_path / "a.png", 1).rename(path))["answers"]
    assert (answer["name"], answer["status"]) == (shown, "ok")
