"""Imports go one way, between packages and between modules, and what predicts needs no package of `[train]`.

The one source for the order of packages is the line `May import:` in the docstring of each package. docs/design.md
shows the same table; `python tests/test_docs.py` writes it.
"""

import ast
import re
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest
from PIL import Image

import brainsift
from brainsift.images.phantom import draw

PACKAGE = Path(brainsift.__file__).parent
TRAIN_ONLY = ("torch", "pandas", "sklearn", "scipy", "cv2", "matplotlib", "faiss", "optuna", "transformers", "onnx")
BASE = (
    "core",
    "images",
    "volumes",
    "inference",
    "pages",
    "dicom_results",
    "batch",
    "serve",
    "serve.scoring",
    "serve.history",
    "serve.http",
    "node",
    "cli",
)
_TOP = ("client", "notebook_frame", "__main__", "__init__")  # modules beside the packages; they may import anything


def _name(path: Path) -> str:
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts)


MODULES = {_name(path): path for path in sorted(PACKAGE.rglob("*.py"))}
PACKAGES = {name.removesuffix(".__init__"): path for name, path in MODULES.items() if name.endswith(".__init__")}


def package_of(module: str) -> str:
    """Returns the package of a module: `serve.http` of `serve.http.app`, and of `serve.http.__init__`."""
    return module.rpartition(".")[0]


def said(package: str, line: str) -> str:
    """Returns what the docstring of a package says in its line `Modules: …` or `May import: …`."""
    text = ast.get_docstring(ast.parse(PACKAGES[package].read_text(encoding="utf-8"))) or ""
    found = re.search(rf"^{line}: (.*?)\.$", text, re.MULTILINE | re.DOTALL)
    assert found, f"{package}: its docstring has no line `{line}: …`"
    return " ".join(found[1].split())


def allowed(package: str) -> set[str]:
    """Returns the packages that a package may import."""
    words = said(package, "May import")
    if words == "nothing of brainsift":
        return set()
    return set(PACKAGES) if words == "all above" else set(words.split(", "))


def imported(path: Path) -> set[str]:
    """Returns the modules of brainsift that a file imports, at any depth of its code."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names if alias.name.split(".")[0] == "brainsift"}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            if (node.module or "").split(".")[0] == "brainsift":
                wholes = {alias.name: f"{node.module}.{alias.name}" for alias in node.names}
                found |= {whole if _is_module(whole) else str(node.module) for whole in wholes.values()}
    return {name.removeprefix("brainsift").removeprefix(".") for name in found} - {""}


def _is_module(name: str) -> bool:
    inside = name.removeprefix("brainsift.")
    return inside in MODULES or inside in PACKAGES


@pytest.mark.slow
@pytest.mark.parametrize("module", [name for name in MODULES if name not in _TOP])
def test_a_module_imports_only_what_its_package_may(module):
    own = package_of(module)
    others = {package_of(name) if name in MODULES else name for name in imported(MODULES[module])} - {own}
    assert others <= allowed(own)


@pytest.mark.parametrize("package", [name for name in PACKAGES if name != "cli.commands"])
def test_a_package_names_its_modules(package):
    files = [path.stem for path in PACKAGES[package].parent.glob("*.py") if path.stem != "__init__"]
    assert sorted(said(package, "Modules").split(", ")) == sorted(files)


def test_packages_stand_one_above_the_other():
    order = list(
        TopologicalSorter({name: allowed(name) - {name} for name in PACKAGES if "cli" not in name}).static_order()
    )
    assert set(order) == {name for name in PACKAGES if "cli" not in name}


def test_no_two_modules_import_each_other():
    list(TopologicalSorter({name: imported(path) for name, path in MODULES.items()}).static_order())


def test_no_module_name_stands_for_two_things():
    names = [name.rpartition(".")[2] for name in MODULES if not name.startswith("cli.commands.")]
    names = [name for name in names if name != "__init__"]
    assert sorted(names) == sorted(set(names))


def test_the_reader_of_imports_sees_all_of_them():
    assert {"training.devices", "training.networks", "training.recipes"} <= imported(MODULES["training.train"])
    assert "cli.console" in imported(MODULES["cli.commands.demo"])
    assert "core.errors" in imported(MODULES["client"])


def test_nothing_of_the_package_is_imported_by_name_but_the_commands():
    users = [name for name, path in MODULES.items() if "import_module" in path.read_text(encoding="utf-8")]
    assert users == ["__init__", "cli.main"]


@pytest.mark.slow
@pytest.mark.parametrize("package", BASE)
def test_the_base_install_is_enough_for_a_package(package):
    modules = [name for name in MODULES if package_of(name) == package and not name.endswith("__init__")]
    if package == "cli":
        modules = [
            "cli.main",
            "cli.flags",
            "cli.console",
            *(name for name in MODULES if name.startswith("cli.commands.") and not name.endswith("__init__")),
            "client",
        ]
    script = (
        f"import sys, importlib\nfor package in {TRAIN_ONLY!r}:\n    sys.modules[package] = None\n"
        f"for name in {modules!r}:\n    importlib.import_module('brainsift.' + name)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_scoring_a_picture_imports_no_more_than_it_needs(tmp_path):
    Image.fromarray(draw(1, tumor=True).pixels).save(tmp_path / "one.png")
    script = (
        "import sys\nfrom brainsift.cli.main import main\n"
        f"assert main(['predict', {str(tmp_path / 'one.png')!r}]) == 0\n"
        "print(*{'rich', 'jinja2', 'pydicom', 'nibabel', 'importlib.metadata'} & set(sys.modules), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stderr.splitlines()[-1] == ""
