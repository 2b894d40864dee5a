"""Rules that tell a head slice from other images, by its colors, sides and background, with the reason in words."""

from functools import cache

import numpy as np
import numpy.typing as npt
from PIL import Image

from brainsift.images.decode import DecodedImage, Pixels
from brainsift.images.standard import percentile_of

FRAME_SIDE = 64
_Bytes = npt.NDArray[np.uint8]

_BORDER = 3  # of 64: six pixels of 128
_COLOURED = 60  # difference of the strongest and the weakest channel
_MAX_COLOURED_SHARE = 0.12
_MAX_ASPECT = 2.2
_DARK = 0.25  # of the bright level
_MIN_DARK_BORDER = 0.35
_WHITE = 0.85
_EVEN = 0.04  # deviation, of the bright level, of a border that is one background of whatever grey
_MAX_SIDE = 0.5  # of the bright level


def foreign_reason(decoded: DecodedImage, pixels: _Bytes) -> str:
    """Tells why an image cannot be judged, by rules alone; "" where none speaks against it.

    Args:
        decoded: the image.
        pixels: (size, size) uint8, as `standard.standard` gives them.
    """
    if pixels.min() == pixels.max():
        return "blank: all pixels are alike"
    corners = sorted(pixels[[0, 0, -1, -1], [0, -1, 0, -1]].tolist())
    if corners[1] + corners[2] > 2 * 250:
        return "inverted: a dark head on a bright background"
    frame = _brightened(decoded.grey()).resize((FRAME_SIDE, FRAME_SIDE), Image.Resampling.BOX)
    return off_topic_reason(decoded, np.asarray(frame))


def _brightened(grey: Pixels) -> Image.Image:
    """Returns grey values so that the greatest becomes 255."""
    brightest = int(grey.max())
    factor = 255 / max(brightest, 1)
    if grey.dtype != np.uint8:
        return Image.fromarray((grey.astype(np.float32) * factor).astype(np.uint8))
    image = Image.fromarray(grey)
    if brightest in (0, 255):
        return image
    # A look-up costs less than arithmetic.
    return image.point(np.minimum(np.arange(256, dtype=np.float32) * factor, 255).astype(np.uint8).tolist())


def off_topic_reason(decoded: DecodedImage, frame: _Bytes, channel: str = "") -> str:
    """Tells why an image likely is no brain MRI slice; "" where nothing speaks against it.

    Args:
        decoded: the image.
        frame: (64, 64) uint8, the whole image squeezed to a square.
        channel: the colour channel that is an image of its own; then colours say nothing. "" for the whole image.
    """
    height, width = decoded.pixels.shape[:2]
    if max(height, width) / min(height, width) > _MAX_ASPECT:
        return f"a strip of {width} x {height} pixels, one side more than {_MAX_ASPECT:g} times the other"
    if not channel and not decoded.colourless:
        red, green, blue = np.moveaxis(decoded.rgb()[::4, ::4], 2, 0)
        chroma = np.maximum(np.maximum(red, green), blue) - np.minimum(np.minimum(red, green), blue)
        coloured = float((chroma > _COLOURED).mean())
        if coloured > _MAX_COLOURED_SHARE:
            return f"{coloured:.0%} of it is coloured"
    return _border_reason(frame)


def border_of(frames: _Bytes) -> _Bytes:
    """Returns the outermost pixels of frames (m, 64, 64) as (m, k): what six pixels are of an image of 128."""
    return frames.reshape(len(frames), -1).take(_ring(), axis=1)


@cache
def _ring() -> npt.NDArray[np.intp]:
    ring = np.ones((FRAME_SIDE, FRAME_SIDE), bool)
    ring[_BORDER:-_BORDER, _BORDER:-_BORDER] = False
    return np.flatnonzero(ring)


def _border_reason(frame: _Bytes) -> str:
    """Looks for the background around a head, which photographs and radiographs of the chest lack."""
    bright = max(float(percentile_of(frame, 98)), 1.0)
    border = border_of(frame[None])[0] / bright
    if border.std() < _EVEN:
        return ""
    background = np.count_nonzero((border < _DARK) | (border > _WHITE)) / border.size
    if background < _MIN_DARK_BORDER:
        return f"only {background:.0%} of its border is background"
    side = _brightest_side(frame) / bright
    return f"a whole side has {side:.0%} of the bright level" if side > _MAX_SIDE else ""


def _brightest_side(frame: _Bytes) -> float:
    """Returns the mean of the darkest line of the brightest side: a thin bright frame does not count."""
    sides = np.stack([frame[:_BORDER], frame[-_BORDER:], frame[:, :_BORDER].T, frame[:, -_BORDER:].T])
    return float(sides.sum(axis=2).min(axis=1).max() / FRAME_SIDE)
