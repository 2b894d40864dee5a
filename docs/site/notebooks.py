"""Tutorials as notebooks: run one, and write it as Markdown.

A tutorial is a Python file in the percent format of jupytext.
"""

import tempfile
from pathlib import Path

import jupytext
from nbclient import NotebookClient
from nbformat import NotebookNode

INSTALL = "install"  # the tag of the cell that installs brainsift: Kaggle and Colab need it, a checkout does not
TIMEOUT_S = 600  # for one cell


def run_tutorial(path: Path) -> NotebookNode:
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
        resources = {"metadata": {"path": folder}}
        NotebookClient(notebook, timeout=TIMEOUT_S, coalesce_streams=True, resources=resources).execute()
    return notebook


def markdown_of(notebook: NotebookNode) -> str:
    """Writes the cells of a notebook and their output as Markdown."""
    parts = []
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            parts.append(cell.source)
        else:
            parts.append(f"```python\n{cell.source}\n```")
            parts += [_output(output) for output in cell.outputs]
    return "\n\n".join(part for part in parts if part) + "\n"


def _output(output: NotebookNode) -> str:
    if output.output_type == "stream":
        return "" if output.name == "stderr" else f"```text {{ .output }}\n{output.text.rstrip()}\n```"
    data = output.data
    if "text/html" in data:
        return f'<div class="output">\n{data["text/html"]}\n</div>'
    if "image/png" in data:
        source = f"data:image/png;base64,{data['image/png'].strip()}"
        return f'<img class="output" alt="Output of the code above" src="{source}">'
    return f"```text {{ .output }}\n{data['text/plain']}\n```"
