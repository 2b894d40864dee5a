"""Drawn tumors: only tumor-free images get one, it can be seen, and it lies in the head."""

import numpy as np
import pytest
import torch

from brainsift.images.phantom import draw
from brainsift.images.preprocess import network_input
from brainsift.images.standard import standard
from brainsift.training.lesion_synthesis import draw_lesions


@pytest.fixture(scope="module")
def batch():
    """Tumor-free drawn heads, every fourth filed as a tumor whose mask is not known."""
    heads = np.stack([standard(draw(seed, tumor=False).pixels, 64) for seed in range(32)])
    labels = torch.tensor([float(seed % 4 == 0) for seed in range(32)])
    return torch.from_numpy(network_input(heads)), torch.zeros(32, 1, 64, 64), labels, 1 - labels


def _drawn(batch, share, seed=0):
    return draw_lesions(*batch, share=share, generator=torch.Generator().manual_seed(seed))


def test_nothing_changes_without_a_share(batch):
    assert all(torch.equal(a, b) for a, b in zip(batch, _drawn(batch, 0.0), strict=True))


def test_labels_and_masks_follow_what_was_drawn(batch):
    images, masks, labels, known = _drawn(batch, 1.0)
    given = (batch[2] == 0) & (labels == 1)
    assert given.sum() > 16
    assert torch.equal(labels == 1, (batch[2] == 1) | (masks.amax(dim=(1, 2, 3)) > 0.3))
    assert (known[given] == 1).all() and torch.equal(known[batch[2] == 1], batch[3][batch[2] == 1])
    assert torch.equal(images[~given], batch[0][~given])
    assert float(images.min()) >= 0 and float(images.max()) <= 1


def test_what_was_drawn_can_be_seen_inside_its_mask(batch):
    images, masks, labels, _ = _drawn(batch, 1.0)
    given = (batch[2] == 0) & (labels == 1)
    change = (images - batch[0]).abs()[given]
    inside = masks[given]
    within = (change * inside).sum(dim=(1, 2, 3)) / inside.sum(dim=(1, 2, 3))
    around = (change * (1 - inside)).sum(dim=(1, 2, 3)) / (1 - inside).sum(dim=(1, 2, 3))
    assert (within > 0.03).all() and (within > 3 * around).float().mean() > 0.8


def test_the_background_stays_dark(batch):
    images, masks, _, _ = _drawn(batch, 1.0)
    far = torch.nn.functional.max_pool2d((batch[0] > 0.03).float(), 5, 1, 2) == 0
    assert far.any() and torch.equal(images[far], batch[0][far]) and float(masks[far].max()) == 0


def test_the_same_seed_draws_the_same(batch):
    first, again, other = (_drawn(batch, 0.5, seed) for seed in (3, 3, 4))
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not torch.equal(first[0], other[0])
