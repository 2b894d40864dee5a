"""The configuration file: what it holds, and the words for what is wrong in it."""

import re
from dataclasses import fields

import pytest

from brainsift.core.errors import BrainsiftError, InputError, UsageError
from brainsift.node.settings import (
    Dicom,
    Keep,
    Network,
    Pull,
    Results,
    Series,
    Settings,
    Target,
    Tls,
    Watch,
    Web,
    read_settings,
)

from .conftest import ROOT

WHOLE = """
folder = "node"

[dicom]
ae_title = "BRAINSIFT"
host = "0.0.0.0"
callers = ["ORTHANC", "MR 1"]
addresses = ["10.1.0.0/16", "10.2.3.4"]

[web]
token = "0123456789abcdef"
store = true

[watch]
folder = "."
every_s = 2

[[pull]]
url = "https://archive.example/dicom-web"
query = { Modality = "MR" }

[series]
quiet_s = 30
count_from = "archive"

[results]
pdf = true

[[targets]]
name = "archive"
host = "10.1.0.2"
port = 4242
ae_title = "ORTHANC"

[[targets]]
name = "viewer"
kind = "web"
url = "http://127.0.0.1:8042/dicom-web"

[keep]
source_hours = 0.5
"""


def read(tmp_path, text):
    (tmp_path / "node.toml").write_text(text)
    return read_settings(tmp_path / "node.toml")


def test_a_whole_file(tmp_path):
    found = read(tmp_path, WHOLE)
    assert found.folder == tmp_path / "node"  # beside the file, wherever the program was started
    assert found.dicom.callers == ("ORTHANC", "MR 1")
    assert found.series.quiet_s == 30.0
    assert [one.name for one in found.targets] == ["archive", "viewer"]
    assert found.pull[0].query == {"Modality": "MR"}


def test_only_the_folder_is_needed_and_nothing_leaves_this_machine(tmp_path):
    found = read(tmp_path, 'folder = "node"')
    assert (found.dicom.host, found.web, found.targets) == ("127.0.0.1", None, ())


@pytest.mark.parametrize(
    ("text", "place", "rule"),
    [
        ("", "node.toml", "needs `folder`"),
        ("folder = 3", "folder", "must be a path in quotes, not 3"),
        ("folder = 'x'\nfolders = 'y'", "node.toml", "has no setting `folders`"),
        ("folder = 'x'\n[dicom]\nport = '11112'", "dicom.port", "must be a whole number, not '11112'"),
        ("folder = 'x'\n[dicom]\nport = true", "dicom.port", "must be a whole number, not True"),
        ("folder = 'x'\n[dicom]\nport = 70000", "[dicom], port", "must be 0 to 65535, not 70000"),
        ("folder = 'x'\n[dicom]\nae_title = 'A TITLE THAT IS TOO LONG'", "[dicom], ae_title", "is no AE title"),
        ("folder = 'x'\n[dicom]\nhost = '0.0.0.0'", "[dicom], host", "any caller would be accepted"),
        ("folder = 'x'\n[dicom]\naddresses = ['ten']", "[dicom], addresses", "'ten' is no network"),
        ("folder = 'x'\n[dicom.tls]\nkey = 'k'", "[dicom.tls]", "needs `certificate`"),
        ("folder = 'x'\n[web]\nhost = '0.0.0.0'", "[web], host", "a token is needed"),
        ("folder = 'x'\n[web]\ntoken_variable = 'NO_SUCH_ONE'", "[web], token_variable", "is not set"),
        ("folder = 'x'\n[watch]\nfolder = 'missing'", "[watch], folder", "is no folder"),
        ("folder = 'x'\n[series]\nforce_s = 5", "[series], force_s", "is less than quiet_s"),
        ("folder = 'x'\n[series]\ncount_from = 'a'", "series.count_from", "'a' is no target"),
        ("folder = 'x'\n[[targets]]\nname = 'a'", "[targets], ae_title", "'' is no AE title"),
        ("folder = 'x'\n[[targets]]\nname = 'a'\nkind = 'ftp'", "targets.kind", 'must be "dicom" or "web"'),
        ("folder = 'x'\n[[targets]]\nname = 'a'\nkind = 'web'\nurl = 'pacs'", "[targets], url", "must be an http"),
        (
            "folder = 'x'\n[[targets]]\nname = 'a'\nkind = 'web'\nurl = 'http://pacs/dw'\ntoken_variable = 'HOME'",
            "[targets], url",
            "without encryption",
        ),
        (
            "folder = 'x'\ntargets = [{name = 'a', ae_title = 'A'}, {name = 'a', ae_title = 'B'}]",
            "targets",
            "same name",
        ),
    ],
)
def test_what_is_wrong_is_said_with_its_place(tmp_path, text, place, rule):
    with pytest.raises(UsageError, match=re.escape(rule)) as caught:
        read(tmp_path, text)
    assert place in caught.value.subject
    assert caught.value.remedy


def test_the_page_lists_every_setting_and_the_examples_can_be_read(tmp_path):
    page = (ROOT / "docs/reference/node.md").read_text()
    for table in (Settings, Dicom, Tls, Web, Watch, Pull, Series, Network, Results, Target, Keep):
        tables = {field.name for field in fields(Settings)} - {"folder"} | {"tls"}
        for name in {field.name for field in fields(table)} - tables:
            assert f"| `{name}` |" in page, f"{table.__name__}: {name}"
    assert read(tmp_path, (ROOT / "deploy/node.toml").read_text()).series.count_from == "archive"
    example = (ROOT / "docs/how-to/beside-orthanc.md").read_text().split("```toml")[1].split("```")[0]
    assert read(tmp_path, example).dicom.callers == ("ORTHANC",)


def test_a_file_that_is_none(tmp_path):
    with pytest.raises(InputError, match="valid TOML"):
        read(tmp_path, "folder = ")
    with pytest.raises(BrainsiftError, match="No such file"):
        read_settings(tmp_path / "missing.toml")


@pytest.mark.parametrize("more", ["callers = ['A']", "open_network = true"])
def test_other_machines_may_connect_where_that_is_wanted(tmp_path, more):
    assert read(tmp_path, f"folder = 'x'\n[dicom]\nhost = '0.0.0.0'\n{more}").dicom.host == "0.0.0.0"
