"""What users read has American spelling: messages, the page, the docs. Names in the code may have another one."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
BRITISH = re.compile(
    r"\b\w*(?:colour|centre|behaviour|favour|licence|millimetre|recognis|summaris|normalis|equalis|standardis|initialis"
    r"|optimis(?!t)|minimis|maximis|modelled|modelling|labelled|labelling|fibre|judgement|tumour|neighbour|artefact"
    r"|catalogue|misspelt|learnt|whilst)\w*",
    re.IGNORECASE,
)
VALUES = re.compile(r"unlabelled|aria-labelledby|labelledby")  # values and names, not words
SYNONYMS = ("labels.py", "csv_table.py")  # words of other people's files
CODE = re.compile(r"```.*?```|`[^`\n]*`|\]\([^)]*\)|https?://\S+|<!-- packages -->.*?<!-- /packages -->", re.DOTALL)
PAGES = ("serve/page/*.js", "serve/page/*.html", "pages/templates/*.j2")


def british(text: str) -> list[str]:
    return BRITISH.findall(VALUES.sub("", text))


def messages(path: Path) -> list[str]:
    """Returns the texts of a module, without its docstrings."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    holders = [node for node in ast.walk(tree) if isinstance(node, documented)]
    docstrings = {id(one.body[0].value) for one in holders if one.body and isinstance(one.body[0], ast.Expr)}
    texts = [node for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    return [node.value for node in texts if id(node) not in docstrings]


def test_the_test_finds_what_it_looks_for():
    assert british("The Colours of neighbouring centres") == ["Colours", "neighbouring", "centres"]
    assert british("colors, an optimist, unlabelled") == []


def test_messages_are_american():
    modules = [path for path in (ROOT / "src/brainsift").rglob("*.py") if path.name not in SYNONYMS]
    found = {f"{path.name}: {word}" for path in modules for text in messages(path) for word in british(text)}
    assert found == set()


def test_the_page_and_the_reports_are_american():
    files = [path for pattern in PAGES for path in (ROOT / "src/brainsift").glob(pattern)]
    assert len(files) > len(PAGES)
    found = {f"{path.name}: {word}" for path in files for word in british(path.read_text(encoding="utf-8"))}
    assert found == set()


def test_the_docs_are_american():
    files = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "docs/tutorials").glob("*.py")]
    found = {f"{path.name}: {word}" for path in files for word in british(CODE.sub("", path.read_text("utf-8")))}
    assert found == set()
