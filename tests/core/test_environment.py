"""What a figure depends on."""

import os
import re
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

import brainsift
from brainsift.core import environment

PACKAGE = Path(brainsift.__file__).parent


def git(folder, *arguments):
    command = ["git", "-C", str(folder), "-c", "user.name=a", "-c", "user.email=a@example.org", *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def commit_seen_from(package):
    script = "from brainsift.core import environment; print(environment.commit())"
    variables = {**os.environ, "PYTHONPATH": str(package.parent)}
    command = [sys.executable, "-c", script]
    return subprocess.run(command, check=True, capture_output=True, text=True, env=variables).stdout.strip()


def test_versions_and_hardware_are_told():
    found = environment.describe()
    assert found["brainsift"] == brainsift.__version__
    assert found["numpy"] == metadata.version("numpy")
    assert found["python"] == sys.version.split()[0]
    assert int(found["cores"]) == environment.cores() >= 1
    assert found["system"].startswith(os.uname().sysname if hasattr(os, "uname") else "Windows")
    assert all(isinstance(value, str) for value in found.values())


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system cannot bind a process to a core")
def test_only_cores_that_may_be_used_count():
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    try:
        assert environment.cores() == 1
    finally:
        os.sched_setaffinity(0, before)


def test_peak_memory_never_falls():
    script = (
        "from brainsift.core.environment import peak_memory_mb as peak; before = peak()\n"
        "block = bytearray(b'x') * (200 << 20); with_block = peak(); del block; print(before, with_block, peak())"
    )
    # A process begins with the size of the one that started it, and this one may be large.
    small = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {script!r}], check=True)"
    done = subprocess.run([sys.executable, "-c", small], check=True, capture_output=True, text=True)
    before, with_block, after = map(float, done.stdout.split())
    assert 1 < before < 150 and 200 < with_block < before + 250 and after >= with_block


@pytest.mark.skipif(shutil.which("git") is None, reason="needs git: it is not installed")
def test_the_commit_of_a_checkout_is_known_and_changes_show(tmp_path):
    package = tmp_path / "src" / "brainsift"
    for room in ("", "core"):
        (package / room).mkdir(parents=True)
        shutil.copy(PACKAGE / room / "__init__.py", package / room)
    for name in ("environment.py", "errors.py"):
        shutil.copy(PACKAGE / "core" / name, package / "core")
    (tmp_path / ".gitignore").write_text("__pycache__/\n")
    assert commit_seen_from(package) == ""  # no checkout
    git(tmp_path, "init")
    assert commit_seen_from(package) == ""  # installed inside of another project
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-m", "first")
    git(tmp_path, "tag", "-a", "v9", "-m", "a tag does not hide the commit")
    seen = commit_seen_from(package)
    assert re.fullmatch(r"[0-9a-f]{12}", seen)
    assert git(tmp_path, "rev-parse", "HEAD").startswith(seen)
    (package / "core" / "errors.py").write_text("# changed\n")
    assert commit_seen_from(package) == f"{seen}-dirty"
