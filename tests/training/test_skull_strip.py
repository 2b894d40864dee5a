"""The brain within a head slice."""

import numpy as np
import torch

from brainsift.training.skull_strip import SkullStripper, brain_mask


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


def test_only_a_share_is_stripped_and_fills_the_frame_again():
    pixels, _ = _head()
    images = torch.from_numpy(pixels).float().div(255).expand(40, 1, 128, 128)
    strip, names, chance = SkullStripper(), torch.arange(40), torch.Generator().manual_seed(0)
    stripped, _ = strip(images, None, names, share=0.5, generator=chance)
    changed = [one for one, before in zip(stripped[:, 0], images[:, 0], strict=True) if not torch.equal(one, before)]
    assert 10 <= len(changed) <= 30
    for one in changed:
        assert float(one[64, 64]) > 0.95 and float(one.amax(dim=1).gt(0.5).sum()) > 115
    assert torch.equal(strip(images, None, names, share=0.0, generator=chance)[0], images)


def test_an_mask_moves_with_its_brain_and_stops_what_would_lose_it():
    pixels, _ = _head()
    y, x = np.mgrid[:128, :128]
    inner, outer = np.hypot(y - 64, x - 80) < 8, np.hypot(y - 64, x - 118) < 4  # in the brain, in the scalp
    bright = np.where(inner, 250, np.where(outer, 250, pixels)).astype(np.uint8)
    images = torch.from_numpy(bright).float().div(255).expand(2, 1, 128, 128)
    masks = torch.from_numpy(np.stack([inner, outer])).float().unsqueeze(1)
    strip, names, chance = SkullStripper(), torch.tensor([7, 3]), torch.Generator().manual_seed(0)
    stripped, moved = strip(images, masks, names, share=1.0, generator=chance)
    again, _ = strip(images, masks, names, share=1.0, generator=chance)
    assert torch.equal(again, stripped)
    tumor = moved[0, 0] > 0.5
    assert (
        float(stripped[0, 0][tumor].mean()) > 0.9 and float(stripped[0, 0][~tumor & (stripped[0, 0] > 0)].mean()) < 0.7
    )
    assert int(tumor.sum()) > inner.sum()
    assert torch.equal(stripped[1], images[1]) and torch.equal(moved[1], masks[1])
