"""What must agree before a release: version, date, versions of tools; and no image of a patient is committed."""

import re
import shutil
import subprocess
from datetime import date
from pathlib import Path

import pytest

from brainsift import __version__

ROOT = Path(__file__).resolve().parents[1]


def read(name):
    path = ROOT / name
    if not path.is_file():
        pytest.skip(f"needs {name} of the source distribution or a checkout")
    return path.read_text(encoding="utf-8")


def test_the_changelog_names_the_version_and_its_date():
    newest = re.search(r"^## \[(\d\S*)\] - (\S+)$", read("CHANGELOG.md"), re.MULTILINE)
    assert newest and newest[1] == __version__
    assert date.fromisoformat(newest[2])


def test_the_citation_has_the_version_and_date_of_the_changelog():
    cited = dict(re.findall(r"^(version|date-released): (\S+)$", read("CITATION.cff"), re.MULTILINE))
    assert f"## [{cited['version']}] - {cited['date-released']}\n" in read("CHANGELOG.md")
    assert cited["version"] == __version__


def test_the_changelog_keeps_its_form():
    sections = re.findall(r"^### (.*)$", read("CHANGELOG.md"), re.MULTILINE)
    assert sections
    assert set(sections) <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}


def test_pre_commit_uses_the_ruff_of_the_constraints():
    pinned = re.findall(r"\[(ruff==\S+)\]", read(".pre-commit-config.yaml"))
    assert len(pinned) == 2
    assert set(pinned) <= set(read("constraints.txt").splitlines())


def test_the_repository_holds_no_images_but_those_of_the_page():
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("needs a git checkout")
    config = read(".pre-commit-config.yaml").partition("id: no-images")[2]
    forbidden, allowed = (re.compile(re.search(rf"{key}: (.*)", config)[1]) for key in ("files", "exclude"))
    listed = subprocess.run(["git", "-C", str(ROOT), "ls-files", "-z"], check=True, capture_output=True, text=True)
    images = [name for name in listed.stdout.split("\0") if forbidden.search(name)]
    assert [name for name in images if not allowed.search(name)] == []
    assert images, "the pictures of the page are known as images"
    for name in ("data/br35h/yes/y1.JPG", "scan.nii.gz", "tests/slice.dcm", "docs/pictures/real.png"):
        assert forbidden.search(name) and not allowed.search(name)
