"""Moves tumors from one image to another, and removes them, so that only the tumor tells the class.

Images of different hospitals differ in many ways, and a network may learn any of them. A tumor-free slice that gets the
tumor of another patient, and a slice that loses its own, differ from their originals in the tumor alone. Pieces of
healthy tissue are moved in the same way, so that a seam tells nothing.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

_SEAM = 5  # pixels at 128 over which a piece fades out
_LARGEST = 0.12  # largest share of the image that a tumor may take to be painted over


def transplant(
    images: Tensor, masks: Tensor, labels: Tensor, known: Tensor, *, share: float, generator: torch.Generator
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Moves tumors within a batch.

    Args:
        images: float32 (n, 1, size, size) in [0, 1].
        masks: float32 (n, 1, size, size) in [0, 1], empty where there is no tumor or its mask is not known.
        labels: float32 (n,).
        known: float32 (n,), whether the mask is known (of a tumor-free image: that it is empty).
        share: of the images, 0 to 1.
        generator: the random generator, on the CPU.

    Returns:
        The same four, changed where an image got a tumor or lost its own.
    """
    if not share:
        return images, masks, labels, known
    images, masks, labels, known = images.clone(), masks.clone(), labels.clone(), known.clone()
    healthy, drawn = labels == 0, masks.amax(dim=(1, 2, 3)) > 0.5
    chosen = (torch.rand(len(images), generator=generator) < share).to(images.device)
    takes = (chosen & healthy).nonzero()[:, 0]
    loses = (chosen & drawn & _is_one_sided(masks)).nonzero()[:, 0]
    donors = drawn.nonzero()[:, 0]
    if len(takes) and len(donors):
        of = donors[torch.randint(len(donors), (len(takes),), generator=generator)]
        sham = (torch.rand(len(takes), generator=generator) < 0.4).to(images.device)
        tissue = torch.where(sham.view(-1, 1, 1, 1), images[takes.roll(1)], images[of])
        maps = _moves(masks[of], images[takes], generator)
        new, moved = _graft(images[takes], tissue, masks[of], maps)
        real = (~sham & (moved.sum(dim=(1, 2, 3)) > 0.3 * masks[of].sum(dim=(1, 2, 3)))).float()
        keeps = (sham.float() + real).view(-1, 1, 1, 1)
        images[takes] = keeps * new + (1 - keeps) * images[takes]
        masks[takes] = moved * real.view(-1, 1, 1, 1)
        labels[takes] = real
    if len(loses):
        wide = (F.max_pool2d(masks[loses], 9, 1, 4) > 0.5).float()
        mirror = torch.tensor([[-1.0, 0, 0], [0, 1, 0]], device=images.device).expand(len(loses), 2, 3)
        images[loses], _ = _graft(images[loses], images[loses], wide.flip(3), mirror)
        masks[loses], labels[loses], known[loses] = 0.0, 0.0, 1.0
    return images, masks, labels, known


def _is_one_sided(masks: Tensor) -> Tensor:
    """Tells which tumors are small and leave the other side free, so that its mirror image can replace them."""
    both = (masks * masks.flip(3)).sum(dim=(1, 2, 3)) / masks.sum(dim=(1, 2, 3)).clamp(min=1e-6)
    return (both < 0.02) & (masks.mean(dim=(1, 2, 3)) < _LARGEST)


def _moves(masks: Tensor, hosts: Tensor, generator: torch.Generator) -> Tensor:
    """Draws (n, 2, 3) maps from host to donor coordinates that bring each tumor to a place within the host's head."""
    n, side = len(masks), masks.shape[-1]
    axis = (torch.arange(side, device=masks.device) + 0.5) * 2 / side - 1
    mass = masks.sum(dim=(1, 2, 3)).clamp(min=1e-6)
    source = torch.stack([(masks.sum(dim=(1, 2)) * axis).sum(1), (masks.sum(dim=(1, 3)) * axis).sum(1)], 1)
    source = source / mass.unsqueeze(1)
    place = torch.multinomial(likely_places(hosts).cpu(), 1, generator=generator)[:, 0].to(masks.device)
    target = torch.stack([axis[place % side], axis[place // side]], dim=1)
    angle = torch.rand(n, generator=generator) * 2 * math.pi
    scale = torch.exp(torch.rand(n, generator=generator) * 0.9 - 0.35)
    turn = torch.stack([angle.cos(), -angle.sin(), angle.sin(), angle.cos()], 1).view(n, 2, 2) * scale.view(n, 1, 1)
    turn = turn.to(masks.device)
    return torch.cat([turn, source.unsqueeze(2) - turn @ target.unsqueeze(2)], dim=2)


def likely_places(hosts: Tensor) -> Tensor:
    """Returns how likely each pixel of images (n, 1, size, size) is as the centre of a tumor, (n, size * size)."""
    inside = mean_around((hosts > 0.08).float(), hosts.shape[-1] // 8 * 2 + 1)
    return ((inside > 0.85) & (F.avg_pool2d(hosts, 5, 1, 2) > 0.15)).float().flatten(1) + 1e-9


def mean_around(images: Tensor, kernel: int) -> Tensor:
    """Averages over squares, rows first and then columns, which costs a fraction of doing both at once."""
    rows = F.avg_pool2d(images, (1, kernel), 1, (0, kernel // 2))
    return F.avg_pool2d(rows, (kernel, 1), 1, (kernel // 2, 0))


def _graft(hosts: Tensor, tissue: Tensor, masks: Tensor, maps: Tensor) -> tuple[Tensor, Tensor]:
    """Blends moved tissue into the hosts, as bright as its new surroundings; returns the images and the moved masks."""
    grid = F.affine_grid(maps, list(hosts.shape), align_corners=False)
    moved = F.grid_sample(torch.cat([tissue, masks], dim=1), grid, align_corners=False)
    tissue, piece = moved[:, :1], moved[:, 1:] * (hosts > 0.04)
    seam = max(_SEAM * hosts.shape[-1] // 128, 3) // 2 * 2 + 1
    wide = F.max_pool2d(piece, 3, 1, 1)
    alpha = torch.maximum(F.avg_pool2d(wide, seam, 1, seam // 2), piece) * (hosts > 0.02)
    ring = (
        F.max_pool2d(F.max_pool2d(piece, (2 * seam + 1, 1), 1, (seam, 0)), (1, 2 * seam + 1), 1, (0, seam)) - wide
    ).clamp(min=0)
    level = ((hosts * ring).sum(dim=(1, 2, 3)) + 1e-3) / ((tissue * ring).sum(dim=(1, 2, 3)) + 1e-3)
    tissue = tissue * level.clamp(0.6, 1.6).view(-1, 1, 1, 1)
    return (hosts * (1 - alpha) + tissue * alpha).clamp(0, 1), piece
