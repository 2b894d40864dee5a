"""Segmentation masks, as collections store them, lie where the tumor is."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from brainsift.core.errors import SourceError
from brainsift.datasets.catalog import collect
from brainsift.images.masks import load_mask


def listing(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


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


def test_a_mask_of_other_proportions_is_refused_and_a_rounded_side_is_not(tmp_path):
    Image.fromarray(np.full((100, 96), 255, np.uint8)).save(tmp_path / "m.png")
    with pytest.raises(SourceError, match=r"96 x 100 pixels, other proportions than its image of 200 x 200"):
        load_mask(str(tmp_path / "m.png"), (200, 200))
    assert load_mask(str(tmp_path / "m.png"), (51, 49)).all()


@pytest.mark.parametrize("kind", ["TIFF", "GIF", "PNG"])
def test_a_mask_of_several_pictures_is_refused(tmp_path, kind):
    one, other = (Image.fromarray(np.full((40, 40), grey, np.uint8)) for grey in (0, 255))
    one.save(tmp_path / f"m.{kind}", kind, save_all=True, append_images=[other])
    with pytest.raises(SourceError, match="holds 2 pictures, and a mask is one"):
        load_mask(str(tmp_path / f"m.{kind}"), (40, 40))


@pytest.mark.parametrize("share", [0.4, 0.6, 0.8])
def test_a_mask_with_changed_data_is_refused(tmp_path, share):
    noise = np.random.default_rng(0).integers(0, 2, (64, 64)).astype(np.uint8) * 255
    Image.fromarray(noise).save(tmp_path / "m.png")
    content = bytearray((tmp_path / "m.png").read_bytes())
    content[int(share * len(content))] ^= 1
    (tmp_path / "m.png").write_bytes(content)
    with pytest.raises(SourceError, match="no readable mask"):
        load_mask(str(tmp_path / "m.png"), (64, 64))


def test_what_is_transparent_is_outside(tmp_path):
    inside = np.zeros((20, 20), bool)
    inside[3:9, 4:8] = True
    white = np.full((20, 20, 4), 255, np.uint8)
    white[..., 3] = inside * 255
    Image.fromarray(white).save(tmp_path / "m.png")
    np.testing.assert_array_equal(load_mask(str(tmp_path / "m.png"), (20, 20)), inside)


@pytest.mark.parametrize("name", ["br35h", "cheng", "lgg"])
def test_real_outlines_are_on_the_head(data, name):
    table = collect([f"{name}={data / name}"])
    for row in table[table["mask"] != ""].sample(12, random_state=0).itertuples():
        grey = np.asarray(Image.open(row.path).convert("L"))
        mask = load_mask(row.mask, grey.shape)
        assert 0.0002 < mask.mean() < 0.4
        assert (grey[mask] > 8).mean() > 0.5
