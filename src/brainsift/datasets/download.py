"""Downloads image collections from Kaggle once; an interrupted download goes on where it stopped."""

import logging
import os
import shutil
import tarfile
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from brainsift.core.errors import BrainsiftError, DownloadError, MissingExtraError, SourceError, UsageError
from brainsift.core.files import read_json, write_json
from brainsift.datasets.catalog import SOURCES, SourceSpec, collect

FETCHABLE = tuple(name for name, source in SOURCES.items() if source.kaggle)
MARKER = ".brainsift-fetch.json"
# kagglehub keeps a partial archive only in its own cache, so its cache is put beside the collections.
_STAGING = ".kagglehub"
_PAGE = "https://www.kaggle.com/datasets/"
_CREDENTIALS = "Check KAGGLE_API_TOKEN, or KAGGLE_USERNAME and KAGGLE_KEY, and accept the terms on the page if asked. "
_REASONS = {
    401: "Kaggle refuses the credentials (HTTP 401)",
    403: "Kaggle refuses access (HTTP 403)",
    404: "Kaggle has no such data set any more (HTTP 404)",
    429: "Kaggle asks to wait (HTTP 429)",
}


@dataclass(frozen=True)
class Fetched:
    """A collection that is there: its name, folder, number of images, and whether this call downloaded it."""

    name: str
    path: Path
    images: int
    downloaded: bool


def fetch(names: Sequence[str], folder: Path) -> list[Fetched]:
    """Makes sure that collections are in a folder, and downloads those that are not.

    A collection that is there, downloaded earlier or unpacked by hand, is left as it is. The download shows its
    progress on standard error.

    Args:
        names: names from FETCHABLE.
        folder: where to put them; each gets the folder of its name.

    Returns:
        One entry per name, in the same order.

    Raises:
        UsageError: a name that cannot be fetched, or a folder in the way.
        MissingExtraError: kagglehub is not installed.
        DownloadError: no network, a refusal, a full disk, or something else than the collection.
    """
    unknown = [name for name in names if name not in FETCHABLE]
    if unknown or not names:
        rule = f"must be among {list(FETCHABLE)}, got {unknown}"
        raise UsageError("names", rule, "Get other collections from their authors and name them as NAME=PATH.")
    return [_fetch_one(name, folder.expanduser().absolute()) for name in names]


def manual_remedy(name: str, folder: Path) -> str:
    """Says how to get a collection without this command."""
    return (
        f"Or download it in a browser from {_PAGE}{SOURCES[name].kaggle}, unpack it to {folder / name}, "
        f"and name it as {name}={folder / name}."
    )


def _fetch_one(name: str, folder: Path) -> Fetched:
    place = folder / name
    present = _images(name, place)
    if present:
        return Fetched(name, place, present, downloaded=False)
    if place.exists() and (not place.is_dir() or any(place.iterdir())):
        rule = f"exists and does not hold the collection `{name}`"
        raise UsageError(place, rule, "Move it away, or name another folder.")
    version = _download(name, folder)
    images = _images(name, place)
    if not images:
        handle = SOURCES[name].kaggle
        rule = f"was downloaded to {place} and does not have the layout of `{name}`"
        raise DownloadError(handle, rule, "It may have changed. Use it as a folder with classes.")
    write_json(place / MARKER, {"handle": SOURCES[name].kaggle, "version": version, "images": images})
    return Fetched(name, place, images, downloaded=True)


def _images(name: str, place: Path) -> int:
    """Counts the images of a complete collection; 0 where it is not there or was cut off."""
    marker = place / MARKER
    try:
        found = len(collect([SourceSpec(name, place)]))
    except SourceError:
        return 0
    if marker.is_file() and found < read_json(marker)["images"]:
        return 0
    return found


def _download(name: str, folder: Path) -> str:
    """Downloads a collection and moves it to its place in one step; returns its version."""
    try:
        import kagglehub as hub
    except ImportError:
        raise MissingExtraError.of("fetch", "kagglehub", "train") from None
    handle = str(SOURCES[name].kaggle)
    staging = folder / _STAGING
    try:
        staging.mkdir(parents=True, exist_ok=True)
        with _hub_settings(staging):
            unpacked = Path(hub.dataset_download(handle))
        if (folder / name).exists():
            (folder / name).rmdir()
        unpacked.replace(folder / name)
    except _faults() as error:
        raise _explained(error, name, folder) from error
    except ValueError as error:
        if "Unsupported archive" not in str(error):  # a fault of ours
            raise
        raise _explained(error, name, folder) from error
    shutil.rmtree(_staged(staging, handle), ignore_errors=True)
    return unpacked.name


def _staged(staging: Path, handle: str) -> Path:
    return staging / "datasets" / handle


@contextmanager
def _hub_settings(staging: Path) -> Iterator[None]:
    """Points kagglehub at our folder and keeps it off standard output; restores its settings at the end."""
    settings = {"KAGGLEHUB_CACHE": str(staging), "DISABLE_KAGGLE_CACHE": "true", "DISABLE_COLAB_CACHE": "true"}
    before = {key: os.environ.get(key) for key in settings}
    logger = logging.getLogger("kagglehub")
    level = logger.level
    os.environ.update(settings)
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(level)
        for key, value in before.items():
            if value is None:
                os.environ.pop(key, None)
            else:
                os.environ[key] = value


def _faults() -> tuple[type[Exception], ...]:
    """Returns what kagglehub raises where the network, Kaggle, the archive or the disk is at fault."""
    import requests
    from kagglehub import exceptions as hub

    of_kaggle = (hub.BackendError, hub.CredentialError, hub.NotFoundError, hub.UnauthenticatedError)
    of_archive = (hub.DataCorruptionError, zipfile.BadZipFile, tarfile.TarError, zlib.error, EOFError)
    return (requests.RequestException, *of_kaggle, *of_archive, OSError)


def _explained(error: Exception, name: str, folder: Path) -> BrainsiftError:
    """Turns an exception of a download into one of our errors, with a remedy."""
    import requests

    handle = str(SOURCES[name].kaggle)
    again = f"Start the same command again to go on where it was. {manual_remedy(name, folder)}"
    if _is_damage(error):
        shutil.rmtree(_staged(folder / _STAGING, handle), ignore_errors=True)
        return DownloadError(
            handle,
            f"arrived damaged ({_short(error)})",
            f"Start the same command again: it downloads all anew. {manual_remedy(name, folder)}",
        )
    if isinstance(error, requests.RequestException):
        status = getattr(error.response, "status_code", None)
        if status is None:
            return DownloadError(handle, f"Kaggle cannot be reached ({_short(error)})", f"Is there a network? {again}")
        reason = _REASONS.get(status, f"Kaggle returns HTTP {status}")
        credentials = _CREDENTIALS if status in (401, 403) else ""
        return DownloadError(handle, reason, f"{credentials}{manual_remedy(name, folder)}")
    if isinstance(error, OSError):
        return DownloadError(handle, f"cannot be written to {folder} ({error})", f"Free space there. {again}")
    return DownloadError(handle, f"could not be downloaded ({_short(error)})", manual_remedy(name, folder))


def _is_damage(error: Exception) -> bool:
    from kagglehub.exceptions import DataCorruptionError

    broken = (ValueError, zipfile.BadZipFile, tarfile.TarError, zlib.error, EOFError, DataCorruptionError)
    return isinstance(error, broken)


def _short(error: Exception) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 200 else f"{text[:197]}..."
