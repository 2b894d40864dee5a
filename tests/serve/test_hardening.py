"""Hostile uploads: each gets a 4xx that says why, and the next request is served.

BRAINSIFT_FUZZ sets how many broken headers are sent (300 by default; 10000 take some minutes).
"""

import contextlib
import gzip
import json
import logging
import os
import random
import socket
import threading
from pathlib import Path

import nibabel
import numpy as np
import pytest
import requests
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian

from brainsift.core.errors import UnreadableImageError
from brainsift.serve.http.middleware import JsonLines
from brainsift.serve.scoring.uploads import Upload
from brainsift.volumes.dicom import dicom_slices

from .bodies import HEAD, SECRET, archive, dicom, nifti, picture

COUNT = int(os.environ.get("BRAINSIFT_FUZZ", "300"))
A_BATCH = 20
SHAPE = {"code", "subject", "rule", "remedy", "request_id"}


def nifti_of_shape(*shape, kind=4):
    """The header of a volume that is not there."""
    header = nibabel.Nifti1Header()
    content = bytearray(header.binaryblock)
    content[40:56] = np.array([len(shape), *shape, 1, 1, 1, 1, 1, 1, 1][:8], np.int16).tobytes()
    content[70:72] = np.int16(kind).tobytes()
    return bytes(content) + bytes(4) + bytes(1000)


def png_of_size(width, height):
    """A picture whose header promises more than there is."""
    content = bytearray(picture())
    content[16:24] = width.to_bytes(4, "big") + height.to_bytes(4, "big")
    from zlib import crc32

    content[29:33] = crc32(bytes(content[12:29])).to_bytes(4, "big")
    return bytes(content)


def deflated_bomb():
    """A deflated DICOM file that unpacks to 300 MiB."""
    from zlib import compressobj

    whole = dicom(syntax=DeflatedExplicitVRLittleEndian)
    start = 144 + int.from_bytes(whole[140:144], "little")
    packer = compressobj(9, wbits=-15)
    packed = packer.compress(b"\x09\x00\x10\x10OB\x00\x00" + (300 * 2**20).to_bytes(4, "little"))
    packed += b"".join(packer.compress(bytes(2**20)) for _ in range(300)) + packer.flush()
    return whole[:start] + packed


HOSTILE = {
    "truncated.jpg": lambda: picture(kind="JPEG")[:400],
    "truncated.png": lambda: picture()[:900],
    "truncated.dcm": lambda: dicom()[:700],
    "headless.dcm": lambda: dicom()[140:400],
    "truncated.nii": lambda: nifti()[:900],
    "truncated.nii.gz": lambda: gzip.compress(nifti())[:300],
    "words.png": lambda: b"just some words",
    "vector.svg.png": lambda: b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>',
    "page.html.png": lambda: b"<!doctype html><script>alert(1)</script>",
    "pdf.png": lambda: b"%PDF-1.7\n" + bytes(500),
    "elf.dcm": lambda: b"\x7fELF" + bytes(500),
    "huge.png": lambda: png_of_size(60000, 60000),
    "endless.png": lambda: png_of_size(2**31 - 1, 2**31 - 1),
    "strip.png": lambda: picture(np.zeros((16, 40000), np.uint8)),
    "dot.png": lambda: picture(np.zeros((1, 1), np.uint8)),
    "huge.dcm": lambda: dicom(Rows=65535, Columns=65535),
    "frames.dcm": lambda: dicom(NumberOfFrames=65535),
    "many-frames.dcm": lambda: dicom(NumberOfFrames=2**31 - 1),
    "stretched.dcm": lambda: dicom(np.zeros((1500, 1500)), PixelSpacing=[20, 1], PatientID=SECRET),
    "coded.dcm": lambda: dicom(PhotometricInterpretation="PALETTE COLOR"),
    "bomb.dcm": deflated_bomb,
    "huge.nii": lambda: nifti_of_shape(32767, 32767, 32767),
    "wide.nii": lambda: nifti_of_shape(30000, 30000, 1),
    "negative.nii": lambda: nifti_of_shape(-5, 64, 64),
    "colours.nii": lambda: nifti_of_shape(64, 64, 3, kind=128),
    "zeros.nii.gz": lambda: gzip.compress(nifti_of_shape(2000, 2000, 32767) + bytes(2**24)),
    "bomb.zip": lambda: archive([("a.png", bytes(100 * 2**20))]),
    "climbing.zip": lambda: archive([("../../../etc/cron.d/x", b"* * * * *")]),
    "nested.zip": lambda: archive([("inner.zip", archive([("a.png", picture())]))]),
    "cut.zip": lambda: archive([("a.png", picture())])[:-40],
}


