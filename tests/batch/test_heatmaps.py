"""Tumor maps as files: names that meet, names that are very long, and montages."""

import numpy as np
import pytest
from PIL import Image

from brainsift.batch.heatmaps import Heatmaps, write_montage
from brainsift.images.phantom import draw
from brainsift.inference.decision import Prediction


@pytest.fixture
def prediction(tmp_path):
    def make(name):
        Image.fromarray(draw(4, tumor=True).pixels).save(tmp_path / name)
        return Prediction(str(tmp_path / name), "ok", 2.0, "tumor", tumor_map=np.full((16, 16), 0.5, np.float32))

    return make


def test_overlays_of_one_name_do_not_meet(prediction, tmp_path):
    maps = Heatmaps(tmp_path / "maps", size=128)
    for _ in range(2):
        maps.add(prediction("a.png"))
    assert sorted(path.name for path in (tmp_path / "maps").iterdir()) == ["00000-a.png", "00001-a.png"]


@pytest.mark.parametrize("name", ["a" * 236, "ä" * 118])
def test_a_very_long_name_is_cut(prediction, tmp_path, name):
    Heatmaps(tmp_path / "maps", size=128).add(prediction(f"{name}.png"))
    (path,) = (tmp_path / "maps").iterdir()
    assert path.name.startswith(f"00000-{name[:80]}") and name.startswith(path.stem.removeprefix("00000-"))


def test_pictures_of_any_shape_stand_side_by_side(tmp_path):
    for number, shape in enumerate(((10, 40), (300, 100))):
        Image.fromarray(np.full(shape, 255, np.uint8)).save(tmp_path / f"{number}.png")
    write_montage([tmp_path / "0.png", tmp_path / "1.png"], tmp_path / "both.png")
    with Image.open(tmp_path / "both.png") as both:
        assert both.size == (768, 384) and np.asarray(both)[192, 192].min() == 255 == np.asarray(both)[192, 576].min()
