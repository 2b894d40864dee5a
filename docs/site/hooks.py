"""What the site adds to MkDocs: a page for each tutorial, with its output, and the notebook to download.

With BRAINSIFT_RUN_TUTORIALS=0 the build does not run the tutorials, and their pages have no output.
"""

import os
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import jupytext
import nbformat
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from notebooks import markdown_of, run_tutorial

_DOWNLOAD = '[Download this tutorial as a notebook]({name}.ipynb){{ download="{name}.ipynb" }}, for Kaggle and Colab.'


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds a page and a notebook for each tutorial."""
    run = os.environ.get("BRAINSIFT_RUN_TUTORIALS", "1") != "0"
    paths = sorted(Path(config.docs_dir, "tutorials").glob("*.py"))
    with ThreadPoolExecutor(os.cpu_count()) as pool:  # each tutorial runs in a process of its own
        shown = list(pool.map(run_tutorial if run else jupytext.read, paths))
    for path, notebook_shown in zip(paths, shown, strict=True):
        notebook, name = jupytext.read(path), path.stem
        title, _, rest = markdown_of(notebook_shown).partition("\n")
        page = f"{title}\n\n{_DOWNLOAD.format(name=name)}\n{rest}"
        files.append(File.generated(config, f"tutorials/{name}.md", content=page))
        files.append(File.generated(config, f"tutorials/{name}.ipynb", content=nbformat.writes(notebook)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Points links to the Python file of a tutorial at its page."""
    return re.sub(r"(\]\((?:[\w./-]*tutorials/)?\w+)\.py(?=[)#])", r"\1.md", markdown)
