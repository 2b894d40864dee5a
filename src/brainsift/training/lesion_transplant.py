"""Tumors moved from one image to another, and taken out: what only the tumor can tell apart.

A network that learns from images of many hospitals can tell them apart by anything. A tumor-free slice that gets the
tumor of another patient, and a slice that loses its own, differ from their originals in the tumor alone. Pieces of
healthy tissue are moved just the same, so that a seam says nothing.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

_SEAM = 5  # pixels at 128 over which a piece fades out
_LARGEST = 0.12  # share of the image that a tumor to be painted out may take


def transplant(
    images: Tensor, outlines: Tensor, labels: Tensor, known: Tensor, *, share: float, generator: torch.Generator
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Moves tumors within a batch.

    Args:
        images: float32 (n, 1, size, size) in [0, 1].
        outlines: float32 (n, 1, size, size) in [0, 1], empty where there is no tumor or its outline is not known.
        labels: float32 (n,).
        known: float32 (n,), whether the outline is known (of a tumor-free image: that it is empty).
        share: of the images, 0 to 1.
        generator: the source of all chance, on the CPU.

    Returns:
        The same four, changed where a tumor was given or taken.
    """
    if not share:
        return images, outlines, labels, known
    images, outlines, labels, known = images.clone(), outlines.clone(), labels.clone(), known.clone()
    healthy, drawn = labels == 0, outlines.amax(dim=(1, 2, 3)) > 0.5
    chosen = (torch.rand(len(images), generator=generator) < share).to(images.device)
    takes = _choose(chosen & healthy)
    loses = _choose(chosen & drawn & _is_one_sided(outlines))
    donors = _choose(drawn)
    if len(takes) and len(donors):
        of = donors[torch.randint(len(donors), (len(takes),), generator=generator)]
        sham = (torch.rand(len(takes), generator=generator) < 0.4).to(images.device)
        tissue = torch.where(sham.view(-1, 1, 1, 1), images[takes.roll(1)], images[of])
        maps = _moves(outlines[of], images[takes], generator)
        new, moved = _graft(images[takes], tissue, outlines[of], maps)
        real = (~sham & (moved.sum(dim=(1, 2, 3)) > 0.3 * outlines[of].sum(dim=(1, 2, 3)))).float()
        keeps = (sham.float() + real).view(-1, 1, 1, 1)
        images[takes] = keeps * new + (1 - keeps) * images[takes]
        outlines[takes] = moved * real.view(-1, 1, 1, 1)
        labels[takes] = real
    if len(loses):
        wide = (F.max_pool2d(outlines[loses], 9, 1, 4) > 0.5).float()
        mirror = torch.tensor([[-1.0, 0, 0], [0, 1, 0]], device=images.device).expand(len(loses), 2, 3)
        images[loses], _ = _graft(images[loses], images[loses], wide.flip(3), mirror)
        outlines[loses], labels[loses], known[loses] = 0.0, 0.0, 1.0
    return images, outlines, labels, known


def _choose(mask: Tensor) -> Tensor:
    return mask.nonzero()[:, 0]


def _is_one_sided(outlines: Tensor) -> Tensor:
    """Tells which tumors are small and do not reach the other side, so that the mirrored side can replace them."""
    both = (outlines * outlines.flip(3)).sum(dim=(1, 2, 3)) / outlines.sum(dim=(1, 2, 3)).clamp(min=1e-6)
    return (both < 0.02) & (outlines.mean(dim=(1, 2, 3)) < _LARGEST)


def _moves(outlines: Tensor, hosts: Tensor, generator: torch.Generator) -> Tensor:
    """Draws (n, 2, 3) maps from host to donor coordinates that bring each tumor to a place within the host's head."""
    n, side = len(outlines), outlines.shape[-1]
    axis = (torch.arange(side, device=outlines.device) + 0.5) * 2 / side - 1
    mass = outlines.sum(dim=(1, 2, 3)).clamp(min=1e-6)
    source = torch.stack([(outlines.sum(dim=(1, 2)) * axis).sum(1), (outlines.sum(dim=(1, 3)) * axis).sum(1)], 1)
    source = source / mass.unsqueeze(1)
    place = torch.multinomial(likely_places(hosts).cpu(), 1, generator=generator)[:, 0].to(outlines.device)
    target = torch.stack([axis[place % side], axis[place // side]], dim=1)
    angle = torch.rand(n, generator=generator) * 2 * math.pi
    scale = torch.exp(torch.rand(n, generator=generator) * 0.9 - 0.35)
    turn = torch.stack([angle.cos(), -angle.sin(), angle.sin(), angle.cos()], 1).view(n, 2, 2) * scale.view(n, 1, 1)
    turn = turn.to(outlines.device)
    return torch.cat([turn, source.unsqueeze(2) - turn @ target.unsqueeze(2)], dim=2)


def likely_places(hosts: Tensor) -> Tensor:
    """Weighs the pixels of images (n, 1, size, size) as places of a tumor, (n, size * size): within tissue."""
    inside = _mean_around((hosts > 0.08).float(), hosts.shape[-1] // 8 * 2 + 1)
    return ((inside > 0.85) & (F.avg_pool2d(hosts, 5, 1, 2) > 0.15)).float().flatten(1) + 1e-9


def _mean_around(images: Tensor, kernel: int) -> Tensor:
    """Averages over squares, rows first: the same as in one go, at a fraction of the cost."""
    rows = F.avg_pool2d(images, (1, kernel), 1, (0, kernel // 2))
    return F.avg_pool2d(rows, (kernel, 1), 1, (kernel // 2, 0))


def _graft(hosts: Tensor, tissue: Tensor, outlines: Tensor, maps: Tensor) -> tuple[Tensor, Tensor]:
    """Lays moved tissue over the hosts, as bright as its new surroundings; returns it and the moved outlines."""
    grid = F.affine_grid(maps, list(hosts.shape), align_corners=False)
    moved = F.grid_sample(torch.cat([tissue, outlines], dim=1), grid, align_corners=False)
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
