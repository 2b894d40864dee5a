"""Files to slices: which files are DICOM or NIfTI, in which order their slices come, and one slice by its name.

The content decides what a file is. pydicom and nibabel are imported when the first such file is met, so that a plain
image costs no more than before.
"""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import chain
from pathlib import Path

from brainsift.core.errors import InputError, UnreadableImageError, UsageError
from brainsift.core.reasons import Reason
from brainsift.core.walk import walk
from brainsift.core.warned import collected_warnings
from brainsift.images.decode import LIMITS, DecodedImage, Limits, decode, import_formats, without_waiting
from brainsift.images.pages import HEAD_BYTES, Pages, may_hold_pages
from brainsift.volumes.grouping import DICOM, Unit, units_of
from brainsift.volumes.signatures import DICOM_SUFFIXES, GZIP, MGH_SUFFIXES, is_volume, unpacked
from brainsift.volumes.slices import Loaded, Slice, broken_slice

NIFTI_SUFFIXES = (".nii", ".nii.gz")
VOLUME_SUFFIXES = (*NIFTI_SUFFIXES, *MGH_SUFFIXES, ".mha", ".mhd", ".nrrd", ".nhdr")
"""Of the files of one volume each."""
_DICOM_MARK = slice(128, 132)
_IMAGES = (b"\xff\xd8", b"\x89PNG", b"GIF8", b"BM", b"RIFF", b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_PAIR_HEADERS = [size.to_bytes(4, order) for size in (348, 540) for order in ("little", "big")]  # their first number
_CONVERT = {
    ".mnc": "Convert it: mnc2nii NAME.mnc NAME.nii",
}
PACKED_BYTES = 4096
"""Of a file, from its start, that tell its kind, also where it is packed by gzip."""


def kind_of(path: str | Path) -> str:
    """Tells "dicom", "nifti", "pages" (an image that may hold several pictures) or "" of a file from its first bytes.

    DICOM files without the mark at byte 128 count where they end in .dcm or .ima, and what ends as volumes do is taken
    for one, unless it starts as an image does. "nifti" stands for all files that hold one volume.
    """
    try:
        # A Path and a buffer would cost more than the reading.
        with open(path, "rb", buffering=0, opener=without_waiting) as file:
            head = file.read(HEAD_BYTES) or b""  # of a pipe None
            if head.startswith(GZIP):
                head += file.read(PACKED_BYTES - HEAD_BYTES)
    except OSError:
        return ""
    return kind_of_content(head, os.path.split(path)[1])


def kind_of_content(head: bytes, name: str) -> str:
    """Tells what `kind_of` tells, from the first bytes of a file, `PACKED_BYTES` or all, and its name."""
    name = name.lower()
    if unpacked(head)[_DICOM_MARK] == b"DICM":
        return DICOM
    if is_volume(head, name):
        return "nifti"
    if head.startswith(_IMAGES):
        return "pages" if may_hold_pages(head) else ""
    return DICOM if Path(name).suffix in DICOM_SUFFIXES else "nifti" if name.endswith(VOLUME_SUFFIXES) else ""


def is_volume_name(path: Path) -> bool:
    """Tells whether a file of a folder is worth reading as DICOM or NIfTI, or is a volume of another format.

    The content decides where the name does not: files of archives have no suffix, or a number for one, as the
    identifiers of DICOM do, and exports call theirs .dicom or .MR.
    """
    name = path.name.lower()
    if name.endswith((*VOLUME_SUFFIXES, *DICOM_SUFFIXES, *_CONVERT)):
        return True
    return name != "dicomdir" and kind_of(path) in (DICOM, "nifti")


def slices_of(files: Iterable[str | Path | Unit], *, limits: Limits = LIMITS) -> Iterator[Slice]:
    """Yields what is to be scored, file by file and slice by slice.

    The files of a DICOM series are read together, in whichever folders they lie: it comes where its first file stands.
    Nothing is read of a file before its turn but its header.

    Args:
        files: paths, or what `grouping.units_of` made of them.
        limits: what is read at all.
    """
    remaining = iter(files)
    for file in remaining:
        if isinstance(file, Unit):
            yield from unit_slices(file, limits=limits)
        else:
            paths = (str(path) for path in chain([file], remaining))
            units = units_of(((path, kind_of(path)) for path in paths), limits=limits)
            yield from chain.from_iterable(unit_slices(unit, limits=limits) for unit in units)


def unit_slices(unit: Unit, *, limits: Limits = LIMITS) -> list[Slice]:
    """Lists the slices of files that are read together; a file that cannot be read is one slice that says why."""
    if unit.kind in (DICOM, "nifti"):
        import_decoders()  # its slices may be read by several threads
    if unit.kind == DICOM:
        from brainsift.volumes.dicom import dicom_slices  # a plain image does without it

        return dicom_slices(unit.paths, unit.volume, limits=limits)
    with collected_warnings() as words:
        found = _file_slices(unit.paths[0], unit.kind, limits)
    return [piece.noted(*words) for piece in found]


def _file_slices(path: str, kind: str, limits: Limits) -> list[Slice]:
    try:
        if kind == "nifti":
            from brainsift.volumes.nifti import nifti_slices  # a plain image does without it

            return nifti_slices(path, limits=limits)
        pages = Pages(path, limits) if kind == "pages" else None
    except InputError as error:
        return [broken_slice(path, path if kind == "nifti" else "", error)]
    if pages is None or pages.numbers == [1]:
        return [Slice(path, "", lambda: Loaded(_decoded(path, limits)), note=pages.note if pages else "")]
    if len(pages.numbers) == 1:  # behind a reduced copy of it
        return [Slice(path, "", partial(_page, pages, pages.numbers[0], path))]
    names = [f"{path}#{number}" for number in pages.numbers]
    return [
        Slice(name, path, partial(_page, pages, number, name))
        for name, number in zip(names, pages.numbers, strict=True)
    ]


def _page(pages: Pages, number: int, name: str) -> Loaded:
    return Loaded(pages.decode(number, name=name))


@dataclass(frozen=True, eq=False)
class Volume:
    """The slices of one volume.

    Attributes:
        name: path of the NIfTI file or name of the DICOM series, as predictions have it.
        slices: in order; each is read when its pixels are wanted.
    """

    name: str
    slices: tuple[Slice, ...]


def read_volume(path: str | Path, *, volume: str = "", limits: Limits = LIMITS) -> Volume:
    """Lists the slices of one volume.

    Args:
        path: a NIfTI file, a DICOM file of several frames, or a folder with a DICOM series.
        volume: the name of the one that is meant, where a folder holds several.
        limits: what is read at all.

    Raises:
        InputError: there is no volume.
        UsageError: there are several volumes, or none with that name.
    """
    path = Path(path)
    if not os.path.exists(path):
        raise InputError(path, "does not exist", "Check the path.", reason=Reason.MISSING_FILE)
    files = walk(path, is_volume_name) if path.is_dir() else [path]
    found: dict[str, list[Slice]] = {}
    for piece in slices_of(files, limits=limits):
        if piece.volume:
            found.setdefault(piece.volume, []).append(piece)
    if not found:
        raise InputError(
            path, "holds no volume", "Name a NIfTI file or a DICOM series; `Predictor.score` takes images."
        )
    if volume not in found and (volume or len(found) > 1):
        rule = f"holds no volume {volume!r}" if volume else f"holds {len(found)} volumes"
        raise UsageError(path, rule, f"Name one of them as `volume`: {', '.join(map(repr, found))}.")
    name = volume or next(iter(found))
    return Volume(name, tuple(found[name]))


def find_slice(name: str | Path) -> Slice:
    """Returns one slice by its name, which for a file of one slice is its path.

    Raises:
        UsageError: the name of a file of several slices, or a slice that is not there.
        UnreadableImageError, ImageSizeError: the file cannot be used.
    """
    path, number = split_name(str(name))
    kind = kind_of(path)
    try:
        status = Path(path).stat() if kind else None
    except OSError:  # it has gone meanwhile: reading it says so
        status = None
    if status is None:
        return unit_slices(Unit("", (path if kind else str(name),)))[0]
    found = _by_file(path, kind, status.st_mtime_ns, status.st_size)
    if not number and len(found) > 1:
        raise UsageError(name, f"holds {len(found)} slices", f"Use `predict`, or name one of them: {path}#1.")
    if len(found) == 1 and number < 2:
        return found[0]
    for one in found:
        if one.name == f"{path}#{number}":
            return one
    if number > len(found):
        raise UsageError(name, f"has only {len(found)} slices", "Slices count from 1.")
    rule = "is no slice: a reduced copy or a mask of another page, or there is none with this number"
    raise UsageError(name, rule, f"Name one that `predict` lists, such as {found[0].name}.")


def read_slice(name: str | Path) -> DecodedImage:
    """Reads an image, or a slice by its name; raises as `find_slice` does."""
    return find_slice(name).read()


def split_name(name: str) -> tuple[str, int]:
    """Divides the name of a slice into its file and its number; 0 for a file of one slice."""
    path, mark, number = name.rpartition("#")
    return (path, int(number)) if mark and number.isdigit() and not os.path.exists(name) else (name, 0)


@lru_cache(maxsize=2)  # of a volume whose overlays are drawn, slice after slice
def _by_file(path: str, kind: str, changed_ns: int, size: int) -> tuple[Slice, ...]:
    return tuple(unit_slices(next(units_of([(path, kind)]))))


def _decoded(path: str, limits: Limits) -> DecodedImage:
    try:
        return decode(path, limits=limits)
    except UnreadableImageError as error:
        if error.reason != Reason.NOT_AN_IMAGE:
            raise
        suffix = next((suffix for suffix in _CONVERT if path.lower().endswith(suffix)), "")
        if suffix:
            rule, remedy = f"is a {suffix} file, which is not read here", _CONVERT[suffix]
        elif _is_half(Path(path)):
            rule = "is one half of a volume in two files, .hdr and .img (ANALYZE or NIfTI)"
            remedy = "Make one file of both: nib-convert NAME.hdr NAME.nii"
        else:
            raise
    raise UnreadableImageError(path, rule, remedy, reason=Reason.UNSUPPORTED)


def _is_half(path: Path) -> bool:
    """Tells whether a file is one of a pair by the start of its header: the voxels say nothing of themselves."""
    if path.suffix.lower() not in (".hdr", ".img"):
        return False
    try:
        with path.with_suffix(".hdr").open("rb") as file:
            return file.read(4) in _PAIR_HEADERS
    except OSError:
        return False


def import_decoders() -> None:
    """Imports what reading a file may need: pydicom, nibabel, our modules that use them, and all formats of Pillow.

    Call it before threads that read files start. Where two threads import one of these libraries at the same time,
    one of them may get a module that is not complete, and a good file then looks broken.
    """
    import nibabel.fileholders
    import nibabel.freesurfer.mghformat
    import nibabel.nifti1
    import nibabel.nifti2
    import nibabel.orientations  # noqa: F401
    import numpy.ma  # noqa: F401
    import pydicom.dataset
    import pydicom.filereader
    import pydicom.pixels
    import pydicom.uid  # noqa: F401

    from brainsift.volumes import dicom, jpeg_lossless, nifti  # noqa: F401

    jpeg_lossless.register()
    import_formats()
