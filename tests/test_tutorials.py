"""The tutorials run from the first cell to the last, as notebooks, on phantoms."""

import sys
from pathlib import Path

import jupytext
import pytest
from nbclient.exceptions import CellExecutionError

DOCS = Path(__file__).resolve().parents[1] / "docs"
sys.path.append(str(DOCS / "site"))
from notebooks import INSTALL, markdown_of, run_tutorial  # noqa: E402

pytestmark = pytest.mark.slow
TUTORIALS = sorted((DOCS / "tutorials").glob("*.py"))


@pytest.mark.parametrize("path", TUTORIALS, ids=lambda path: path.stem)
def test_a_tutorial_runs(path):
    notebook = run_tutorial(path)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert all(cell.execution_count for cell in code)
    assert sum(bool(cell.outputs) for cell in code) > len(code) / 2
    page = markdown_of(notebook)
    assert page.startswith("# ")
    assert "pip install" not in page


@pytest.mark.parametrize("path", TUTORIALS, ids=lambda path: path.stem)
def test_a_tutorial_installs_brainsift_in_one_line(path):
    first = next(cell for cell in jupytext.read(path).cells if cell.cell_type == "code")
    assert first.metadata["tags"] == [INSTALL]
    assert first.source in ("%pip install -q brainsift", '%pip install -q "brainsift[train]"')


def test_an_error_in_a_tutorial_is_an_error(tmp_path):
    path = tmp_path / "broken.py"
    path.write_text("# %% [markdown]\n# # Broken\n\n# %%\n1 / 0\n", encoding="utf-8")
    with pytest.raises(CellExecutionError, match="ZeroDivisionError"):
        run_tutorial(path)
