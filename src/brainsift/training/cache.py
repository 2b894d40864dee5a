"""A cache of preprocessed pixels: a memory-mapped array, and a list that names its rows.

An image is named by the SHA-256 of its file, a mask by the hashes of its image and its own: the same file under two
names is decoded once, a moved folder costs nothing, and a corrected mask replaces the old one. Rows are only appended,
and a row is named after it was written, so that a killed process loses at most the current image.
"""

import io
import os
import warnings
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from filelock import FileLock
from joblib import Parallel, delayed
from PIL import Image

from brainsift.core.environment import cores
from brainsift.core.errors import ManifestError, UsageError
from brainsift.core.files import sha256_of
from brainsift.core.progress import Progress, Report, silent
from brainsift.images import standard
from brainsift.images.masks import mask_sha256
from brainsift.images.preprocess import PREPROCESSINGS, preprocess, preprocess_outline

_BATCH = 256
_IDLE_S = 10


def cached_pixels(
    manifest: pd.DataFrame,
    folder: Path,
    *,
    preprocessing: str = "standard",
    size: int = 128,
    workers: int | None = None,
    report: Report = silent,
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    """Makes sure that every image of a manifest is in the cache.

    Args:
        manifest: audited; rows whose status is not "ok" get no pixels.
        folder: of the cache; shared by any number of manifests.
        preprocessing: "standard" or "baseline".
        size: side of the square result, pixels.
        workers: processes; None for one per core.
        report: takes the progress.

    Returns:
        The memory-mapped pixels, uint8 (m, size, size) or (m, size, size, 3), and for each row of the manifest its
        place therein, int64 (n,), -1 where it has none.

    Raises:
        UsageError: no such preprocessing.
        ManifestError: a file is not the one that was audited.
    """
    if preprocessing not in PREPROCESSINGS:
        raise UsageError("preprocessing", f"must be one of {PREPROCESSINGS}, not {preprocessing!r}", "Choose one.")
    read = delayed(partial(_audited, partial(preprocess, preprocessing=preprocessing, size=size)))
    shape = (size, size) if preprocessing == "standard" else (size, size, 3)
    keys = _image_keys(manifest).where(manifest["status"] == "ok", "")
    with _opened(folder, preprocessing, shape) as store:
        return _cached(
            store,
            manifest,
            keys,
            lambda row: read(row.sha256, row.path, channel=row.channel),
            workers=workers,
            report=report,
        )


def cached_masks(
    manifest: pd.DataFrame, folder: Path, *, size: int = 128, workers: int | None = None
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    """Makes sure that every mask of a manifest is in the cache, placed as "standard" places its image.

    Args:
        manifest: audited.
        folder: of the cache.
        size: side of the square result, pixels.
        workers: processes; None for one per core.

    Returns:
        The memory-mapped masks, uint8 (m, size, size), 255 inside, and for each row of the manifest its place
        therein, int64 (n,), -1 where it has none.
    """
    read = delayed(partial(_audited, partial(preprocess_outline, size=size)))
    keys = _mask_keys(manifest)
    with _opened(folder, "outline", (size, size)) as store:
        return _cached(
            store,
            manifest,
            keys,
            lambda row: read(row.sha256, row.path, row.mask, channel=row.channel),
            workers=workers,
        )


def fill(
    manifest: pd.DataFrame,
    folder: Path,
    read: Callable[[Any], bytes],
    *,
    size: int,
    masks: bool = False,
    report: Report = silent,
) -> None:
    """Puts pixels that were prepared elsewhere into the cache, as those of the images of a manifest or of their masks.

    Args:
        manifest: audited; the masks that it names are there.
        folder: of the cache.
        read: returns for a row of the manifest an image file of size × size pixels.
        size: side of the pixels that "standard" prepared.
        masks: whether these are masks.
        report: takes the progress.
    """
    keys = _mask_keys(manifest) if masks else _image_keys(manifest)
    decoded = delayed(_decoded)
    with _opened(folder, "outline" if masks else "standard", (size, size)) as store:
        _cached(store, manifest, keys, lambda row: decoded(read(row)), workers=None, report=report)


def _audited(read: Callable[..., npt.NDArray[np.uint8]], sha256: str, path: str, *more: str, channel: str) -> Any:
    """Reads a file, after making sure that it is still the one that was audited: its group and label are of that."""
    if Path(path).is_file() and sha256_of(Path(path).read_bytes()) != sha256:
        raise ManifestError(path, "is not the file that was audited: its content has changed", "Make the audit again.")
    return read(path, *more, channel=channel)


def _decoded(content: bytes) -> npt.NDArray[np.uint8]:
    with Image.open(io.BytesIO(content)) as image:
        return np.asarray(image.convert("L"))


def _mask_keys(manifest: pd.DataFrame) -> pd.Series:
    chosen = (manifest["status"] == "ok") & (manifest["mask"] != "")
    hashes = manifest["mask"].where(chosen, "").map(mask_sha256)
    return (_image_keys(manifest) + ":" + hashes).where(chosen, "")


def _image_keys(manifest: pd.DataFrame) -> pd.Series:
    return manifest["sha256"] + ":" + manifest["channel"]


@contextmanager
def _opened(folder: Path, kind: str, shape: tuple[int, ...]) -> Iterator["_Store"]:
    """Opens one file of the cache for this process alone: several trainings may share the cache."""
    folder.mkdir(parents=True, exist_ok=True)
    name = f"{kind}-{shape[0]}-v{standard.VERSION}"
    with FileLock(folder / f".{name}.lock"):
        yield _Store(folder / name, shape)


def _cached(
    store: "_Store",
    manifest: pd.DataFrame,
    keys: pd.Series,
    job: Callable[[Any], Any],
    *,
    workers: int | None,
    report: Report = silent,
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    missing = (keys != "") & ~keys.isin(list(store.places))
    wanted = np.flatnonzero(missing & ~keys.duplicated())
    if len(wanted):
        jobs = (job(row) for row in manifest.iloc[wanted].itertuples())
        store.add(keys.iloc[wanted], jobs, workers=workers or cores(), report=report)
    rows = np.array([store.places.get(key, -1) for key in keys], dtype=np.int64)
    return store.pixels(), rows


class _Store:
    """One file of pixels and one of keys, for one preprocessing and size."""

    def __init__(self, path: Path, shape: tuple[int, ...]) -> None:
        self.shape = shape
        self.pixels_path = path.with_name(f"{path.name}.u8")
        self.keys_path = path.with_name(f"{path.name}.keys")
        self.places = self._read_places()

    def _read_places(self) -> dict[str, int]:
        if not self.keys_path.exists():
            return {}
        text = self.keys_path.read_text(encoding="ascii")
        whole = text[: text.rfind("\n") + 1]  # a killed process may have left half a line
        # After a power cut there may be names without their pixels; to lengthen the file would make black images.
        stored = self.pixels_path.stat().st_size // int(np.prod(self.shape))
        lines = whole.splitlines(keepends=True)[:stored]
        os.truncate(self.keys_path, sum(map(len, lines)))
        os.truncate(self.pixels_path, len(lines) * int(np.prod(self.shape)))
        return {key.rstrip("\n"): place for place, key in enumerate(lines)}

    def add(self, keys: pd.Series, jobs: Iterable[Any], *, workers: int, report: Report) -> None:
        """Does the jobs in parallel and appends what they return."""
        # Its processes outlive one that is killed for as long as they may be idle, by default five minutes.
        results = Parallel(workers, return_as="generator", batch_size=16, idle_worker_timeout=_IDLE_S)(jobs)
        with (
            _closed(results),
            self.pixels_path.open("ab") as pixels,
            self.keys_path.open("a", encoding="ascii") as names,
        ):
            for done, (key, image) in enumerate(zip(keys, results, strict=True), start=1):
                pixels.write(image.tobytes())
                pixels.flush()
                names.write(f"{key}\n")
                self.places[key] = len(self.places)
                if done % _BATCH == 0 or done == len(keys):
                    report(Progress("preprocessing", done, len(keys)))

    def pixels(self) -> npt.NDArray[np.uint8]:
        if not self.places:
            return np.zeros((0, *self.shape), np.uint8)
        return np.memmap(self.pixels_path, np.uint8, mode="r", shape=(len(self.places), *self.shape))


@contextmanager
def _closed(results: Generator[Any, None, None]) -> Iterator[None]:
    """Ends work in parallel after an error: that its processes had to stop must not hide why."""
    try:
        yield
    finally:
        with suppress(Exception), warnings.catch_warnings(action="ignore"):
            results.close()
