"""Means over blocks of pixels, and images at another size."""

from functools import lru_cache

import numpy as np
import numpy.typing as npt

Grey = npt.NDArray[np.uint8 | np.uint16 | np.floating]
Floats = npt.NDArray[np.float32]


def block_means(grey: Grey, cell: int) -> Floats:
    """Returns the means of whole blocks; pixels beyond the last whole block are left out."""
    rows, columns = grey.shape[0] // cell, grey.shape[1] // cell
    if grey.dtype == np.uint8 and cell < 16:
        return _byte_block_sums(grey[: rows * cell, : columns * cell], cell) / np.float32(cell * cell)
    blocks = grey[: rows * cell].reshape(rows, cell, grey.shape[1])
    sums = blocks[:, 0].astype(np.float32)
    for line in range(1, cell):
        sums += blocks[:, line]
    means: Floats = sums[:, : columns * cell].reshape(rows, columns, cell).sum(axis=2) / np.float32(cell * cell)
    return means


def _byte_block_sums(grey: Grey, cell: int) -> Floats:
    """Returns the sums of blocks of at most 16 x 16 bytes, which 16 bits hold: the same, and sooner."""
    lines = grey[::cell].astype(np.uint16)
    for line in range(1, cell):
        np.add(lines, grey[line::cell], out=lines)
    sums = lines[:, ::cell].copy()
    for column in range(1, cell):
        sums += lines[:, column::cell]
    return sums.astype(np.float32)


def resize(pixels: Grey, height: int, width: int) -> Floats:
    """Resizes (h, w) by the triangle filter."""
    shrink = max(pixels.shape) / max(height, width)
    if shrink >= 4:  # whole blocks first: the matrices below would cost much more
        pixels = block_means(pixels, int(shrink / 2))
    rows, columns = _triangle(pixels.shape[0], height), _triangle(pixels.shape[1], width)
    return rows @ pixels.astype(np.float32) @ columns.T


@lru_cache(maxsize=128)
def _triangle(length: int, size: int) -> Floats:
    """Returns (size, length): the triangle filter, widened when it shrinks so that nothing aliases."""
    scale = length / size
    centres = (np.arange(size, dtype=np.float32) + 0.5) * scale - 0.5
    distances = np.abs(centres[:, None] - np.arange(length, dtype=np.float32))
    weights: Floats = np.maximum(1 - distances / np.float32(max(scale, 1.0)), 0).astype(np.float32)
    weights /= weights.sum(axis=1, keepdims=True)
    weights.setflags(write=False)
    return weights
