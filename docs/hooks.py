"""What the site adds to MkDocs: tutorials are run and shown with their output, and doctests become code blocks.

A tutorial is a notebook, kept as a Python file in the percent format of jupytext. The build runs it, writes a page of
its cells and their output, and puts the notebook beside the page for Kaggle and Colab. With BRAINSIFT_RUN_TUTORIALS=0
the build does not run tutorials, and their pages have no output.
"""

import os
import re
import tempfile
from pathlib import Path

import griffe
import jupytext
import nbformat
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from nbclient import NotebookClient

INSTALL = "install"  # the tag of the cell that installs brainsift: Kaggle and Colab need it, a checkout does not
TIMEOUT_S = 300  # for one cell
_DOWNLOAD = '[Download this tutorial as a notebook]({name}.ipynb){{ .md-button download="{name}.ipynb" }}'


def run_tutorial(path: Path) -> nbformat.NotebookNode:
    """Runs a tutorial in a new, empty folder.

    Args:
        path: the Python file.

    Returns:
        The notebook with its output, without the cell that installs brainsift.

    Raises:
        CellExecutionError: a cell raised an error.
    """
    notebook = jupytext.read(path)
    notebook.cells = [cell for cell in notebook.cells if INSTALL not in cell.metadata.get("tags", ())]
    with tempfile.TemporaryDirectory() as folder:
        NotebookClient(notebook, timeout=TIMEOUT_S, coalesce_streams=True, resources={"metadata": {"path": folder}}).execute()
    return notebook


def markdown_of(notebook: nbformat.NotebookNode) -> str:
    """Writes the cells of a notebook and their output as Markdown."""
    parts = []
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            parts.append(cell.source)
        else:
            parts.append(f"```python\n{cell.source}\n```")
            parts += [_output(output) for output in cell.get("outputs", ())]
    return "\n\n".join(part for part in parts if part) + "\n"


def _output(output: nbformat.NotebookNode) -> str:
    if output.output_type == "stream":
        return "" if output.name == "stderr" else f'```text {{ .output }}\n{output.text.rstrip()}\n```'
    data = output.data
    if "text/html" in data:
        return f'<div class="output">{data["text/html"]}</div>'
    if "image/png" in data:
        return f'<img class="output" alt="Output of the cell above" src="data:image/png;base64,{data["image/png"].strip()}">'
    return f'```text {{ .output }}\n{data["text/plain"]}\n```'


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds a page and a notebook for each tutorial."""
    run = os.environ.get("BRAINSIFT_RUN_TUTORIALS", "1") != "0"
    for path in sorted(Path(config.docs_dir, "tutorials").glob("*.py")):
        notebook, name = jupytext.read(path), path.stem
        page = markdown_of(run_tutorial(path) if run else notebook)
        title, _, rest = page.partition("\n")
        page = f"{title}\n\n{_DOWNLOAD.format(name=name)}\n{rest}"
        files.append(File.generated(config, f"tutorials/{name}.md", content=page))
        files.append(File.generated(config, f"tutorials/{name}.ipynb", content=nbformat.writes(notebook)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Points links to the Python file of a tutorial at its page."""
    return re.sub(r"(\]\((?:[\w./-]*tutorials/)?\w+)\.py(?=[)#])", r"\1.md", markdown)


class DoctestFences(griffe.Extension):
    """Puts each doctest of a docstring into a code block; Markdown would read `>>>` as a quotation."""

    def on_object(self, *, obj: griffe.Object, **kwargs: object) -> None:
        """Rewrites the docstring of each object."""
        if obj.docstring:
            obj.docstring.value = re.sub(
                r"(?m)(^>>> .*(?:\n(?!\s*$).*)*)", r"```pycon\n\1\n```", obj.docstring.value
            )
