"""Draws tumors into tumor-free images: more shapes and contrasts than the training images have.

A network that learns from the tumors of a few hospitals misses some of the next one. A drawn tumor may be darker or
brighter than its surroundings, plain, ringed or with an edge of swelling, anywhere in the head; its mask is known
exactly. Source: Hu et al. 2023, arXiv:2303.14869, show for the liver that such drawings teach to find real tumors.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from brainsift.training.lesion_transplant import likely_places

_LEAST_AREA = 12  # pixels of a mask that is worth drawing
_LEAST_CONTRAST = 0.04  # of the range, on average over the mask
_REACH = 2.2  # radii beyond which nothing is drawn


def draw_lesions(
    images: Tensor, masks: Tensor, labels: Tensor, known: Tensor, *, share: float, generator: torch.Generator
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Draws a tumor into some of the tumor-free images of a batch.

    Args:
        images: float32 (n, 1, size, size) in [0, 1].
        masks: float32 (n, 1, size, size) in [0, 1].
        labels: float32 (n,).
        known: float32 (n,), whether the mask is known.
        share: of the tumor-free images, 0 to 1.
        generator: the random generator, on the CPU.

    Returns:
        The same four, changed where a visible tumor was drawn.
    """
    if not share:
        return images, masks, labels, known
    chosen = ((torch.rand(len(images), generator=generator).to(images.device) < share) & (labels == 0)).nonzero()[:, 0]
    if not len(chosen):
        return images, masks, labels, known
    hosts = images[chosen]
    drawn, mask = _draw(hosts, Draws(len(chosen), generator, images.device))
    area = mask.sum(dim=(1, 2, 3))
    contrast = ((drawn - hosts).abs() * mask).sum(dim=(1, 2, 3)) / area.clamp(min=1)
    seen = (area > _LEAST_AREA) & (contrast > _LEAST_CONTRAST)
    changed = chosen[seen]
    images, masks, labels, known = images.clone(), masks.clone(), labels.clone(), known.clone()
    images[changed], masks[changed], labels[changed], known[changed] = drawn[seen], mask[seen], 1.0, 1.0
    return images, masks, labels, known


class Draws:
    """Random numbers (n, 1, 1, 1) and smooth random fields (n, 1, side, side) for ``n`` images."""

    def __init__(self, n: int, generator: torch.Generator, device: torch.device) -> None:
        self.n, self.generator, self.device = n, generator, device

    def between(self, low: float, high: float) -> Tensor:
        """Returns uniform numbers."""
        drawn = torch.rand((self.n, 1, 1, 1), generator=self.generator).to(self.device)
        return low + drawn * (high - low)

    def scale(self, low: float, high: float) -> Tensor:
        """Returns numbers whose logarithm is uniform."""
        return self.between(math.log(low), math.log(high)).exp()

    def some(self, share: float) -> Tensor:
        """Returns 1 for a share of the images, and 0 for the others."""
        return (self.between(0, 1) < share).float()

    def field(self, knots: int, side: int) -> Tensor:
        """Returns normal numbers at ``knots`` by ``knots`` places, and smooth between them."""
        drawn = torch.randn((self.n, 1, knots, knots), generator=self.generator).to(self.device)
        return F.interpolate(drawn, side, mode="bicubic", align_corners=True)

    def contrast(self) -> Tensor:
        """Returns how much brighter (more often) or darker something is, as a share of its surroundings."""
        return self.scale(0.18, 0.9) * torch.where(self.some(0.6) > 0, 1.0, -0.7)


def _draw(hosts: Tensor, draws: Draws) -> tuple[Tensor, Tensor]:
    """Returns the hosts with a tumor each, and its masks."""
    side = hosts.shape[-1]
    depth = _depth(hosts, draws)
    near = (depth > 1 - _REACH).float()
    core = torch.sigmoid(depth / draws.scale(0.03, 0.25)) * near
    halo = torch.sigmoid((depth + draws.between(0.2, 0.7)) / 0.2) * near * draws.some(0.35)
    shell = torch.exp(-(((depth - 0.12) / draws.between(0.08, 0.2)) ** 2)) * near * draws.some(0.35)

    tissue = core * (hosts > 0.06)
    level = (hosts * tissue).sum(dim=(2, 3), keepdim=True) / tissue.sum(dim=(2, 3), keepdim=True).clamp(min=1e-3)
    texture = 1 + draws.between(0, 0.18) * draws.field(24 * side // 128, side)
    plain, kept = level * (1 + draws.contrast()) * texture, hosts * (1 + draws.contrast() / 2)
    inner = torch.lerp(plain, kept, draws.between(0, 0.5)).clamp(0, 1)

    drawn = torch.lerp(hosts, (hosts * (1 + draws.contrast() / 2)).clamp(0, 1), halo)
    drawn = torch.lerp(drawn, inner, core)
    drawn = torch.lerp(drawn, (level * (1 + draws.between(0.3, 1))).clamp(0, 1), shell)
    changed = torch.maximum(torch.maximum(core, halo), shell)
    drawn = torch.lerp(drawn, F.avg_pool2d(drawn, 3, 1, 1), draws.between(0, 0.6) * changed)
    head = F.max_pool2d((hosts > 0.03).float(), 3, 1, 1)
    return torch.where(head > 0, drawn, hosts).clamp(0, 1), torch.maximum(core, shell) * head


def _depth(hosts: Tensor, draws: Draws) -> Tensor:
    """Returns how deep a pixel lies in a bent ellipse within the head: 1 at its centre, 0 at its edge, < 0 outside."""
    side = hosts.shape[-1]
    place = torch.multinomial(likely_places(hosts).cpu(), 1, generator=draws.generator)[:, 0].to(hosts.device)
    axis = torch.arange(side, device=hosts.device, dtype=torch.float32)
    across = axis.view(1, 1, 1, side) - (place % side).view(-1, 1, 1, 1)
    down = axis.view(1, 1, side, 1) - (place // side).view(-1, 1, 1, 1)
    angle, ratio = draws.between(0, math.pi), draws.scale(0.7, 1.42)
    long = (across * angle.cos() + down * angle.sin()) * ratio
    short = (down * angle.cos() - across * angle.sin()) / ratio
    distance = torch.hypot(long, short) / (side * draws.scale(0.04, 0.17))
    bent = draws.between(0.1, 0.45) * draws.field(12 * side // 128, side)
    return torch.where(distance < _REACH, 1 - distance + bent, -_REACH)
