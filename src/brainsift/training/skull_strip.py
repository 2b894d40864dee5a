"""Skull stripping: finds the brain in a head slice, and removes scalp and skull.

In every contrast the skull is dark between bright scalp and bright brain. So the tissue is eroded until the brain
separates from the scalp, and the piece in the middle is dilated again.
"""

import numpy as np
import numpy.typing as npt
import torch
from scipy import ndimage
from torch import Tensor

from brainsift.images import standard

_TISSUE = 0.45  # of the head's median brightness; the skull is darker
_LARGEST_EROSION = 0.06  # of the side of the image
_SHARES = (0.35, 0.85)  # smallest and largest share of the head that a brain takes
_SCALP = 0.025  # of the side: nothing this close to the outside is brain
_KEPT = 0.7  # share of a tumor that has to lie in the brain
_RIM = 0.09  # of the side: scalp and skull together, where the brain does not separate


def brain_mask(pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.bool_]:
    """Finds the brain.

    Args:
        pixels: (size, size), as `standard.standard` gives them: 0 is the background.

    Returns:
        (size, size), true in the brain. Where it does not separate from the scalp: the head without a rim.
    """
    side = len(pixels)
    smooth = ndimage.gaussian_filter(pixels.astype(np.float32), side / 128)
    head = ndimage.binary_fill_holes(smooth > 12)
    if not head.any():
        return head
    tissue = smooth > _TISSUE * np.median(smooth[head])
    depth = ndimage.distance_transform_edt(tissue)
    inward = ndimage.distance_transform_edt(head)
    for radius in range(1, max(2, round(_LARGEST_EROSION * side)) + 1):
        brain = _middle_piece(depth > radius, inward)
        brain = ndimage.binary_fill_holes(ndimage.distance_transform_edt(~brain) <= radius + 0.5) & head
        apart = brain.any() and not (inward[brain] < _SCALP * side).any()
        if apart and _SHARES[0] < brain.sum() / head.sum() < _SHARES[1]:
            return brain
    return np.asarray(inward > _RIM * side)


def _middle_piece(pieces: npt.NDArray[np.bool_], inward: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
    """Returns the piece that holds most of the inner half of the head."""
    names, count = ndimage.label(pieces)
    if not count:
        return pieces
    inner = names[inward > inward.max() / 2]
    return np.asarray(names == np.bincount(inner[inner > 0], minlength=count + 1)[1:].argmax() + 1)


class SkullStripper:
    """Removes scalp and skull of images, and frames and scales the rest anew; remembers the result of each image."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[Tensor, Tensor | None] | None] = {}

    def __call__(
        self, images: Tensor, masks: Tensor | None, names: Tensor, *, share: float, generator: torch.Generator
    ) -> tuple[Tensor, Tensor | None]:
        """Strips a share of a batch.

        Args:
            images: float32 (n, 1, size, size) in [0, 1], as `standard.standard` gives them.
            masks: float32 (n, 1, size, size) in [0, 1], moved as the images are. An image that would lose its tumor
                with the skull stays as it is.
            names: int64 (n,), the same for the same image.
            share: of the images, 0 to 1.
            generator: the random generator, on the CPU.
        """
        if not share:
            return images, masks
        images, masks = images.clone(), None if masks is None else masks.clone()
        for index in (torch.rand(len(images), generator=generator) < share).nonzero()[:, 0].tolist():
            name = int(names[index])
            if name not in self._known:
                self._known[name] = _stripped(images[index, 0], None if masks is None else masks[index, 0])
            bare = self._known[name]
            if bare is not None:
                images[index, 0] = bare[0].to(images.device).float() / 255
                if masks is not None and bare[1] is not None:
                    masks[index, 0] = bare[1].to(images.device).float() / 255
        return images, masks


def _stripped(image: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor | None] | None:
    """Returns image and mask without the skull, uint8 (size, size); None where the tumor would be lost with it."""
    pixels = (image * 255).round().byte().cpu().numpy()
    bare = pixels * brain_mask(pixels)
    moved = None
    if mask is not None and mask.any():
        tumor = mask.cpu().numpy() > 0.5
        if (tumor & (bare > 0)).sum() < _KEPT * (tumor & (pixels > 0)).sum():
            return None
        moved = torch.from_numpy(standard.standard_outline(bare, tumor, len(pixels)))
    return torch.from_numpy(standard.standard(bare, len(pixels))), moved
