"""A fixed part of what the commands of bench/ that look for faults do; docs/faults.md says how to run all of it."""

import subprocess
import sys
from pathlib import Path

import pytest

BENCH = Path(__file__).resolve().parents[1] / "bench"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="reads what Linux says of processes"),
]


def no_findings(*words):
    done = subprocess.run([sys.executable, *map(str, words)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_broken_files_of_each_format(tmp_path):
    said = no_findings(BENCH / "fuzz.py", "-o", tmp_path, "--files", 84, "--seed", 20, "--seconds", 60)
    assert "0 findings" in said
    assert all(f"| {name} |" in said for name in ("png", "jpeg", "tiff", "dicom", "nifti", "zip", "csv"))


@pytest.mark.parametrize(("command", "fault"), [("predict", "kill"), ("audit", "kill"), ("predict", "vanishing")])
def test_a_command_that_is_disturbed_ends_as_one_that_is_not(command, fault):
    said = no_findings(BENCH / "kill.py", command, "--times", 2, "--faults", fault)
    assert f"{command}: 2 × {fault}" in said and "0 findings" in said


def test_a_server_that_is_killed_keeps_what_it_acknowledged():
    assert "serve: 3 × kill; 4 ends compared; 0 findings" in no_findings(BENCH / "kill.py", "serve", "--times", 3)
