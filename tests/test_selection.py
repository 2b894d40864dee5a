"""Which tests run, and that a skip is a failure where what it lacks is required: tried on tests that do nothing."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[1]
MARKED = """
import pytest

@pytest.mark.slow
def test_slow(): pass

@pytest.mark.browser
def test_browser(): pass

@pytest.mark.real
def test_real(): pass

def test_with_real_images(data): pass

def test_with_a_trained_network(small_run): pass

def test_quick(): pass
"""
WHOLE_FILE = """
from pathlib import Path
import pytest

Path("was imported").touch()
pytestmark = pytest.mark.slow

def test_of_a_slow_file(): pass
"""
QUICK = {"test_quick", "test_alone"}
LONG = {"test_slow", "test_browser", "test_real", "test_with_real_images", "test_with_a_trained_network"}


@pytest.fixture
def says(tmp_path):
    """Runs pytest on them with our settings, in a process of its own; gives its exit code and what it prints."""
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    (tmp_path / "src").mkdir()
    (tmp_path / "tests").mkdir()
    shutil.copy(ROOT / "tests/conftest.py", tmp_path / "tests")
    files = {"marked": MARKED, "whole_file": WHOLE_FILE, "alone": "def test_alone(): pass\n"}
    for name, content in files.items():
        (tmp_path / f"tests/test_{name}.py").write_text(content)

    def run(*words, **variables):
        command = [sys.executable, "-m", "pytest", "-n", "0", "-p", "no:cacheprovider", "-rs", *words]
        variables = {**os.environ, "BRAINSIFT_REQUIRE": "", "BRAINSIFT_DATA": str(tmp_path), **variables}
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path, env=variables)
        return done.returncode, done.stdout + done.stderr

    return run


def test_a_skip_fails_where_what_it_lacks_is_required(says):
    one = "tests/test_marked.py::test_with_real_images"
    code, said = says(one)
    assert code == 0 and "needs data: no real images" in said
    code, said = says(one, BRAINSIFT_REQUIRE="git,data")
    assert code == 1 and "BRAINSIFT_REQUIRE names data" in said and "skipped" not in said.splitlines()[-1]


def test_every_reason_to_skip_names_something_that_can_be_required(says):
    code, said = says(BRAINSIFT_REQUIRE="chromum")
    assert code == 4 and "'chromum'" in said
    known = set(re.search(r"is none of (.*)", said)[1].split(", "))
    named = {need for path in (ROOT / "tests").rglob("*.py") for need in re.findall(r'"needs (\w+):', path.read_text())}
    assert {"chromium", "data", "ray"} <= named <= known


def test_the_inner_loop_leaves_out_what_takes_long(says, tmp_path):
    def collected(*words):
        code, said = says("--collect-only", *words)
        assert code == 0, said
        return set(re.findall(r"::(test_\w+)", said))

    assert collected() == QUICK
    assert not (tmp_path / "was imported").exists()
    assert collected("--all") == QUICK | LONG | {"test_of_a_slow_file"}
    assert collected("tests/test_marked.py") == (QUICK | LONG) - {"test_alone"}
    assert collected("-m", "slow") == {"test_slow", "test_with_a_trained_network", "test_of_a_slow_file"}
