"""Overlays: the map lies where the tumor is, on the image as it came."""

import numpy as np

from brainsift.images.phantom import draw
from brainsift.images.standard import standard, standard_map, standard_outline
from brainsift.inference.overlay import overlay


def _tumor():
    phantom = draw(4, tumor=True)
    grey, mask = np.pad(phantom.pixels, ((10, 70), (0, 30))), np.pad(phantom.mask, ((10, 70), (0, 30)))
    tumor_map = standard_outline(grey, mask, 128).reshape(16, 8, 16, 8).mean(axis=(1, 3)) / 255
    return grey, mask, tumor_map


def test_a_map_comes_back_to_its_place():
    grey, mask, tumor_map = _tumor()
    back = standard_map(grey, tumor_map, 128)
    assert back.shape == grey.shape == standard(grey, 128).shape[:0] + grey.shape
    found = np.array(np.unravel_index(back.argmax(), back.shape))
    assert mask[tuple(found)]
    assert back[mask].mean() > 5 * back[~mask].mean()


def test_the_overlay_is_red_in_the_tumor(tmp_path):
    grey, mask, tumor_map = _tumor()
    picture = np.asarray(overlay(grey, tumor_map)).astype(int)
    zoom = picture.shape[0] // grey.shape[0]
    inside = np.kron(mask, np.ones((zoom, zoom), bool))
    redness = picture[..., 0] - picture[..., 2]
    assert redness[inside].mean() > 40 and redness[~inside].mean() < 5