def served_well(url):
    reply = requests.post(f"{url}/api/v1/predict", files={"files": ("a.png", picture())})
    return reply.status_code == 200 and reply.json()["answers"][0]["status"] != "unreadable"


@pytest.mark.slow
@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_uploads_are_refused_with_a_reason(served, name, caplog):
    content = HOSTILE[name]()
    with caplog.at_level(logging.INFO, "brainsift.serve"):
        reply = requests.post(f"{served.url}/api/v1/predict", files={"files": (name, content)})
    told = reply.json()
    assert 400 <= reply.status_code < 500 and set(told) == SHAPE, told
    words = " ".join(told.values())
    assert told["rule"] and told["remedy"] and SECRET not in words
    assert str(served.service.store.folder) not in words and "object at 0x" not in words
    assert not any(name in JsonLines().format(record) for record in caplog.records)
    assert served_well(served.url)
    assert served.service.store.used == 0 or len(served.service.jobs)


def broken(rng):
    """A DICOM or NIfTI file with bytes of its header changed, cut out, or put in."""
    kind = rng.choice(("dicom", "dicom", "nifti", "nifti.gz"))
    content = bytearray(DICOM if kind == "dicom" else NIFTI)
    end = HEADER_END[kind[:5]]
    for _ in range(rng.choice((1, 2, 4, 16))):
        place, way = rng.randrange(end), rng.random()
        if way < 0.7:
            content[place] = rng.choice((0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)))
        elif way < 0.85:
            del content[place : place + rng.choice((1, 2, 8))]
        else:
            content[place:place] = rng.randbytes(rng.choice((1, 2, 8)))
    if rng.random() < 0.1:
        del content[rng.randrange(len(content)) :]
    name = {"dicom": rng.choice(("a.dcm", "a")), "nifti": "a.nii", "nifti.gz": "a.nii.gz"}[kind]
    return name, gzip.compress(content, 1) if kind == "nifti.gz" else bytes(content)


DICOM, NIFTI = dicom(), nifti()
HEADER_END = {"dicom": DICOM.index(b"\xe0\x7f\x10\x00") + 12, "nifti": 352}


@pytest.mark.slow
def test_fuzzed_headers_cost_nobody_anything(served):
    rng = random.Random(7)
    statuses = set()
    session = requests.Session()
    for start in range(0, COUNT, A_BATCH):
        files = [("files", broken(rng)) for _ in range(min(A_BATCH, COUNT - start))]
        reply = session.post(f"{served.url}/api/v1/predict", files=files)
        assert reply.status_code in (200, 413, 422), reply.text[:500]
        answers = reply.json().get("answers", [])
        statuses |= {answer["status"] for answer in answers}
        # What a code of the header says may be told (modality, body part), a patient's name may not.
        assert SECRET not in reply.text and str(served.service.store.folder) not in reply.text
        assert all(answer["detail"] for answer in answers if answer["status"] == "unreadable")
    assert served_well(served.url) and "unreadable" in statuses and len(statuses) > 1


def test_single_broken_files_are_refused_one_by_one(served):
    rng = random.Random(11)
    codes = set()
    for _ in range(40):
        name, content = broken(rng)
        reply = requests.post(f"{served.url}/api/v1/predict", files={"files": (name, content)})
        assert reply.status_code in (200, 413, 422), reply.text[:500]
        codes.add(reply.json().get("code", "ok"))
    assert {"ok", "unreadable_image"} <= codes and served_well(served.url)


def raw(url, sent, *, wait=5.0):
    """Sends bytes over a bare connection; returns it."""
    host, port = url.removeprefix("http://").split(":")
    connection = socket.create_connection((host, int(port)), timeout=wait)
    connection.sendall(sent)
    return connection


def answer(connection):
    """Reads until the other side hangs up."""
    return b"".join(iter(lambda: connection.recv(65536), b""))


def head_of(length, path="/api/v1/predict"):
    lines = (f"POST {path} HTTP/1.1", "Host: localhost", "Content-Type: image/png", f"Content-Length: {length}", "", "")
    return "\r\n".join(lines).encode()


@pytest.mark.parametrize("path", ["/api/v1/predict", "/api/v1/jobs"])
def test_clients_that_vanish_in_the_middle_leave_nothing(served, path, until):
    before = served.service.store.used
    for sent in (picture()[:300], b""):
        raw(served.url, head_of(5000, path) + sent).close()
    raw(served.url, head_of(len(picture()), path) + picture()).close()
    until(lambda: not served.service.queue.waiting)
    assert served_well(served.url)
    kept = sum(Path(one.path).stat().st_size for job in served.service.jobs._jobs.values() for one in job.upload.files)
    assert served.service.store.used == kept and kept - before in (0, len(picture()))


