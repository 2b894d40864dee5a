"""The table of records: what is written comes back, from any folder, and a broken one is refused in words."""

import os
import shutil

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from brainsift.core.errors import ManifestError
from brainsift.datasets.manifest import AUDIT_COLUMNS, SOURCE_COLUMNS, read_manifest, write_manifest

HEAD = "path,source,label\n"


def broken(tmp_path, content):
    path = tmp_path / "manifest.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ManifestError) as caught:
        read_manifest(path)
    assert caught.value.subject == str(path)
    return caught.value.rule


def test_an_audited_manifest_comes_back_the_same(audited, tmp_path):
    write_manifest(audited, tmp_path / "manifest.csv")
    found = read_manifest(tmp_path / "manifest.csv")
    assert {*SOURCE_COLUMNS, *AUDIT_COLUMNS} <= set(found.columns)
    assert list(found.columns) == list(audited.columns)
    for column in found.columns:
        if column in ("label", "width", "height", "bytes"):
            same = found[column].astype("Float64").equals(audited[column].astype("Float64"))
        else:
            same = list(found[column]) == list(audited[column].astype(str))
        assert same, column


def test_paths_move_with_the_folder(tmp_path):
    (tmp_path / "here" / "images").mkdir(parents=True)
    image = tmp_path / "here" / "images" / "a.png"
    image.write_bytes(b"")
    table = pd.DataFrame({"path": [str(image)], "source": "s", "label": 1.0, "mask": ""})
    write_manifest(table, tmp_path / "here" / "manifest.csv")
    assert "images/a.png" in (tmp_path / "here" / "manifest.csv").read_text()
    assert str(tmp_path) not in (tmp_path / "here" / "manifest.csv").read_text()
    shutil.move(tmp_path / "here", tmp_path / "there")
    found = read_manifest(tmp_path / "there" / "manifest.csv")
    assert found["path"].tolist() == [str(tmp_path / "there" / "images" / "a.png")]
    assert found["mask"].tolist() == [""]


def test_columns_of_others_are_carried_and_missing_ones_filled(tmp_path):
    (tmp_path / "manifest.csv").write_text("path,source,label,hospital\na.png,s,,007\nb.png,s,1,NA\n")
    found = read_manifest(tmp_path / "manifest.csv")
    assert found["hospital"].tolist() == ["007", "NA"]
    assert found["label"].isna().tolist() == [True, False]
    assert (found[["channel", "patient", "contrast", "kind", "mask"]] == "").all(axis=None)


def test_a_list_of_a_user_needs_paths_and_labels_only(tmp_path):
    (tmp_path / "mine.csv").write_text("path,label\na.png,glioma\nb.png,no\nc.png,1\nd.png,\n")
    found = read_manifest(tmp_path / "mine.csv")
    assert found["label"].tolist()[:3] == [1.0, 0.0, 1.0] and found["label"].isna().sum() == 1
    assert set(found["source"]) == {"mine"}


def test_what_is_wrong_is_said(tmp_path):
    assert "lacks the columns ['label']" in broken(tmp_path, "path,source\na.png,s\n")
    assert "holds the label '2'" in broken(tmp_path, HEAD + "a.png,s,2\n")
    assert "holds the label 'perhaps'" in broken(tmp_path, HEAD + "a.png,s,perhaps\n")
    assert "with the label 1.0 and with the label 0.0" in broken(tmp_path, HEAD + "a.png,s,1\na.png,s,0\n")
    assert "column `width`" in broken(tmp_path, "path,source,label,width\na.png,s,1,wide\n")
    assert "is no CSV table" in broken(tmp_path, "")
    assert "is no CSV table" in broken(tmp_path, b"\x89PNG\r\n\x1a\n\xff\xfe")
    assert "is no CSV table" in broken(tmp_path, HEAD + "a.png,s,1\nb.png,s,1,too,many\n")
    with pytest.raises(ManifestError, match="no such file"):
        read_manifest(tmp_path / "nowhere.csv")


def test_names_that_are_no_utf8_come_back_the_same(tmp_path):
    paths = [str(tmp_path / os.fsdecode(b"M\xfcller.png")), str(tmp_path / "Grün.png")]
    table = pd.DataFrame({"path": pd.Series(paths, dtype=object), "source": "s", "label": 1.0})
    write_manifest(table, tmp_path / "manifest.csv")
    assert read_manifest(tmp_path / "manifest.csv")["path"].tolist() == paths


TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=12)


@pytest.mark.slow
@given(st.lists(st.tuples(TEXT, TEXT, st.sampled_from([0.0, 1.0, None])), min_size=1, max_size=5))
def test_any_text_comes_back_without_blanks_around_it(tmp_path_factory, rows):
    folder = tmp_path_factory.getbasetemp()
    table = pd.DataFrame(rows, columns=["patient", "kind", "label"]).assign(source="s")
    table["path"] = [str(folder / f"{number}.png") for number in range(len(rows))]
    table["label"] = table["label"].astype(float)
    write_manifest(table, folder / "any.csv")
    found = read_manifest(folder / "any.csv")
    assert found["patient"].tolist() == table["patient"].str.strip().tolist()
    assert found["kind"].tolist() == table["kind"].str.strip().tolist()
    assert found["label"].equals(table["label"])
