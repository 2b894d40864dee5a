"""A small picture of an image that is robust to what happens to copies, and a vector to find copies by.

Two views of 64 x 64 pixels are kept: the whole frame, and a box around the bright mass of the head. Copies that were
cropped or padded agree in the second, copies with a changed contrast or background in the first.

The vector is a block of low frequencies (discrete cosine transform) of the histogram-equalised view, as in perceptual
hashes, but not cut down to bits. Turning or mirroring an image only changes signs and places of its numbers.
"""

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

VERSION = 1
"""Increased whenever a number changes, so that stored sketches are made again."""

SIDE = 64
FREQUENCIES = 8
ORIENTATIONS = 8
"""Four quarter turns, each plain and mirrored."""

Bytes = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]

_TAIL = 0.05  # share of the bright mass left outside of the box at each side
_ROOM = 0.05  # then the box grows by this share at each side
_DARK = 10.0  # percentile of pixels that counts as background
_BOX_SIDE = 96  # the box is looked for on an image this large
_RADIAL_WEIGHT = 0.25  # power of the squared frequency that evens out the spectrum
_FLAT = 1e-6


@dataclass(frozen=True, eq=False)
class Sketch:
    """Two views of one image.

    Attributes:
        frame: (64, 64) uint8, the whole image squeezed to a square.
        head: (64, 64) uint8, the box around the head squeezed to a square.
        box: (4,) float32, that box: top, bottom, left, right as shares of the frame's height and width.
    """

    frame: Bytes
    head: Bytes
    box: Floats


