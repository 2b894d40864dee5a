"""The documents: links lead somewhere, commands exist, and what is generated is up to date.

`python tests/test_docs.py` writes docs/reference/cli.md and the table of packages in docs/design.md.
"""

import ast
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import brainsift
from brainsift.cli import main
from brainsift.core import errors
from brainsift.core.files import write_text
from brainsift.core.reasons import Reason
from brainsift.datasets.manifest import AUDIT_COLUMNS, SOURCE_COLUMNS
from brainsift.inference.decision import COLUMNS, KIND_COLUMNS
from brainsift.inference.volume_decision import VOLUME_COLUMNS
from brainsift.serve.config import ServeConfig
from brainsift.serve.http.app import create_app

ROOT = Path(__file__).resolve().parents[1]
PAGES = [
    path
    for path in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md")))
    if path.is_file()
]
CLI_PAGE = ROOT / "docs" / "reference" / "cli.md"
DESIGN_PAGE = ROOT / "docs" / "design.md"
_SHELLS = ("sh", "bash", "console")


def cli_page() -> str:
    """Makes docs/reference/cli.md of the help of all commands."""
    before = os.environ.get("COLUMNS")
    os.environ["COLUMNS"] = "84"  # as wide as a page of the site
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
    if name.isupper() or name in ("--help", "--version"):  # a placeholder, or no command
        return []
    if name not in main.COMMANDS:
        return [name]
    known = main.command_parser(name)._option_string_actions
    flags = (word.split("=")[0] for word in others if re.match(r"--?[a-zA-Z]", word))
    return [flag for flag in flags if flag not in known]


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_links_lead_to_files(page):
    links = re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text(encoding="utf-8"))
    inside = [link for link in links if not re.match(r"[a-z]+:", link)]
    assert [link for link in inside if not (page.parent / link).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
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


def test_the_readme_names_each_folder_of_the_package():
    rows = re.findall(r"^\| ((?:`\w+/`(?:, )?)+) \|", (ROOT / "README.md").read_text(encoding="utf-8"), re.MULTILINE)
    named = {name for row in rows for name in re.findall(r"`(\w+)/`", row)}
    assert named == {path.parent.name for path in (ROOT / "src/brainsift").glob("*/__init__.py")}


def test_the_page_of_errors_is_what_the_code_says():
    rows = set(re.findall(r"^\| `(\w+Error)` \| `(\w+)` \| (\d) \| (\d{3}) \|", _read("errors"), re.MULTILINE))
    kinds = list(errors.BrainsiftError.__subclasses__())
    for kind in kinds:
        kinds += kind.__subclasses__()
    assert rows == {(kind.__name__, kind.code, str(kind.exit_code), str(kind.http_status)) for kind in kinds}


@pytest.mark.parametrize(
    ("heading", "columns"),
    [
        ("Predictions", (*COLUMNS, *KIND_COLUMNS)),
        ("Volumes", VOLUME_COLUMNS),
        ("Manifest", (*SOURCE_COLUMNS, *AUDIT_COLUMNS, "part")),
    ],
)
def test_the_page_of_tables_explains_each_column(heading, columns):
    section = re.search(rf"^## {heading}\n(.*?)(?=^## |\Z)", _read("tables"), re.DOTALL | re.MULTILINE)[1]
    cells = re.findall(r"^\| (`.*?) \|", section, re.MULTILINE)
    assert [name for cell in cells for name in re.findall(r"`(\w+)`", cell)] == list(columns)


def test_the_page_of_the_rest_api_lists_each_endpoint():
    app = create_app(ServeConfig(browser=False, threads=1))
    app.state.service.engine.close()
    app.state.service.store.close()
    paths = app.openapi()["paths"]
    served = {f"{method.upper()} {path}" for path, methods in paths.items() for method in methods}
    listed = re.findall(r"^\| `([A-Z]+ /\S+)` \|", _read("rest"), re.MULTILINE)
    assert sorted(listed) == sorted(served)


def test_the_page_of_tables_explains_each_reason():
    rows = re.findall(r"^\| `(\w+)` \| `(?:unreadable|not_brain_mri|refer)` \|", _read("tables"), re.MULTILINE)
    assert rows == [str(reason) for reason in Reason if reason]


def test_the_page_of_python_lists_the_public_names():
    names = re.findall(r"^::: brainsift\.(\w+)$", _read("python"), re.MULTILINE)
    assert sorted(names) == sorted(set(brainsift.__all__) - {"__version__"})


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_python_examples_use_public_names(page):
    for block in re.findall(r"^```python\n(.*?)^```", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE):
        used = {
            node.attr
            for node in ast.walk(ast.parse(block))
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "bs"
        }
        assert used <= set(brainsift.__all__)
        assert "from brainsift" not in block


@pytest.mark.slow
def test_the_site_opens_from_disk_and_loads_nothing_from_the_network(tmp_path):
    pytest.importorskip("mkdocs", reason="needs docs: pip install 'brainsift[docs]'")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site")]
    quick = {**os.environ, "BRAINSIFT_RUN_TUTORIALS": "0", "PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run(command, cwd=ROOT, env=quick, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    pages = [path.read_text(encoding="utf-8") for path in (tmp_path / "site").rglob("*.html")]
    assert len(pages) > 40
    loaded = r"<(?:script|img|iframe|source)[^>]+src=\"?(?:https?:)?//|<link[^>]+href=\"?(?:https?:)?//|url\(\"?https?:"
    assert [match[0] for page in pages for match in re.finditer(loaded, page)] == []
    assert '<script src="site/iframe-worker.js">' in (tmp_path / "site" / "index.html").read_text(encoding="utf-8")


def _read(name: str) -> str:
    return (ROOT / "docs" / "reference" / f"{name}.md").read_text(encoding="utf-8")


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
