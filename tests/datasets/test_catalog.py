"""Collections on disk become records."""

import json
import logging
import math
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from brainsift.core.errors import ManifestError, SourceError, UsageError
from brainsift.datasets.catalog import SOURCES, SourceSpec, collect, contrast_from_name, parse_spec
from brainsift.datasets.manifest import SOURCE_COLUMNS, read_manifest, write_manifest


def picture(path: Path, value: int = 90) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", (20, 16), value).save(path)
    return path


def listing(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def labels_by_name(specs, **options):
    table = collect(specs, **options)
    return {Path(path).name: label for path, label in zip(table["path"], table["label"], strict=True)}


@pytest.fixture
def classes(tmp_path):
    folder = tmp_path / "set"
    for name in ("yes/a.png", "no/b.JPG", "no/c.txt.png"):
        picture(folder / name) if not name.endswith("JPG") else Image.new("L", (20, 16)).save(
            picture(folder / "no/tmp.png").rename(folder / name), format="JPEG"
        )
    listing(folder / "yes/notes.txt", "no image")
    return folder


def test_folder_of_classes(classes):
    table = collect([str(classes)])
    assert tuple(table) == SOURCE_COLUMNS
    assert [Path(path).name for path in table["path"]] == ["b.JPG", "c.txt.png", "a.png"]
    assert table["label"].tolist() == [0.0, 0.0, 1.0]
    assert set(table["source"]) == {"set"}
    assert all(Path(path).is_absolute() for path in table["path"])


def test_folder_takes_the_name_that_it_is_given(classes):
    assert set(collect([f"mine={classes}"])["source"]) == {"mine"}


def test_the_folder_of_the_image_tells_its_label_and_no_folder_further_out(tmp_path):
    for place in ("Brain Tumor/healthy", "Testing/No Tumor/glioma", "tumor/T1/no"):
        picture(tmp_path / place / "a.png")
    table = collect([str(tmp_path)])
    assert {Path(path).parent.name: label for path, label in zip(table["path"], table["label"], strict=True)} == {
        "healthy": 0.0,
        "glioma": 1.0,
        "no": 0.0,
    }


@pytest.mark.parametrize("place", ["Brain Tumor/healthy_brains", "tumor/negative cases", "BrainTumor/0", "sain"])
def test_a_folder_that_does_not_tell_is_asked_for(tmp_path, place):
    picture(tmp_path / place / "x.png")
    picture(tmp_path / "yes" / "y.png")
    with pytest.raises(SourceError, match=rf"do not say .* tumor: '{place}' \(1 images\)\. .*--map '{place}=1'"):
        collect([str(tmp_path)])
    for name in (place, Path(place).name, Path(place).name.upper()):
        assert labels_by_name([str(tmp_path)], mapping={name: 0}) == {"x.png": 0.0, "y.png": 1.0}


def test_images_without_a_folder_of_their_own_are_asked_for(tmp_path):
    picture(tmp_path / "Brain Tumor" / "x.png")
    with pytest.raises(SourceError, match=r"'Brain Tumor' \(1 images\)"):
        collect([str(tmp_path / "Brain Tumor")])
    assert labels_by_name([str(tmp_path / "Brain Tumor")], mapping={"brain tumor": 1}) == {"x.png": 1.0}


def test_folders_of_masks_are_left_out_and_said(tmp_path, caplog):
    picture(tmp_path / "tumor/a.png")
    picture(tmp_path / "tumor/masks/a.png")
    with caplog.at_level(logging.WARNING):
        assert labels_by_name([str(tmp_path)]) == {"a.png": 1.0}
    assert "1 files in folders of masks are left out" in caplog.text


def test_the_mapping_names_folders_files_and_paths(tmp_path):
    for name in ("Größe/a.png", "flat/yes_1.png", "flat/No_2.png", "glioma/p1/b.png", "glioma/p2/c.png", "pred/d.png"):
        picture(tmp_path / name)
    mapping = {"größe": 0, "YES_*": 1, "no_?.png": 0, "glioma/*": 1, "pred": "skip"}
    assert labels_by_name([str(tmp_path)], mapping=mapping) == {
        "a.png": 0.0,
        "yes_1.png": 1.0,
        "No_2.png": 0.0,
        "b.png": 1.0,
        "c.png": 1.0,
    }


def test_the_mapping_goes_before_the_names_that_are_known(tmp_path):
    picture(tmp_path / "no/a.png")
    assert labels_by_name([str(tmp_path)], mapping={"no": 1}) == {"a.png": 1.0}


def test_a_mapping_that_cannot_be_meant_is_refused(tmp_path):
    picture(tmp_path / "Grade A/a_b.png")
    with pytest.raises(UsageError, match="is not a label"):
        collect([str(tmp_path)], {"grade a": 2})
    with pytest.raises(UsageError, match=r"--map grade b: matches no folder"):
        collect([str(tmp_path)], {"grade a": 1, "grade b": 0})
    with pytest.raises(UsageError, match=r"mapped in two ways, by a\* and by \*b.png"):
        collect([str(tmp_path)], {"a*": 1, "*b.png": 0})


def test_hidden_files_archive_junk_and_link_loops(tmp_path):
    picture(tmp_path / "set/yes/a.png")
    listing(tmp_path / "set/yes/._b.png", "")
    listing(tmp_path / "set/__MACOSX/yes/c.png", "")
    (tmp_path / "set/yes/loop").symlink_to(tmp_path / "set/yes")
    (tmp_path / "set/no").symlink_to(picture(tmp_path / "elsewhere/d.png").parent)
    assert labels_by_name([str(tmp_path / "set")]) == {"a.png": 1.0, "d.png": 0.0}


def test_parse_spec(tmp_path):
    assert parse_spec("br35h=some/where") == SourceSpec("br35h", Path("some/where"))
    assert parse_spec("some/where") == SourceSpec("where", Path("some/where"), "folder")
    assert parse_spec("some/list.csv") == SourceSpec("list", Path("some/list.csv"), "csv")
    assert parse_spec("folder=some/br35h") == SourceSpec("br35h", Path("some/br35h"), "folder")
    strange = tmp_path / "a=b"
    strange.mkdir()
    assert parse_spec(str(strange)) == SourceSpec("a=b", strange, "folder")
    for wrong in ("", "name=", "=path", " name=path"):
        with pytest.raises(UsageError):
            parse_spec(wrong)


@pytest.mark.parametrize(
    "name", ["br35h", "preet", "cheng", "lgg", "kinds44", "tumor_free", "more", "external", "phantom"]
)
def test_known_source_without_its_layout(tmp_path, name):
    with pytest.raises(SourceError, match="no such folder"):
        collect([f"{name}={tmp_path / 'absent'}"])
    with pytest.raises(SourceError, match=rf"layout of `{name}`.*{name}=FOLDER"):
        collect([f"{name}={tmp_path}"])


def test_nothing_to_collect(tmp_path):
    with pytest.raises(UsageError):
        collect([])
    with pytest.raises(SourceError, match="holds no image"):
        collect([str(tmp_path)])
    with pytest.raises(SourceError, match="write br35h=PATH"):
        collect(["br35h"])
    with pytest.raises(SourceError, match="neither a folder nor a CSV"):
        collect([str(picture(tmp_path / "single.png"))])


def test_preet_at_any_level(tmp_path):
    inner = tmp_path / "Brain Tumor Data Set" / "Brain Tumor Data Set"
    picture(inner / "Brain Tumor" / "Cancer (1).jpg")
    picture(inner / "Healthy" / "Not Cancer (1).tif")
    for level in (tmp_path, inner.parent, inner):
        assert labels_by_name([f"preet={level}"]) == {"Cancer (1).jpg": 1.0, "Not Cancer (1).tif": 0.0}


def test_br35h_keeps_pred_apart(tmp_path):
    for name in ("yes/y0.jpg", "yes/y1.jpg", "no/no0.jpg", "pred/pred0.jpg"):
        picture(tmp_path / name)
    shapes = [{"shape_attributes": {"name": "circle", "cx": 10, "cy": 8, "r": 3}, "region_attributes": {}}]
    via = {"y0.jpg1": {"filename": "y0.jpg", "regions": shapes}}
    file = listing(tmp_path / "Br35H-Mask-RCNN/annotations_all.json", json.dumps(via))
    table = collect([f"br35h={tmp_path}"]).set_index("path")
    assert len(table) == 3
    assert table["mask"][str(tmp_path / "yes/y0.jpg")] == f"{file}#y0.jpg"
    assert (table["mask"] != "").sum() == 1


def test_lgg_channels_are_images_of_their_own(tmp_path):
    listing(
        tmp_path / "slices.csv",
        "image,mask,patient,label,channels\nimages/a.jpg,masks/a.png,P1,1,t1+flair+t1ce\nimages/b.jpg,,P1,0,flair\n",
    )
    table = collect([f"lgg={tmp_path}"])
    assert table[["channel", "contrast", "label", "patient"]].to_numpy().tolist() == [
        ["B", "t1ce", 1.0, "P1"],
        ["G", "flair", 1.0, "P1"],
        ["R", "t1", 1.0, "P1"],
        ["G", "flair", 0.0, "P1"],
    ]
    assert table["mask"].tolist() == [str(tmp_path / "masks/a.png")] * 3 + [""]


def test_planes_come_from_the_list_or_from_what_is_known_of_the_source(tmp_path):
    listing(tmp_path / "lgg/slices.csv", "image,mask,patient,label,channels\na.jpg,,P1,0,flair\n")
    listing(
        tmp_path / "cheng/patients.csv",
        "image,mask,tumor_type,patient\nimages/1.jpg,masks/1.png,meningioma,7\nimages/9999.jpg,masks/2.png,glioma,8\n",
    )
    listing(
        tmp_path / "more/manifest.csv",
        "path,source,patient,label,contrast,plane,mask\nb.jpg,rsna_t1ce,p,1,t1ce,sagittal,masks/b.png\n"
        "c.jpg,soop_stroke_flair,q,0,flair,coronal,\n",
    )
    for name in ("b.jpg", "c.jpg"):
        picture(tmp_path / "more" / name)
    table = collect([f"{name}={tmp_path / name}" for name in ("lgg", "cheng", "more")])
    found = {(row.source, Path(row.path).name): (row.contrast, row.plane) for row in table.itertuples()}
    assert found == {
        ("lgg", "a.jpg"): ("flair", "axial"),
        ("cheng", "1.jpg"): ("t1ce", "axial"),
        ("cheng", "9999.jpg"): ("t1ce", ""),
        ("rsna_t1ce", "b.jpg"): ("t1ce", "sagittal"),
        ("soop_stroke_flair", "c.jpg"): ("flair", "coronal"),
    }


def test_csv_manifest(tmp_path):
    for name in ("a.png", "b.png", "c.png"):
        picture(tmp_path / "images" / name)
    file = listing(
        tmp_path / "mine.csv",
        "\ufeffpath,source,label,patient,mask,extra\n"
        "images/a.png,scan_t1ce,1,p1,masks/a.png,x\nimages/b.png,,notumor,,,x\nimages/c.png,scan_flair,,,,x\n",
    )
    table = collect([str(file)])
    assert tuple(table) == SOURCE_COLUMNS
    assert table["source"].tolist() == ["mine", "scan_flair", "scan_t1ce"]
    assert table["contrast"].tolist() == ["", "flair", "t1ce"]
    assert table["mask"].tolist() == ["", "", str(tmp_path / "masks/a.png")]
    np.testing.assert_array_equal(table["label"], [0.0, np.nan, 1.0])


def test_csv_manifest_that_breaks_the_rules(tmp_path):
    with pytest.raises(ManifestError, match="lacks the columns"):
        collect([str(listing(tmp_path / "a.csv", "scan,label\nx.png,1\n"))])
    with pytest.raises(SourceError, match="none of its files"):
        collect([str(listing(tmp_path / "b.csv", "path,label\nx.png,1\n"))])
    picture(tmp_path / "x.png")
    with pytest.raises(ManifestError, match="'grade 3'"):
        collect([str(listing(tmp_path / "c.csv", "path,label\nx.png,grade 3\n"))])
    with pytest.raises(SourceError, match="holds no image"):
        collect([str(listing(tmp_path / "d.csv", "path,label\n"))])
    with pytest.raises(ManifestError, match="no CSV table"):
        collect([str(listing(tmp_path / "e.csv", ""))])


def test_rules_fill_what_a_csv_leaves_open(tmp_path):
    for name in ("yes_1.png", "yes_2.png", "x.png"):
        picture(tmp_path / name)
    file = listing(tmp_path / "a.csv", "path,label\nyes_1.png,\nyes_2.png,gesund\nx.png,\n")
    found = labels_by_name([str(file)], mapping={"yes_*": 1, "gesund": 0})
    assert found["yes_1.png"] == 1.0 and found["yes_2.png"] == 0.0 and math.isnan(found["x.png"])


def test_one_image_with_two_labels_or_patients_is_refused(tmp_path):
    picture(tmp_path / "x.png")
    file = listing(tmp_path / "a.csv", "path,label,patient\nx.png,1,A\n./x.png,0,A\n")
    with pytest.raises(ManifestError, match=r"x\.png is listed with the label 1\.0 and with the label 0\.0"):
        collect([str(file)])
    listing(file, "path,label,patient\nx.png,1,A\nx.png,1,B\n")
    with pytest.raises(ManifestError, match=r"with the patient A and with the patient B"):
        collect([str(file)])
    other = listing(tmp_path / "b.csv", "path,label\nx.png,0\n")
    with pytest.raises(ManifestError, match="with the label"):
        collect([str(listing(file, "path,label\nx.png,1\n")), str(other)])


def test_csv_without_labels_is_unknown_unless_tumor_free(tmp_path):
    picture(tmp_path / "x.png")
    file = listing(tmp_path / "manifest.csv", "path,source,patient\nx.png,ms_t2,\n")
    assert math.isnan(collect([str(file)])["label"][0])
    assert collect([f"tumor_free={tmp_path}"])["label"].tolist() == [0.0]


def test_a_merge_names_each_file_once(classes, caplog):
    twice = collect([f"first={classes}", f"second={classes / 'no'}/../"])
    assert set(twice["source"]) == {"first"}
    assert "each is kept once" in caplog.text


def test_the_order_of_the_collections_does_not_matter(classes, tmp_path):
    other = tmp_path / "other"
    picture(other / "tumor/z.png")
    assert collect([str(classes), str(other)]).equals(collect([str(other), str(classes)]))


def test_records_survive_a_file(classes, tmp_path):
    table = collect([str(classes)])
    write_manifest(table, tmp_path / "out/manifest.csv")
    back = read_manifest(tmp_path / "out/manifest.csv")
    assert back["path"].tolist() == table["path"].tolist()


@pytest.mark.parametrize(
    ("name", "contrast"),
    [("open_ms_t1ce", "t1ce"), ("Papiloma T1C+", "t1ce"), ("nichart_flair", "flair"), ("t1_256", "t1"), ("set", "")],
)
def test_contrast_from_name(name, contrast):
    assert contrast_from_name(name) == contrast


def test_every_source_says_what_it_is():
    for name, source in SOURCES.items():
        assert source.name == name
        assert source.description
        assert source.licence
        assert source.kaggle is None or source.kaggle.count("/") == 1


@pytest.mark.parametrize(
    ("name", "no_tumor", "tumor", "outlines"),
    [
        ("br35h", 1500, 1500, 801),
        ("preet", 2087, 2513, 0),
        ("cheng", 0, 1656, 1656),
        ("lgg", 1437, 2618, 2618),
        ("kinds44", 522, 3733, 0),
        ("tumor_free", 551, 0, 0),
        ("more", 761, 709, 709),
        ("external", 991, 273, 231),
    ],
)
def test_real_collections(data, name, no_tumor, tumor, outlines):
    table = collect([f"{name}={data / name}"])
    assert (table["label"] == 0).sum() == no_tumor
    assert (table["label"] == 1).sum() == tumor
    assert (table["mask"] != "").sum() == outlines
    assert not table.duplicated(["path", "channel"]).any()
    assert all(Path(path).is_file() for path in table["path"])


def test_a_path_that_is_too_long_is_a_file_that_is_not_there(tmp_path):
    Image.fromarray(np.zeros((64, 64), np.uint8)).save(tmp_path / "a.png")
    (tmp_path / "table.csv").write_text(f"path,label\na.png,1\n{'x' * 5000}.png,0\n", encoding="utf-8")
    assert list(collect([parse_spec(f"csv={tmp_path / 'table.csv'}")])["label"]) == [1, 0]