@pytest.mark.slow
def test_who_vanishes_while_a_volume_is_scored_costs_no_more_of_it(serving, until):
    volume = nifti(np.stack([HEAD] * 2000, axis=2).astype(np.int16))
    with serving() as running:
        connection = raw(running.url, head_of(len(volume)).replace(b"image/png", b"application/octet-stream") + volume)
        until(lambda: running.service.queue.waiting == 32)
        connection.close()
        until(lambda: not running.service.queue.waiting)
        text = requests.get(f"{running.url}/metrics").text
        scored = [float(line.split()[1]) for line in text.splitlines() if line.startswith("brainsift_slices_total")]
        assert sum(scored) < 2000 and running.service.store.used == 0


def test_an_upload_that_says_it_is_too_large_is_refused_at_once(served):
    with raw(served.url, head_of(10**12)) as connection:
        reply = answer(connection)
    assert reply.startswith(b"HTTP/1.1 413") and b'"code":"too_large"' in reply


@pytest.mark.slow
def test_slow_uploads_end(serving):
    with serving(timeout_s=0.5) as running:
        with raw(running.url, head_of(5000) + b"x") as connection:
            reply = answer(connection)
        assert reply.startswith(b"HTTP/1.1 504") and json.loads(reply.partition(b"\r\n\r\n")[2])["code"] == "timeout"
        assert running.service.queue.waiting == 0 and running.service.store.used == 0


@pytest.mark.slow
def test_headers_that_never_end_are_hung_up_on(serving, monkeypatch):
    monkeypatch.setattr("brainsift.serve.http.server._HEAD_S", 0.3)
    with serving() as running, raw(running.url, b"GET / HTTP/1.1\r\nHost: localh", wait=20) as connection:
        assert connection.recv(100) == b""
        with raw(running.url, b"", wait=20) as silent:
            assert silent.recv(100) == b""


