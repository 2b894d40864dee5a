"""What a training needs of its images, in one small file: for a machine that has a GPU and not the images.

manifest.csv         the images that have a subset; their paths stand for nothing
images/NUMBER.webp   their pixels as "standard" prepares them, one per row
masks/NUMBER.png     their segmentation masks, placed alike
pack.json            side of the pixels, version of the preprocessing, quality
"""

import io
import json
from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile, ZipFile

import numpy as np
import numpy.typing as npt
import pandas as pd
from PIL import Image

from brainsift.core.errors import InputError, in_one_line
from brainsift.core.files import replacing, sha256_of, write_bytes
from brainsift.core.progress import Progress, Report, silent
from brainsift.core.records import Record
from brainsift.datasets.manifest import read_manifest
from brainsift.datasets.split import with_subsets
from brainsift.images import standard
from brainsift.training.cache import cached_masks, cached_pixels, fill

SUFFIX = ".zip"
_EXACT = 100
_QUALITIES = (_EXACT, 95, 90, 85, 80, 75)  # of WebP
_TRIED = 256  # images that tell how large all of them become
_SPARE = 1.05
_STEP = 256


@dataclass(frozen=True)
class Pack(Record):
    """What a pack says of itself.

    Attributes:
        size: side of the pixels.
        version: of the preprocessing `standard`.
        quality: of the WebP images; 100 if their pixels are exact.
        images: number of images.
        masks: number of masks.
    """

    size: int
    version: int
    quality: int
    images: int
    masks: int

    @property
    def is_exact(self) -> bool:
        """Whether the pixels are those of the cache, and not like them only."""
        return self.quality == _EXACT


def pack(
    manifest: pd.DataFrame | str | Path,
    path: str | Path,
    *,
    size: int = 128,
    most_mb: float = 60.0,
    cache: Path | None = None,
    report: Report = silent,
) -> Pack:
    """Writes the images of a split manifest as one file, from which `train` can train.

    Args:
        manifest: audited table or CSV file; without the column `part` it is split, as `split` does by default.
        path: of the file, which ends in .zip.
        size: side of the network's input, pixels.
        most_mb: size that the file should not exceed, in 10^6 bytes: the best quality of the images that keeps to it is
            chosen.
        cache: folder of preprocessed pixels; None for ``cache`` beside the file.
        report: takes the progress.

    Returns:
        What was packed.

    Raises:
        ManifestError: the manifest was not audited.
        InputError: the path does not end in .zip, or the images do not fit at the lowest quality.
    """
    path = Path(path)
    if path.suffix != SUFFIX:
        raise InputError(path, f"does not end in {SUFFIX}", f"Write {path.stem}{SUFFIX}, for example.")
    table, _ = with_subsets(manifest)
    cache = path.parent / "cache" if cache is None else cache
    table = table[(table["part"] != "") & (table["status"] == "ok")].reset_index(drop=True)
    pixels, rows = cached_pixels(table, cache, size=size, report=report)
    masks, places = cached_masks(table, cache, size=size)
    drawn = [_png(masks[place]) if place >= 0 else None for place in places]
    room = most_mb * 1e6 - sum(len(one) for one in drawn if one)
    quality = _quality(pixels, rows, room, path)
    packed = Pack(size, standard.VERSION, quality, len(table), sum(one is not None for one in drawn))
    names = [f"{number:06d}" for number in range(len(table))]
    table["path"] = [f"images/{name}.webp" for name in names]
    table["mask"] = [f"masks/{name}.png" if one else "" for name, one in zip(names, drawn, strict=True)]
    with replacing(path) as temporary, ZipFile(temporary, "w") as archive:
        archive.writestr("pack.json", json.dumps(packed.to_json()))
        for done, (name, row, mask) in enumerate(zip(names, rows, drawn, strict=True), start=1):
            content = _webp(pixels[row], quality)
            archive.writestr(f"images/{name}.webp", content)
            if mask:
                archive.writestr(f"masks/{name}.png", mask)
            if not packed.is_exact:  # what is not the same is not called by the same name in a cache
                table.loc[done - 1, "sha256"] = sha256_of(content)
            if done % _STEP == 0 or done == len(names):
                report(Progress("packing", done, len(names)))
        archive.writestr("manifest.csv", table.to_csv(index=False))
    return packed


def unpacked(
    manifest: pd.DataFrame | str | Path, cache: Path, *, size: int, preprocessing: str, report: Report = silent
) -> pd.DataFrame | str | Path:
    """Puts the images of a pack into a cache of preprocessed pixels; anything but a pack is returned as it is.

    Args:
        manifest: what `pack` wrote, or what `train` takes.
        cache: the folder; gets the manifest and the masks of the pack, too.
        size: side of the network's input, pixels.
        preprocessing: of the network.
        report: takes the progress.

    Returns:
        The path of the pack's manifest. Its images are in the cache alone, so that nothing can prepare them twice.

    Raises:
        InputError: no such file, no pack, or one for another size, preprocessing or version.
    """
    if isinstance(manifest, pd.DataFrame) or Path(manifest).suffix != SUFFIX:
        return manifest
    path = Path(manifest)
    folder = cache / path.stem
    if not path.is_file():
        raise InputError(path, "no such file", "Write it with `brainsift pack`.")
    try:
        with ZipFile(path) as archive:
            found = Pack.from_json(json.loads(archive.read("pack.json")), path)
            _refuse_other(path, found, size, preprocessing)
            write_bytes(folder / "manifest.csv", archive.read("manifest.csv"))
            table = read_manifest(folder / "manifest.csv")
            for one in filter(None, table["mask"]):
                write_bytes(Path(one), archive.read(f"masks/{Path(one).name}"))
            fill(table, cache, lambda row: archive.read(f"images/{Path(row.path).name}"), size=size, report=report)
            fill(table, cache, lambda row: Path(row.mask).read_bytes(), size=size, masks=True)
    except (BadZipFile, KeyError, ValueError) as error:
        raise InputError(path, f"is no whole pack: {in_one_line(error)}", "Write it with `brainsift pack`.") from error
    return folder / "manifest.csv"


def _refuse_other(path: Path, found: Pack, size: int, preprocessing: str) -> None:
    wanted = (size, standard.VERSION, "standard")
    if (found.size, found.version, preprocessing) != wanted:
        rule = f"holds {found.size} pixels a side, prepared by version {found.version} of `standard`; this training "
        rule += f"needs {size} pixels, prepared by `{preprocessing}` (version {standard.VERSION})"
        raise InputError(path, rule, "Pack the images again, with this size and this version.")


def _quality(pixels: npt.NDArray[np.uint8], rows: npt.NDArray[np.int64], room: float, path: Path) -> int:
    """Chooses the best quality at which the images fit, from the sizes of some of them."""
    tried = rows[:: -(-len(rows) // _TRIED)]
    for quality in _QUALITIES:
        needed = len(rows) * sum(len(_webp(pixels[row], quality)) for row in tried) / len(tried)
        if _SPARE * needed <= room:
            return quality
    rule = f"would have {needed / 1e6:.3g} MB even at the lowest quality, more than allowed"
    raise InputError(path, rule, "Allow more, or choose fewer images.")


def _webp(pixels: npt.NDArray[np.uint8], quality: int) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "WEBP", quality=quality, lossless=quality == _EXACT)
    return file.getvalue()


def _png(mask: npt.NDArray[np.uint8]) -> bytes:
    file = io.BytesIO()
    Image.fromarray(mask).save(file, "PNG", optimize=True)
    return file.getvalue()
