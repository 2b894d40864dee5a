"""The real images that benchmarks run on."""

import os
import random
import sys
from pathlib import Path

from brainsift.core.files import sha256_of
from brainsift.volumes.inputs import find_images

_SOURCES = ("br35h", "preet")


def collections() -> list[str]:
    """Returns the two collections as brainsift takes them, NAME=PATH.

    Exits with a reason where they are not there.
    """
    return [f"{name}={_data_folder() / name}" for name in _SOURCES]


def _data_folder() -> Path:
    data = Path(os.environ.get("BRAINSIFT_DATA", "../shared/data"))
    missing = [name for name in _SOURCES if not (data / name).is_dir()]
    if missing:
        print(f"skipped: no real images: {data} holds no {' and no '.join(missing)}; set BRAINSIFT_DATA")
        sys.exit(0)
    return data


def sample(n: int, *, seed: int) -> list[str]:
    """Draws image files of two collections, no two of the same content, which also brings them into the page cache.

    Args:
        n: how many; fewer where there are not as many.
        seed: of the draw.

    Exits with a reason where the collections are not there.
    """
    data = _data_folder()
    found = list(find_images([data / name for name in _SOURCES]))
    random.Random(seed).shuffle(found)
    distinct: dict[str, str] = {}
    for path in found:
        distinct.setdefault(sha256_of(Path(path).read_bytes()), str(Path(path).resolve()))
        if len(distinct) == n:
            break
    return list(distinct.values())
