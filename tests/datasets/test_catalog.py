"""Collections on disk become records; outlines lie where the tumor is."""

import json
import logging
import math
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from brainsift.core.errors import SourceError, UsageError
from brainsift.datasets.catalog import SOURCES, SourceSpec, collect, contrast_from_name, load_mask, parse_spec
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


def test_nearest_named_folder_is_the_class(tmp_path):
    for place in ("Training/glioma/p1", "Testing/notumor", "Testing/No Tumor/glioma"):
        picture(tmp_path / place / f"{place.count('/')}{len(place)}.png")
    table = collect([str(tmp_path)])
    assert {Path(path).parent.name: label for path, label in zip(table["path"], table["label"], strict=True)} == {
        "p1": 1.0,
        "notumor": 0.0,
        "glioma": 1.0,
    }


def test_unknown_folders_are_reported_and_left_out(tmp_path, caplog):
    picture(tmp_path / "tumor/a.png")
    picture(tmp_path / "tumor/masks/a.png")
    picture(tmp_path / "pred/b.png")
    with caplog.at_level(logging.WARNING):
        assert labels_by_name([str(tmp_path)]) == {"a.png": 1.0}
    assert "'pred' (1 images)" in caplog.text
    assert "'tumor/masks' (1 images)" in caplog.text


def test_no_known_class_is_an_error_with_a_remedy(tmp_path):
    picture(tmp_path / "grade A/a.png")
    picture(tmp_path / "grade B/b.png")
    with pytest.raises(SourceError, match=r"'grade A'.*'grade B'.*no_tumor.*columns path and label"):
        collect([str(tmp_path)])


def test_mapping_names_the_classes(tmp_path):
    picture(tmp_path / "Grade A/a.png")
    picture(tmp_path / "no/b.png")
    mapping = {"grade a": 0, "no": 1}
    assert labels_by_name([str(tmp_path)], mapping=mapping) == {"a.png": 0.0, "b.png": 1.0}
    with pytest.raises(UsageError, match="no label"):
        collect([str(tmp_path)], {"grade a": 2})


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


@pytest.mark.parametrize("name", ["br35h", "preet", "cheng", "lgg", "kinds44", "tumor_free", "external", "phantom"])
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
    everything = labels_by_name([f"br35h={tmp_path}"], unlabelled=True)
    assert math.isnan(everything["pred0.jpg"])


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
    with pytest.raises(SourceError, match="lacks the columns"):
        collect([str(listing(tmp_path / "a.csv", "file,label\nx.png,1\n"))])
    with pytest.raises(SourceError, match="none of its files"):
        collect([str(listing(tmp_path / "b.csv", "path,label\nx.png,1\n"))])
    picture(tmp_path / "x.png")
    with pytest.raises(SourceError, match="'grade 3'"):
        collect([str(listing(tmp_path / "c.csv", "path,label\nx.png,grade 3\n"))])
    with pytest.raises(SourceError, match="holds no image"):
        collect([str(listing(tmp_path / "d.csv", "path,label\n"))])
    with pytest.raises(SourceError, match="no readable CSV"):
        collect([str(listing(tmp_path / "e.csv", ""))])


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


def via_file(path: Path, *shapes: dict) -> Path:
    regions = [{"shape_attributes": shape} for shape in shapes]
    return listing(path, json.dumps({"x.jpg9": {"filename": "x.jpg", "regions": regions}}))


def test_mask_of_a_polygon(tmp_path):
    shape = {"name": "polygon", "all_points_x": [2, 12, 12, 2], "all_points_y": [3, 3, 8, 8]}
    mask = load_mask(f"{via_file(tmp_path / 'v.json', shape)}#x.jpg", (16, 20))
    assert mask.dtype == bool
    assert mask.shape == (16, 20)
    expected = np.zeros((16, 20), bool)
    expected[3:9, 2:13] = True
    np.testing.assert_array_equal(mask, expected)


def test_mask_of_round_shapes_is_their_union(tmp_path):
    circle = {"name": "circle", "cx": 30, "cy": 30, "r": 10}
    ellipse = {"name": "ellipse", "cx": 90, "cy": 60, "rx": 30, "ry": 10, "theta": math.pi / 2}
    mask = load_mask(f"{via_file(tmp_path / 'v.json', circle, ellipse)}#x.jpg", (120, 120))
    assert abs(mask[:, :60].sum() - math.pi * 100) < 40
    assert abs(mask[:, 60:].sum() - math.pi * 300) < 80
    rows, columns = np.nonzero(mask[:, 60:])
    assert np.ptp(rows) > 2.5 * np.ptp(columns)  # turned by a right angle, the long axis stands upright


def test_mask_outside_the_picture_is_cut(tmp_path):
    circle = {"name": "circle", "cx": 0, "cy": 0, "r": 5}
    assert 15 < load_mask(f"{via_file(tmp_path / 'v.json', circle)}#x.jpg", (8, 8)).sum() < 35


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA", "I;16"])
def test_mask_image_of_any_mode(tmp_path, mode):
    inside = np.zeros((8, 10), np.uint8)
    inside[2:4, 5:9] = 1
    colours = {"1": 255, "L": 1, "P": 3, "RGB": 255, "RGBA": 255, "I;16": 400}
    grey = (
        Image.fromarray(inside.astype(np.uint16) * 400) if mode == "I;16" else Image.fromarray(inside * colours[mode])
    )
    (grey if mode in ("L", "I;16") else grey.convert(mode)).save(tmp_path / "m.png")
    np.testing.assert_array_equal(load_mask(str(tmp_path / "m.png"), (8, 10)), inside.astype(bool))
    doubled = load_mask(str(tmp_path / "m.png"), (16, 20))
    np.testing.assert_array_equal(doubled, inside.astype(bool).repeat(2, 0).repeat(2, 1))


@pytest.mark.parametrize("suffix", ["png", "gif"])
def test_a_palette_is_looked_up(tmp_path, suffix):
    inside = np.zeros((40, 40), np.uint8)
    inside[5:15, 20:30] = 255
    chosen = Image.fromarray(inside).convert("RGB").quantize(2)
    assert np.asarray(chosen)[10, 25] == 0  # white comes first here
    chosen.save(tmp_path / f"m.{suffix}")
    np.testing.assert_array_equal(load_mask(str(tmp_path / f"m.{suffix}"), (40, 40)), inside > 0)


def test_mask_that_is_not_there(tmp_path):
    via = via_file(tmp_path / "v.json")
    broken = listing(tmp_path / "broken.json", "[1, 2")
    for ref in (
        f"{via}#other.jpg",
        f"{broken}#x.jpg",
        str(tmp_path / "none.png"),
        str(listing(tmp_path / "n.png", "x")),
    ):
        with pytest.raises(SourceError):
            load_mask(ref, (8, 8))


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


@pytest.mark.parametrize("name", ["br35h", "cheng", "lgg"])
def test_real_outlines_are_on_the_head(data, name):
    table = collect([f"{name}={data / name}"])
    for row in table[table["mask"] != ""].sample(12, random_state=0).itertuples():
        grey = np.asarray(Image.open(row.path).convert("L"))
        mask = load_mask(row.mask, grey.shape)
        assert 0.0002 < mask.mean() < 0.4
        assert (grey[mask] > 8).mean() > 0.5
