"""The tumor map of the network, drawn over the image."""

import numpy as np
import numpy.typing as npt
from PIL import Image

from brainsift.images import standard
from brainsift.images.components import Mask

CONTOUR = 0.5
"""From here on a place is more likely a tumor than not."""
YELLOW = (255, 255, 0)
_COLOUR = np.array([255, 64, 0], np.float32)
_STRENGTH = 0.55
_SIDE = 512


def overlay(grey: standard.Grey, tumor_map: npt.NDArray[np.floating], *, size: int = 128) -> Image.Image:
    """Draws a tumor map over an image: red where a tumor is seen, with a contour where it is more likely than not.

    Args:
        grey: (height, width) of any range.
        tumor_map: (h, w), 0 to 1, over the network's input.
        size: side of the network's input, pixels.

    Returns:
        RGB, the longer side 512 pixels or more.
    """
    zoom = max(1, round(_SIDE / max(grey.shape)))
    heat = standard.standard_map(grey, tumor_map, size)
    picture = stretched(grey)
    picture, heat = (np.kron(layer, np.ones((zoom, zoom), np.float32)) for layer in (picture, heat))
    alpha = _STRENGTH * heat
    colours = np.empty((*heat.shape, 3), np.uint8)
    for channel, colour in enumerate(_COLOUR):  # one by one, which takes a third of the memory
        colours[..., channel] = np.rint(picture * (1 - alpha) + colour * alpha)
    colours[edge_of(heat >= CONTOUR)] = YELLOW
    return Image.fromarray(colours)


def stretched(grey: standard.Grey) -> standard.Floats:
    """Returns an image with its greys from 0 to 255; the darkest and the brightest half percent are cut off."""
    low, high = np.percentile(grey, (0.5, 99.5))
    shown: standard.Floats = np.clip((grey.astype(np.float32) - low) / max(float(high - low), 1e-6), 0, 1) * 255
    return shown


def edge_of(inside: Mask) -> Mask:
    """Returns the pixels of an area that touch its outside."""
    within: Mask = np.roll(inside, 1, 0) & np.roll(inside, -1, 0) & np.roll(inside, 1, 1) & np.roll(inside, -1, 1)
    return inside & ~within
