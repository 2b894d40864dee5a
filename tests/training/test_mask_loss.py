"""Masks as a second teacher: where they are read from, what they teach, and that they sit on their tumors."""

import numpy as np
import pytest
import torch

from brainsift.images.phantom import draw
from brainsift.images.standard import standard, standard_outline
from brainsift.training import networks
from brainsift.training.cache import cached_masks, cached_pixels
from brainsift.training.mask_loss import Masks, load_masks, map_loss


def test_an_mask_is_placed_as_its_image_is():
    phantom = draw(5, tumor=True)
    grey = np.pad(phantom.pixels, ((0, 40), (60, 0)))
    mask = np.pad(phantom.mask, ((0, 40), (60, 0)))
    marked = np.where(mask, 255, np.minimum(grey, 120)).astype(np.uint8)
    image, mask = standard(marked, 64), standard_outline(marked, mask, 64)
    inside = mask > 200
    assert inside.any() and mask.dtype == np.uint8
    assert image[inside].mean() > 1.5 * image[(mask == 0) & (image > 0)].mean()


def test_only_images_with_a_mask_have_an_mask(parted, tmp_path):
    masks, places = cached_masks(parted, tmp_path, size=32, workers=1)
    assert ((places >= 0) == (parted["mask"] != "").to_numpy()).all()
    assert (masks.reshape(len(masks), -1).max(axis=1) > 0).all()
    again, same = cached_masks(parted, tmp_path, size=32, workers=1)
    assert np.array_equal(masks, again) and np.array_equal(places, same)
    cached_pixels(parted, tmp_path, size=32, workers=1)
    assert np.array_equal(masks, cached_masks(parted, tmp_path, size=32, workers=1)[0])


def test_a_tumor_without_an_mask_teaches_the_map_nothing():
    masks = torch.zeros(1, 16, 16, dtype=torch.uint8)
    masks[0, 4:8, 4:8] = 255
    teacher = Masks(masks, torch.tensor([0, -1, -1]), torch.tensor([1.0, 0.0, 1.0]))
    drawn, known = teacher.of(torch.tensor([0, 1, 2]))
    assert known.tolist() == [1, 1, 0]
    assert float(drawn[0].sum()) == 16 and float(drawn[1:].sum()) == 0
    quiet, loud = torch.full((3, 1, 16, 16), -8.0), torch.full((3, 1, 16, 16), -8.0)
    loud[2] = 8.0
    assert torch.equal(map_loss(quiet, drawn, known), map_loss(loud, drawn, known))
    right = torch.where(drawn > 0.5, 8.0, -8.0)
    assert float(map_loss(right, drawn, known)) < 0.01 < float(map_loss(quiet, drawn, known))
    corrected = Masks(masks, torch.tensor([0]), torch.tensor([0.0]))  # a label that a person corrected
    drawn, known = corrected.of(torch.tensor([0]))
    assert known.tolist() == [1] and float(drawn.sum()) == 0


@pytest.mark.slow
def test_the_map_learns_where_the_tumor_is(parted, tmp_path):
    """A few steps on masks alone: the map's loss falls, and its strongest place moves into the mask."""
    torch.manual_seed(0)
    rows = parted[parted["mask"] != ""].head(16)
    pixels, places = cached_pixels(rows, tmp_path, size=64, workers=1)
    images = torch.from_numpy(np.asarray(pixels[places])).float().unsqueeze(1) / 255
    teacher = load_masks(rows, torch.ones(len(rows)), tmp_path, 64)
    batch = torch.arange(len(rows))
    model = networks.build("compact", size=64)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    losses = []
    for _ in range(40):
        loss = map_loss(model.outputs(images)[1], *teacher.of(batch))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]
    with torch.inference_mode():
        tumor_map = model.outputs(images)[1]
    target = torch.nn.functional.adaptive_max_pool2d(teacher.of(batch)[0], tumor_map.shape[-1]).flatten(1)
    hits = target.gather(1, tumor_map.flatten(1).argmax(dim=1, keepdim=True)) > 0
    assert hits.float().mean() > 0.8


def test_without_masks_there_is_no_teacher(parted, tmp_path):
    assert load_masks(parted.assign(mask=""), torch.ones(len(parted)), tmp_path, 32) is None
