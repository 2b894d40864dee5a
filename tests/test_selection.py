"""Which tests run, and that a skip is a failure where what the test lacks is required."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
ONE_REAL = "tests/datasets/test_catalog.py::test_real_collections"


def pytest_says(*words, **variables):
    """Runs pytest in a process of its own; returns its exit code and what it prints."""
    command = [sys.executable, "-m", "pytest", "-n", "0", "-p", "no:cacheprovider", "-rs", *words]
    variables = {**os.environ, "BRAINSIFT_REQUIRE": "", **variables}
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT, env=variables)
    return done.returncode, done.stdout + done.stderr


@pytest.mark.slow
def test_a_skip_fails_where_what_it_lacks_is_required(tmp_path):
    code, said = pytest_says(ONE_REAL, BRAINSIFT_DATA=str(tmp_path))
    assert code == 0 and "needs data: no real images" in said
    code, said = pytest_says(ONE_REAL, BRAINSIFT_DATA=str(tmp_path), BRAINSIFT_REQUIRE="git,data")
    assert code == 1 and "BRAINSIFT_REQUIRE names data" in said and "skipped" not in said.splitlines()[-1]


@pytest.mark.slow
def test_every_reason_to_skip_names_something_that_can_be_required():
    code, said = pytest_says(ONE_REAL, BRAINSIFT_REQUIRE="chromum")
    assert code == 4 and "'chromum'" in said
    known = set(re.search(r"is none of (.*)", said)[1].split(", "))
    named = {need for path in (ROOT / "tests").rglob("*.py") for need in re.findall(r'"needs (\w+):', path.read_text())}
    assert {"chromium", "data", "ray"} <= named <= known


@pytest.mark.slow
def test_the_inner_loop_leaves_out_what_takes_long():
    _, inner = pytest_says("--collect-only")
    _, everything = pytest_says("--collect-only", "--all")
    assert int(re.search(r"\((\d+) deselected\)", inner)[1]) > 100
    assert "deselected" not in everything
    assert "test_real_collections" in everything and "test_real_collections" not in inner
