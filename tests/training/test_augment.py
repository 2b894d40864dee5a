"""Augmentation: repeatable, in range, and the identity at strength 0."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from brainsift.training.augment import augment, burn_in, degrade, reframe, to_input


def disc(n=4, size=64):
    y, x = torch.meshgrid(torch.linspace(-1, 1, size), torch.linspace(-1, 1, size), indexing="ij")
    return ((x**2 + y**2) < 0.5).float().expand(n, 1, size, size).contiguous()


def test_to_input_scales_and_orders_channels():
    grey = to_input(torch.full((2, 8, 8), 255, dtype=torch.uint8))
    assert grey.shape == (2, 1, 8, 8) and float(grey.max()) == 1.0
    colour = torch.zeros(2, 8, 8, 3, dtype=torch.uint8)
    colour[..., 1] = 51
    assert torch.allclose(to_input(colour)[:, 1], torch.tensor(0.2))


@settings(max_examples=15)
@given(strength=st.floats(0, 1), seed=st.integers(0, 1000), size=st.sampled_from([16, 32, 48, 64]))
def test_result_is_repeatable_and_in_range(strength, seed, size):
    first, second = (
        augment(disc(), strength=strength, size=size, generator=torch.Generator().manual_seed(seed))[0]
        for _ in range(2)
    )
    assert torch.equal(first, second)
    assert first.shape == (4, 1, size, size)
    assert float(first.min()) >= 0 and float(first.max()) <= 1


def test_strength_zero_changes_nothing():
    images = disc()
    assert torch.equal(augment(images, strength=0, generator=torch.Generator())[0], images)


def test_images_of_a_batch_differ_and_keep_their_content():
    warped, _ = augment(disc(), strength=1, generator=torch.Generator().manual_seed(1))
    assert not torch.allclose(warped[0], warped[1])
    area = (warped > 0.2).float().mean(dim=(1, 2, 3))
    assert (area > 0.2).all() and (area < 0.75).all()


def test_half_size_is_averaged_before_sampling():
    checkers = torch.zeros(1, 1, 64, 64)
    checkers[..., ::2, ::2] = checkers[..., 1::2, 1::2] = 1
    small, _ = augment(checkers, strength=0.01, size=32, generator=torch.Generator().manual_seed(0))
    assert float(small[..., 4:-4, 4:-4].std()) < 0.05


def test_masks_move_with_their_images():
    """A mask that is the image itself stays on it, whatever the draw; contrast is left alone."""
    images = disc()
    moved, masks = augment(
        images, strength=1, size=32, generator=torch.Generator().manual_seed(5), masks=images.clone()
    )
    assert masks.shape == moved.shape
    assert torch.equal(masks > 0.5, masks.round() > 0)
    assert (((moved > 0.3) == (masks > 0.5)).float().mean() > 0.97).all()
    assert float(masks.max()) > 0.99


def test_artifacts_keep_background_range_and_order_of_draws():
    images = torch.rand(8, 1, 32, 32)
    images[:, :, :8] = 0
    first, again = (degrade(images, strength=1.0, generator=torch.Generator().manual_seed(5)) for _ in range(2))
    assert torch.equal(first, again) and not torch.equal(first, images)
    assert float(first.min()) >= 0 and float(first.max()) <= 1 and float(first[:, :, :8].max()) == 0
    assert torch.equal(degrade(images, strength=0.0, generator=torch.Generator()), images)


def test_letters_are_burned_into_a_share():
    images = torch.full((200, 1, 64, 64), 0.2)
    burned, again = (burn_in(images, share=0.3, generator=torch.Generator().manual_seed(2)) for _ in range(2))
    changed = (burned != images).flatten(1).sum(dim=1)
    assert torch.equal(burned, again) and float(burned.min()) >= 0 and float(burned.max()) <= 1
    assert 0.2 < (changed > 0).float().mean() < 0.4
    assert changed.max() <= 8 * 8  # a letter is at most an eighth of the side
    assert torch.equal(burn_in(images, share=0.0, generator=torch.Generator()), images)


def test_a_share_is_turned_by_quarters():
    images = torch.zeros(200, 1, 32, 32)
    images[:, :, :8] = 1  # bright at the top
    turned, _ = augment(images, strength=1e-6, turned=0.5, generator=torch.Generator().manual_seed(1))
    still = turned[:, 0, :6].mean(dim=(1, 2)) > 0.9
    assert 0.35 < still.float().mean() < 0.65
    sides = [turned[~still, 0, 26:], turned[~still, 0, :, :6], turned[~still, 0, :, 26:]]
    assert sum(int((side.mean(dim=(1, 2)) > 0.9).sum()) for side in sides) == int((~still).sum())
    assert all((side.mean(dim=(1, 2)) > 0.9).any() for side in sides)


def test_reframing_cuts_both_classes_and_keeps_the_tumor_in_view():
    n, size = 200, 64
    images = disc(n, size)
    masks = torch.zeros(n, 1, size, size)
    masks[:100, :, 28:36, 4:12] = 1  # at the side, where a cut may lose it
    labels = torch.tensor([1.0] * 100 + [0.0] * 50 + [1.0] * 50)  # the last: tumors without a mask
    framed, moved = reframe(images, masks, labels, share=1.0, generator=torch.Generator().manual_seed(0))
    changed = (framed - images).abs().flatten(1).amax(dim=1) > 0
    assert changed.all()
    area = moved[:100].sum(dim=(1, 2, 3)) / masks[:100].sum(dim=(1, 2, 3))
    assert (area > 0.6).all() and float(moved[100:].max()) == 0
    head = [(framed[part] > 0.5).float().mean(dim=(1, 2, 3)) for part in (slice(100, 150), slice(150, 200))]
    assert head[0].std() > 1.5 * head[1].std()  # tumors without a mask are cut less
    assert torch.equal(reframe(images, masks, labels, share=0.0, generator=torch.Generator())[0], images)
    assert reframe(images, None, labels, share=1.0, generator=torch.Generator())[1] is None
