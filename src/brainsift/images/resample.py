"""Means over blocks of pixels, and images at another size."""

from functools import lru_cache

import numpy as np
import numpy.typing as npt

Grey = npt.NDArray[np.uint8 | np.uint16 | np.floating]
Floats = npt.NDArray[np.float32]

_BAND = 16  # lines of the result that are computed together
_ONE_THREAD = 2**18  # multiply-adds up to which OpenBLAS starts no threads, which get in the way of those that score


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
    """Returns the sums of blocks of at most 16 x 16 bytes. They fit into 16 bits, which is faster than float32."""
    lines = grey[::cell].astype(np.uint16)
    for line in range(1, cell):
        np.add(lines, grey[line::cell], out=lines)
    sums = lines[:, ::cell].copy()
    for column in range(1, cell):
        sums += lines[:, column::cell]
    return sums.astype(np.float32)


def resize(pixels: Grey, height: int, width: int) -> Floats:
    """Resizes by the triangle filter, widened where it shrinks so that nothing aliases.

    Args:
        pixels: (h, w).
        height: of the result.
        width: of the result.
    """
    shrink = max(pixels.shape) / max(height, width)
    if shrink >= 4:  # whole blocks first: the matrices below would cost much more
        pixels = block_means(pixels, int(shrink / 2))
    values = pixels.astype(np.float32)
    lines = np.empty((height, values.shape[1]), np.float32)
    for rows, near, weights in _bands(values.shape[0], height):
        product(weights, values[near], out=lines[rows])
    result = np.empty((height, width), np.float32)
    for columns, near, weights in _bands(values.shape[1], width):
        product(lines[:, near], weights.T, out=result[:, columns])
    return result


def product(left: Floats, right: Floats, *, out: Floats | None = None) -> Floats:
    """Returns a matrix product, computed in blocks that are too small for OpenBLAS to start threads for them.

    Args:
        left: (n, k).
        right: (k, m).
        out: (n, m), for the result.
    """
    result = np.empty((len(left), right.shape[1]), np.float32) if out is None else out
    depth, width = len(right) or 1, right.shape[1]
    wide = max(16, _ONE_THREAD // (4 * depth) // 16 * 16)  # blocks of 4 by 16: BLAS rounds as in the whole
    high = max(4, _ONE_THREAD // (depth * min(wide, width or 1)) // 4 * 4)
    for first in range(0, len(left), high):
        for start in range(0, width, wide):
            rows, columns = slice(first, first + high), slice(start, start + wide)
            np.matmul(left[rows], right[:, columns], out=result[rows, columns])
    return result


@lru_cache(maxsize=128)
def _bands(length: int, size: int) -> list[tuple[slice, slice, Floats]]:
    """Returns the triangle filter as the bands of its matrix that are not 0: outputs, inputs, weights."""
    scale, n_bands = length / size, -(-size // _BAND)
    reach = np.float32(max(scale, 1.0))
    centres = (np.arange(n_bands * _BAND, dtype=np.float32) + 0.5) * np.float32(scale) - np.float32(0.5)
    width = min(int((_BAND - 1) * scale + 2 * reach) + 2, length)
    starts = np.clip((centres[::_BAND] - reach).astype(np.int64), 0, length - width)
    inputs = (starts[:, None] + np.arange(width)).astype(np.float32)
    distances = np.abs(centres.reshape(n_bands, _BAND, 1) - inputs[:, None])
    weights = np.maximum(1 - distances / reach, 0)
    weights /= np.maximum(weights.sum(axis=2, keepdims=True), np.float32(1e-6))  # 0 beyond the last output
    return [
        (slice(first, min(first + _BAND, size)), slice(start, start + width), weights[band, : size - first])
        for band, (first, start) in enumerate(zip(range(0, size, _BAND), starts.tolist(), strict=True))
    ]
