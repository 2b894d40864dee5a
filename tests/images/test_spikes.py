"""A spike changes only its own pixel. An image without a spike stays as it is."""

import numpy as np
import pytest

from brainsift.images.decode import from_array
from brainsift.images.phantom import draw
from brainsift.images.spikes import without_spikes
from brainsift.images.standard import head_box, standard

SIDE = 160


@pytest.mark.parametrize("place", [(3, 3), (80, 3), (80, 80)])
@pytest.mark.parametrize("seed", [4, 5])
def test_a_head_is_found_whatever_one_pixel_says(seed, place):
    head = draw(seed, tumor=True, size=SIDE).pixels
    for scale in (1, 2, 4, 8, 20):
        plain = head.astype(np.uint16) * scale
        hurt = plain.copy()
        hurt[place] = 65535
        assert np.abs(np.subtract(head_box(hurt), head_box(plain))).max() <= 1
        one, other = standard(hurt).astype(float), standard(plain).astype(float)
        assert np.corrcoef(one.ravel(), other.ravel())[0, 1] > 0.98


@pytest.mark.parametrize("spike", [1e3, 1e4, 1.6e4, 1e5, 1e7, -1e3, -1e5])
def test_a_spike_in_an_array_of_floats_hides_no_head(spike):
    head = draw(5, tumor=True, size=SIDE).pixels.astype(np.float32) + 1
    hurt = head.copy()
    hurt[3, 3] = spike
    found, plain = head_box(from_array(hurt).grey()), head_box(from_array(head).grey())
    assert np.abs(np.subtract(found, plain)).max() <= 1


def test_what_is_no_spike_stays():
    head = draw(5, tumor=True, size=SIDE).pixels
    small_bright = head.astype(np.uint16)
    small_bright[60:68, 60:68] = 65535  # as letters are: 64 pixels of 25600
    for pixels in (head, head.astype(np.uint16) * 257, head / 7 - 3, small_bright, np.zeros((20, 20), np.uint16)):
        assert without_spikes(pixels) is pixels
