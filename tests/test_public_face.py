"""`import brainsift as bs`: which names are public, that type checkers see them, and that nothing is loaded early."""

import ast
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import brainsift as bs

PUBLIC = """
    Predictor Prediction VolumePrediction Volume Bundle BatchResult Reason Client
    load_bundle read_volume predict_volume predict_files audit split train evaluate export calibrate show
    BrainsiftError UsageError InputError UnreadableImageError ImageSizeError SourceError ManifestError BundleError
    DownloadError MissingExtraError RunError HistoryError ServeError __version__
""".split()  # noqa: SIM905


def typed():
    """Returns what a type checker sees: public name -> (module, name there)."""
    tree = ast.parse(Path(bs.__file__).read_text(encoding="utf-8"))
    (block,) = (node for node in tree.body if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING")
    return {
        alias.asname or alias.name: (node.module, alias.name)
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }


def test_the_public_names_are_these():
    assert sorted(bs.__all__) == sorted(PUBLIC) == dir(bs)


def test_type_checkers_see_what_is_loaded():
    table = {}
    for name, place in bs._LAZY.items():
        module, _, attribute = place.partition(":")
        table[name] = (f"brainsift.{module}", attribute or name)
    assert table == typed()
    assert set(table) | {"__version__"} == set(bs.__all__)


@pytest.mark.parametrize("name", sorted({*PUBLIC} - {"__version__"}))
def test_each_name_is_the_thing_itself_and_documented(name):
    module, attribute = typed()[name]
    found = getattr(bs, name)
    assert found is getattr(import_module(module), attribute)
    assert found.__doc__


def test_no_subpackage_hides_a_public_name():
    packages = {path.parent.name for path in Path(bs.__file__).parent.glob("*/__init__.py")}
    assert not packages & {*PUBLIC}


def test_the_import_alone_loads_nothing_and_a_name_only_what_it_needs():
    script = (
        "import sys\nbefore = set(sys.modules)\nimport brainsift as bs\n"
        "assert {name for name in set(sys.modules) - before if '.' in name and name.startswith('brainsift')} == set()\n"
        "assert not {'numpy', 'PIL', 'typing', 'torch'} & (set(sys.modules) - before)\n"
        "bs.InputError, bs.Reason, bs.Client\n"
        "assert not {'numpy', 'onnxruntime', 'torch'} & set(sys.modules)\n"
        "bs.Predictor, bs.predict_volume, bs.predict_files\n"
        "assert not {'torch', 'pandas', 'sklearn', 'scipy', 'matplotlib', 'pydicom', 'nibabel'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'predict'"):
        bs.predict  # noqa: B018
