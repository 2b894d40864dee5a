"""Connected patches of cells on a mask."""

import numpy as np
import numpy.typing as npt

Mask = npt.NDArray[np.bool_]


def grown(mask: Mask) -> Mask:
    """Returns the mask with the four neighbours of its cells."""
    larger = mask.copy()
    larger[1:] |= mask[:-1]
    larger[:-1] |= mask[1:]
    larger[:, 1:] |= mask[:, :-1]
    larger[:, :-1] |= mask[:, 1:]
    return larger


def labels(mask: Mask) -> npt.NDArray[np.int32]:
    """Numbers the 4-connected patches from 1, by joining the runs of each row (Rosenfeld and Pfaltz, 1966)."""
    height, width = mask.shape
    stride = width + 1  # a cell of background before each row
    flat = np.zeros(height * stride + 1, bool)
    flat[:-1].reshape(height, stride)[:, 1:] = mask
    edges = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    values = np.zeros(edges.size + 1, np.int32)
    values[1::2] = _patches(edges[::2], edges[1::2], stride)
    ends = np.concatenate(([0], edges, [flat.size - 1]))
    return np.repeat(values, ends[1:] - ends[:-1]).reshape(height, stride)[:, 1:]


def _patches(starts: npt.NDArray[np.int64], stops: npt.NDArray[np.int64], stride: int) -> npt.NDArray[np.int64]:
    """Returns the patch number of each run, from the places in the flat mask where the runs start and stop."""
    # From which to which run of the row above each run has cells below its own.
    firsts = np.searchsorted(stops, starts - stride, "right").tolist()
    lasts = np.searchsorted(starts, stops - stride, "left").tolist()
    parents = list(range(len(firsts)))
    for run, (first, last) in enumerate(zip(firsts, lasts, strict=True)):
        root = run
        for above in range(first, last):
            touching = above
            while parents[touching] != touching:
                parents[touching] = touching = parents[parents[touching]]
            parents[root] = root = touching
    roots = np.array(parents, np.int64)
    while ((further := roots[roots]) != roots).any():
        roots = further
    return roots + 1


def filled(mask: Mask) -> Mask:
    """Returns the cells that lie between two cells of the mask, in their row or in their column."""
    return _between(mask) | _between(np.ascontiguousarray(mask.T)).T


def _between(mask: Mask) -> Mask:
    """Returns from the first to the last true cell of each row."""
    places = np.arange(mask.shape[1], dtype=np.int16)
    first = mask.argmax(axis=1).astype(np.int16)
    last = (places.size - mask[:, ::-1].argmax(axis=1)).astype(np.int16) * mask.any(axis=1)
    between: Mask = (places >= first[:, None]) & (places < last[:, None])
    return between
