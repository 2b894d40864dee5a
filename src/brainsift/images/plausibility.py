"""Rules that tell a head slice from other images, by its colors, sides and background, with the reason in words."""

from functools import cache
from itertools import pairwise
from math import ceil, floor, sqrt

import numpy as np
import numpy.typing as npt
from PIL import Image

from brainsift.core.reasons import Reason, Rejection
from brainsift.images.decode import DecodedImage
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
_LIT = 0.15  # of the bright level; a pixel above that is no background between the pictures of a sheet
_VALLEY = 0.42  # of the smaller peak beside it: so much of a line between two pictures may be lit
_LONE_VALLEY = 0.25  # the same where the pictures stand in a single row or column
_MIN_LIT = 0.12  # of the whole; a few small pieces are the end of one head
_MIN_PEAK = 0.2  # of the fullest line of each picture is lit at least
_SLACK = 0.1  # of a picture's side, by which a line between two may be off
_MOST_PICTURES = 6  # along one side
_MIN_TILE_ASPECT = 0.75  # width over height of pictures in a single row, height over width of those in a column


def foreign_reason(decoded: DecodedImage, pixels: _Bytes) -> Rejection | None:
    """Tells why an image cannot be scored, by rules alone; None where no rule speaks against it.

    Args:
        decoded: the image.
        pixels: (size, size) uint8, as `standard.standard` gives them.
    """
    if pixels.min() == pixels.max():
        return Rejection(Reason.BLANK, "blank: all pixels are alike")
    corners = sorted(int(pixels[y, x]) for y in (0, -1) for x in (0, -1))
    if corners[1] + corners[2] > 2 * 250:
        return Rejection(Reason.INVERTED, "inverted: a dark head on a bright background")
    return off_topic_reason(decoded, _frame(decoded))


def _frame(decoded: DecodedImage) -> _Bytes:
    """Squeezes an image to a square of bytes; its brightest cell becomes 255."""
    factor = np.float32(255 / max(float(decoded.cells.max()), 1e-6))
    cells = Image.fromarray((decoded.cells * factor).astype(np.uint8))
    return np.asarray(cells.resize((FRAME_SIDE, FRAME_SIDE), Image.Resampling.BOX))


def off_topic_reason(decoded: DecodedImage, frame: _Bytes, channel: str = "") -> Rejection | None:
    """Tells why an image is probably no brain MRI slice; None where no rule speaks against it.

    Args:
        decoded: the image.
        frame: (64, 64) uint8, the whole image squeezed to a square.
        channel: the colour channel that is an image of its own; then colours say nothing. "" for the whole image.
    """
    height, width = decoded.pixels.shape[:2]
    if max(height, width) / min(height, width) > _MAX_ASPECT:
        words = f"a strip of {width} x {height} pixels, one side more than {_MAX_ASPECT:g} times the other"
        return Rejection(Reason.STRIP, words)
    if not channel and not decoded.colourless:
        red, green, blue = np.moveaxis(decoded.rgb()[::4, ::4], 2, 0)
        chroma = np.maximum(np.maximum(red, green), blue) - np.minimum(np.minimum(red, green), blue)
        coloured = float((chroma > _COLOURED).mean())
        if coloured > _MAX_COLOURED_SHARE:
            return Rejection(Reason.COLORED, f"{coloured:.0%} of it is colored")
    bright = max(float(percentile_of(frame, 98)), 1.0)
    return _border_reason(frame, bright) or _sheet_reason(frame, bright, width / height)


def border_of(frames: _Bytes) -> _Bytes:
    """Returns the outermost pixels of frames (m, 64, 64) as (m, k): what six pixels are of an image of 128."""
    return frames.reshape(len(frames), -1).take(_ring(), axis=1)


@cache
def _ring() -> npt.NDArray[np.intp]:
    ring = np.ones((FRAME_SIDE, FRAME_SIDE), bool)
    ring[_BORDER:-_BORDER, _BORDER:-_BORDER] = False
    return np.flatnonzero(ring)


