"""The history: rows and verdicts on a real SQLite file, images that go with it, tables that others read."""

import csv
import io
import os
import signal
import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from brainsift.cli.main import main
from brainsift.core.errors import BrainsiftError, HistoryError, NotFoundError
from brainsift.core.files import read_json
from brainsift.core.reasons import Reason
from brainsift.inference.cautions import Caution
from brainsift.inference.predictor import Predictor
from brainsift.serve.history.database import _UPGRADES, APPLICATION, SCHEMA, folded
from brainsift.serve.history.export_table import EXPORT_COLUMNS, IMAGES
from brainsift.serve.history.store import FILE, Case, History, HistoryRow
from brainsift.serve.http.history_routes import router
from brainsift.serve.schemas import GeometryResult
from brainsift.volumes.geometry import Geometry
from brainsift.volumes.inputs import find_images

ROW = HistoryRow("slice.png", "", "ok", 0.9, "tumor", "tumor", 0.8, "", "compact 0.1")
UNREADABLE = replace(ROW, status="unreadable", probability=None, decision="", leaning="", detail="is broken")


def png(grey: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("L", (8, 8), grey).save(buffer, "PNG")
    return buffer.getvalue()


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def table(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


@pytest.fixture
def history(tmp_path):
    opened = History(tmp_path / "kept", keep_images=True)
    yield opened
    opened.close()


@pytest.fixture
def client(history):
    return serve(history)


def serve(history):
    app = FastAPI()
    app.include_router(router(history))

    @app.exception_handler(BrainsiftError)
    def told(request: Request, error: BrainsiftError) -> JSONResponse:
        return JSONResponse(error.to_dict(), error.http_status)

    @app.exception_handler(RequestValidationError)  # FastAPI's own fails on input that is no Unicode
    def refused(request: Request, error: RequestValidationError) -> JSONResponse:
        return JSONResponse([problem["msg"] for problem in error.errors()], 422)

    return TestClient(app, raise_server_exceptions=True)


def test_what_is_recorded_is_found_again(history):
    first, second = history.record([ROW, UNREADABLE])
    case = history.open(first)
    assert (case.name, case.probability, case.leaning, case.verdict) == ("slice.png", 0.9, "tumor", None)
    assert history.open(second).probability is None
    assert [one.id for one in history.search()[1]] == [second, first]
    assert case.created.endswith("Z")


def test_the_place_of_a_slice_is_kept(history):
    place = Geometry((1.0, 0.0, 0.0), (0.0, 0.8, -0.6), (1.25, -20.1, 48.7), (240.0, 256.5), (8, 8))
    there, nowhere = history.record([replace(ROW, geometry=place), ROW])
    assert history.open(there).geometry == GeometryResult.of(place)
    assert history.open(there).geometry.sides == ("R", "L", "AS", "PI")
    assert history.open(nowhere).geometry is None


def test_search_takes_words_in_any_case_verdicts_and_decisions(history):
    names = ["Müller#1.png", "müller#2.png", "100%.png", "a_b.png"]
    numbers = history.record([replace(ROW, name=name) for name in names])
    history.record([replace(ROW, name="other", decision="refer", detail="not sure enough")])
    history.judge(numbers[1], "no_tumor", "seen TWICE")

    def found(**wanted):
        return [case.name for case in history.search(**wanted)[1]]

    assert found(query="MÜLLER") == [names[1], names[0]]
    assert found(query="müller twice") == [names[1]]
    assert found(query="%") == [names[2]]
    assert found(query="_b") == [names[3]]
    assert found(query="sure enough", decision="refer") == ["other"]
    history.record([replace(UNREADABLE, name="torn")])
    assert found(decision="unreadable") == ["torn"]
    assert found(verdict="no_tumor") == [names[1]]
    assert names[1] not in found(verdict="none")
    assert found(query="' OR 1 --") == []


def kept_volume(history, **changes):
    """A volume that leans to a tumor, with three slices; returns its number and theirs."""
    whole = replace(ROW, name="scan.nii.gz", slices=3, threshold=0.95, probability=0.97)
    (number,) = history.record([replace(whole, **changes)])
    slices = [replace(ROW, name=f"scan.nii.gz#{place}", volume="scan.nii.gz", part_of=number) for place in (1, 2, 3)]
    return number, history.record([replace(one, picture_png=png(40 + place)) for place, one in enumerate(slices)])


def test_a_volume_is_one_case_with_its_slices(history, client):
    number, slices = kept_volume(history)
    (alone,) = history.record([ROW])
    total, cases = history.search()
    assert (total, [case.id for case in cases]) == (2, [alone, number])
    assert (cases[1].slices, cases[1].threshold, cases[0].slices) == (3, 0.95, 0)
    assert [case.id for case in history.slices(number)] == slices and history.slices(alone) == []
    found = client.get(f"/api/v1/history/{number}/slices").json()
    assert [(case["id"], case["part_of"]) for case in found] == [(one, number) for one in slices]
    assert client.get("/api/v1/history/99/slices").status_code == 404
    history.judge(slices[1], "no_tumor", "an artefact")
    assert [case.id for case in history.search(query="scan artefact")[1]] == [number]
    assert history.search(verdict="no_tumor")[0] == 0 and history.search(verdict="none")[0] == 2
    history.delete(number)
    assert history.search()[0] == 1 and not list((history.folder / IMAGES).iterdir())
    with pytest.raises(NotFoundError):
        history.open(slices[0])


def test_a_volume_without_a_tumor_has_no_slice_with_one(history):
    number, slices = kept_volume(history)

    def labels(of="images"):
        return [row["label"] for row in table(history.export(of=of))]

    history.judge(number, "tumor")
    assert (labels(), labels("cases")) == (["", "", ""], ["1"])
    history.judge(number, "no_tumor")
    assert (labels(), labels("cases")) == (["0", "0", "0"], ["0"])
    history.judge(slices[0], "tumor")
    history.judge(slices[1], "unsure")
    assert labels() == ["1", "", "0"]
    again, _ = kept_volume(history)
    assert (labels(), labels("cases")) == (["1", "", "0"], ["0"])  # the same pictures: judged before
    history.judge(again, "tumor")
    assert (labels(), labels("cases")) == (["1", "", ""], ["1"])
    assert {(row["patient"], row["group"]) for row in table(history.export(of="cases"))} == {
        (f"scan.nii.gz ({again})",) * 2
    }


def test_volumes_of_one_name_are_of_different_patients(tmp_path):
    history = History(tmp_path, keep_images=False)
    wholes = [kept_volume(history)[0] for _ in range(2)]
    for of in ("images", "cases"):
        rows = table(history.export(of=of))
        assert {row["patient"] for row in rows} == {f"scan.nii.gz ({number})" for number in wholes}
        assert all(row["patient"] == row["group"] for row in rows)


def test_slices_of_a_volume_that_was_deleted_meanwhile_are_not_kept(history):
    number, _ = kept_volume(history)
    history.delete(number)
    with pytest.raises(NotFoundError):
        history.record([replace(ROW, part_of=number, volume="scan.nii.gz", picture_png=png(1))])
    assert table(history.export()) == [] and not any((history.folder / IMAGES).iterdir())


def test_pages_tell_how_many_there_are(history):
    history.record([replace(ROW, name=f"{number}.png") for number in range(7)])
    total, cases = history.search(limit=3, offset=5)
    assert (total, [case.name for case in cases]) == (7, ["1.png", "0.png"])
    assert history.search(offset=100) == (7, [])


def test_the_last_verdict_counts_and_can_be_taken_back(history):
    (number,) = history.record([ROW])
    history.judge(number, "tumor", "first")
    assert history.judge(number, "unsure", "second\nline\x00").note == "second\nline"
    assert history.judge(number, None).verdict is None
    with pytest.raises(NotFoundError, match="case 99"):
        history.judge(99, "tumor")


def test_images_are_kept_only_when_asked(tmp_path):
    with_images = replace(ROW, picture_png=png(10), map_png=png(20))
    kept = History(tmp_path / "yes", keep_images=True)
    (number,) = kept.record([with_images])
    assert (kept.image(number, "picture"), kept.image(number, "map")) == (png(10), png(20))
    bare = History(tmp_path / "no", keep_images=False)
    (number,) = bare.record([with_images])
    assert not bare.open(number).picture
    assert list((tmp_path / "no" / IMAGES).iterdir()) == []
    with pytest.raises(NotFoundError, match="--keep-images"):
        bare.image(number, "picture")


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such modes")
def test_nobody_else_can_read_it(history):
    before = os.umask(0)
    try:
        made = History(history.folder.parent / "new" / "deep", keep_images=True)
        made.record([replace(ROW, picture_png=png(1), map_png=png(2))])
    finally:
        os.umask(before)
    assert mode(made.folder) == mode(made.folder / IMAGES) == 0o700
    files = [path for path in made.folder.rglob("*") if path.is_file()]
    assert {path.name for path in files} >= {FILE, f"{FILE}-wal", "1.png", "1-map.png"}
    assert {mode(path) for path in files} == {0o600}


def stored_bytes(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("everything", [False, True])
def test_deleted_means_deleted(history, everything):
    secret = replace(ROW, name="SecretName.png", picture_png=png(77), map_png=png(78))
    number, other = history.record([secret, replace(ROW, name="kept.png", picture_png=png(1))])
    history.judge(number, "tumor", "SecretNote" * 500)  # long enough for pages of its own
    assert b"SecretName" in stored_bytes(history.folder)
    if everything:
        assert history.clear() == 2
    else:
        history.delete(number)
        assert history.open(other).picture
    left = stored_bytes(history.folder)
    assert b"SecretName" not in left
    assert b"SecretNote" not in left
    assert png(77) not in left
    assert png(78) not in left
    with pytest.raises(NotFoundError):
        history.delete(number)
    assert history.record([ROW])[0] > other  # a number is never given twice


@pytest.mark.slow
def test_threads_and_processes_write_at_once(history):
    script = (
        "import sys\nfrom pathlib import Path\nfrom brainsift.serve.history.store import History, HistoryRow\n"
        "history = History(Path(sys.argv[1]), keep_images=True)\n"
        "row = HistoryRow('p.png', '', 'ok', 0.1, 'no_tumor', 'no_tumor', 0.8, '', 'm')\n"
        "for _ in range(40): history.judge(history.record([row])[0], 'tumor')\n"
    )
    others = [subprocess.Popen([sys.executable, "-c", script, str(history.folder)]) for _ in range(2)]

    def write(number):
        found = history.record([replace(ROW, name=f"{number}-{place}", picture_png=png(3)) for place in range(3)])
        history.judge(found[0], "no_tumor", str(number))
        history.delete(found[1])
        return history.search(query=f"{number}-")[0]

    with ThreadPoolExecutor(8) as pool:
        assert min(pool.map(write, range(40))) >= 2
    assert [other.wait(60) for other in others] == [0, 0]
    assert history.search()[0] == 40 * 2 + 2 * 40
    assert history.search(verdict="tumor")[0] == 80
    assert history.search(verdict="no_tumor")[0] == 40
    assert len(list((history.folder / IMAGES).iterdir())) == 80


@pytest.mark.skipif(os.name == "nt", reason="needs SIGKILL")
def test_it_opens_again_after_a_kill(tmp_path):
    script = (
        "import os, signal, sys\nfrom pathlib import Path\nfrom brainsift.serve.history import store as h\n"
        "history = h.History(Path(sys.argv[1]), keep_images=True)\n"
        "row = h.HistoryRow('kept.png', '', 'ok', 0.9, 'tumor', 'tumor', 0.8, '', 'm', picture_png=b'picture')\n"
        "history.judge(history.record([row])[0], 'tumor', 'mine')\n"
        "def rows():\n"
        "    yield row\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        "history.record(rows())\n"
    )
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=False)
    assert done.returncode == -signal.SIGKILL
    assert (tmp_path / IMAGES / "2.png").is_file()  # written, its row was not
    history = History(tmp_path, keep_images=True)
    total, (case,) = history.search()
    assert (total, case.verdict, case.note) == (1, "tumor", "mine")
    assert [path.name for path in (tmp_path / IMAGES).iterdir()] == ["1.png"]


def test_a_row_that_cannot_be_kept_leaves_nothing(history):
    rows = [replace(ROW, picture_png=png(5)), replace(ROW, threshold=None)]
    with pytest.raises(HistoryError, match="cannot be read or written"):
        history.record(rows)
    assert history.search()[0] == 0
    assert list((history.folder / IMAGES).iterdir()) == []
    assert history.record([ROW])


def foreign(path: Path, *statements: str) -> None:
    with sqlite3.connect(path) as connection:
        for statement in statements:
            connection.execute(statement)
    connection.close()


@pytest.mark.parametrize(
    ("statements", "words"),
    [
        (["CREATE TABLE notes (text)"], "another program"),
        (["PRAGMA application_id = 5", "PRAGMA user_version = 1"], "another program"),
        (
            [f"PRAGMA application_id = {APPLICATION}", "PRAGMA user_version = 8"],
            f"its schema is 8, this version reads 2 to {SCHEMA}",
        ),
    ],
)
def test_a_file_of_another_program_is_refused_and_stays(tmp_path, statements, words):
    foreign(tmp_path / FILE, *statements)
    before = (tmp_path / FILE).read_bytes()
    with pytest.raises(HistoryError, match=words):
        History(tmp_path, keep_images=False)
    assert (tmp_path / FILE).read_bytes() == before


SCHEMA_2 = """
CREATE TABLE cases (
    id INTEGER PRIMARY KEY AUTOINCREMENT, part_of INTEGER, created TEXT NOT NULL, name TEXT NOT NULL,
    volume TEXT NOT NULL, status TEXT NOT NULL, probability REAL, decision TEXT NOT NULL, leaning TEXT NOT NULL,
    threshold REAL NOT NULL, margin REAL NOT NULL, detail TEXT NOT NULL, model TEXT NOT NULL,
    slices INTEGER NOT NULL, picture TEXT NOT NULL, map INTEGER NOT NULL,
    verdict TEXT CHECK (verdict IN ('agree', 'disagree', 'unsure')), note TEXT NOT NULL DEFAULT '', judged TEXT
)
"""
COLUMNS_2 = (
    "id, part_of, created, name, volume, status, probability, decision, leaning, threshold, margin, detail, model, "
    "slices, picture, map, verdict, note, judged"
)
ROWS_2 = (
    (1, None, "2026-03-02T09:30:00.000000Z", "scan.nii.gz", "", "ok", 0.934211, "tumor", "tumor", 0.55629, 0.0, "",
     "lite0 0.1.0", 2, "", 0, "agree", "left temporal", "2026-03-02T10:00:00.000000Z"),
    (2, 1, "2026-03-02T09:30:00.000000Z", "scan.nii.gz#1", "scan.nii.gz", "not_brain_mri", 0.1, "refer", "no_tumor",
     0.55629, 0.0, "hardly any of the head is in this slice", "lite0 0.1.0", 0, "", 0, None, "", None),
    (7, None, "2026-03-02T09:31:00.000000Z", "torn.png", "", "unreadable", None, "", "", 0.55629, 0.5, "is empty",
     "lite0 0.1.0", 0, "", 0, "unsure", "", "2026-03-02T10:01:00.000000Z"),
)  # fmt: skip


def of_schema_2(path: Path) -> None:
    """A history as version 2 of the schema wrote it; the numbers 3 to 6 were deleted."""
    marks = ", ".join("?" * len(ROWS_2[0]))
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        for statement in (SCHEMA_2, "CREATE INDEX slices_of ON cases (part_of)"):
            connection.execute(statement)
        connection.executemany(f"INSERT INTO cases VALUES ({marks})", ROWS_2)
        connection.execute(f"PRAGMA application_id = {APPLICATION}")
        connection.execute("PRAGMA user_version = 2")
    connection.close()


def test_a_file_of_the_schema_before_opens_without_loss(tmp_path):
    of_schema_2(tmp_path / FILE)
    for _ in range(2):  # and again, when it is up to date
        history = History(tmp_path, keep_images=False)
        history.close()
    history = History(tmp_path, keep_images=False)
    with sqlite3.connect(tmp_path / FILE) as connection:
        assert connection.execute(f"SELECT {COLUMNS_2} FROM cases ORDER BY id").fetchall() == [
            (*row[:16], verdict, *row[17:]) for row, verdict in zip(ROWS_2, ("tumor", None, "unsure"), strict=True)
        ]
        assert connection.execute("PRAGMA user_version").fetchone()[0] == SCHEMA
    connection.close()
    case = history.open(1)
    assert (case.probability, case.reason, case.verdict, case.note) == (0.934211, None, "tumor", "left temporal")
    assert [one.name for one in history.slices(1)] == ["scan.nii.gz#1"]
    assert serve(history).get("/api/v1/history/2").json()["reason"] is None
    assert [row["reason"] for row in table(history.export())] == ["", ""]
    (new,) = history.record([replace(ROW, reason=Reason.UNSURE)])
    assert new == 8 and history.open(new).reason is Reason.UNSURE


def test_an_upgrade_that_fails_leaves_the_file_as_it_was(tmp_path, monkeypatch):
    of_schema_2(tmp_path / FILE)
    with monkeypatch.context() as patched:
        patched.setitem(_UPGRADES, 3, (*_UPGRADES[3], "ALTER TABLE cases ADD COLUMN one TEXT NOT NULL"))  # no default
        with pytest.raises(HistoryError):
            History(tmp_path, keep_images=False)
    with sqlite3.connect(tmp_path / FILE) as connection:
        assert connection.execute("SELECT * FROM cases ORDER BY id").fetchall() == list(ROWS_2)
        assert connection.execute("PRAGMA user_version").fetchone()[0] == 2
    connection.close()
    assert History(tmp_path, keep_images=False).open(1).name == "scan.nii.gz"


def test_probabilities_are_kept_exactly_and_rounded_when_written(history, client):
    exact = 0.123456789012345
    (number,) = history.record([replace(ROW, probability=exact, reason=Reason.UNSURE, detail="not sure")])
    assert history.open(number).probability == exact
    case = client.get(f"/api/v1/history/{number}").json()
    assert (case["probability"], case["reason"], case["detail"]) == (0.123457, "unsure", "not sure")
    (row,) = table(history.export())
    assert (row["probability"], row["reason"]) == ("0.123457", "unsure")


def test_what_is_no_database_is_refused(tmp_path):
    (tmp_path / FILE).write_text("name;verdict\n" * 100)
    with pytest.raises(HistoryError, match="not a database"):
        History(tmp_path, keep_images=False)
    (tmp_path / "file").write_text("")
    with pytest.raises(HistoryError, match="cannot be read or written"):
        History(tmp_path / "file" / "below", keep_images=False)


@pytest.mark.parametrize(
    ("row", "after", "note"),
    [
        (("ok", "tumor", "agree"), "tumor", "mine"),
        (("ok", "tumor", "disagree"), "no_tumor", "mine"),
        (("ok", "no_tumor", "agree"), "no_tumor", "mine"),
        (("ok", "no_tumor", "disagree"), "tumor", "mine"),
        (("ok", "tumor", "unsure"), "unsure", "mine"),
        (("ok", "tumor", None), None, "mine"),
        (("not_brain_mri", "tumor", "agree"), "not_brain_mri", "mine"),
        (("not_brain_mri", "tumor", "disagree"), "unsure", "This is a brain MRI. mine"),
        (("unreadable", "", "disagree"), "unsure", "mine"),
    ],
)
def test_verdicts_on_predictions_become_verdicts_on_what_a_case_shows(tmp_path, row, after, note):
    of_schema_2(tmp_path / FILE)
    with sqlite3.connect(tmp_path / FILE) as connection:
        changes = "status = ?, leaning = ?, verdict = ?, note = 'mine'"
        connection.execute(f"UPDATE cases SET {changes} WHERE id = 1", row)
    connection.close()
    case = History(tmp_path, keep_images=False).open(1)
    assert (case.verdict, case.note, case.cautions, case.has_focus) == (after, note, (), None)


def test_numbers_are_given_once_though_all_cases_before_an_upgrade_were_deleted(tmp_path):
    of_schema_2(tmp_path / FILE)
    with sqlite3.connect(tmp_path / FILE) as connection:
        connection.execute("DELETE FROM cases")
    connection.close()
    assert History(tmp_path, keep_images=False).record([ROW]) == [8]


def test_cautions_and_the_focus_are_kept(history, client):
    cautions = (Caution.CHILD, Caution.BURNED_IN)
    first, second = history.record([replace(ROW, cautions=cautions, has_focus=False), ROW])
    assert (history.open(first).cautions, history.open(first).has_focus) == (cautions, False)
    assert (history.open(second).cautions, history.open(second).has_focus) == ((), None)
    assert client.get(f"/api/v1/history/{first}").json()["cautions"] == ["child", "burned_in"]
    assert [row["cautions"] for row in table(history.export())] == ["child,burned_in", ""]


def test_the_case_of_a_slice_is_that_of_its_volume(history, client):
    number, slices = kept_volume(history)
    (alone,) = history.record([ROW])
    reply = client.post("/api/v1/history/lookup", json={"numbers": [*slices, alone, 99]})
    assert {asked: case["id"] for asked, case in reply.json().items()} == {
        **{str(one): number for one in slices},
        str(alone): alone,
    }
    assert client.post("/api/v1/history/lookup", json={"numbers": [1] * 1001}).status_code == 422
    assert client.post("/api/v1/history/lookup", json={"numbers": []}).json() == {}


def test_labels_come_from_verdicts(history):
    refused = replace(ROW, status="not_brain_mri", decision="refer")
    healthy = replace(ROW, leaning="no_tumor", decision="no_tumor", probability=0.1)
    cases = [(ROW, "tumor", "1"), (ROW, "no_tumor", "0"), (healthy, "no_tumor", "0"), (healthy, "tumor", "1"),
             (ROW, "unsure", ""), (ROW, None, ""), (ROW, "not_brain_mri", ""), (refused, "tumor", ""),
             (UNREADABLE, "tumor", "")]  # fmt: skip
    for number, (_, verdict, _) in zip(history.record([row for row, *_ in cases]), cases, strict=True):
        history.judge(number, verdict)
    assert [row["label"] for row in table(history.export())] == [label for *_, label in cases]


def test_a_picture_scored_twice_is_exported_once_as_judged_last(history):
    one, two = replace(ROW, picture_png=png(1)), replace(ROW, picture_png=png(2))
    first, _, third, _ = history.record([one, two, one, two])
    history.judge(third, "tumor")
    history.judge(first, "no_tumor", "looked again")
    rows = table(history.export())
    assert [(row["label"], row["note"]) for row in rows] == [("0", "looked again"), ("", "")]
    assert len({row["path"] for row in rows}) == 2


def test_names_cannot_do_anything_in_a_spreadsheet(history):
    history.record([replace(ROW, name='=HYPERLINK("http://x")\r\n', volume="../../up", detail="-1+2")])
    (row,) = table(history.export())
    assert (row["name"], row["detail"], row["volume"]) == ('\'=HYPERLINK("http://x")', "'-1+2", "../../up")
    assert Path(row["path"]).parent == history.folder / "not-kept"


@pytest.mark.parametrize("folder", ["=cmd|' /C calc'!A0", "@x", "\tx"])
def test_folders_and_notes_cannot_do_anything_in_a_spreadsheet_either(history, folder):
    (number,) = history.record([replace(ROW, picture_png=png(1))])
    history.judge(number, "tumor", "\t=1+1")
    (row,) = table(history.export(folder))
    assert Path(row["path"]) == Path(folder) / IMAGES / f"{number}.png" and row["path"].startswith("./")
    assert row["note"] == "'\t=1+1"


def test_the_folder_of_the_reader_can_be_another(history):
    history.record([replace(ROW, picture_png=png(1))])
    (row,) = table(history.export("/mnt/history/"))
    assert row["path"] == f"/mnt/history/{IMAGES}/1.png"


def judge_phantoms(history, phantoms):
    """Scores drawn heads, keeps them, and lets a reader who knows the truth judge them.

    Returns:
        By picture, whether it shows a tumor; a few heads are drawn twice. What the network refuses counts as judged.
    """
    truth = {
        str(phantoms / row["path"]): row["label"]
        for row in csv.DictReader((phantoms / "phantoms.csv").read_text().splitlines())
    }
    predictor, labels = Predictor(), {}
    for answer in predictor.predict(path for path in find_images([phantoms]) if path in truth):
        tumor = truth[answer.path] == "1"
        leaning = "tumor" if answer.probability >= predictor.threshold else "no_tumor"
        name, picture = Path(answer.path).name, Path(answer.path).read_bytes()
        row = replace(ROW, name=name, status="ok", probability=answer.probability, leaning=leaning)
        (number,) = history.record([replace(row, picture_png=picture)])
        history.judge(number, "tumor" if tumor else "no_tumor", "a note\nof two lines, and commas")
        labels[picture] = tumor
    return labels


@pytest.mark.slow
@pytest.mark.parametrize("keep_images", [True, False])
def test_evaluate_reads_the_export_as_predictions_and_as_truth(tmp_path, phantoms, monkeypatch, keep_images):
    pytest.importorskip("pandas")
    history = History(tmp_path / "kept", keep_images=keep_images)
    labels = judge_phantoms(history, phantoms)
    history.record([replace(ROW, name="never judged"), UNREADABLE])
    kept_volume(history)
    file, scores = tmp_path / "mine.csv", tmp_path / "scores.json"
    file.write_text(history.export(), encoding="utf-8")
    monkeypatch.chdir(tmp_path.parent)
    assert main(["evaluate", "--predictions", str(file), "--manifest", str(file), "--json", str(scores)]) == 0
    found = read_json(scores)
    expected = (len(labels), sum(labels.values())) if keep_images else (96, 47)
    assert (found["n"], found["n_tumor"], found["n_unlabelled"]) == (*expected, 4)
    assert len(labels) == 92
    assert list(found["sources"]) == ["history"]


@pytest.mark.slow
def test_calibrate_reads_the_export(tmp_path, phantoms, bundle_folder, capsys):
    history = History(tmp_path / "kept", keep_images=True)
    labels = judge_phantoms(history, phantoms)
    file = tmp_path / "mine.csv"
    file.write_text(history.export(), encoding="utf-8")
    command = ["calibrate", "--data", str(file), "--bundle", str(bundle_folder), "-o", str(tmp_path / "site")]
    assert main(command) == 0
    assert (
        f"{len(labels)} images of {len(labels)} patients or single images, {sum(labels.values())} with a tumor"
        in capsys.readouterr().out
    )
    assert (tmp_path / "site" / "bundle.json").is_file()


def test_routes_open_judge_search_and_delete(client, history):
    first, second = history.record([replace(ROW, picture_png=png(9)), UNREADABLE])
    assert client.get("/api/v1/history").json()["total"] == 2
    judged = client.put(f"/api/v1/history/{first}/verdict", json={"verdict": "no_tumor", "note": "vessel"})
    assert (judged.status_code, judged.json()["verdict"], judged.json()["note"]) == (200, "no_tumor", "vessel")
    assert client.get("/api/v1/history", params={"query": "VESSEL", "verdict": ""}).json()["cases"] == [judged.json()]
    assert client.get(f"/api/v1/history/{first}/picture.png").content == png(9)
    assert client.get(f"/api/v1/history/{first}/map.png").json()["code"] == "not_found"
    exported = client.get("/api/v1/history/export.csv")
    assert exported.headers["content-type"].startswith("text/csv")
    assert "attachment" in exported.headers["content-disposition"]
    assert tuple(table(exported.text)[0]) == EXPORT_COLUMNS
    assert client.delete(f"/api/v1/history/{second}").status_code == 204
    assert client.delete(f"/api/v1/history/{second}").status_code == 404
    assert client.delete("/api/v1/history").json() == {"deleted": 1}


def test_without_a_history_every_route_says_how_to_get_one():
    client = serve(None)
    body = {"json": {"verdict": "tumor"}}
    calls = [("GET", ""), ("DELETE", ""), ("GET", "/1"), ("DELETE", "/1"), ("PUT", "/1/verdict", body),
             ("GET", "/1/picture.png"), ("GET", "/1/map.png"), ("GET", "/export.csv")]  # fmt: skip
    for method, path, *more in calls:
        reply = client.request(method, f"/api/v1/history{path}", **(more[0] if more else {}))
        assert (reply.status_code, reply.json()["code"]) == (404, "not_found"), path
        assert "--keep" in reply.json()["remedy"]


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("PUT", "/1/verdict", b'{"verdict": "maybe"}'),
        ("PUT", "/1/verdict", b'{"note": "no verdict"}'),
        ("PUT", "/1/verdict", b'{"verdict": "tumor", "note": "\\ud800"}'),
        ("PUT", "/1/verdict", b'{"verdict": "tumor", "note": "' + b"x" * 2001 + b'"}'),
        ("GET", "/0", b""),
        ("GET", "/9223372036854775808", b""),
        ("GET", "?offset=9223372036854775808", b""),
        ("GET", "?limit=0", b""),
        ("GET", "?verdict=perhaps", b""),
    ],
)
def test_what_breaks_the_rules_is_refused(client, history, method, path, body):
    history.record([ROW])
    headers = {"Content-Type": "application/json"}
    assert client.request(method, f"/api/v1/history{path}", content=body, headers=headers).status_code == 422
    assert history.open(1).verdict is None


