"""Augmentation of whole batches, on the device; for tumors see `lesion_transplant` and `lesion_synthesis`."""

import math
from functools import lru_cache

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor
from torch.nn import functional as F

_LEAST_SHOWN = 0.7  # of the side of an image that is cut
_KEPT_IN_VIEW = 0.85  # of a tumor


def to_input(pixels: Tensor) -> Tensor:
    """Turns uint8 pixels (n, size, size) or (n, size, size, 3) into network input.

    Returns:
        float32 (n, channels, size, size) in [0, 1], channels last in memory.
    """
    images = pixels.unsqueeze(1) if pixels.ndim == 3 else pixels.permute(0, 3, 1, 2)
    return images.float().div_(255).contiguous(memory_format=torch.channels_last)


def augment(
    images: Tensor,
    *,
    strength: float,
    generator: torch.Generator,
    turned: float = 0.0,
    size: int | None = None,
    masks: Tensor | None = None,
) -> tuple[Tensor, Tensor | None]:
    """Mirrors, rotates, scales, shifts, sharpens or blurs the images of a batch and changes their contrast at random.

    Args:
        images: float32 (n, channels, size, size) in [0, 1].
        strength: 0 (only resizing) to 1 (±20°, ±25 % scale, ±10 % shift, gamma 0.6 to 1.65).
        generator: the random generator, on the CPU, so that every device gets the same numbers.
        turned: share of images rotated by 90, 180 or 270 degrees: slices saved from volumes often lie on their side.
        size: side of the result, pixels; None for that of the images.
        masks: float32 (n, 1, size, size), moved as the images are.

    Returns:
        float32 (n, channels, size, size) in [0, 1], and the masks.
    """
    size = size or images.shape[-1]
    channels = images.shape[1]
    layers = images if masks is None else torch.cat([images, masks], dim=1)
    if strength > 0:
        maps = _affine(len(images), strength, generator, turned).to(images.device)
        grid = F.affine_grid(maps, [len(images), 1, size, size], align_corners=False)
        factor = images.shape[-1] // size
        if factor > 1:
            layers = F.avg_pool2d(layers, factor)  # prevents aliasing
        layers = F.grid_sample(layers, grid, align_corners=False)
        images = _recontrast(layers[:, :channels], strength, generator)
    elif size != images.shape[-1]:
        layers = F.interpolate(layers, size, mode="bilinear", antialias=True)
        images = layers[:, :channels]
    moved = None if masks is None else layers[:, channels:]
    return images.contiguous(memory_format=torch.channels_last), moved


def reframe(
    images: Tensor, masks: Tensor | None, labels: Tensor, *, share: float, generator: torch.Generator
) -> tuple[Tensor, Tensor | None]:
    """Cuts some images to a part of the head, and stretches them, so that frame and proportions do not tell the source.

    An image of a tumor is cut much only where its mask shows that most of the tumor stays in view; otherwise little.

    Args:
        images: float32 (n, 1, size, size) in [0, 1].
        masks: float32 (n, 1, size, size) in [0, 1], moved as the images are; empty where the mask of a tumor is not
            known, None where no image has one.
        labels: float32 (n,).
        share: of the images, 0 to 1.
        generator: the random generator, on the CPU.

    Returns:
        Images and masks.
    """
    chosen = (torch.rand(len(images), generator=generator) < share).nonzero()[:, 0].to(images.device)
    if not len(chosen):
        return images, masks
    n = len(chosen)
    shown = _uniform((n, 1), _LEAST_SHOWN, 1, generator) * torch.exp(_uniform((n, 2), -0.12, 0.12, generator))
    middle = _uniform((n, 2), -1, 1, generator) * (1 - shown).clamp(min=0)
    layers = images[chosen] if masks is None else torch.cat([images[chosen], masks[chosen]], dim=1)
    much, little = (_cut(layers, 1 - part * (1 - shown), part * middle) for part in (1.0, 1 / 3))
    fits = labels[chosen] == 0
    if masks is not None:
        before, area = masks[chosen].sum(dim=(1, 2, 3)), shown.prod(dim=1).to(images.device)
        fits = fits | ((before > 0) & (much[:, 1].sum(dim=(1, 2)) * area > _KEPT_IN_VIEW * before))
    moved = torch.where(fits.view(-1, 1, 1, 1), much, little)
    images = images.clone()
    images[chosen] = moved[:, :1]
    if masks is not None:
        masks = masks.clone()
        masks[chosen] = moved[:, 1:]
    return images, masks


def _cut(layers: Tensor, shown: Tensor, middle: Tensor) -> Tensor:
    """Shows a part (n, 2) of the sides of each image, around a place (n, 2) in [-1, 1]; both as (width, height)."""
    maps = torch.cat([torch.diag_embed(shown), middle.unsqueeze(2)], dim=2).to(layers.device)
    grid = F.affine_grid(maps, [len(layers), 1, *layers.shape[-2:]], align_corners=False)
    return F.grid_sample(layers, grid, align_corners=False)


def _uniform(shape: tuple[int, ...], low: float, high: float, generator: torch.Generator) -> Tensor:
    return torch.rand(shape, generator=generator) * (high - low) + low


