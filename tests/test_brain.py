"""The brain within a head slice."""

import numpy as np
import torch
from scipy import ndimage

from brainsift.brain import brain_mask, strip_skulls


def _head(side=128, *, bridge=False):
    """A bright scalp ring, a dark skull, a grey brain; a bridge joins brain and scalp, as a vein does."""
    y, x = np.mgrid[:side, :side]
    radius = np.hypot(y - side / 2, x - side / 2) / side
    pixels = np.where(radius < 0.45, 200, 0)
    pixels[radius < 0.42] = 15
    pixels[radius < 0.38] = 120
    if bridge:
        pixels[side // 2, : side // 4][pixels[side // 2, : side // 4] > 0] = 200
    return pixels.astype(np.uint8), radius < 0.38


def test_the_brain_is_found():
    for bridge in (False, True):
        pixels, brain = _head(bridge=bridge)
        found = brain_mask(pixels)
        assert (found & brain).sum() / (found | brain).sum() > 0.9
        assert not found[pixels == 200].any() or bridge


def test_a_brain_without_a_skull_keeps_most_of_itself():
    pixels, brain = _head()
    bare = np.where(brain, pixels, 0).astype(np.uint8)
    assert brain_mask(bare).sum() > 0.5 * brain.sum()


def test_a_blank_image_has_no_brain():
    assert not brain_mask(np.zeros((64, 64), np.uint8)).any()


def test_only_a_share_is_stripped():
    pixels, brain = _head()
    images = torch.from_numpy(pixels).float().div(255).expand(40, 1, 128, 128)
    stripped = strip_skulls(images, share=0.5, generator=torch.Generator().manual_seed(0))
    outside = torch.from_numpy(ndimage.binary_dilation(~brain) & (pixels == 200))
    bare = (stripped[:, 0][:, outside].amax(dim=1) == 0).sum()
    assert 10 <= int(bare) <= 30
    assert torch.equal(strip_skulls(images, share=0.0, generator=torch.Generator()), images)
