"""The service as a whole: the answers of Python and the command line, jobs, errors in one shape, who may ask."""

import csv
import io
import json
import logging
import re
import sqlite3
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import nibabel
import numpy as np
import pytest
import requests
from PIL import Image

from brainsift.cli.main import main
from brainsift.core.errors import UsageError
from brainsift.core.reasons import Reason
from brainsift.images.phantom import draw
from brainsift.images.standard import standard_map
from brainsift.inference.bundle import load_bundle
from brainsift.inference.predictor import BATCH, Predictor
from brainsift.inference.volume_decision import FINDINGS, summarise_volumes
from brainsift.serve.config import ServeConfig
from brainsift.serve.http.middleware import JsonLines
from brainsift.serve.scoring.slice_pictures import picture_png
from brainsift.volumes.contrast import contrast_note

TOKEN = "a+token/of=more-than-16"


def png(seed, *, tumor=False, size=192):
    stream = io.BytesIO()
    Image.fromarray(draw(seed, tumor=tumor, size=size).pixels).save(stream, "PNG")
    return stream.getvalue()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Drawn heads, a broken file, and a NIfTI volume whose first slice is nearly empty."""
    made = tmp_path_factory.mktemp("scans")
    for seed in range(6):
        (made / f"{seed}.png").write_bytes(png(seed, tumor=seed % 2 == 0))
    (made / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n and no more")
    stack = np.stack([draw(9, tumor=True, size=96).pixels * share for share in (0.03, 0.7, 0.9, 1.0, 0.9)])
    nibabel.Nifti1Image(stack.transpose(2, 1, 0).astype(np.int16), np.eye(4)).to_filename(made / "scan.nii.gz")
    return made


def parts(folder):
    return [("files", (path.name, path.read_bytes())) for path in sorted(folder.iterdir())]


def finished(url, job_id):
    """Follows a job as the page does; returns its last state and all of its answers."""
    answers = []
    while True:
        job = requests.get(f"{url}/api/v1/jobs/{job_id}?after={len(answers)}&wait=5").json()
        answers += job["answers"]
        if job["state"] not in ("queued", "running"):
            return job, answers


@pytest.mark.slow
def test_rest_jobs_python_and_the_command_line_say_the_same(served, folder, tmp_path, capsys):
    assert main(["predict", str(folder), "--csv", str(tmp_path / "a.csv")]) == 3
    rows = list(csv.DictReader((tmp_path / "a.csv").read_text().splitlines()))
    known = [
        (row["path"].removeprefix(f"{folder}/"), row["status"], row["probability"], row["decision"]) for row in rows
    ]
    predictor = Predictor()
    expected = list(predictor.predict(sorted(folder.iterdir())))
    assert [str(one.to_dict()["probability"] or "") for one in expected] == [row["probability"] for row in rows]
    reply = requests.post(f"{served.url}/api/v1/predict", files=parts(folder)).json()
    job = requests.post(f"{served.url}/api/v1/jobs", files=parts(folder)).json()
    last, answers = finished(served.url, job["id"])
    result = requests.get(f"{served.url}/api/v1/jobs/{job['id']}/result").json()
    for found in (reply["answers"], answers, result["answers"]):
        told = [(one["name"], one["status"], str(one["probability"] or ""), one["decision"]) for one in found]
        assert told == known
        assert [one["id"] for one in found] == list(range(len(known)))
    assert {"not_brain_mri", "ok", "unreadable"} == {row["status"] for row in rows}
    volumes = summarise_volumes(expected, predictor.rule)
    exact = {"exact_probability": volumes[0].probability, "note": volumes[0].note}
    exact |= {"findings": {state: volumes[0].in_words(state) for state in FINDINGS}}
    exact |= {"adjacent": list(volumes[0].adjacent)}
    told = {**volumes[0].to_dict(), **exact, "volume": "scan.nii.gz", "suspicious": reply["volumes"][0]["suspicious"]}
    assert reply["volumes"] == result["volumes"] == [told]
    assert last["volumes"] in ([], [told])  # with the last of its slices
    assert [one["logit"] for one in reply["answers"]] == [one.logit for one in expected]
    assert reply["volumes"][0]["suspicious"][0].startswith("scan.nii.gz#")
    assert reply["volumes"][0]["threshold"] == predictor.rule.volume_threshold != predictor.threshold
    assert reply["threshold"] == predictor.threshold and "Research use only" in reply["notice"]


def test_the_service_says_how_an_image_was_made_as_the_file_was_named(served, folder):
    headers = {"Content-Type": "application/gzip", "X-Filename": "sub-01_dwi.nii.gz"}
    content = (folder / "scan.nii.gz").read_bytes()
    reply = requests.post(f"{served.url}/api/v1/predict", data=content, headers=headers).json()
    note = contrast_note("diffusion, by its name")
    assert {one["note"].count(note) for one in (*reply["answers"], *reply["volumes"])} == {1}
    assert reply["volumes"][0]["detail"].count(note) == 1
    assert all("other_contrast" in one["cautions"] for one in reply["answers"])
    assert reply["answers"][0]["name"] == "sub-01_dwi.nii.gz#1"


def test_raw_bodies_and_archives_are_read_as_parts_are(served, folder):
    content = (folder / "0.png").read_bytes()
    headers = {"Content-Type": "image/png", "X-Filename": "h%C3%A9ad.png"}
    raw = requests.post(f"{served.url}/api/v1/predict", data=content, headers=headers).json()
    named = requests.post(
        f"{served.url}/api/v1/predict?name=..%2Fa.nii.gz",
        data=(folder / "scan.nii.gz").read_bytes(),
        headers={"Content-Type": "application/gzip"},
    ).json()
    assert raw["answers"][0]["name"] == "héad.png"
    assert raw["answers"][0]["probability"] == Predictor().score(folder / "0.png").to_dict()["probability"]
    assert [one["name"] for one in named["answers"]] == [f"a.nii.gz#{number}" for number in range(1, 6)]


def test_an_empty_file_alone_is_told_so(served):
    reply = requests.post(f"{served.url}/api/v1/predict", files={"files": ("none.png", b"")})
    assert reply.status_code == 422 and reply.json()["rule"] == "is empty: 0 bytes"
    job, answers = finished(
        served.url, requests.post(f"{served.url}/api/v1/jobs", files={"files": ("none.png", b"")}).json()["id"]
    )
    assert job["state"] == "done" and [one["detail"][:17] for one in answers] == ["is empty: 0 bytes"]


def test_what_is_wanted_decides(served):
    def ask(**query):
        files = {"files": ("a.png", png(1))}
        return requests.post(f"{served.url}/api/v1/predict", params=query, files=files)

    bundle = load_bundle()
    assert ask(threshold="screening").json()["threshold"] == bundle.thresholds["screening"]
    assert ask(sensitivity=0.97).json()["threshold"] == bundle.threshold(0.97)
    promised = float(min(bundle.margins, key=float))
    sure = ask(max_error=promised).json()
    assert (sure["threshold"], sure["margin"]) == (0.5, bundle.margin(promised))
    mapped = ask(maps="true").json()["answers"][0]["map"]
    drawn = Predictor().score(png(1)).tumor_map
    assert all(len(str(value)) <= 6 for row in mapped for value in row)
    assert np.allclose(mapped, drawn, atol=1e-4) and "map" not in ask().json()["answers"][0]
    for wrong in ({"threshold": "magic"}, {"sensitivity": 2}, {"max_error": 1e-9}, {"sensitivity": "x"}):
        assert ask(**wrong).status_code == 400
    assert ask(threshold="even", sensitivity=0.9).json()["code"] == "usage"


def test_pictures_and_maps_lie_over_each_other(served, folder):
    job = requests.post(f"{served.url}/api/v1/jobs", files=parts(folder)).json()
    _, answers = finished(served.url, job["id"])
    base = f"{served.url}/api/v1/jobs/{job['id']}/slices"
    for answer in answers:
        picture, drawn = (requests.get(f"{base}/{answer['id']}/{layer}.png") for layer in ("picture", "map"))
        if answer["status"] == "unreadable":
            assert picture.status_code == drawn.status_code == 404
            continue
        images = [Image.open(io.BytesIO(reply.content)) for reply in (picture, drawn)]
        assert images[0].size == images[1].size and {image.mode for image in images} == {"L"}
    small = requests.get(f"{base}/0/picture.png", params={"side": 48})
    assert max(Image.open(io.BytesIO(small.content)).size) == 48
    head = draw(0, tumor=True).pixels
    shown = np.asarray(Image.open(io.BytesIO(requests.get(f"{base}/0/map.png").content)))
    expected = 255 * standard_map(head, Predictor().score(head).tumor_map, 128)
    assert np.abs(shown - expected).max() <= 1
    for place in (len(answers), 10**9):
        assert requests.get(f"{base}/{place}/picture.png").json()["code"] == "not_found"


def test_pictures_of_16_bits_tell_the_values_of_the_file(served, folder):
    job = requests.post(f"{served.url}/api/v1/jobs", files=parts(folder)).json()
    _, answers = finished(served.url, job["id"])
    place = next(answer["id"] for answer in answers if answer["name"] == "scan.nii.gz#3")

    def ask(place, **query):
        return requests.get(f"{served.url}/api/v1/jobs/{job['id']}/slices/{place}/picture.png", params=query)

    deep, plain = ask(place, depth=16), ask(place)
    first, last = map(float, deep.headers["X-Values"].split(","))
    red, green, _ = np.asarray(Image.open(io.BytesIO(deep.content))).astype(int).transpose(2, 0, 1)
    values = np.trunc(draw(9, tumor=True, size=96).pixels[::-1, ::-1] * 0.9)
    assert np.array_equal(np.rint(first + (256 * red + green) / 65535 * (last - first)), values)
    shown = [float(bound) for bound in deep.headers["X-Window"].split(",")]
    assert shown == pytest.approx(np.percentile(values, (0.5, 99.5)), abs=0.5)
    assert max(Image.open(io.BytesIO(ask(place, depth=16, side=48).content)).size) == 48
    assert Image.open(io.BytesIO(plain.content)).mode == "L" and plain.content == ask(place, depth=8).content
    assert ask(0, depth=16).content == ask(0).content
    assert not {"X-Values", "X-Window"} & {*plain.headers, *ask(0, depth=16).headers}
    for wrong in ("12", "x", ""):
        reply = ask(place, depth=wrong)
        assert (reply.status_code, reply.json()["code"]) == (400, "usage")


def test_pictures_use_all_greys_of_dark_narrow_and_nearly_empty_slices():
    def shown(pixels):
        return np.unique(np.asarray(Image.open(io.BytesIO(picture_png(pixels)))))

    head = draw(0, tumor=True, size=96).pixels
    speck = np.zeros((96, 96), np.uint8)
    speck[:2, :10] = range(10, 110, 10)
    for pixels in (head, head // 8 + 90, head.astype(np.uint16) * 16, head.astype(np.float32) - 1000, speck):
        greys = shown(pixels)
        assert greys[0] == 0 and greys[-1] == 255 and len(greys) > 10
    assert list(shown(np.full((8, 8), 7, np.uint8))) == [0]


@pytest.mark.slow
def test_a_job_is_told_as_table_and_page_and_then_forgotten(served, folder):
    service, before = served.service, served.service.store.used
    job = requests.post(f"{served.url}/api/v1/jobs", files=parts(folder))
    url = served.url + job.headers["Location"]
    _, answers = finished(served.url, job.json()["id"])
    table = requests.get(f"{url}/result.csv")
    rows = list(csv.DictReader(io.StringIO(table.text)))
    assert [row["path"] for row in rows] == [answer["name"] for answer in answers]
    page = requests.get(f"{url}/report.html")
    assert (
        page.text.count("data:image/jpeg") == len(answers) - 1 and "attachment" in page.headers["Content-Disposition"]
    )
    stored = service.jobs.find(job.json()["id"]).upload.files[0].path
    assert stored.exists() and service.store.used > before
    assert requests.delete(url).status_code == 204
    assert not stored.exists() and service.store.used == before
    for path in ("", "/result", "/result.csv", "/report.html", "/slices/0/picture.png"):
        assert requests.get(url + path).json()["code"] == "not_found"


def test_names_that_table_programs_would_run_are_made_harmless(served):
    files = {"files": ("=cmd.png", png(1))}
    job = requests.post(f"{served.url}/api/v1/jobs", files=files).json()
    finished(served.url, job["id"])
    assert "\n./=cmd.png," in requests.get(f"{served.url}/api/v1/jobs/{job['id']}/result.csv").text.replace("\r", "")


SHAPE = {"code", "subject", "rule", "remedy", "request_id"}


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nowhere", 404, "not_found"),
        ("GET", "/page/../app.py", 404, "not_found"),
        ("GET", "/page/%2e%2e/app.py", 404, "not_found"),
        ("PUT", "/api/v1/predict", 405, "method"),
        ("GET", "/api/v1/jobs/none", 404, "not_found"),
        ("DELETE", "/api/v1/jobs/none", 404, "not_found"),
        ("GET", "/api/v1/jobs/none?wait=900", 400, "usage"),
        ("GET", "/api/v1/jobs/none?after=-1", 400, "usage"),
        ("GET", "/api/v1/jobs/none/slices/x/picture.png", 400, "usage"),
        ("GET", "/api/v1/history", 404, "not_found"),
        ("POST", "/api/v1/predict", 400, "usage"),
        ("POST", "/api/v1/jobs", 400, "usage"),
    ],
)
def test_every_error_has_one_shape(served, method, path, status, code):
    request = requests.Request(method, served.url).prepare()
    request.url = served.url + path  # not tidied up
    reply = requests.Session().send(request)
    assert reply.status_code == status
    assert set(reply.json()) == SHAPE and reply.json()["code"] == code
    assert reply.json()["request_id"] == reply.headers["X-Request-ID"]


def test_bodies_of_other_types_are_refused(served):
    def ask(**headers):
        return requests.post(f"{served.url}/api/v1/predict", data=b"x=1", headers=headers).json()["code"]

    assert ask(**{"Content-Type": "text/html"}) == ask(**{"Content-Type": "application/x-www-form-urlencoded"})
    assert ask(**{"Content-Type": "text/html"}) == "media_type"
    assert ask(**{"Content-Type": "image/png", "Content-Encoding": "gzip"}) == "media_type"
    assert ask(**{"Content-Type": "image/png"}) == "unreadable_image"
    assert ask(**{"Content-Type": "multipart/form-data"}) == ask(**{"Content-Type": "multipart/form-data; boundary=x"})


def test_request_ids_come_back_if_they_are_sane(served):
    def sent(value):
        return requests.get(f"{served.url}/healthz", headers={"X-Request-ID": value}).headers["X-Request-ID"]

    assert sent("trace-17.a") == "trace-17.a"
    assert re.fullmatch(r"[0-9a-f]{16}", sent("x y")) and sent("a" * 65) != "a" * 65


def test_replies_are_guarded(served):
    page, reply = requests.get(f"{served.url}/"), requests.get(f"{served.url}/api/v1/model")
    for one in (page, reply):
        assert "default-src 'self'" in one.headers["Content-Security-Policy"]
        assert one.headers["X-Content-Type-Options"] == "nosniff" and one.headers["Referrer-Policy"] == "no-referrer"
    assert reply.headers["Cache-Control"] == "no-store" and "text/html" in page.headers["Content-Type"]


def test_pages_of_other_sites_are_refused(served):
    def ask(method, path, **headers):
        return requests.request(method, served.url + path, headers=headers, files={"files": ("a.png", png(1))})

    rebound = ask("GET", "/", Host="evil.example")
    assert (rebound.status_code, rebound.json()["code"]) == (403, "forbidden")
    host = served.url.removeprefix("http://")
    assert ask("GET", "/healthz", Host="localhost:1").status_code == 200
    for origin, status in ((f"http://{host}", 200), ("https://evil.example", 403), ("http://[", 403), ("null", 403)):
        assert ask("POST", "/api/v1/predict", Origin=origin).status_code == status


def test_a_token_is_needed_beyond_this_machine(serving):
    with pytest.raises(UsageError, match="--token"):
        ServeConfig(host="0.0.0.0")
    with pytest.raises(UsageError, match="16 or more"):
        ServeConfig(token="short")
    with serving(host="0.0.0.0", token=TOKEN) as running:

        def status(path="/api/v1/model", **headers):
            return requests.get(running.url + path, headers=headers, allow_redirects=False).status_code

        assert status("/healthz") == status("/readyz") == status("/page/page.css") == 200
        assert {status(path) for path in ("/", "/page/index.html", "/metrics", "/openapi.json", "/nowhere")} == {401}
        assert status() == status(Authorization="Bearer wrong") == status("/?token=wrong") == 401
        assert status(Authorization=f"Basic {TOKEN}") == status("/api/v1/model?token=" + TOKEN) == 401
        assert (
            status(Authorization=f"Bearer {TOKEN}") == status(Authorization=f"Bearer {TOKEN}", Host="any.name") == 200
        )
        browser = requests.Session()
        entered = browser.get(f"{running.url}/", params={"token": TOKEN}, allow_redirects=False)
        assert (entered.status_code, entered.headers["Location"]) == (303, "/")
        cookie = entered.headers["Set-Cookie"].lower()
        assert "httponly" in cookie and "samesite=strict" in cookie
        assert browser.get(f"{running.url}/api/v1/model").status_code == 200


def test_the_log_names_no_file_and_the_metrics_count(served, caplog, until):
    assert requests.post(f"{served.url}/api/v1/predict", files={"files": ("a.png", png(1))}).status_code == 200
    with caplog.at_level(logging.INFO, "brainsift.serve"):
        files = {"files": ("Doe^John.png", b"\x89PNG broken")}
        assert requests.post(f"{served.url}/api/v1/predict?name=Doe%5EJohn", files=files).status_code == 422
        requests.get(f"{served.url}/Doe%5EJohn")
        # A line is written once its answer is sent.
        until(lambda: any('"status": 404' in JsonLines().format(record) for record in caplog.records))
    lines = [JsonLines().format(record) for record in caplog.records]
    told = [json.loads(line) for line in lines]
    assert [(one["method"], one["route"], one["status"]) for one in told[-2:]] == [
        ("POST", "/api/v1/predict", 422),
        ("GET", "other", 404),
    ]
    assert not any("Doe" in line or "John" in line for line in lines)
    text = requests.get(f"{served.url}/metrics").text
    for line in (
        r'brainsift_requests_total\{method="POST",route="/api/v1/predict",status="422"\}',
        r'brainsift_slices_total\{status="ok"\}',
        "brainsift_waiting_slices 0.0",
        r'brainsift_request_seconds_bucket\{le="0.1",route="/api/v1/predict"\}',
        "brainsift_batch_slices_count",
    ):
        assert re.search(line, text)


@pytest.mark.slow
def test_many_clients_are_answered_alike_and_in_shared_batches(served):
    content = [png(seed, tumor=seed % 2 == 0) for seed in range(4)]
    alone = [Predictor().score(one).to_dict()["probability"] for one in content]

    def ask(place):
        reply = requests.post(f"{served.url}/api/v1/predict", files={"files": ("a.png", content[place % 4])})
        return reply.json()["answers"][0]["probability"]

    with ThreadPoolExecutor(16) as clients:
        assert list(clients.map(ask, range(64))) == alone * 16
    buckets = re.findall(r'batch_slices_bucket\{le="(\d+).0"\} (\d+)', requests.get(f"{served.url}/metrics").text)
    counts = {int(size): int(count) for size, count in buckets}
    assert counts[BATCH] > counts[1]


@pytest.mark.slow
def test_history_is_written_for_jobs_and_predictions(serving, folder, tmp_path, until):
    with serving(keep=tmp_path / "kept", keep_images=True) as running:
        assert requests.get(f"{running.url}/api/v1/model").json()["history"] is True
        requests.post(f"{running.url}/api/v1/predict", files={"files": ("one.png", png(1))})
        job = requests.post(f"{running.url}/api/v1/jobs", files=parts(folder)).json()
        _, answers = finished(running.url, job["id"])
        history = f"{running.url}/api/v1/history"
        job_url = f"{running.url}/api/v1/jobs/{job['id']}"
        until(lambda: len(requests.get(job_url).json()["cases"]) == len(answers))
        images = {answer["name"] for answer in answers if not answer["volume"]}
        cases = {case["name"]: case for case in requests.get(history).json()["cases"]}
        assert images | {"one.png", "scan.nii.gz"} == set(cases)
        volume = cases["scan.nii.gz"]
        (whole,) = requests.get(f"{job_url}/result").json()["volumes"]
        assert {name: volume[name] for name in ("probability", "decision", "threshold")}.items() <= whole.items()
        slices = requests.get(f"{history}/{volume['id']}/slices").json()
        assert len(slices) == volume["slices"] == 5 and {one["part_of"] for one in slices} == {volume["id"]}
        cases |= {case["name"]: case for case in slices}
        by_name = {answer["name"]: answer for answer in answers}
        case = cases["scan.nii.gz#3"]
        assert (case["probability"], case["volume"]) == (by_name["scan.nii.gz#3"]["probability"], "scan.nii.gz")
        for one in (case, volume):
            assert one["leaning"] == ("tumor" if one["probability"] >= one["threshold"] else "no_tumor")
        assert cases["one.png"]["picture"] and not cases["broken.png"]["picture"]
        told = requests.get(job_url, params={"after": len(answers)}).json()
        assert told["cases"][by_name["scan.nii.gz#3"]["id"]] == case["id"] and not told["answers"]
        picture = requests.get(f"{history}/{case['id']}/picture.png")
        assert Image.open(io.BytesIO(picture.content)).mode == "L"
        judged = requests.put(f"{history}/{case['id']}/verdict", json={"verdict": "tumor", "note": "n"}).json()
        assert judged["verdict"] == "tumor"
        assert requests.put(f"{history}/{case['id']}/verdict", json={"verdict": "never"}).json()["code"] == "usage"
    assert (tmp_path / "kept").stat().st_mode & 0o777 == 0o700


@pytest.mark.slow
def test_a_job_that_is_deleted_at_once_keeps_its_pictures(serving, folder, tmp_path, monkeypatch, until):
    def slowly(grey, *arguments):
        time.sleep(0.1)
        return picture_png(grey, *arguments)

    monkeypatch.setattr("brainsift.serve.history.recording.picture_png", slowly)
    with serving(keep=tmp_path / "kept", keep_images=True) as running:
        sent = {"files": ("scan.nii.gz", (folder / "scan.nii.gz").read_bytes())}
        job = requests.post(f"{running.url}/api/v1/jobs", files=sent).json()
        stored = running.service.jobs.find(job["id"]).upload.files[0].path
        finished(running.url, job["id"])
        assert requests.delete(f"{running.url}/api/v1/jobs/{job['id']}").status_code == 204
        until(lambda: not running.service.jobs.busy)
        assert not stored.exists()
        (volume,) = requests.get(f"{running.url}/api/v1/history").json()["cases"]
        slices = requests.get(f"{running.url}/api/v1/history/{volume['id']}/slices").json()
        assert len(slices) == 5 and all(one["picture"] for one in slices)


def test_libraries_that_quote_what_they_read_are_silent():
    code = (
        "import logging\nfrom brainsift.serve.http.middleware import log_to_stderr\nlog_to_stderr()\n"
        "for name in ('pydicom', 'nibabel.global', 'PIL.PngImagePlugin', 'python_multipart.multipart'):\n"
        "    logging.getLogger(name).critical('Doe^Jane')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "Doe" not in done.stderr


def test_help_and_predict_do_not_load_the_framework(folder):
    code = (
        "import sys\nfrom brainsift.cli.main import command_parser, main\ncommand_parser('serve')\n"
        f"main(['predict', {str(folder / '0.png')!r}])\n"
        "sys.exit(sorted({'fastapi', 'uvicorn', 'pydantic', 'starlette', 'torch', 'pandas'} & set(sys.modules)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_answers_do_not_wait_for_a_history_that_others_write(serving, folder, tmp_path, caplog):
    with serving(keep=tmp_path / "kept", keep_images=True, timeout_s=10) as running, ThreadPoolExecutor(10) as clients:
        other = sqlite3.connect(tmp_path / "kept" / "history.sqlite", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")

        def ask(seed):
            return requests.post(f"{running.url}/api/v1/predict", files=[("files", (f"{seed}.png", png(seed)))])

        assert {reply.status_code for reply in clients.map(ask, range(10))} == {200}
        told = [record.facts for record in caplog.records if record.message == "history not written"]
        assert len(told) == 10 and all("locked" in facts["why"] for facts in told)
        assert "brainsift_history_failures_total 10.0" in requests.get(f"{running.url}/metrics").text
        other.close()
        assert ask(1).status_code == 200
        assert requests.get(f"{running.url}/api/v1/history").json()["total"] == 1
    assert not running.service.store.used


def test_unknown_query_parameters_are_errors_that_name_the_near_one(served):
    files = {"files": ("a.png", png(1))}
    for path, name, near in (
        ("predict", "treshold", "Write threshold."),
        ("jobs", "Sensitivty", "Write sensitivity."),
        ("predict", "treshold", "Write threshold."),
    ):
        reply = requests.post(f"{served.url}/api/v1/{path}", params={name: "0.97"}, files=files)
        told = reply.json()
        assert (reply.status_code, told["code"], told["subject"], told["remedy"]) == (400, "usage", name, near)
    for query in ("threshold=confirm&threshold=screening", "max_error=0.05&max_error=0.05"):
        reply = requests.post(f"{served.url}/api/v1/predict?{query}", files=files)
        assert (reply.status_code, reply.json()["rule"]) == (400, "stands more than once in the query")
    for path, remedy in (
        ("model?x=1", "Leave it out: this address takes none."),
        ("history?decison=tumor", "Write decision."),
        ("history/export.csv?fodler=/mnt", "Write folder."),
        ("jobs/none?waiit=1", "Write wait."),
        ("jobs/none/slices/0/picture.png?dpeth=16", "Write depth."),
    ):
        reply = requests.get(f"{served.url}/api/v1/{path}")
        assert (reply.status_code, reply.json()["remedy"]) == (400, remedy), path
    assert not served.service.queue.waiting


def test_the_reason_stands_as_a_code_beside_the_words(served, folder):
    reply = requests.post(f"{served.url}/api/v1/predict", files=parts(folder)).json()
    expected = list(Predictor().predict(sorted(folder.iterdir())))
    assert [one["reason"] for one in reply["answers"]] == [one.reason for one in expected]
    assert {Reason.NONE, Reason.HARDLY_ANY_HEAD} < {one.reason for one in expected}
    assert all(bool(one["reason"]) == bool(one["detail"]) for one in reply["answers"])
    assert reply["volumes"][0]["reason"] == Reason.NONE
    strict = min(load_bundle().margins, key=float)
    unsure = requests.post(f"{served.url}/api/v1/predict?max_error={strict}", files=parts(folder)).json()
    codes = {one["decision"]: one["reason"] for one in unsure["answers"] if one["status"] == "ok"}
    assert codes.get("refer", Reason.UNSURE) == Reason.UNSURE and codes.get("tumor", "") == Reason.NONE


def reported(url, body, **query):
    return requests.post(f"{url}/api/v1/report.html", json=body, params=query)


@pytest.mark.slow
def test_a_report_shows_slices_of_several_jobs_by_one_rule(served, folder):
    jobs = []
    for _ in range(2):
        jobs.append(requests.post(f"{served.url}/api/v1/jobs", files=parts(folder)).json()["id"])
        _, answers = finished(served.url, jobs[-1])
    wanted = [one["id"] for one in answers if one["name"].endswith(".png") or one["volume"]]
    body = {
        "slices": [
            {"job": jobs[0], "slices": wanted, "folder": "first/"},
            {"job": jobs[1], "slices": wanted, "folder": "first/"},
            {"job": jobs[1], "slices": [0]},
        ],
        "refused": [{"name": "huge.png", "detail": "body is larger <b>than allowed</b>"}],
    }
    page = reported(served.url, body)
    assert page.status_code == 200 and page.headers["Content-Type"].startswith("text/html")
    names = re.findall(r'data-name="([^"]*)"', page.text)
    assert names[0] == "first/0.png" and names[-2:] == ["0.png", "huge.png"] and len(names) == 2 * len(wanted) + 2
    assert "<b>than allowed" not in page.text and "&lt;b&gt;than allowed" in page.text
    readable = sum(one["status"] != "unreadable" for one in answers)
    assert page.text.count("data:image/jpeg") == 2 * readable + 1
    assert "first/scan.nii.gz (2)" in page.text  # a volume of one name in each job, not one volume of twice as many
    assert f"threshold {load_bundle().thresholds['balanced']:.3f}" in page.text
    strict = reported(served.url, body, threshold="screening")
    assert f"threshold {load_bundle().thresholds['screening']:.3f}" in strict.text
    alone = requests.get(f"{served.url}/api/v1/jobs/{jobs[0]}/report.html").text
    whole = reported(served.url, {"slices": [{"job": jobs[0]}]}).text
    assert alone.partition("<body")[2] == whole.partition("<body")[2]


def test_a_report_on_what_is_not_there_is_refused(served):
    job = requests.post(f"{served.url}/api/v1/jobs", files={"files": ("a.png", png(1))}).json()["id"]
    finished(served.url, job)
    for body, status in (
        ({"slices": [{"job": "none"}]}, 404),
        ({"slices": [{"job": job, "slices": [0, 1]}]}, 404),
        ({"slices": [{"job": job, "slices": [-1]}]}, 404),
        ({"slices": [{"job": job, "extra": 1}]}, 400),
        ({"slices": [{"job": job, "folder": "x" * 5000}]}, 400),
        ({"refused": [{"name": "x" * 4000, "detail": "y"}] * 300}, 413),
    ):
        reply = reported(served.url, body)
        assert (reply.status_code, set(reply.json())) == (status, SHAPE), body
    assert reported(served.url, {}).status_code == 200


def test_a_fault_of_ours_is_a_500_with_a_trace_and_not_a_word_on_the_file(serving, caplog, monkeypatch):
    with serving() as running, monkeypatch.context() as patched:
        read, files = running.service.predictor.read, {"files": ("Doe^Jane.png", png(1))}
        patched.setattr(running.service.predictor, "read", lambda piece: [][piece.name])
        with caplog.at_level(logging.ERROR, "brainsift.serve"):
            reply = requests.post(f"{running.url}/api/v1/predict", files=files)
        assert (reply.status_code, reply.json()["code"], set(reply.json())) == (500, "internal", SHAPE)
        assert "Doe" not in reply.text and "TypeError" in reply.json()["rule"]
        (line,) = (json.loads(JsonLines().format(one)) for one in caplog.records if one.message == "reading failed")
        assert line["error"] == "TypeError" and any("engine.py" in place for place in line["places"])
        job = requests.post(f"{running.url}/api/v1/jobs", files=files).json()
        last, answers = finished(running.url, job["id"])
        assert (last["state"], last["error"]["code"], answers) == ("failed", "internal", [])
        assert requests.get(f"{running.url}/api/v1/jobs/{job['id']}/result").status_code == 500
        patched.setattr(running.service.predictor, "read", read)
        assert requests.post(f"{running.url}/api/v1/predict", files=files).status_code == 200
        assert not running.service.queue.waiting