def test_a_letter_with_an_accent_is_found_however_it_is_stored(history):
    history.record([replace(ROW, name="Scha\u0308del.png"), replace(ROW, name="sch\u00e4del.png")])
    for query in ("Sch\u00e4del", "SCHA\u0308DEL"):
        assert history.search(query=query)[0] == 2


@pytest.mark.slow
@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=st.text(max_size=40), query=st.text(max_size=20), note=st.text(max_size=40))
def test_any_text_is_kept_searched_and_exported(client, history, name, query, note):
    history.clear()
    (number,) = history.record([replace(ROW, name=name, picture_png=png(1))])
    body = {"verdict": "tumor", "note": note}
    assert client.put(f"/api/v1/history/{number}/verdict", json=body).status_code in (200, 422)
    found = client.get("/api/v1/history", params={"query": query})
    assert found.status_code == 200
    kept = history.open(number)
    assert found.json()["total"] == all(word in folded(f"{kept.name} {kept.note}") for word in folded(query).split())
    (row,) = table(history.export())
    assert row["name"].removeprefix("'") == kept.name.removeprefix("'")


def test_the_examples_in_the_document_keep_to_its_schemas(client):
    schemas = client.get("/openapi.json").json()["components"]["schemas"]
    from brainsift.serve.http import history_routes

    for name in ("CasesOut", "VerdictIn", "NumbersIn", "DeletedOut"):
        for example in schemas[name]["examples"]:
            getattr(history_routes, name).model_validate(example)
    assert set(schemas["Case"]["properties"]) == set(Case.__dataclass_fields__)


