"""The documents: links lead somewhere, commands exist, and what is generated is up to date.

`python tests/test_docs.py` writes docs/cli.md and the table of packages in docs/design.md.
"""

import ast
import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from brainsift.cli import main
from brainsift.core.files import write_text

ROOT = Path(__file__).resolve().parents[1]
PAGES = [path for path in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))) if path.is_file()]
CLI_PAGE = ROOT / "docs" / "cli.md"
DESIGN_PAGE = ROOT / "docs" / "design.md"
_SHELLS = ("sh", "bash", "console")


def cli_page() -> str:
    """Makes docs/cli.md of the help of all commands."""
    before = os.environ.get("COLUMNS")
    os.environ["COLUMNS"] = "100"
    try:
        blocks = [f"## {name}\n\n```text\n{_help(name)}```\n" for name in main.COMMANDS]
    finally:
        os.environ.pop("COLUMNS")
        if before is not None:
            os.environ["COLUMNS"] = before
    head = "# Command line\n\nWhat `brainsift COMMAND --help` says; written by `python tests/test_docs.py`.\n"
    codes = (
        "Exit codes: 0 done, 2 wrong usage or a missing extra, 3 bad input, 4 no download, 5 a run folder that\n"
        "cannot be used, 130 interrupted.\n"
    )
    return "\n".join((head, codes, *blocks))


def _help(name: str) -> str:
    """Returns the help of a command, written as Python 3.13 does: `-o, --output DIR`, not `-o DIR, --output DIR`."""
    return re.sub(r"(-\w) (\S+), (--[\w-]+ \2)", r"\1, \3", main.command_parser(name).format_help())


def packages_table() -> str:
    """Makes the table of docs/design.md from the docstrings of the packages, the ground floor first."""
    said = {}
    for path in (ROOT / "src" / "brainsift").rglob("*/__init__.py"):
        text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
        purpose, modules, imports = re.fullmatch(
            r"(.*)\n\nModules: (.*)\.\nMay import: (.*)\.", text, re.DOTALL
        ).groups()
        said["/".join(path.parent.relative_to(ROOT / "src" / "brainsift").parts)] = (purpose, modules, imports)
    order = sorted(said, key=lambda name: (said[name][2] == "all above", said[name][2].count(","), name))
    order.sort(key=lambda name: _floor(name, said))
    rows = [f"| `{name}/` | {' | '.join(' '.join(part.split()) for part in said[name])} |" for name in order]
    return "\n".join(("| package | what it is for | modules | may import |", "|---|---|---|---|", *rows)) + "\n"


def _floor(name: str, said: dict[str, tuple[str, str, str]]) -> int:
    """Returns 0 for a package that imports no other, otherwise one more than the highest package it imports."""
    if said[name][2] == "all above":
        return len(said) + name.count("/")
    below = [part.replace(".", "/") for part in said[name][2].split(", ")]
    return 1 + max((_floor(part, said) for part in below if part in said), default=-1)


def with_packages(page: str) -> str:
    """Puts the table of packages into its place in docs/design.md."""
    table = f"<!-- packages -->\n\n{packages_table()}\n<!-- /packages -->"
    assert "<!-- packages -->" in page
    return re.sub(r"<!-- packages -->.*<!-- /packages -->", lambda _: table, page, flags=re.DOTALL)


def _commands(page: str) -> list[list[str]]:
    """The words after `brainsift`, from shell blocks and from inline code."""
    shells = re.findall(rf"^```(?:{'|'.join(_SHELLS)})\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
    lines = [part for text in shells for part in re.split(r"\n|&&|;|\|", text.replace("\\\n", " "))]
    lines += re.findall(r"`(brainsift [^`\n]+)`", re.sub(r"^```.*?^```", "", page, flags=re.DOTALL | re.MULTILINE))
    found = (re.search(r"(?:^|\s)brainsift\s+(\S.*)", line.removeprefix("$ ")) for line in lines)
    return [shlex.split(match[1], comments=True) for match in found if match]


def _wrong(words: list[str]) -> list[str]:
    """Returns the words that the command line does not know."""
    name, *others = words
    if name.isupper() or name == "--version":  # a placeholder
        return []
    if name not in main.COMMANDS:
        return [name]
    known = main.command_parser(name)._option_string_actions
    flags = (word.split("=")[0] for word in others if re.match(r"--?[a-zA-Z]", word))
    return [flag for flag in flags if flag not in known]


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_links_lead_to_files(page):
    links = re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text(encoding="utf-8"))
    inside = [link for link in links if not re.match(r"[a-z]+:", link)]
    assert [link for link in inside if not (page.parent / link).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_commands_and_flags_exist(page):
    commands = _commands(page.read_text(encoding="utf-8"))
    assert [(words, wrong) for words in commands if (wrong := _wrong(words))] == []
    assert len(commands) >= 5 or page.name != "README.md"


def test_wrong_commands_would_be_found():
    page = "```sh\npip install x && brainsift heal --now\n$ brainsift split m.csv \\\n  --colour=red -o x  # why\n```\n"
    page += (
        "Run `brainsift train M -o DIR --epochz 3`, see `brainsift COMMAND --help`.\n```python\nimport brainsift\n```\n"
    )
    assert [_wrong(words) for words in _commands(page)] == [["heal"], ["--colour"], ["--epochz"], []]


def test_the_page_of_the_command_line_is_what_help_says():
    said = CLI_PAGE.read_text(encoding="utf-8")
    assert said.split() == cli_page().split(), "write it anew: python tests/test_docs.py"


def test_the_table_of_packages_is_what_their_docstrings_say():
    page = DESIGN_PAGE.read_text(encoding="utf-8")
    assert page == with_packages(page), "write it anew: python tests/test_docs.py"


def test_no_file_names_a_path_of_one_machine():
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("needs git: and a checkout")
    listed = subprocess.run(["git", "-C", str(ROOT), "ls-files", "-z"], check=True, capture_output=True, text=True)
    pattern = re.compile(r"(?<![\w.])/(?:work|home|root|tmp|Users)/[\w.]")
    paths = [ROOT / name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]
    assert len(paths) > 50
    found = {path.name for path in paths if pattern.search(path.read_text(encoding="utf-8", errors="ignore"))}
    assert found == set()
    assert pattern.search("cache=" + "/".join(("", "tmp", "cache")))


if __name__ == "__main__":
    write_text(CLI_PAGE, cli_page())
    write_text(DESIGN_PAGE, with_packages(DESIGN_PAGE.read_text(encoding="utf-8")))
