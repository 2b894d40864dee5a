"""Drawn findings: they can be seen, spare the tumor, and change no label."""

import numpy as np
import pytest
import torch

from brainsift.images.phantom import draw
from brainsift.images.preprocess import network_input
from brainsift.images.standard import standard
from brainsift.training import other_findings
from brainsift.training.other_findings import draw_findings


@pytest.fixture(scope="module")
def batch():
    """Tumor-free drawn heads, half of them filed as tumors whose mask is a disc."""
    heads = np.stack([standard(draw(seed, tumor=False).pixels, 64) for seed in range(32)])
    labels = torch.tensor([float(seed % 2) for seed in range(32)])
    y, x = torch.meshgrid(torch.arange(64), torch.arange(64), indexing="ij")
    disc = (((y - 32) ** 2 + (x - 24) ** 2) < 36).float()
    return torch.from_numpy(network_input(heads)), disc * labels.view(-1, 1, 1, 1), labels


def _drawn(batch, share=1.0, seed=0):
    return draw_findings(*batch, share=share, generator=torch.Generator().manual_seed(seed))


@pytest.mark.slow
def test_a_share_of_both_classes_gets_findings_that_can_be_seen(batch):
    images, masks = _drawn(batch)
    changed = ((images - batch[0]).abs() > 0.05).flatten(1).sum(dim=1) > 3
    for label in (0, 1):
        assert changed[batch[2] == label].float().mean() > 0.7
    assert float(images.min()) >= 0 and float(images.max()) <= 1
    assert torch.equal(_drawn(batch, share=0.0)[0], batch[0])
    some = ((_drawn(batch, share=0.25)[0] - batch[0]).abs() > 0).flatten(1).any(dim=1)
    assert 0 < some.float().mean() < 0.5
    assert masks.shape == batch[1].shape


def test_no_finding_covers_a_tumor_and_wide_ventricles_move_its_mask(batch):
    images, masks = _drawn(batch)
    moved = (masks != batch[1]).flatten(1).any(dim=1)
    covered = ((images - batch[0]).abs() * batch[1]).amax(dim=(1, 2, 3)) > 0
    assert moved.any() and not covered[~moved].any()
    area = masks.sum(dim=(1, 2, 3)) / batch[1].sum(dim=(1, 2, 3))
    assert (area[moved] > 0.4).all() and (area[moved] < 4).all()


def test_a_tumor_without_a_mask_gets_no_large_finding(batch, monkeypatch):
    for name in ("_territory", "_crescent"):  # as if they covered all of the head
        monkeypatch.setattr(other_findings, name, lambda hosts, draws: torch.ones_like(hosts))
    hidden = (batch[0], torch.zeros_like(batch[1]), torch.ones_like(batch[2]))
    free = (batch[0], torch.zeros_like(batch[1]), torch.zeros_like(batch[2]))
    head = (batch[0] > 0.04).float().sum(dim=(1, 2, 3))
    share = [((_drawn(one)[0] != batch[0]).float().sum(dim=(1, 2, 3)) / head) for one in (hidden, free)]
    assert (share[1] > 0.95).float().mean() > 0.3  # with a half of the kinds; wide ventricles change much as well
    assert (share[0] > 0.95).float().mean() < (share[1] > 0.95).float().mean()


def test_the_same_seed_draws_the_same(batch):
    first, again, other = (_drawn(batch, seed=seed)[0] for seed in (3, 3, 4))
    assert torch.equal(first, again) and not torch.equal(first, other)
