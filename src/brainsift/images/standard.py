"""Pixels to network input, in NumPy alone, so that training, serving and export see the same numbers.

The head is found on a grid of cells (blocks of pixels, about 100 along the longer side), where noise averages out:
even margins are peeled off, cells apart from the background are joined into patches, and the largest patch is the head.
What lies outside of it (noise, letters, frames) becomes 0, because where an image came from is written there.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from brainsift.images.components import Mask, filled, grown, labels
from brainsift.images.resample import Floats, Grey, block_means, interpolated, resize
from brainsift.images.spikes import without_spikes

VERSION = 3
"""Bumped whenever a number that `standard` returns changes, by more than sums rounded in another order."""

_Box = tuple[slice, slice]  # rows, columns

_GRID = 100  # cells along the longer side, at most
_EVEN = 0.06  # range within a margin line, relative to the range of the image
_RISE = 0.12  # a head cell stands this much above the background, relative to bright cells
_BRIGHT = 90.0  # percentile of cells that counts as bright
_LIT = 99.5  # percentile of head pixels that becomes 255
_MARGIN = 0.03  # around the head, relative to its longer side
_PART = 0.02  # a patch of this share of the largest one may be a part of the head; letters are smaller
_MIN_SHARE = 0.04  # a smaller patch is no head: the whole image is taken
_THREAD = 0.2  # a line of the patch this thin, relative to its thickest, is a letter or a pointer at its side
_FRAME = 0.3  # a side line filled by this much more of its length than the line two further in is a frame
_FRAME_DEPTH = 8  # cells from the side within which frames are sought
_TINY = 1e-5  # a rise this small, relative to the background, is rounding: the image is uniform
_INVERTED = 0.5  # corners above this share of the range are a bright background


@dataclass(frozen=True, eq=False)
class _Head:
    """Where the head is: its box in pixels, and the cells in it and two around it that belong to no frame."""

    box: tuple[int, int, int, int]
    near: Mask
    cell: int
    background: float
    rise: float


def cells_of(grey: Grey) -> Floats:
    """Returns the means of blocks of an image, float32 (h, w), about 100 along the longer side; for `standard`."""
    return block_means(_usable(grey), _cell_of(grey.shape))


def standard(grey: Grey, size: int = 128, *, cells: Floats | None = None) -> npt.NDArray[np.uint8]:
    """Crops to the head, scales its intensities and resizes it.

    The aspect ratio stays; the rest of the square is background. Inverted images stay inverted: there the
    background is 255.

    Args:
        grey: (height, width), uint8, uint16 or floats of any range; what is not finite counts as 0.
        size: side of the result in pixels.
        cells: what `cells_of` returns, if it is known.

    Returns:
        (size, size) uint8: 0 is the background, 255 the brightest half percent of the head.
        All zeros where the image is uniform.
    """
    grey = _usable(grey)
    head = _find_head(grey, cells)
    box, place = _placement(head, grey.shape, size)
    values = resize(grey[box], *_extent(place))
    values -= np.float32(head.background)
    # 1 in and near the head, falling to 0 over one cell more.
    values *= interpolated(head.near.astype(np.float32), box, head.cell, *_extent(place))
    result = np.full((size, size), 0 if head.rise >= 0 else 255, np.uint8)
    if abs(head.rise) > _TINY * abs(head.background):
        result[place] = _scaled(values, head.rise)
    return result


def standard_outline(grey: Grey, outline: Mask, size: int = 128) -> npt.NDArray[np.uint8]:
    """Places an outline just as `standard` places its image.

    Args:
        grey: (height, width), the image.
        outline: (height, width), true inside of the tumor.
        size: side of the result in pixels.

    Returns:
        (size, size) uint8: the share of each pixel that lies inside, 255 for all of it.
    """
    grey = _usable(grey)
    box, place = _placement(_find_head(grey), grey.shape, size)
    result = np.zeros((size, size), np.uint8)
    result[place] = np.rint(resize(outline[box].astype(np.float32) * 255, *_extent(place)))
    return result


def standard_map(grey: Grey, tumor_map: npt.NDArray[np.floating], size: int = 128) -> Floats:
    """Lays what was drawn on the network's input back over the image.

    Args:
        grey: (height, width), the image.
        tumor_map: (h, w), over the whole input, at any scale.
        size: side of the input in pixels.

    Returns:
        float32 (height, width), 0 outside of the head.
    """
    grey = _usable(grey)
    box, place = _placement(_find_head(grey), grey.shape, size)
    whole = resize(np.asarray(tumor_map, np.float32), size, size)
    result = np.zeros(grey.shape, np.float32)
    result[box] = resize(whole[place], *_extent(box))
    return result


def head_box(grey: Grey) -> tuple[int, int, int, int]:
    """Returns the tight box of the head in pixels: top, bottom, left, right, half-open.

    The whole image where no head stands out.
    """
    return _find_head(_usable(grey)).box


def percentile_of(
    values: npt.NDArray[np.uint8 | np.float32], percent: float, *, highest: int = 0
) -> np.float32 | np.float64:
    """Returns what `numpy.percentile` does, sooner.

    Args:
        values: of any shape, finite.
        percent: 0 to 100.
        highest: how many of the values are looked at, the greatest ones; 0 for all.
    """
    n = highest or values.size
    place = (n - 1) * (percent / 100)
    below = values.size - n + int(place)
    top = values.size - below
    if top <= values.size // 64:
        # The highest ones are as high as that many of the maxima of 16 values each at least.
        maxima = values.ravel()[: values.size // 16 * 16].reshape(16, -1).max(axis=0)
        values = values[values >= np.partition(maxima, maxima.size - top)[maxima.size - top]]
    ordered = np.partition(values, values.size - top, axis=None)[-top:]
    low = ordered[0]
    high = ordered[1:].min() if place > int(place) else low
    kind = np.float32 if values.dtype == np.float32 else np.float64
    share, rest = kind(place - int(place)), kind(1 - (place - int(place)))
    step = high - low
    return low + step * share if share < 0.5 else high - step * rest


def _usable(grey: Grey) -> Grey:
    finite = np.nan_to_num(grey, nan=0.0, posinf=0.0, neginf=0.0) if grey.dtype.kind == "f" else grey
    return without_spikes(finite)


def _cell_of(shape: tuple[int, ...]) -> int:
    return max(1, -(-max(shape) // _GRID))


def _find_head(grey: Grey, cells: Floats | None = None) -> _Head:
    cell = _cell_of(grey.shape)
    if cells is None:
        cells = block_means(grey, cell)
    top, bottom, left, right = _peeled(cells)
    background, rise = _levels(cells[top:bottom, left:right])
    apart = np.abs(cells - background)
    lit = apart > abs(rise)
    top, bottom, left, right = _unframed(lit, (top, bottom, left, right))
    unframed = np.zeros(cells.shape, bool)
    unframed[top:bottom, left:right] = True
    inside = _main_patch(lit & unframed)
    if np.count_nonzero(inside) < _MIN_SHARE * inside.size:
        inside = weights = unframed
    else:
        apart /= abs(rise) or 1.0
        apart -= 1
        weights = inside * np.minimum(np.maximum(apart, 0, out=apart), 1, out=apart)
    near = grown(grown(inside)) & unframed
    return _Head(_pixel_box(weights, cell, grey.shape), near, cell, background, rise)


def _peeled(cells: Floats) -> tuple[int, int, int, int]:
    """Returns the box that is left without even lines at its sides: black or white margins, bars and frames."""
    tolerance = _EVEN * float(cells.max() - cells.min())
    top, bottom, left, right = 0, cells.shape[0], 0, cells.shape[1]
    turned = np.ascontiguousarray(cells.T)  # the range down a column is found sooner than that along a row
    while True:
        before = (left, right)
        top, bottom = _peeled_lines(turned[left:right], top, bottom, tolerance)
        left, right = _peeled_lines(cells[top:bottom], left, right, tolerance)
        if before == (left, right):  # the rows would stay as they are
            return top, bottom, left, right


def _peeled_lines(across: Floats, start: int, stop: int, tolerance: float) -> tuple[int, int]:
    """Peels lines, which are columns of ``across``."""
    lines = across[:, start:stop]
    (uneven,) = (np.maximum.reduce(lines, axis=0) - np.minimum.reduce(lines, axis=0) > tolerance).nonzero()
    if uneven.size < 2:
        return start, stop
    return start + int(uneven[0]), start + int(uneven[-1]) + 1


def _levels(core: Floats) -> tuple[float, float]:
    """Returns the level of the background, and how far a head cell is at least from it (below 0: darker)."""
    ordered = np.sort(core, axis=None)
    low, middle, bright = (_percentile(ordered, percent) for percent in (2.0, 75.0, _BRIGHT))
    corner = _median(np.sort(_corners(core)))
    span = float(ordered[-1]) - low
    if corner > middle - _EVEN * span and corner - low > _INVERTED * span:
        return corner, _RISE * (low - corner)
    background = _median(ordered[: np.searchsorted(ordered, low + _RISE * (bright - low), "right")])
    # The lowest cells lie about two standard deviations of the noise below the background.
    return background, max(_RISE * (bright - background), 2 * (background - low))


def _percentile(ordered: Floats, percent: float) -> float:
    """Returns what `numpy.percentile` does, of values in order."""
    place = (ordered.size - 1) * (percent / 100)
    below = int(place)
    share = place - below
    low, high = ordered[below], ordered[min(below + 1, ordered.size - 1)]
    step = float(high - low)
    return float(low) + step * share if share < 0.5 else float(high) - step * (1 - share)


def _median(ordered: Floats) -> float:
    """Returns what `numpy.median` does, of values in order."""
    middle = ordered.size // 2
    return float(ordered[middle] if ordered.size % 2 else (ordered[middle - 1] + ordered[middle]) / np.float32(2))


def _corners(cells: Floats) -> Floats:
    """Returns cells near the four corners, but not at the sides, where frames may be left."""
    near = [(min(2, length // 4), max(min(6, length // 2), 1)) for length in cells.shape]
    rows, columns = (
        (slice(first, last), slice(length - last, length - first))
        for (first, last), length in zip(near, cells.shape, strict=True)
    )
    return np.concatenate([cells[row, column].ravel() for row in rows for column in columns])


def _unframed(lit: Mask, box: tuple[int, int, int, int]) -> tuple[int, int, int, int]:
    """Returns the box without bright lines at its sides: outer lines far fuller than the line behind them."""
    top, bottom, left, right = box
    top, bottom = (
        top + _frame_depth(lit[top:bottom, left:right]),
        bottom - _frame_depth(lit[top:bottom, left:right][::-1]),
    )
    columns = lit[top:bottom, left:right].T
    return top, bottom, left + _frame_depth(columns), right - _frame_depth(columns[::-1])


def _frame_depth(lines: Mask) -> int:
    if not lines.size:
        return 0
    counts = np.add.reduce(lines[:_FRAME_DEPTH], axis=1, dtype=np.intp).tolist()
    shares = [count / lines.shape[1] for count in counts]
    return max((n for n in range(1, len(shares) - 1) if shares[n - 1] > shares[n + 1] + _FRAME), default=0)


def _main_patch(lit: Mask) -> Mask:
    """Returns the largest patch of neighbouring cells with the larger ones that reach into its box, filled.

    The dark skull parts the scalp from the brain; patches up to two cells apart count as one, and where the skull is
    wider than that, the ring of the scalp still cuts the corners of the brain's box.
    """
    numbers = labels(grown(lit)) * lit
    counts = np.bincount(numbers.ravel())
    counts[0] = 0
    if not counts.any():
        return lit
    largest = int(counts.argmax())
    chosen = numbers == largest
    others = [other for other in np.flatnonzero(counts > _PART * counts[largest]).tolist() if other != largest]
    if others:
        box = numbers[_span(chosen.any(axis=1)), _span(chosen.any(axis=0))]
        for other in others:
            if (box == other).any():
                chosen |= numbers == other
    return filled(chosen)


def _span(line: Mask) -> slice:
    """Returns from the first to the last true element."""
    return slice(int(line.argmax()), line.size - int(line[::-1].argmax()))


def _pixel_box(weights: Floats | Mask, cell: int, shape: tuple[int, int]) -> tuple[int, int, int, int]:
    rows, columns = np.add.reduce(weights, axis=1), np.add.reduce(weights, axis=0)
    (top, bottom), (left, right) = _edges(rows), _edges(columns)
    # Blocks leave out the last pixels, which belong to a head that reaches the last block.
    bottom, right = (np.inf if edge == len(line) else edge for edge, line in ((bottom, rows), (right, columns)))
    return (
        int(top * cell + 0.5),
        int(min(bottom * cell + 0.5, shape[0])),
        int(left * cell + 0.5),
        int(min(right * cell + 0.5, shape[1])),
    )


def _edges(profile: npt.NDArray[np.floating | np.integer]) -> tuple[float, float]:
    """Returns where the profile first rises above a thread, between the centres of two lines, and where it last falls.

    0 and the number of lines where it is above at the ends, or nowhere.
    """
    level = _THREAD * profile.max()
    (above,) = (profile > level).nonzero()
    start, stop = 0.0, float(profile.size)
    if above.size and above[0] > 0:
        before, after = profile[above[0] - 1], profile[above[0]]
        start = float(int(above[0]) - 0.5 + (level - before) / (after - before))
    if above.size and above[-1] + 1 < profile.size:
        before, after = profile[above[-1] + 1], profile[above[-1]]
        stop -= float(profile.size - 1 - int(above[-1]) - 0.5 + (level - before) / (after - before))
    return start, stop


def _placement(head: _Head, shape: tuple[int, ...], size: int) -> tuple[_Box, _Box]:
    """Returns what is cut out of the image, and where it goes in the square."""
    top, bottom, left, right = _with_margin(head.box, shape)
    scale = size / max(bottom - top, right - left)
    height, width = (max(1, round(scale * side)) for side in (bottom - top, right - left))
    y, x = (size - height) // 2, (size - width) // 2
    return (slice(top, bottom), slice(left, right)), (slice(y, y + height), slice(x, x + width))


def _extent(box: _Box) -> tuple[int, int]:
    rows, columns = box
    return rows.stop - rows.start, columns.stop - columns.start


def _with_margin(box: tuple[int, int, int, int], shape: tuple[int, ...]) -> tuple[int, int, int, int]:
    top, bottom, left, right = box
    margin = round(_MARGIN * max(bottom - top, right - left))
    return max(0, top - margin), min(shape[0], bottom + margin), max(0, left - margin), min(shape[1], right + margin)


def _scaled(values: Floats, rise: float) -> npt.NDArray[np.uint8]:
    """Maps the background to 0 and bright head to 255, or, where the head is darker, to 255 and 0."""
    heights = values if rise >= 0 else -values
    n_head = int(np.count_nonzero(heights > abs(rise)))
    if not n_head:
        return np.zeros(values.shape, np.uint8)
    heights *= np.float32(255) / percentile_of(heights, _LIT, highest=n_head)
    heights += np.float32(0.5)
    bytes_ = np.minimum(np.maximum(heights, 0, out=heights), 255, out=heights).astype(np.uint8)
    return bytes_ if rise >= 0 else 255 - bytes_