def sketch(grey: npt.NDArray[np.generic]) -> Sketch:
    """Draws both views.

    Args:
        grey: (height, width), uint8 or uint16.

    Returns:
        The two views; grey levels stay as they are (16-bit images are scaled to their own range).
    """
    levels = _eight_bits(grey)
    frame = cv2.resize(levels, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    box = _bright_box(levels)
    shares = np.asarray(box, np.float32) / np.repeat(levels.shape, 2).astype(np.float32)
    return Sketch(np.asarray(frame, np.uint8), _squeezed(levels, box), np.asarray(shares, np.float32))


def descriptors(views: Bytes) -> Floats:
    """Describes views by vectors of length 1; equal up to contrast means a scalar product near 1.

    Args:
        views: (n, 64, 64) uint8.

    Returns:
        (n, 64) float32; a uniform view gives zeros.

    Source:
        Zauner, Implementation and Benchmarking of Perceptual Image Hash Functions (2010), for the transform.
    """
    if not len(views):
        return np.zeros((0, FREQUENCIES**2), np.float32)
    steps = np.arange(FREQUENCIES)
    weight = (steps[:, None] ** 2 + steps**2 + 1.0) ** _RADIAL_WEIGHT
    weight[0, 0] = 0.0
    blocks = np.stack([_low_frequencies(view) for view in views]) * weight.astype(np.float32)
    vectors = blocks.reshape(len(blocks), -1)
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(np.where(lengths > _FLAT, vectors / np.maximum(lengths, _FLAT), 0.0), np.float32)


def turned(view: Bytes, orientation: int) -> Bytes:
    """Returns a view in one of eight orientations: transposed where 4 is set, rows flipped (2), columns flipped (1)."""
    result = view.T if orientation & 4 else view
    result = result[::-1] if orientation & 2 else result
    return np.ascontiguousarray(result[:, ::-1] if orientation & 1 else result)


def turned_box(box: Floats, orientation: int) -> Floats:
    """Returns the box (shares of height and width) that an image turned by `turned` has."""
    top, bottom, left, right = np.roll(box, 2) if orientation & 4 else box
    top, bottom = (1 - bottom, 1 - top) if orientation & 2 else (top, bottom)
    left, right = (1 - right, 1 - left) if orientation & 1 else (left, right)
    return np.array([top, bottom, left, right], np.float32)


def turned_descriptors(vectors: Floats, orientation: int) -> Floats:
    """Returns what `descriptors` gives for the views turned to that orientation, without looking at the pixels.

    >>> view = np.arange(4096, dtype=np.uint8).reshape(1, 64, 64)
    >>> direct = descriptors(np.stack([turned(view[0], 5)]))
    >>> bool(np.allclose(direct, turned_descriptors(descriptors(view), 5), atol=1e-5))
    True
    """
    blocks = vectors.reshape(-1, FREQUENCIES, FREQUENCIES)
    alternating = np.where(np.arange(FREQUENCIES) % 2, -1.0, 1.0).astype(np.float32)
    blocks = blocks.transpose(0, 2, 1) if orientation & 4 else blocks
    blocks = blocks * alternating[:, None] if orientation & 2 else blocks
    blocks = blocks * alternating if orientation & 1 else blocks
    return np.ascontiguousarray(blocks.reshape(len(vectors), -1))


def equalised(view: Bytes) -> Floats:
    """Replaces grey levels by their mid-ranks in 0..1, so that any monotone change of contrast drops out."""
    counts = np.bincount(view.ravel(), minlength=256)
    ranks = (np.cumsum(counts) - counts / 2) / view.size
    return np.asarray(cv2.LUT(np.ascontiguousarray(view), ranks.astype(np.float32)), np.float32)


def _low_frequencies(view: Bytes) -> Floats:
    half = cv2.resize(equalised(view), (SIDE // 2, SIDE // 2), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.dct(half)[:FREQUENCIES, :FREQUENCIES], np.float32)


def _eight_bits(grey: npt.NDArray[np.generic]) -> Bytes:
    if grey.dtype == np.uint8:
        return np.ascontiguousarray(grey, np.uint8)
    values = grey.astype(np.float32)
    low, high = np.percentile(values, (0.0, 99.9))
    return np.clip((values - low) * (255.0 / max(high - low, 1.0)), 0, 255).astype(np.uint8)


def _bright_box(levels: Bytes) -> tuple[float, float, float, float]:
    """Returns top, bottom, left, right in pixels: quantiles of the bright mass along both axes.

    Quantiles move little when a copy lost a rim or gained a letter; the edges of a thresholded mask jump.
    """
    height, width = levels.shape
    scale = min(1.0, _BOX_SIDE / max(height, width))
    size = (max(8, round(width * scale)), max(8, round(height * scale)))
    small = cv2.resize(levels, size, interpolation=cv2.INTER_AREA).astype(np.float32)
    small = np.asarray(cv2.GaussianBlur(small, (0, 0), 1.0), np.float32)
    mass = np.maximum(small - np.percentile(small, _DARK), 0.0)
    top, bottom = _span(mass.sum(axis=1), height)
    left, right = _span(mass.sum(axis=0), width)
    return top, bottom, left, right


def _span(mass: npt.NDArray[np.floating], length: int) -> tuple[float, float]:
    total = float(mass.sum())
    if total < _FLAT:
        return 0.0, float(length)
    places = np.arange(len(mass) + 1)
    share = np.concatenate([[0.0], np.cumsum(mass)]) / total + places * 1e-9  # strictly rising, as interp wants
    start, stop = np.interp((_TAIL, 1.0 - _TAIL), share, places) * (length / len(mass))
    room = _ROOM * (stop - start)
    return float(start - room), float(stop + room)


def _squeezed(levels: Bytes, box: tuple[float, float, float, float]) -> Bytes:
    """Resizes a box to 64 x 64: first by area means to about twice the size, then by linear interpolation."""
    top, bottom, left, right = box
    height, width = levels.shape
    scale = min(1.0, 1.5 * SIDE / max(bottom - top, right - left, 1.0))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = cv2.resize(levels, size, interpolation=cv2.INTER_AREA) if scale < 1 else levels
    x_scale, y_scale = small.shape[1] / width, small.shape[0] / height
    x_step, y_step = (right - left) * x_scale / SIDE, (bottom - top) * y_scale / SIDE
    matrix = np.array(
        [[x_step, 0, left * x_scale + (x_step - 1) / 2], [0, y_step, top * y_scale + (y_step - 1) / 2]], np.float64
    )
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    view = cv2.warpAffine(small, matrix, (SIDE, SIDE), flags=flags, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(view, np.uint8)
