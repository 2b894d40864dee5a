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
    lengths = np.diff(edges, prepend=0, append=flat.size - 1)
    return np.repeat(values, lengths).reshape(height, stride)[:, 1:]


def _patches(starts: npt.NDArray[np.int64], stops: npt.NDArray[np.int64], stride: int) -> npt.NDArray[np.int64]:
    """Returns the patch number of each run, from the places in the flat mask where the runs start and stop."""
    parents = list(range(starts.size + 1))
    _join_runs(starts.tolist(), stops.tolist(), stride, parents)
    roots = np.array(parents)
    while ((further := roots[roots]) != roots).any():
        roots = further
    return roots[1:]


def _join_runs(starts: list[int], stops: list[int], stride: int, parents: list[int]) -> None:
    above = 0
    for run, (start, stop) in enumerate(zip(starts, stops, strict=True), 1):
        while stops[above] <= start - stride:
            above += 1
        touching, root = above, run
        while starts[touching] < stop - stride:
            touching += 1
            parents[root] = root = _root(parents, touching)


def _root(parents: list[int], run: int) -> int:
    while parents[run] != run:
        parents[run] = parents[parents[run]]
        run = parents[run]
    return run


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
