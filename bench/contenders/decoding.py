"""Decoding alone, as fast as it goes: JPEG to grey at the scale needed by simplejpeg, the rest by OpenCV, on all cores.

What comes out could not be scored as brainsift does: the pixels are those of a smaller image. It is a floor. Processes
and threads are both tried on the first task, and the faster ones stay.
"""

import os
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import cv2
import numpy as np
import simplejpeg
from worker import serve

_SIZE = 128
_CHUNK = 32
_Map = Callable[[list[str]], Iterable[float]]


def decoded(content: bytes) -> np.ndarray:
    """Returns grey pixels, both sides at least 128 where the image has as many."""
    if content.startswith(b"\xff\xd8"):
        height, width = simplejpeg.decode_jpeg_header(content)[:2]
        least = min(_SIZE, height, width)
        return simplejpeg.decode_jpeg(
            content, "GRAY", fastdct=True, fastupsample=True, min_height=least, min_width=least, min_factor=1
        )[..., 0]
    return cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_GRAYSCALE)


def _level(path: str) -> float:
    return float(decoded(Path(path).read_bytes())[0, 0])


def _levels(paths: list[str]) -> list[float]:
    return [_level(path) for path in paths]


def _spread(pool: Executor, paths: list[str]) -> list[float]:
    chunks = [paths[start : start + _CHUNK] for start in range(0, len(paths), _CHUNK)]
    return [level for levels in pool.map(_levels, chunks) for level in levels]


def _faster(pools: list[Executor], paths: list[str]) -> Executor:
    seconds = []
    for pool in pools:
        _spread(pool, paths)  # processes start with the first work
        start = time.perf_counter()
        _spread(pool, paths)
        seconds.append(time.perf_counter() - start)
    return pools[seconds.index(min(seconds))]


class _Decoder:
    def __init__(self) -> None:
        cores = len(os.sched_getaffinity(0))
        cv2.setNumThreads(1)
        self._pools: list[Executor] = [ThreadPoolExecutor(cores)]
        if cores > 1:
            self._pools.append(ProcessPoolExecutor(cores, mp_context=get_context("forkserver")))

    def score(self, paths: list[str]) -> Iterator[tuple[str, float]]:
        if len(self._pools) > 1:
            self._pools = [_faster(self._pools, paths)]
        yield from zip(paths, _spread(self._pools[0], paths), strict=True)


if __name__ == "__main__":
    serve(_Decoder().score, packages=("simplejpeg", "opencv-python-headless"))
