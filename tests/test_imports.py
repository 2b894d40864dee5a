"""Imports go one way, and what predicts needs no package of the training extra."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

import brainsift
from brainsift.phantom import draw

PACKAGE = Path(brainsift.__file__).parent
# A module imports only what stands above it.
ORDER = """
    errors labels files folders environment
    image patches resizing intensity baseline outlines preprocess
    manifest sources fetch phantom
    metrics
    scope sketch scan neighbours probes audit
    split
    cache augment supervision brain transplant lesions
    recipes models pretrained devices tracking runs train tune
    calibrate evaluate explain
    values slices dicom nifti volumes listing
    wording tables bundle card export predict overlay volume_answers site chunks bulk
    render batch_page
    study
    figures pictures audit_page verdict study_page report
    serve serve.loopback client serve.config serve.schemas serve.pictures serve.metrics
    serve.history_table serve.history_file serve.history_search serve.history serve.history_routes
    serve.archive serve.uploads serve.engine serve.jobs serve.recording
    serve.gate serve.service serve.asking serve.routes serve.app serve.server
    flags cli
    commands commands._console commands._parts
    commands.fetch commands.audit commands.split commands.train commands.tune commands.evaluate
    commands.export commands.explain commands.card commands.calibrate commands.predict commands.serve
    commands.study commands.release commands.demo
    __main__
""".split()  # noqa: SIM905
TRAIN_ONLY = ("torch", "pandas", "sklearn", "scipy", "cv2", "matplotlib", "faiss", "optuna", "transformers", "onnx")
BASE = (
    "bundle",
    "batch_page",
    "bulk",
    "card",
    "overlay",
    "scope",
    "predict",
    "volumes",
    "listing",
    "folders",
    "image",
    "intensity",
    "preprocess",
    "environment",
    "flags",
    "serve.history",
    "serve.history_routes",
    "cli",
    "commands.card",
    "commands.predict",
    "commands.serve",
    "client",
    "serve.app",
    "serve.server",
)


def module_names():
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        yield ".".join(part for part in parts if part != "__init__") or "__init__", path


MODULES = dict(module_names())


def imported(path):
    """Names of the package's modules that a file imports, at any depth of its code."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.split(".")[0] == "brainsift")
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            if (node.module or "").split(".")[0] == "brainsift":
                yield from (
                    whole
                    if (whole := f"{node.module}.{alias.name}").removeprefix("brainsift.") in MODULES
                    # a name from a module, or from the package itself
                    else str(node.module)
                    for alias in node.names
                )


def test_every_module_has_its_place():
    assert sorted(ORDER) == sorted(set(MODULES) - {"__init__"})


@pytest.mark.parametrize("name", MODULES)
def test_a_module_imports_only_what_stands_above_it(name):
    above = set(ORDER[: ORDER.index(name)]) if name in ORDER else set()
    found = {other.removeprefix("brainsift.") for other in imported(MODULES[name])} - {"brainsift"}
    assert found <= above


def test_the_reader_of_imports_sees_all_of_them():
    assert {"brainsift.devices", "brainsift.models", "brainsift.recipes"} <= set(imported(MODULES["train"]))
    assert "brainsift.commands._console" in set(imported(MODULES["commands.demo"]))
    assert "brainsift" in set(imported(MODULES["environment"]))  # __version__


def test_nothing_of_the_package_is_imported_by_name_but_the_commands():
    users = [name for name, path in MODULES.items() if "import_module" in path.read_text(encoding="utf-8")]
    assert users == ["cli"]


@pytest.mark.parametrize("name", BASE)
def test_the_base_install_is_enough(name):
    script = (
        f"import sys, importlib\nfor package in {TRAIN_ONLY!r}:\n    sys.modules[package] = None\n"
        f"importlib.import_module('brainsift.{name}')"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_scoring_a_picture_imports_no_more_than_it_needs(tmp_path):
    Image.fromarray(draw(1, tumor=True).pixels).save(tmp_path / "one.png")
    script = (
        "import sys\nfrom brainsift.cli import main\n"
        f"assert main(['predict', {str(tmp_path / 'one.png')!r}]) == 0\n"
        "print(*{'rich', 'jinja2', 'pydicom', 'nibabel', 'importlib.metadata'} & set(sys.modules), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stderr.splitlines()[-1] == ""