@contextmanager
def held(history, *statements):
    """Another program that has begun something in the file and does not end it."""
    other = sqlite3.connect(history.folder / FILE, isolation_level=None)
    for statement in statements:
        other.execute(statement).fetchall()
    yield other
    other.close()


@pytest.mark.slow
def test_in_a_hurry_it_waits_one_second_and_then_hardly_at_all(history):
    traced = []
    history._file.connection().set_trace_callback(traced.append)

    def waits_ms():
        found = [int(line.split("=")[1]) for line in traced if "busy_timeout" in line]
        traced.clear()
        return found

    with held(history, "BEGIN IMMEDIATE"):
        for most in (1000, 50, 50):
            with pytest.raises(HistoryError, match="locked"):
                history.record([ROW], hurry=True)
            assert 0 < max(waits_ms()) <= most
    assert history.record([ROW], hurry=True) and max(waits_ms()) <= 50
    assert history.record([ROW], hurry=True) and 50 < max(waits_ms()) <= 1000


@pytest.mark.slow
@pytest.mark.parametrize("then", ["write", "close"])
def test_traces_that_a_reader_holds_are_told_and_go_when_it_ends(history, then):
    (number,) = history.record([replace(ROW, name="SecretName.png", picture_png=png(77))])
    with held(history, "BEGIN", "SELECT * FROM cases") as reader:
        with pytest.raises(HistoryError, match="another program reads"):
            history.delete(number)
        assert history.search() == (0, []) and not any((history.folder / IMAGES).iterdir())
        assert b"SecretName" in stored_bytes(history.folder)
        reader.execute("ROLLBACK")
        if then == "write":
            history.record([ROW])
        else:
            history.close()
        assert b"SecretName" not in stored_bytes(history.folder)


