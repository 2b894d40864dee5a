"""Files are written whole or not at all."""

import csv
import hashlib
import json
import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from brainsift.core.errors import InputError
from brainsift.core.files import (
    check_writable,
    json_rows,
    read_json,
    replacing,
    sha256_of,
    write_csv,
    write_json,
    write_text,
)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_block_that_fails_leaves_the_old_file(tmp_path):
    path = tmp_path / "table.csv"
    write_text(path, "old")
    with pytest.raises(RuntimeError, match="half"), replacing(path) as temporary:
        temporary.write_text("ne")
        raise RuntimeError("half way")
    assert path.read_text() == "old"
    assert names(tmp_path) == ["table.csv"]


def test_a_block_that_ends_well_replaces_it(tmp_path):
    path = tmp_path / "table.csv"
    write_text(path, "old")
    with replacing(path) as temporary:
        temporary.write_text("new")
        assert path.read_text() == "old"
        assert (temporary.parent, temporary.suffix) == (tmp_path, ".csv")
    assert path.read_text() == "new"
    assert names(tmp_path) == ["table.csv"]


@pytest.mark.skipif(os.name == "nt", reason="needs locks of POSIX")
def test_what_a_killed_process_left_is_gone_after_the_next_write(tmp_path):
    killed = (
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "from brainsift.core.files import replacing\n"
        "with replacing(Path(sys.argv[1])) as temporary:\n"
        "    temporary.write_text('half of what is long')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    path = tmp_path / "table.csv"
    for _ in range(2):
        assert subprocess.run([sys.executable, "-c", killed, str(path)], check=False).returncode == -signal.SIGKILL
    assert len(names(tmp_path)) == 1 and not path.exists()
    write_text(path, "whole")
    assert names(tmp_path) == ["table.csv"] and path.read_text() == "whole"


def test_two_that_write_the_same_file_at_once_do_not_meet(tmp_path):
    path = tmp_path / "table.csv"
    with replacing(path) as first, replacing(path) as second:
        assert first != second
        first.write_text("first")
        second.write_text("second")
    assert path.read_text() == "first" and names(tmp_path) == ["table.csv"]  # the outer block ends last


@pytest.mark.parametrize(("mask", "mode"), [(0o022, 0o644), (0o077, 0o600)])
def test_the_umask_says_who_can_read_it(tmp_path, mask, mode):
    before = os.umask(mask)
    try:
        write_text(tmp_path / "note.txt", "for some")
    finally:
        os.umask(before)
    assert (tmp_path / "note.txt").stat().st_mode & 0o777 == mode


def test_a_link_stays_and_what_it_points_to_is_replaced(tmp_path):
    (tmp_path / "far").mkdir()
    write_text(tmp_path / "far" / "note.txt", "old")
    (tmp_path / "link.txt").symlink_to("far/note.txt")
    write_text(tmp_path / "link.txt", "new")
    assert (tmp_path / "link.txt").is_symlink() and (tmp_path / "far" / "note.txt").read_text() == "new"
    assert names(tmp_path / "far") == ["note.txt"]


def test_a_pipe_is_written_to_and_stays(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with ThreadPoolExecutor() as pool:
        read = pool.submit((tmp_path / "pipe").read_text)
        check_writable(tmp_path / "pipe")
        write_text(tmp_path / "pipe", "through")
        assert read.result() == "through"
    assert (tmp_path / "pipe").is_fifo() and names(tmp_path) == ["pipe"]


def test_a_folder_is_refused_and_named(tmp_path):
    with pytest.raises(InputError, match="is a folder") as caught:
        write_text(tmp_path, "in the way")
    assert caught.value.subject == str(tmp_path)


def test_what_cannot_be_written_is_told_before(tmp_path, monkeypatch):
    check_writable(tmp_path / "new" / "note.txt")
    write_text(tmp_path / "file", "in the way")
    check_writable(tmp_path / "file")
    with pytest.raises(InputError, match="is a folder"):
        check_writable(tmp_path)
    with pytest.raises(InputError, match="file is no folder"):
        check_writable(tmp_path / "file" / "note.txt")
    monkeypatch.setattr("os.access", lambda place, mode: place != tmp_path)  # root may write everywhere
    with pytest.raises(InputError, match="is read-only"):
        check_writable(tmp_path / "new" / "note.txt")
    assert names(tmp_path) == ["file"]


def test_folders_are_made(tmp_path):
    write_text(tmp_path / "a" / "b" / "note.txt", "Größe – 3 µm\n")
    assert (tmp_path / "a" / "b" / "note.txt").read_bytes() == "Größe – 3 µm\n".encode()


def test_json_that_cannot_be_written_leaves_nothing(tmp_path):
    with pytest.raises(TypeError):
        write_json(tmp_path / "value.json", {"a": object()})
    assert names(tmp_path) == []
    write_json(tmp_path / "value.json", {"a": tmp_path}, default=str)
    assert read_json(tmp_path / "value.json") == {"a": str(tmp_path)}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(JSON)
def test_json_comes_back_the_same(tmp_path_factory, value):
    path = tmp_path_factory.getbasetemp() / "any.json"
    write_json(path, value)
    assert read_json(path) == value
    assert json.loads(path.read_text(encoding="utf-8")) == value


def test_names_that_are_no_utf8_come_back_the_same(tmp_path):
    row = {"path": os.fsdecode(b"M\xfcller.png"), "detail": "ü"}
    write_csv(tmp_path / "a.csv", list(row), [row])
    assert b"M\xfcller.png" in (tmp_path / "a.csv").read_bytes()
    with (tmp_path / "a.csv").open(encoding="utf-8", errors="surrogateescape", newline="") as file:
        assert list(csv.DictReader(file)) == [row]
    write_json(tmp_path / "a.json", [row])
    with json_rows(tmp_path / "b.json") as write:
        write(row)
    for path in (tmp_path / "a.json", tmp_path / "b.json"):
        assert json.loads(path.read_bytes().decode("utf-8")) == read_json(path) == [row]


def test_sha256():
    assert sha256_of(b"abc") == hashlib.sha256(b"abc").hexdigest()
    assert sha256_of(b"abc").startswith("ba7816bf")


def test_no_text_of_a_table_is_a_formula_and_a_path_still_leads_to_its_file(tmp_path):
    rows = [
        {"path": '=HYPERLINK("x").png', "note": "-1+2", "n": -3, "more": "left out"},
        {"path": "/a.png", "note": "a=b", "n": 4},
    ]
    write_csv(tmp_path / "a.csv", ("path", "note", "n"), rows)
    lines = (tmp_path / "a.csv").read_text().splitlines()
    assert lines == ["path,note,n", '"./=HYPERLINK(""x"").png",\'-1+2,-3', "/a.png,a=b,4"]


def test_a_name_may_be_as_long_as_the_file_system_takes(tmp_path):
    for name in ("a" * 251 + ".png", "a." + "b" * 253):
        write_text(tmp_path / name, "whole")
        assert (tmp_path / name).read_text() == "whole"
    assert len(names(tmp_path)) == 2
