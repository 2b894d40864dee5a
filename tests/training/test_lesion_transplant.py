"""Transplants: what changes is the tumor, and labels and masks change with it."""

from functools import cache

import numpy as np
import pytest
import torch

from brainsift.images.phantom import draw
from brainsift.images.preprocess import network_input
from brainsift.images.standard import standard, standard_outline
from brainsift.training.lesion_transplant import transplant


@cache
def _batch(n=24, size=64):
    drawn = [draw(seed, tumor=seed % 2 == 0) for seed in range(n)]
    images = torch.from_numpy(network_input(np.stack([standard(one.pixels, size) for one in drawn])))
    masks = np.stack([standard_outline(one.pixels, one.mask, size) for one in drawn])
    labels = torch.tensor([float(seed % 2 == 0) for seed in range(n)])
    return images, torch.from_numpy(masks).float().unsqueeze(1) / 255, labels, torch.ones(n)


def _transplanted(share, seed=0):
    batch = _batch()
    return batch, transplant(*batch, share=share, generator=torch.Generator().manual_seed(seed))


def test_nothing_changes_without_a_share():
    before, after = _transplanted(0.0)
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))


def test_labels_follow_the_masks():
    _, (images, masks, labels, known) = _transplanted(1.0)
    assert torch.equal(labels == 1, masks.amax(dim=(1, 2, 3)) > 0.5)
    assert known.all() and float(images.min()) >= 0 and float(images.max()) <= 1


def test_tumor_free_slices_get_tumors_and_sham_pieces():
    before, after = _transplanted(1.0)
    healthy = before[2] == 0
    changed = (before[0] - after[0]).abs().amax(dim=(1, 2, 3)) > 0.02
    assert (after[2][healthy] == 1).any()
    assert (changed & healthy & (after[2] == 0)).any()


def test_a_tumor_is_painted_out_with_the_other_side():
    before, after = _transplanted(1.0)
    lost = (before[2] == 1) & (after[2] == 0)
    assert lost.any()
    for image, other, mask in zip(before[0][lost], after[0][lost], before[1][lost], strict=True):
        inside = mask > 0.9
        gap = (image - image.flip(2))[inside].abs().mean()
        assert (other - image.flip(2))[inside].abs().mean() < 0.5 * gap


def test_what_lies_far_from_the_piece_stays():
    before, after = _transplanted(1.0)
    given = (before[2] == 0) & (after[2] == 1)
    far = torch.nn.functional.max_pool2d(after[1], 17, 1, 8) == 0
    assert torch.equal((before[0] * far)[given], (after[0] * far)[given])


@pytest.mark.slow
def test_the_same_generator_gives_the_same_batch():
    _, first = _transplanted(0.5, seed=3)
    _, again = _transplanted(0.5, seed=3)
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