def test_a_search_is_limited(history, client, monkeypatch):
    history.record([ROW] * 500)
    assert history.search(query=" ".join(["SLICE", "slice"] * 30))[0] == 500
    reply = client.get("/api/v1/history", params={"query": "a b c d e f g h i j k"})
    assert (reply.status_code, reply.json()["code"]) == (400, "usage")
    monkeypatch.setattr("brainsift.serve.history.search._MOST_SECONDS", 0)
    reply = client.get("/api/v1/history", params={"query": "slice"})
    assert (reply.status_code, reply.json()["code"]) == (504, "timeout")
    monkeypatch.undo()
    assert history.search(query="slice")[0] == 500


def test_the_last_verdict_counts_though_the_clock_was_put_back(history, monkeypatch):
    first, second = history.record([replace(ROW, picture_png=png(1))] * 2)
    history.judge(first, "tumor")
    monkeypatch.setattr("brainsift.serve.history.store._now", lambda: "2020-01-01T00:00:00.000000Z")
    history.judge(second, "no_tumor")
    assert [row["label"] for row in table(history.export())] == ["0"]
    history.judge(first, "tumor")
    assert [row["label"] for row in table(history.export())] == ["1"]


def test_earlier_studies_are_found_by_the_patient_and_never_by_name(history, client):
    def study(patient, date, name="ax t1"):
        whole = replace(ROW, name=name, slices=2, patient=patient, study_date=date)
        (number,) = history.record([whole])
        history.record([replace(ROW, volume=name, part_of=number, patient=patient, study_date=date)] * 2)
        return number

    oldest, _, older, same = (study("a", date) for date in ("2024-01-02", "", "2025-07-01", "2026-03-03"))
    study("", "2020-01-01")
    study("b", "2020-01-01")
    now = study("a", "2026-03-03")
    found = client.get(f"/api/v1/history/{now}/earlier").json()
    assert [(one["id"], one["study_date"]) for one in found] == [(older, "2025-07-01"), (oldest, "2024-01-02")]
    assert "patient" not in found[0] and [one.id for one in history.earlier(same + 1)] == [older, oldest]  # of a slice
    assert client.get(f"/api/v1/history/{study('', '2026-01-01')}/earlier").json() == []
    assert client.get("/api/v1/history/999/earlier").status_code == 404


