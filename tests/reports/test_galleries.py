"""Pictures of drawn heads: right class, one a group, readable again, and a frame where a file is broken."""

import base64
import io

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from brainsift.images import phantom
from brainsift.reports import galleries


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures")
    rows = []
    for number in range(12):
        path = folder / f"{number}.png"
        Image.fromarray(phantom.draw(number // 3, tumor=number % 2 == 0, size=80).pixels).save(path)
        rows.append((str(path), "ab"[number % 2], float(number % 2 == 0), f"g{number // 3}", f"{number}"))
    table = pd.DataFrame(rows, columns=["path", "source", "label", "group", "sha256"])
    return table.assign(channel="", status="ok", flags="")


def opened(uri):
    return Image.open(io.BytesIO(base64.b64decode(uri.split(",")[1])))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32, np.bool_])
@pytest.mark.parametrize("shape", [(40, 60), (40, 60, 3)])
def test_data_uri_of_any_pixels(dtype, shape):
    ramp = np.broadcast_to(np.linspace(0, 1, 60)[None, :, None], (40, 60, 3))[
        ..., : shape[-1] if len(shape) == 3 else 1
    ]
    scale = {np.uint8: 255, np.uint16: 4095}.get(dtype, 1)
    pixels = (ramp * scale).round().astype(dtype) if dtype is not np.float32 else ramp.astype(dtype)
    image = opened(galleries.data_uri(pixels.reshape(shape), side=48))
    assert image.format == "JPEG"
    assert image.size == (48, 32)
    grey = np.asarray(image.convert("L"))
    assert grey[:, -1].mean() > 240
    assert grey[:, 0].mean() < 15


def test_picture_of_a_broken_file_says_why_without_the_folder(tmp_path):
    (tmp_path / "deep").mkdir()
    broken = tmp_path / "deep" / "x.png"
    broken.write_bytes(b"no picture")
    found = galleries.picture(broken)
    assert found.uri == ""
    assert found.title.startswith(f"{tmp_path.name}/deep/x.png: ")
    assert str(tmp_path) not in found.title
    assert galleries.picture(tmp_path / "missing.png", caption="c").caption == "c"


def test_one_channel_of_a_colour_image(tmp_path):
    pixels = np.zeros((32, 32, 3), np.uint8)
    pixels[..., 1] = 200
    Image.fromarray(pixels).save(tmp_path / "x.png")
    assert np.asarray(opened(galleries.picture(tmp_path / "x.png", "G").uri)).mean() > 190
    assert np.asarray(opened(galleries.picture(tmp_path / "x.png", "R").uri)).mean() < 10


def test_samples_come_from_all_groups_and_sources(manifest):
    found = galleries.sample_gallery(manifest, per_class=4)
    assert {name: len(shown) for name, shown in found.items()} == {"tumor": 4, "no tumor": 4}
    titles = [one.title for one in found["tumor"]]
    assert len({manifest["group"][int(title.split("/")[-1][:-4])] for title in titles}) == 4
    assert galleries.sample_gallery(manifest[manifest["label"] == 1]).keys() == {"tumor"}
    assert galleries.sample_gallery(manifest.assign(status="unreadable")) == {}


def test_errors_are_the_most_confident_ones_one_a_group(manifest):
    given = manifest.assign(probability=np.where(manifest["label"] == 1, 0.9, 0.2), threshold=0.5)
    given.loc[[0, 2, 5], "probability"] = [0.3, 0.01, 0.97]
    found = galleries.error_gallery(given)
    assert [one.caption for one in found] == ["tumor, predicted 1\u00a0%", "no tumor, predicted 97\u00a0%"]
    assert all(one.uri for one in found)


def test_before_after_shows_each_preprocessing(manifest):
    line = galleries.before_after(manifest.head(1))[0]
    assert [one.caption for one in line] == ["file", "standard", "baseline"]


def test_group_sheets(manifest):
    sheets = galleries.group_sheets(manifest, groups=2, per_group=2)
    assert [len(shown) for _, shown in sheets] == [2, 2]
    assert "3 distinct files" in sheets[0][0]
    assert galleries.group_sheets(manifest.assign(group=[f"g{row}" for row in range(12)])) == []


def test_conflict_sheets(manifest):
    flagged = manifest.assign(flags=["duplicate;near_conflict"] * 2 + [""] * 10)
    ((heading, shown),) = galleries.conflict_sheets(flagged)
    assert heading == "1 tumor, 1 no tumor"
    assert [one.kind for one in shown] == ["tumor", "no_tumor"]
