"""Means over blocks of pixels, and images at another size."""

from functools import lru_cache

import numpy as np
import numpy.typing as npt

Grey = npt.NDArray[np.uint8 | np.uint16 | np.floating]
Floats = npt.NDArray[np.float32]

_Bands = list[tuple[slice, slice, Floats]]  # of the matrix of a filter, where it is not 0: outputs, inputs, weights

_BAND = 16  # lines of the result that are computed together
_WIDE = 32  # the same where a line takes two others only
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
    return _filtered(pixels.astype(np.float32), _bands(pixels.shape[0], height), _bands(pixels.shape[1], width))


def interpolated(cells: Floats, box: tuple[slice, slice], cell: int, height: int, width: int) -> Floats:
    """Interpolates linearly between the centres of cells at the centres of pixels; outside counts the nearest cell.

    Args:
        cells: (h, w).
        box: rows and columns of the image that the pixels divide evenly.
        cell: side of a cell, in rows or columns of the image.
        height: of the result.
        width: of the result.
    """
    rows, columns = (
        _lines_between(side, cell, length, size)
        for side, length, size in zip(box, cells.shape, (height, width), strict=True)
    )
    return _filtered(cells, rows, columns)


def _filtered(values: Floats, row_bands: _Bands, column_bands: _Bands) -> Floats:
    """Applies one filter to the columns of values and another one to their rows."""
    lines = np.empty((row_bands[-1][0].stop, values.shape[1]), np.float32)
    for rows, near, weights in row_bands:
        product(weights, values[near], out=lines[rows])
    result = np.empty((len(lines), column_bands[-1][0].stop), np.float32)
    for columns, near, weights in column_bands:
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
    if len(left) * depth * width <= _ONE_THREAD:
        return np.matmul(left, right, out=result)
    wide = max(16, _ONE_THREAD // (4 * depth) // 16 * 16)  # blocks of 4 by 16: BLAS rounds as in the whole
    high = max(4, _ONE_THREAD // (depth * min(wide, width or 1)) // 4 * 4)
    for first in range(0, len(left), high):
        for start in range(0, width, wide):
            rows, columns = slice(first, first + high), slice(start, start + wide)
            np.matmul(left[rows], right[:, columns], out=result[rows, columns])
    return result


@lru_cache(maxsize=512)  # of up to 36 kB
def _bands(length: int, size: int) -> _Bands:
    """Returns the triangle filter that resizes a side."""
    scale = length / size
    reach = np.float32(max(scale, 1.0))
    centres = _middles(size, _BAND) * np.float32(scale)
    centres -= np.float32(0.5)
    width = min(int((_BAND - 1) * scale + 2 * reach) + 2, length)
    starts, weights = _triangles(centres, reach, length, width)
    weights /= np.maximum(np.add.reduce(weights, axis=2, keepdims=True), np.float32(1e-6))  # 0 beyond the last output
    return _cut(starts, weights, size)


def _lines_between(side: slice, cell: int, length: int, size: int) -> _Bands:
    """Returns the filter that interpolates between cells along a side."""
    step = (side.stop - side.start) / size
    places = _middles(size, _WIDE) * step
    places += side.start
    places /= cell
    places -= 0.5
    np.minimum(np.maximum(places, 0, out=places), length - 1, out=places)
    width = min(int((_WIDE - 1) * step / cell) + 4, length)
    return _cut(*_triangles(places, np.float32(1), length, width), size)


def _middles(size: int, band: int) -> Floats:
    """Returns the middles of at least so many pixels, (n_bands, band)."""
    return (np.arange(-(-size // band) * band, dtype=np.float32) + np.float32(0.5)).reshape(-1, band)


def _triangles(centres: Floats, reach: np.float32, length: int, width: int) -> tuple[list[int], Floats]:
    """Returns where the inputs of each band start, and weights (n_bands, band, width) that fall from 1 to 0.

    Args:
        centres: (n_bands, band), in inputs, rising.
        reach: where a weight becomes 0, in inputs from the centre.
        length: number of inputs.
        width: number of inputs of a band, enough for all of its lines.
    """
    starts = [min(max(int(first), 0), length - width) for first in (centres[:, 0] - reach).tolist()]
    inputs = np.array(starts, np.float32)[:, None] + np.arange(width, dtype=np.float32)
    weights = centres[:, :, None] - inputs[:, None]
    np.abs(weights, out=weights)
    weights /= reach
    np.subtract(1, weights, out=weights)
    return starts, np.maximum(weights, 0, out=weights)


def _cut(starts: list[int], weights: Floats, size: int) -> _Bands:
    """Returns the bands of a filter without what is beyond the last output."""
    _, band, width = weights.shape
    return [
        (slice(first, min(first + band, size)), slice(start, start + width), rows[: size - first])
        for first, start, rows in zip(range(0, size, band), starts, weights, strict=True)
    ]
