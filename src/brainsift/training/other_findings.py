"""Draws findings that are no tumor: spots, territories of vessels, crescents under the skull, wide ventricles.

A network that has seen tumors and healthy heads only calls strokes, white-matter lesions, calcifications and wide
ventricles a tumor. Findings of these shapes are drawn into images of both classes, and change neither label nor mask,
so that it learns that they say nothing. They are drawings, and stand for no disease in particular.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from brainsift.training.lesion_synthesis import Draws
from brainsift.training.lesion_transplant import mean_around

_SPOTS, _TERRITORY, _CRESCENT, _VENTRICLES = range(4)
_MOST_SPOTS = 0.05  # share of the brain that spots take
_CLEAR = 9  # pixels around a tumor at 128 in which nothing is drawn, and one


def draw_findings(
    images: Tensor, masks: Tensor, labels: Tensor, *, share: float, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Draws one kind of finding into some images of a batch.

    Nothing is drawn over a tumor whose mask is known. A tumor without a mask could be covered by a large finding, so
    such an image gets spots or wide ventricles only.

    Args:
        images: float32 (n, 1, size, size) in [0, 1].
        masks: float32 (n, 1, size, size) in [0, 1], of the tumor; empty where there is none or it is not known.
        labels: float32 (n,).
        share: of the images, 0 to 1.
        generator: the random generator, on the CPU.

    Returns:
        Images and masks; wide ventricles push the tissue around them, and the mask with it.
    """
    chosen = (torch.rand(len(images), generator=generator) < share).nonzero()[:, 0].to(images.device)
    if not len(chosen):
        return images, masks
    hosts, tumors = images[chosen], masks[chosen]
    draws = Draws(len(chosen), generator, images.device)
    kinds = torch.randint(4, (len(chosen), 1, 1, 1), generator=generator).to(images.device)
    hidden = (labels[chosen] == 1).view(-1, 1, 1, 1) & (tumors.amax(dim=(1, 2, 3), keepdim=True) < 0.5)
    kinds = torch.where(hidden & (kinds == _TERRITORY), _SPOTS, kinds)
    kinds = torch.where(hidden & (kinds == _CRESCENT), _VENTRICLES, kinds)
    where = torch.zeros_like(hosts)
    for kind, shape in ((_SPOTS, _spots), (_TERRITORY, _territory), (_CRESCENT, _crescent)):
        where = torch.where(kinds == kind, shape(hosts, draws), where)
    wide = _CLEAR * hosts.shape[-1] // 128 // 2 * 2 + 1
    where = where * (1 - F.max_pool2d(tumors, wide, 1, wide // 2)) * (hosts > 0.04)
    changed = (hosts * (1 + draws.contrast())).clamp(0, 1)
    wider, pushed = _wide_ventricles(hosts, tumors, draws)
    swollen = kinds == _VENTRICLES
    images, masks = images.clone(), masks.clone()
    images[chosen] = torch.where(swollen, wider, torch.lerp(hosts, changed, where))
    masks[chosen] = torch.where(swollen, pushed, tumors)
    return images, masks


def _inside(hosts: Tensor) -> Tensor:
    """Returns how far inside the head a pixel lies: about a half at its edge, 1 from an eighth of the side inwards."""
    return mean_around((hosts > 0.06).float(), hosts.shape[-1] // 8 * 2 + 1)


def _polar(hosts: Tensor) -> tuple[Tensor, Tensor]:
    """Returns the distance of each pixel from the middle of the head, in sides of the image, and its angle."""
    side, head = hosts.shape[-1], (hosts > 0.06).float()
    axis = (torch.arange(side, device=hosts.device) + 0.5) / side
    mass = head.sum(dim=(2, 3), keepdim=True).clamp(min=1)
    across = axis.view(1, 1, 1, side) - (head * axis.view(1, 1, 1, side)).sum(dim=(2, 3), keepdim=True) / mass
    down = axis.view(1, 1, side, 1) - (head * axis.view(1, 1, side, 1)).sum(dim=(2, 3), keepdim=True) / mass
    return torch.hypot(across, down), torch.atan2(down, across)


def _sector(angle: Tensor, draws: Draws, narrow: float, wide: float) -> Tensor:
    """Returns a sector of random direction and half-width, in radians, with a soft border: 1 inside, 0 outside."""
    away = torch.remainder(angle - draws.between(0, 2 * math.pi) + math.pi, 2 * math.pi) - math.pi
    border = 0.15 * draws.field(10, angle.shape[-1])
    return torch.sigmoid((draws.between(narrow, wide) - away.abs() + border) / 0.05)


def _spots(hosts: Tensor, draws: Draws) -> Tensor:
    """Many small spots in the brain: white-matter lesions, microbleeds, calcifications."""
    side = hosts.shape[-1]
    coarse = draws.some(0.5)
    grain = torch.lerp(draws.field(side // 4, side), draws.field(side // 8, side), coarse)
    brain = _inside(hosts) > 0.95
    inner = torch.where(brain, grain, grain.amin(dim=(2, 3), keepdim=True))
    share = draws.scale(0.004, _MOST_SPOTS) * brain.float().mean(dim=(2, 3), keepdim=True)
    ranked = inner.flatten(2).sort(dim=2, descending=True).values
    place = (share * side * side).long().clamp(max=side * side - 1).flatten(2)
    return torch.sigmoid((inner - ranked.gather(2, place).unsqueeze(3)) / 0.1) * brain


def _territory(hosts: Tensor, draws: Draws) -> Tensor:
    """A wedge that opens towards the surface, as the territory of a vessel does; its texture stays."""
    distance, angle = _polar(hosts)
    deep = torch.sigmoid((distance - draws.between(0.08, 0.25)) / 0.02)
    return _sector(angle, draws, 0.2, 0.8) * deep * (_inside(hosts) > 0.7) * draws.between(0.5, 1)


def _crescent(hosts: Tensor, draws: Draws) -> Tensor:
    """A thin band along the inner side of the skull: blood or fluid under it, thick membranes."""
    inside, depth = _inside(hosts), draws.between(0.72, 0.85)
    band = torch.exp(-(((inside - depth) / draws.between(0.03, 0.1)) ** 2))
    return band * _sector(_polar(hosts)[1], draws, 0.4, 1.5)


def _wide_ventricles(hosts: Tensor, masks: Tensor, draws: Draws) -> tuple[Tensor, Tensor]:
    """Magnifies the middle of the head, where the ventricles are, at the cost of the tissue around it."""
    n = len(hosts)
    distance, angle = _polar(hosts)
    pull = draws.between(0.2, 0.55) * torch.exp(-((distance / draws.between(0.1, 0.2)) ** 2)) * 2 * distance
    flat = F.affine_grid(torch.eye(2, 3, device=hosts.device).expand(n, 2, 3), list(hosts.shape), align_corners=False)
    towards = torch.cat([pull * angle.cos(), pull * angle.sin()], dim=1).permute(0, 2, 3, 1)
    moved = F.grid_sample(torch.cat([hosts, masks], dim=1), flat - towards, align_corners=False)
    return moved[:, :1], moved[:, 1:]