def test_decisions_are_counted_against_verdicts_once_per_image(history, client):
    def case(verdict=None, **values):
        (number,) = history.record([replace(ROW, **values)])
        if verdict:
            history.judge(number, verdict)

    case("tumor", picture_png=png(1))
    case("no_tumor", picture_png=png(1))  # the same image again: the last verdict counts
    case("tumor", picture_png=png(2))
    case("tumor", picture_png=png(3), decision="no_tumor", leaning="no_tumor")
    case(picture_png=png(4))
    case("not_brain_mri", picture_png=png(5), status="not_brain_mri", decision="refer")
    (whole,) = history.record([replace(ROW, name="v", slices=2)])
    history.record([replace(ROW, volume="v", part_of=whole)] * 2)
    history.judge(whole, "tumor")
    found = client.get("/api/v1/history/agreement").json()
    assert {(one["status"], one["decision"], one["verdict"]): one["count"] for one in found} == {
        ("ok", "tumor", "no_tumor"): 1,
        ("ok", "tumor", "tumor"): 2,
        ("ok", "no_tumor", "tumor"): 1,
        ("ok", "tumor", None): 1,
        ("not_brain_mri", "refer", "not_brain_mri"): 1,
    }
    cases = table(history.export(of="cases"))
    assert sum(one["count"] for one in found) == len(cases)
    assert {one["margin"] for one in cases} == {"0.0"}