def _affine(n: int, strength: float, generator: torch.Generator, turned: float) -> Tensor:
    """Draws (n, 2, 3) maps from output to input coordinates."""
    angle = _uniform((n,), -20, 20, generator) * strength * math.pi / 180
    if turned:
        quarters = torch.randint(1, 4, (n,), generator=generator)
        angle = angle + (torch.rand(n, generator=generator) < turned) * quarters * math.pi / 2
    scale = torch.exp(_uniform((n, 2), -0.08, 0.08, generator) * strength)
    scale = scale * torch.exp(_uniform((n, 1), -0.18, 0.18, generator) * strength)
    mirror = torch.where(torch.rand(n, generator=generator) < 0.5, -1.0, 1.0)
    rotation = torch.stack([angle.cos(), -angle.sin(), angle.sin(), angle.cos()], dim=1).view(n, 2, 2)
    rotation = rotation * torch.stack([scale[:, 0] * mirror, scale[:, 1]], dim=1).unsqueeze(1)
    shift = _uniform((n, 2, 1), -0.2, 0.2, generator) * strength
    return torch.cat([rotation, shift], dim=2)


def _recontrast(images: Tensor, strength: float, generator: torch.Generator) -> Tensor:
    n = len(images)
    gamma = torch.exp(_uniform((n, 1, 1, 1), -0.5, 0.5, generator) * strength).to(images.device)
    gain = 1 + _uniform((n, 1, 1, 1), -0.25, 0.25, generator).to(images.device) * strength
    sharpness = _uniform((n, 1, 1, 1), -0.8, 0.5, generator).to(images.device) * strength
    blurred = F.avg_pool2d(images, 3, stride=1, padding=1)
    images = images + sharpness * (images - blurred)
    return (images.clamp(1e-4, 1).pow(gamma) * gain).clamp(0, 1)


def degrade(images: Tensor, *, strength: float, generator: torch.Generator) -> Tensor:
    """Degrades the images of a batch at random, as other scanners would: contrast, bias field, noise, resolution.

    Args:
        images: float32 (n, 1, size, size) in [0, 1].
        strength: 0 (none) to 1.
        generator: the random generator, on the CPU.

    Returns:
        float32 (n, 1, size, size) in [0, 1]; the background stays dark.
    """
    if not strength:
        return images
    n, side, device = len(images), images.shape[-1], images.device
    head = (images > 0.02).float()
    bend = _uniform((n, 1, 1, 1), -0.9, 0.9, generator).to(device) * strength
    images = images + bend * torch.sin(2 * math.pi * images) / (2 * math.pi)  # monotone: keeps the order of tissues
    knots = torch.randn((n, 1, 4, 4), generator=generator).to(device) * 0.25 * strength
    images = images * torch.exp(F.interpolate(knots, side, mode="bicubic", align_corners=True))
    some = (torch.rand(n, generator=generator) < 0.4 * strength).nonzero()[:, 0].to(device)
    if len(some):
        coarse = int(side / float(_uniform((1,), 1.3, 2.5, generator)))
        images[some] = F.interpolate(
            F.interpolate(images[some], coarse, mode="bilinear", antialias=True), side, mode="bilinear"
        )
    level = _uniform((n, 1, 1, 1), -0.06, 0.06, generator).clamp(min=0).to(device) * strength
    noise = torch.randn(images.shape, generator=generator).to(device) * level
    return ((images + noise) * head).clamp(0, 1).contiguous(memory_format=torch.channels_last)


def burn_in(images: Tensor, *, share: float, generator: torch.Generator) -> Tensor:
    """Burns a letter into some images, at a random place and brightness: it must not tell the class.

    Args:
        images: float32 (n, 1, size, size) in [0, 1].
        share: of the images, 0 to 1.
        generator: the random generator, on the CPU.

    Returns:
        float32 (n, 1, size, size) in [0, 1].
    """
    if not share:
        return images
    images, letters, side = images.clone(), _letters().to(images.device), images.shape[-1]
    chosen = (torch.rand(len(images), generator=generator) < share).nonzero()[:, 0].tolist()
    for place in chosen:
        height = int(_uniform((1,), side / 20, side / 8, generator))
        letter = letters[int(torch.randint(len(letters), (1,), generator=generator))]
        letter = F.interpolate(letter.view(1, 1, *letter.shape), height, mode="bilinear", antialias=True)[0, 0]
        top, left = torch.randint(side - height, (2,), generator=generator).tolist()
        brightness = _uniform((1,), 0.4, 1, generator).to(images.device)
        behind = images[place, 0, top : top + height, left : left + height]
        behind.copy_(torch.lerp(behind, brightness, letter))
    return images


@lru_cache(maxsize=1)
def _letters() -> Tensor:
    """Returns drawn letters and figures, float32 (n, 32, 32) in [0, 1]."""
    font, drawn = ImageFont.load_default(32), []
    for letter in "RLAPHFSI0123456789":
        canvas = Image.new("L", (64, 64))
        ImageDraw.Draw(canvas).text((32, 32), letter, fill=255, font=font, anchor="mm")
        drawn.append(np.asarray(canvas.crop(canvas.getbbox()).resize((32, 32)), dtype=np.float32) / 255)
    return torch.from_numpy(np.stack(drawn))