@pytest.mark.parametrize(
    "sent", [b"hello\r\n\r\n", b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", b"\x16\x03\x01\x02"]
)
def test_what_is_no_http_is_told_so_in_the_one_shape(served, sent):
    with raw(served.url, sent + b"\r\n\r\n") as connection:
        head, _, body = answer(connection).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400") and set(json.loads(body)) == SHAPE
    assert b"connection: close" in head and json.loads(body)["request_id"].encode() in head
    assert served_well(served.url)


def test_a_body_that_breaks_http_costs_nobody_else_anything(served):
    chunked = head_of(1).replace(b"Content-Length: 1", b"Transfer-Encoding: chunked")
    with raw(served.url, chunked + b"not a length\r\n") as connection:
        assert answer(connection).startswith(b"HTTP/1.1 400")
    assert served_well(served.url)


@pytest.mark.slow
def test_slow_verdicts_end(serving, tmp_path):
    with serving(timeout_s=0.5, keep=tmp_path) as running:
        sent = (
            head_of(50, "/api/v1/history/1/verdict").replace(b"POST", b"PUT").replace(b"image/png", b"application/json")
        )
        with raw(running.url, sent + b"{") as connection:
            assert answer(connection).startswith(b"HTTP/1.1 400")


def test_connections_beyond_the_limit_are_told_or_hung_up_on(serving, monkeypatch, until):
    monkeypatch.setattr("brainsift.serve.http.server._REFUSED", 1)
    with serving(connections=2) as running:
        idle = [raw(running.url, b"") for _ in range(2)]
        reply = requests.get(f"{running.url}/api/v1/model")
        assert (reply.status_code, reply.json()["code"], reply.headers["Retry-After"]) == (429, "busy", "2")
        assert reply.headers["Connection"] == "close" and "nosniff" in reply.headers.values()
        assert requests.get(f"{running.url}/healthz").status_code == 200
        idle.append(raw(running.url, b""))
        with raw(running.url, b"") as fourth, contextlib.suppress(ConnectionResetError):
            assert fourth.recv(1) == b""
        for connection in idle:
            connection.close()
        until(lambda: requests.get(f"{running.url}/api/v1/model").status_code == 200)
        assert served_well(running.url)


def test_a_full_queue_answers_429_and_the_reason_reaches_who_is_still_sending(serving):
    with serving(queue=1) as running:
        with running.service.queue.reserve():
            files = {"files": ("a.png", bytes(2_000_000))}
            reply = requests.post(f"{running.url}/api/v1/jobs", files=files)
            assert (reply.status_code, reply.json()["code"]) == (429, "busy")
            assert int(reply.headers["Retry-After"]) >= 1
        assert "brainsift_refused_total 1.0" in requests.get(f"{running.url}/metrics").text
        assert served_well(running.url)


def test_who_sends_slowly_holds_no_place_in_the_queue(serving, until):
    with serving(queue=1) as running, raw(running.url, head_of(5000) + b"x") as slow:
        until(lambda: running.service.store.used)
        assert served_well(running.url)
        slow.sendall(b"x" * 4999)
        assert slow.recv(100).startswith(b"HTTP/1.1 422")


@pytest.mark.slow
@pytest.mark.parametrize("kept", [True, False])
def test_a_verdict_of_any_size_is_not_read(serving, tmp_path, kept):
    with serving(**({"keep": tmp_path} if kept else {})) as running:
        url, kind = f"{running.url}/api/v1/history/1/verdict", {"Content-Type": "application/json"}
        pieces = (bytes(16_384) for _ in range(64))
        for body in (bytes(2**20), pieces):  # the second is sent in chunks, without its length
            reply = requests.put(url, data=body, headers=kind)
            assert (reply.status_code, reply.json()["code"]) == (413, "too_large")
        assert served_well(running.url)


@pytest.mark.slow
def test_a_second_request_that_never_ends_is_hung_up_on(serving, monkeypatch):
    monkeypatch.setattr("brainsift.serve.http.server._HEAD_S", 0.5)
    first = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with serving() as running, raw(running.url, first, wait=20) as connection:
        assert connection.recv(1000).startswith(b"HTTP/1.1 200")
        connection.sendall(first[:20])
        assert answer(connection).count(b"HTTP/1.1") == 0


@pytest.mark.slow
def test_who_never_reads_his_answers_is_let_go(serving, until):
    with serving(timeout_s=0.5) as running:
        files = [("files", (f"{number}.png", picture())) for number in range(60)]
        job = requests.post(f"{running.url}/api/v1/jobs?maps=true", files=files).json()["id"]
        while requests.get(f"{running.url}/api/v1/jobs/{job}?wait=5").json()["state"] != "done":
            pass
        head = f"GET /api/v1/jobs/{job}/result HTTP/1.1\r\nHost: localhost\r\n\r\n"
        with raw(running.url, head.encode() * 200) as connection:
            port, known = connection.getsockname()[1], running.server.server_state.connections

            def is_open():
                return any(one.client and one.client[1] == port for one in list(known))

            until(is_open)
            until(lambda: not is_open())


def test_a_broken_file_is_let_go_when_it_is_listed(tmp_path):
    class Large:
        alive = 0

        def __init__(self):
            Large.alive += 1

        def __del__(self):
            Large.alive -= 1

    def fails(source, name, limits):
        inflated = Large()
        raise ValueError(f"broken {inflated is None}")

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("brainsift.volumes.dicom_header._check_deflated", fails)
        (tmp_path / "a.dcm").touch()
        (piece,) = dicom_slices([str(tmp_path / "a.dcm")], "series")
    assert Large.alive == 0
    with pytest.raises(UnreadableImageError, match="broken"):
        piece.load()


def test_an_unknown_compression_is_not_quoted(served):
    content = dicom(syntax=ExplicitVRLittleEndian)
    old, new = b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.SECRET"
    assert content.count(old) == 1
    reply = requests.post(f"{served.url}/api/v1/predict", files={"files": ("a.dcm", content.replace(old, new))})
    assert reply.status_code == 422 and "SECRET" not in reply.text


def test_large_jpeg_2000_is_refused(served):
    reply = requests.post(
        f"{served.url}/api/v1/predict",
        files={"files": ("a.jp2", picture(np.zeros((2100, 2000), np.uint8), "JPEG2000"))},
    )
    assert reply.status_code == 422 and "more than 4000000" in reply.json()["rule"]


@pytest.mark.slow
def test_many_files_that_are_slow_to_list_hold_up_no_small_request(serving, monkeypatch, until):
    go, listing = threading.Event(), Upload.slices

    def slowly(upload):
        if len(upload.files) > 1:
            assert go.wait(60)
        return listing(upload)

    monkeypatch.setattr(Upload, "slices", slowly)
    with serving() as running:
        files = [("files", (f"{number}.png", picture())) for number in range(17)]
        jobs = [requests.post(f"{running.url}/api/v1/jobs", files=files).json()["id"] for _ in range(4)]
        assert served_well(running.url)
        go.set()
        for job in jobs:
            until(lambda job=job: requests.get(f"{running.url}/api/v1/jobs/{job}?wait=5").json()["state"] == "done")
