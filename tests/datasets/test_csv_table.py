"""CSV files of all programs and countries are read alike, or the message names the cause."""

import os

import pytest

from brainsift.core.errors import ManifestError
from brainsift.datasets.csv_table import read_table

COLUMNS = ("path", "label", "patient", "source", "mask")


def read(tmp_path, content, **options):
    file = tmp_path / "list.csv"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_table(file, COLUMNS, **options)


def rows(tmp_path, content):
    table = read(tmp_path, content)
    return [[os.path.relpath(path, tmp_path), *others] for path, *others in table.to_numpy().tolist()]


PLAIN = "path,label,patient\na.png,1,P 1\nb.png,0,\n"
ROWS = [["a.png", "1", "P 1"], ["b.png", "0", ""]]


@pytest.mark.parametrize(
    "content",
    [
        PLAIN,
        PLAIN.replace(",", ";"),
        PLAIN.replace(",", "\t"),
        PLAIN.replace(",", "|"),
        PLAIN.replace("\n", "\r\n"),
        PLAIN.replace("\n", "\r"),
        "\ufeff" + PLAIN,
        PLAIN.encode("utf-16"),
        PLAIN.encode("utf-16-le"),
        PLAIN.encode("utf-16-be"),
        b"\xfe\xff" + PLAIN.encode("utf-16-be"),
        "sep=;\r\n" + PLAIN.replace(",", ";"),
        "Path, LABEL ,Patient\n a.png , 1, P 1 \nb.png,0\n\n,,\n",
        '"path";"label";"patient_id"\n"a.png";"1";"P 1"\nb.png;0;;;\n',
        "file_path,Label,PatientID\na.png,1,P 1\nb.png,0,\n",
        ",path,label,Patient-ID\n0,a.png,1,P 1\n1,b.png,0,\n",
    ],
)
def test_the_same_table_whoever_wrote_it(tmp_path, content):
    assert rows(tmp_path, content) == ROWS


@pytest.mark.parametrize(
    ("header", "column", "meant"),
    [
        ("path,lable", "lable", "label"),
        ("path,labels", "labels", "label"),
        ("path,class", "class", "label"),
        ("path,label,subject", "subject", "patient"),
        ("path,label,pateint", "pateint", "patient"),
        ("path,label,MRN", "MRN", "patient"),
        ("path,label,patient_number", "patient_number", "patient"),
        ("path,has_tumor", "has_tumor", "label"),
        ("path,label,sources", "sources", "source"),
        ("filename,label", "filename", "path"),
        ("image,label", "image", "path"),
    ],
)
def test_a_column_that_looks_like_one_is_named(tmp_path, header, column, meant):
    cells = ",".join(["1"] * len(header.split(",")))
    with pytest.raises(ManifestError, match=rf"has the column `{column}` and no column `{meant}`\. Rename it"):
        read(tmp_path, f"{header}\n{cells}\n")


def test_other_columns_are_carried_as_they_are(tmp_path):
    table = read(tmp_path, "path,Hospital,age,Patient,PatientID\na.png, 007 ,NA,P,x\n")
    assert list(table) == ["path", "Hospital", "age", "patient", "PatientID"]
    assert table.iloc[0].tolist()[1:] == [" 007 ", "NA", "P", "x"]


@pytest.mark.parametrize(
    ("content", "cause"),
    [
        ("", "is empty"),
        ("label\n1\n", r"lacks the columns \['path'\]; it has \['label'\]"),
        ("path,Label,label\na.png,1,0\n", "column `label` more than once"),
        ("path,patient_id,PatientID\na.png,1,0\n", "column `patient` more than once"),
        ("path,label\na.png,1\nb.png,1,0\n", "line 3 has 3 cells, the header has 2"),
        ("path,label\na.png,1\n,0\n", "no path in line 3"),
        ('path,label\na.png,1\n\n"b.png,0\nc.png,1\n', r"row that begins in line 4 cannot be read.*Close each quote"),
        ('path,patient\na.png,"P\nb.png,"Q\n', "row that begins in line 2 cannot be read"),
        (b"PK\x03\x04 and so on", "Excel workbook"),
        (b"\xd0\xcf\x11\xe0 and so on", "Excel workbook"),
        (b"\x89PNG\r\n\x1a\n\xff\xfe", "no UTF-8 or UTF-16"),
        (b"\xff\xfe\x00", "no UTF-8 or UTF-16"),
        (b"path,label\na\x00b,1\n", "is no text"),
    ],
)
def test_what_cannot_be_read_is_told_with_its_cause(tmp_path, content, cause):
    with pytest.raises(ManifestError, match=cause):
        read(tmp_path, content)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(ManifestError, match=r"nowhere\.csv: cannot be read: No such file"):
        read_table(tmp_path / "nowhere.csv", COLUMNS)


def test_paths_with_backslashes_and_blanks(tmp_path):
    (tmp_path / "images").mkdir()
    for name in ("a.png", " b.png", "c\\d.png"):
        (tmp_path / "images" / name).touch()
    content = "path,mask\nimages\\a.png,\nimages/ b.png,\nimages/c\\d.png,\nimages\\gone.png,images\\via.json#x.jpg\n"
    table = read(tmp_path, content)
    found = [os.path.relpath(path, tmp_path) for path in table["path"]]
    assert found == ["images/a.png", "images/ b.png", "images/c\\d.png", "images/gone.png"]
    assert table["mask"].tolist() == ["", "", "", str(tmp_path / "images/via.json#x.jpg")]


def test_paths_count_from_the_file_or_from_a_given_folder(tmp_path):
    assert read(tmp_path, "path\na.png\n")["path"].tolist() == [str(tmp_path / "a.png")]
    assert read(tmp_path, "path\na.png\n", base=tmp_path / "x")["path"].tolist() == [str(tmp_path / "x" / "a.png")]
