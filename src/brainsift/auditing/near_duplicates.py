"""Near-duplicates: copies of one image that were re-encoded, rescaled, re-contrasted, cropped, mirrored or turned.

First a search: for every image, in eight orientations, a graph index (HNSW) gives the nearest vectors, so that the
cost grows almost linearly with the number of images. Then a check of each candidate: the two views are aligned (by the
affine map that maximises their correlation) and compared in their fine texture, with brightness and contrast evened out
around each pixel. All heads look alike in their coarse shape; folds of the cortex do not.
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import pairwise

import cv2
import faiss
import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from brainsift.auditing.audit_settings import MIN_SIMILARITY
from brainsift.auditing.fingerprint import (
    ORIENTATIONS,
    SIDE,
    Bytes,
    Floats,
    descriptors,
    equalised,
    turned,
    turned_box,
    turned_descriptors,
)
from brainsift.core.progress import Progress, Report, silent

VIEWS = ("frame", "head")
PAIR_COLUMNS = ("first", "second", "similarity", "view", "orientation")

_Affine = npt.NDArray[np.float32]

_COARSE_SIDE = 32
_COARSE_STEPS = 10
_FINE_STEPS = 25
_BLUR = 0.8  # pixels; takes the blocks of JPEG away
_TEXTURE = 3.0  # pixels; brightness and contrast are evened out over this distance
_NOISE = 0.03  # texture below this share of the grey range is noise
_CORE = 0.85  # of the half side of the head view
_MIN_OVERLAP = 0.7
_STRETCH = (0.65, 1.5)  # a map beyond these factors lays one detail over another image
_IMAGES_A_CHUNK = 64
_ORIENTATIONS_A_PAIR = 2
_SECOND_CHOICE = 2  # a less likely orientation is tried for so many nearest neighbours; farther ones never gain by it
_QUERIES = 4096  # images that are looked up at once, so that the tables of neighbours stay small
_ROUNDS = (2, 5)  # nearest neighbours first: what they join need not be compared
_IDENTITY: _Affine = np.eye(2, 3, dtype=np.float32)
_SEARCH = ("orientation", "cosine")
_INVERSE = (0, 1, 2, 3, 4, 6, 5, 7)  # flips are applied after the transposition


@dataclass(frozen=True)
class NeighbourConfig:
    """How near-duplicates are searched and checked.

    Attributes:
        neighbours: candidates an image and view, over all orientations.
        min_cosine: candidates below are not looked at.
        min_coarse: correlation of the equalised views after alignment, below which a candidate is dropped.
        min_coarse_texture: the same for the texture at 32 x 32.
        min_similarity: correlation of the fine texture at 64 x 64 from which two images count as near-duplicates.
        links: neighbours of a node in the graph index.
        effort: nodes the index visits a query.
    """

    neighbours: int = 16
    min_cosine: float = 0.65
    min_coarse: float = 0.75
    min_coarse_texture: float = 0.7
    min_similarity: float = MIN_SIMILARITY
    links: int = 16
    effort: int = 48


@dataclass(frozen=True, eq=False)
class Views:
    """The sketches of n images: frame and head (n, 64, 64) uint8, box (n, 4) float32."""

    frame: Bytes
    head: Bytes
    box: Floats

    def __len__(self) -> int:
        return len(self.frame)

    def of(self, view: str) -> Bytes:
        """Returns the array of one of VIEWS."""
        return self.head if view == "head" else self.frame


def near_duplicates(
    views: Views, config: NeighbourConfig | None = None, *, workers: int = 1, report: Report = silent
) -> pd.DataFrame:
    """Finds pairs of near-duplicates, enough of them to join every group.

    Args:
        views: sketches of n images, best without exact copies.
        config: how.
        workers: threads.
        report: takes the progress.

    Returns:
        A table with PAIR_COLUMNS: positions of the images (first < second), similarity up to 1, the view that led to
        the pair, and the orientation that `fingerprint.turned` gives to the first to match the second. Two images that
        nearer neighbours had joined before are not compared again.
    """
    config = config or NeighbourConfig()
    table = candidates(views, config, threads=workers)
    found = [_checked(views, table.iloc[:0], config)]
    for low, high in pairwise((0, *_ROUNDS, config.neighbours)):
        groups = components(len(views), pd.concat(found))
        apart = groups[table["first"]] != groups[table["second"]]
        open_pairs = table[apart & table["rank"].between(low, high - 1)]
        found.append(verified(views, open_pairs, config, workers=workers, report=report))
    pairs = pd.concat(found, ignore_index=True)
    return pairs.sort_values(["first", "second"], ignore_index=True)


def candidates(views: Views, config: NeighbourConfig, *, threads: int = 1) -> pd.DataFrame:
    """Looks up the pairs worth a check, at most two orientations each and view.

    Returns:
        A table with the columns first, second, orientation, cosine, rank (0: the nearest of one of both) and view;
        best first.
    """
    tables = [_nearest(descriptors(views.of(view)), config, threads).assign(view=view) for view in VIEWS]
    table = pd.concat(tables, ignore_index=True)
    return table.sort_values(
        ["cosine", "first", "second", "view"], ascending=[False, True, True, True], ignore_index=True
    )


def verified(
    views: Views,
    candidates: pd.DataFrame,
    config: NeighbourConfig,
    *,
    workers: int = 1,
    report: Report = silent,
) -> pd.DataFrame:
    """Checks candidates and keeps each pair of near-duplicates once, as the first view and orientation showed it."""
    table = candidates.sort_values(["first", "second", "cosine"], ascending=[True, True, False], ignore_index=True)
    chunks = [part for _, part in table.groupby(table["first"] // _IMAGES_A_CHUNK)]
    done, parts = 0, []
    with ThreadPoolExecutor(workers) as pool:  # OpenCV lets go of the interpreter lock
        for chunk, part in zip(chunks, pool.map(lambda chunk: _checked(views, chunk, config), chunks), strict=True):
            parts.append(part)
            done += len(chunk)
            report(Progress("near-duplicates", done, len(table)))
    return pd.concat(parts, ignore_index=True) if parts else _checked(views, table, config)


def components(count: int, pairs: pd.DataFrame) -> npt.NDArray[np.int64]:
    """Joins pairs to groups.

    Args:
        count: number of images.
        pairs: columns first, second: positions of images.

    Returns:
        (count,) int64: the number of each image's group.
    """
    ones = np.ones(len(pairs), bool)
    ends = (pairs["first"].to_numpy(np.int64), pairs["second"].to_numpy(np.int64))
    graph = coo_matrix((ones, ends), shape=(count, count))
    return np.asarray(connected_components(graph, directed=False)[1], np.int64)


def similarity(first: Bytes, second: Bytes, config: NeighbourConfig | None = None) -> float:
    """Compares two views that show about the same orientation.

    Args:
        first: (64, 64) uint8.
        second: (64, 64) uint8.
        config: the bounds of each step.

    Returns:
        The correlation of their fine texture after alignment, in -1..1; 0 where they cannot be aligned.
    """
    return _similarity(_Prepared.of(first), _Prepared.of(second), _IDENTITY, config or NeighbourConfig())


@dataclass(frozen=True, eq=False)
class _Prepared:
    """A view, equalised and smoothed, in two sizes."""

    fine: Floats
    coarse: Floats

    @cached_property
    def fine_texture(self) -> Floats:
        """Returns the texture of the view."""
        return _texture(self.fine)

    @cached_property
    def coarse_texture(self) -> Floats:
        """Returns the texture of the small view."""
        return _texture(self.coarse)

    @classmethod
    def of(cls, view: Bytes) -> "_Prepared":
        levels = equalised(view)
        coarse = cv2.resize(levels, (_COARSE_SIDE, _COARSE_SIDE), interpolation=cv2.INTER_AREA)
        return cls(_blurred(levels, _BLUR), _blurred(np.asarray(coarse, np.float32), _BLUR))


def _nearest(vectors: Floats, config: NeighbourConfig, threads: int) -> pd.DataFrame:
    """Returns for each image its nearest others over all orientations, best orientations first."""
    index = _index(vectors, config)
    faiss.omp_set_num_threads(threads)
    starts = range(0, max(len(vectors), 1), _QUERIES)
    return _ordered(pd.concat([_looked_up(index, vectors, start, config) for start in starts], ignore_index=True))


def _looked_up(index: faiss.IndexHNSWFlat, vectors: Floats, start: int, config: NeighbourConfig) -> pd.DataFrame:
    """Asks for the neighbours of some images, from ``start`` on."""
    some = vectors[start : start + _QUERIES]
    wanted = min(config.neighbours + 1, index.ntotal)
    first = np.repeat(np.arange(start, start + len(some)), wanted)
    parts = []
    for orientation in range(ORIENTATIONS if wanted else 0):
        cosines, positions = index.search(turned_descriptors(some, orientation), wanted)
        part = {"first": first, "second": positions.ravel(), "orientation": orientation, "cosine": cosines.ravel()}
        parts.append(pd.DataFrame(part))
    table = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=[*PAIR_COLUMNS[:2], *_SEARCH])
    return _strongest(table, config)


def _index(vectors: Floats, config: NeighbourConfig) -> faiss.IndexHNSWFlat:
    index = faiss.IndexHNSWFlat(vectors.shape[1], config.links, faiss.METRIC_INNER_PRODUCT)
    index.hnsw.efConstruction = 2 * config.effort
    index.hnsw.efSearch = config.effort
    faiss.omp_set_num_threads(1)  # several threads would build another graph each time
    index.add(vectors)
    return index


def _strongest(table: pd.DataFrame, config: NeighbourConfig) -> pd.DataFrame:
    """Keeps for each image its nearest others, each with its best orientation, the very nearest with their two best."""
    table = table[(table["second"] >= 0) & (table["first"] != table["second"])]
    table = table[table["cosine"] >= config.min_cosine]
    table = table.sort_values(["first", "cosine"], ascending=[True, False], kind="stable")
    best = table.drop_duplicates(["first", "second"])
    best = best.assign(rank=best.groupby("first").cumcount())[["first", "second", "rank"]]
    kept = table.merge(best[best["rank"] < config.neighbours], on=["first", "second"])
    tried = np.where(kept["rank"] < _SECOND_CHOICE, _ORIENTATIONS_A_PAIR, 1)
    return kept[kept.groupby(["first", "second"]).cumcount() < tried]


def _ordered(table: pd.DataFrame) -> pd.DataFrame:
    """Writes every pair with the smaller position first; the orientation then is the inverse one."""
    swap = (table["first"] > table["second"]).to_numpy()
    first, second = table["first"].to_numpy(np.int64), table["second"].to_numpy(np.int64)
    orientation = table["orientation"].to_numpy(np.int64)
    inverse = np.asarray(_INVERSE)[orientation]
    ordered = pd.DataFrame(
        {
            "first": np.where(swap, second, first),
            "second": np.where(swap, first, second),
            "orientation": np.where(swap, inverse, orientation),
            "cosine": table["cosine"].to_numpy(np.float32),
            "rank": table["rank"].to_numpy(np.int64),
        }
    )
    ordered["rank"] = ordered.groupby(["first", "second"])["rank"].transform("min")
    ordered = ordered.sort_values("cosine", ascending=False, kind="stable")
    return ordered.drop_duplicates(["first", "second", "orientation"])


def _checked(views: Views, chunk: pd.DataFrame, config: NeighbourConfig) -> pd.DataFrame:
    prepared: dict[tuple[int, int], _Prepared] = {}

    def head_of(position: int, orientation: int) -> _Prepared:
        key = (position, orientation)
        if key not in prepared:
            prepared[key] = _Prepared.of(turned(views.head[position], orientation))
        return prepared[key]

    accepted: dict[tuple[int, int], tuple[int, int, float, str, int]] = {}
    for first, second, view, orientation in chunk[["first", "second", "view", "orientation"]].itertuples(index=False):
        if (first, second) in accepted:
            continue
        start = _IDENTITY if view == "head" else _between(views.box[second], turned_box(views.box[first], orientation))
        value = _similarity(head_of(second, 0), head_of(first, orientation), start, config)
        if value >= config.min_similarity:
            accepted[first, second] = (first, second, value, view, orientation)
    table = pd.DataFrame(list(accepted.values()), columns=list(PAIR_COLUMNS))
    return table.astype({"first": np.int64, "second": np.int64, "similarity": float, "orientation": np.int64})


def _between(fixed: Floats, moving: Floats) -> _Affine:
    """Returns the map from pixels of one head view to those of another, given that their frames coincide."""
    rows, columns = (_between_spans(fixed[axis : axis + 2], moving[axis : axis + 2]) for axis in (0, 2))
    return np.array([[columns[0], 0, columns[1]], [0, rows[0], rows[1]]], np.float32)


def _between_spans(fixed: Floats, moving: Floats) -> tuple[float, float]:
    length = max(float(moving[1] - moving[0]), 1e-3)
    factor = float(fixed[1] - fixed[0]) / length
    return factor, SIDE * float(fixed[0] - moving[0]) / length + (factor - 1) / 2


def _similarity(fixed: _Prepared, moving: _Prepared, start: _Affine, config: NeighbourConfig) -> float:
    reached, matrix = _aligned(fixed.coarse, moving.coarse, _scaled(start, _COARSE_SIDE / SIDE), _COARSE_STEPS)
    if (
        reached < config.min_coarse
        or _texture_correlation(fixed.coarse_texture, moving.coarse, matrix) < config.min_coarse_texture
    ):
        return 0.0
    reached, matrix = _aligned(fixed.fine, moving.fine, _scaled(matrix, SIDE / _COARSE_SIDE), _FINE_STEPS)
    if reached < config.min_coarse or not _plausible(matrix):
        return 0.0
    return _texture_correlation(fixed.fine_texture, moving.fine, matrix)


def _scaled(matrix: _Affine, factor: float) -> _Affine:
    """Returns the same map between views of another size; pixel centres, not corners, have whole coordinates."""
    scaled, half = matrix.copy(), np.float32((factor - 1) / 2)
    scaled[:, 2] = np.float32(factor) * matrix[:, 2] + half - matrix[:, :2].sum(axis=1) * half
    return scaled


def _aligned(fixed: Floats, moving: Floats, start: _Affine, steps: int) -> tuple[float, _Affine]:
    """Maximises the enhanced correlation coefficient; returns what was reached (0: nothing) and the map.

    Source:
        Evangelidis and Psarakis, Parametric Image Alignment Using Enhanced Correlation Coefficient Maximization,
        IEEE TPAMI 30(10), 2008.
    """
    until = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, steps, 1e-3)
    everywhere = _everywhere(len(fixed))
    try:
        reached, matrix = cv2.findTransformECC(fixed, moving, start.copy(), cv2.MOTION_AFFINE, until, everywhere, 1)
    except cv2.error:  # it says so by an exception when the iteration runs away
        return 0.0, start
    return float(reached), np.asarray(matrix, np.float32)


def _plausible(matrix: _Affine) -> bool:
    stretches = np.linalg.svd(matrix[:, :2], compute_uv=False)
    return bool(stretches.min() > _STRETCH[0] and stretches.max() < _STRETCH[1])


def _texture_correlation(texture: Floats, moving: Floats, matrix: _Affine) -> float:
    """Correlates the texture of a view with that of another one, which is laid over it first."""
    side = len(texture)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    laid = cv2.warpAffine(moving, matrix, (side, side), flags=flags, borderMode=cv2.BORDER_CONSTANT, borderValue=-1.0)
    inside = _core(side) & (laid >= 0)
    if np.count_nonzero(inside) < _MIN_OVERLAP * np.count_nonzero(_core(side)):
        return 0.0
    first, second = texture[inside], _texture(np.maximum(laid, 0.0))[inside]
    first, second = first - first.mean(), second - second.mean()
    lengths = float(np.sqrt((first @ first) * (second @ second)))
    return float(first @ second) / lengths if lengths > 0 else 0.0


@cache
def _core(side: int) -> npt.NDArray[np.bool_]:
    """Returns the ellipse whose texture counts: without the outline of the head, which all heads share."""
    steps = (np.arange(side) - (side - 1) / 2) / (side / 2)
    return np.hypot(steps[:, None], steps) < _CORE


@cache
def _everywhere(side: int) -> Bytes:
    return np.ones((side, side), np.uint8)


def _texture(levels: Floats) -> Floats:
    """Evens out brightness and contrast around each pixel."""
    reach = _TEXTURE * len(levels) / SIDE
    mean = _blurred(levels, reach)
    variance = _blurred((levels - mean) ** 2, reach)
    return np.asarray((levels - mean) / np.sqrt(variance + _NOISE**2), np.float32)


def _blurred(levels: Floats, sigma: float) -> Floats:
    return np.asarray(cv2.GaussianBlur(levels, (0, 0), sigma), np.float32)