def _border_reason(frame: _Bytes, bright: float) -> Rejection | None:
    """Looks for the background around a head, which photographs and radiographs of the chest lack."""
    border = border_of(frame[None])[0] / bright
    squares = border - np.add.reduce(border) / border.size
    squares *= squares
    if sqrt(np.add.reduce(squares) / border.size) < _EVEN:
        return None
    background = (np.count_nonzero(border < _DARK) + np.count_nonzero(border > _WHITE)) / border.size
    if background < _MIN_DARK_BORDER:
        return Rejection(Reason.NO_BACKGROUND, f"only {background:.0%} of its border is background")
    side = _brightest_side(frame) / bright
    if side > _MAX_SIDE:
        return Rejection(Reason.NO_BACKGROUND, f"a whole side has {side:.0%} of the bright level")
    return None


def _brightest_side(frame: _Bytes) -> float:
    """Returns the mean of the darkest line of the brightest side: a thin bright frame does not count."""
    sides = frame[:_BORDER], frame[-_BORDER:], frame[:, :_BORDER].T, frame[:, -_BORDER:].T
    return max(min(np.add.reduce(side, axis=1).tolist()) for side in sides) / FRAME_SIDE


def _sheet_reason(frame: _Bytes, bright: float, aspect: float) -> Rejection | None:
    """Looks for several heads in rows and columns: dark lines between them at even distances, where a head has none.

    Args:
        frame: (64, 64) uint8, the whole image.
        bright: the bright level of the frame.
        aspect: width over height of the image.
    """
    lit = frame > int(_LIT * bright)
    if np.count_nonzero(lit) < _MIN_LIT * lit.size:
        return None
    columns, n_columns = _deepest_valleys(np.add.reduce(lit, axis=0, dtype=np.uint8).tolist())
    rows, n_rows = _deepest_valleys(np.add.reduce(lit, axis=1, dtype=np.uint8).tolist())
    if max(columns, rows) > _VALLEY:
        n_columns *= columns < _LONE_VALLEY and aspect > n_columns * _MIN_TILE_ASPECT
        n_rows *= rows < _LONE_VALLEY and 1 / aspect > n_rows * _MIN_TILE_ASPECT
    if not n_columns and not n_rows:
        return None
    return Rejection(Reason.SEVERAL_IMAGES, "several pictures in one: save each slice as a file of its own")


def _deepest_valleys(profile: list[int]) -> tuple[float, int]:
    """Divides a profile into 2 to 6 equal parts so that little is lit between them.

    Args:
        profile: how many pixels of each line are lit, of `FRAME_SIDE` lines.

    Returns:
        How much of the lines between the parts is lit at most, relative to the parts beside them, and how many parts
        there are; 1 and 0 where no number of parts is lit enough, with little enough between them for a sheet.
    """
    best, limit = (1.0, 0), _VALLEY * max(profile)
    for parts, gaps in _divisions():
        valleys = []
        for gap in gaps:
            valleys.append(min(profile[gap]))
            if valleys[-1] > limit:
                break
        else:
            peaks = [max(profile[part]) for part in parts]
            if min(peaks) < _MIN_PEAK * FRAME_SIDE:
                continue
            deepest = max(valley / min(beside) for valley, beside in zip(valleys, pairwise(peaks), strict=True))
            if deepest < best[0]:
                best = deepest, len(parts)
    return best


@cache
def _divisions() -> list[tuple[list[slice], list[slice]]]:
    """Returns the lines of 2 to 6 equal parts of a profile, and those where the lines between two of them may lie."""
    divisions = []
    for n_parts in range(2, _MOST_PICTURES + 1):
        side = FRAME_SIDE / n_parts
        slack = max(1.0, _SLACK * side)
        edges = [part * side for part in range(n_parts + 1)]
        parts = [slice(round(start), round(stop)) for start, stop in pairwise(edges)]
        divisions.append((parts, [slice(floor(edge - slack), ceil(edge + slack) + 1) for edge in edges[1:-1]]))
    return divisions
