"""Files to slices: which files are DICOM or NIfTI, in which order their slices come, and one slice by its name.

The content decides what a file is. pydicom and nibabel are imported when the first such file is met, so that a plain
image costs no more than before.
"""

from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path

from brainsift.core.errors import BrainsiftError, UnreadableImageError, UsageError
from brainsift.images.decode import LIMITS, DecodedImage, Limits, decode
from brainsift.volumes.dicom import SUFFIXES as DICOM_SUFFIXES
from brainsift.volumes.dicom import dicom_slices
from brainsift.volumes.nifti import GZIP, is_nifti, nifti_slices
from brainsift.volumes.slices import Loaded, Slice, broken_slice

NIFTI_SUFFIXES = (".nii", ".nii.gz")
_DICOM_MARK = slice(128, 132)
_IMAGES = (b"\xff\xd8", b"\x89PNG", b"GIF8", b"BM", b"RIFF", b"II*\0", b"MM\0*")
_PAIR_HEADERS = [size.to_bytes(4, order) for size in (348, 540) for order in ("little", "big")]  # their first number
_HEAD_BYTES = 352
_PACKED_BYTES = 4096


def kind_of(path: str | Path) -> str:
    """Tells "dicom", "nifti" or "" of a file from its first bytes.

    DICOM files without the mark at byte 128 count where they end in .dcm or .ima, and what ends in .nii or .nii.gz is
    taken for NIfTI, unless it starts as an image does.
    """
    try:
        # A Path and a buffer would cost more than the reading.
        with open(path, "rb", buffering=0) as file:  # noqa: PTH123
            head = file.read(_HEAD_BYTES)
            if head.startswith(GZIP):
                head += file.read(_PACKED_BYTES - _HEAD_BYTES)
    except OSError:
        return ""
    if head[_DICOM_MARK] == b"DICM":
        return "dicom"
    if is_nifti(head):
        return "nifti"
    if head.startswith(_IMAGES):
        return ""
    name = Path(path).name.lower()
    return "dicom" if Path(name).suffix in DICOM_SUFFIXES else "nifti" if name.endswith(NIFTI_SUFFIXES) else ""


def is_volume_name(path: Path) -> bool:
    """Tells whether a file of a folder is worth reading as DICOM or NIfTI.

    Files of archives have no suffix, or a number for one, as the identifiers of DICOM do.
    """
    name, suffix = path.name.lower(), path.suffix.lower()
    if name.endswith(NIFTI_SUFFIXES) or suffix in DICOM_SUFFIXES:
        return True
    return (not suffix or suffix[1:].isdigit()) and name != "dicomdir" and path.is_file() and kind_of(path) == "dicom"


def slices_of(paths: Iterable[str | Path], *, limits: Limits = LIMITS) -> Iterator[Slice]:
    """Yields what is to be judged, file by file and slice by slice.

    The DICOM files of one folder that follow each other are read together: a series comes where its first file
    stands. Nothing is read of a file before its turn but its header. A volume that is named twice in a row is no larger
    for that.
    """
    waiting = iter(paths)
    ahead: list[str | Path] = []
    last: str | Path | None = None
    while True:
        path = ahead.pop() if ahead else next(waiting, None)
        if path is None:
            return
        kind = kind_of(path)
        if kind != "dicom":
            if not kind or path != last:
                yield from _slices(path, kind, limits)
            last = path
            continue
        folder, together, last = Path(path).parent, [path], None
        for other in waiting:
            if Path(other).parent != folder:
                ahead.append(other)
                break
            together.append(other)
        yield from _folder(together, limits)


def find_slice(name: str | Path) -> Slice:
    """Returns one slice by its name, which for a file of one slice is its path.

    Raises:
        UsageError: the name of a file of several slices, or a slice that is not there.
        UnreadableImageError, ImageSizeError: the file cannot be used.
    """
    path, number = _split(str(name))
    kind = kind_of(path)
    if not kind:
        return _plain(str(name))
    status = Path(path).stat()
    found = _by_file(path, kind, status.st_mtime_ns, status.st_size)
    if not number and len(found) > 1:
        raise UsageError(name, f"holds {len(found)} slices", f"Use `predict`, or name one of them: {path}#1.")
    if number > len(found):
        raise UsageError(name, f"has only {len(found)} slices", "Slices count from 1.")
    wanted = f"{path}#{number}" if number else path
    return next((one for one in found if one.name == wanted), found[0])


def read_slice(name: str | Path) -> DecodedImage:
    """Reads an image, or a slice by its name; raises as `find_slice` does."""
    return find_slice(name).read()


def _split(name: str) -> tuple[str, int]:
    path, mark, number = name.rpartition("#")
    return (path, int(number)) if mark and number.isdigit() and not Path(name).exists() else (name, 0)


@lru_cache(maxsize=2)  # of a volume whose overlays are drawn, slice after slice
def _by_file(path: str, kind: str, changed_ns: int, size: int) -> tuple[Slice, ...]:
    return tuple(nifti_slices(path) if kind == "nifti" else dicom_slices([path])[0][1])


def _slices(path: str | Path, kind: str, limits: Limits) -> Iterator[Slice]:
    if kind != "nifti":
        yield _plain(str(path), limits)
        return
    try:
        found = nifti_slices(path, limits=limits)
    except BrainsiftError as error:
        yield broken_slice(str(path), str(path), error)
        return
    yield from found


def _folder(paths: list[str | Path], limits: Limits) -> Iterator[Slice]:
    kinds = [(path, kind_of(path)) for path in dict.fromkeys(paths)]
    series = dict(dicom_slices([path for path, kind in kinds if kind == "dicom"], limits=limits))
    for path, kind in kinds:
        if kind == "dicom":
            yield from series.pop(str(path), ())
        else:
            yield from _slices(path, kind, limits)


def _plain(path: str, limits: Limits = LIMITS) -> Slice:
    return Slice(path, "", lambda: Loaded(_decoded(path, limits)))


def _decoded(path: str, limits: Limits) -> DecodedImage:
    try:
        return decode(path, limits=limits)
    except UnreadableImageError:
        if not _is_half(Path(path)):
            raise
    header = Path(path).with_suffix(".hdr").name
    rule = "is one half of a volume in two files, .hdr and .img (ANALYZE or NIfTI)"
    raise UnreadableImageError(path, rule, f"Make one file of both: nib-convert {header} {Path(header).stem}.nii")


def _is_half(path: Path) -> bool:
    """Tells whether a file is one of a pair by the start of its header: the voxels say nothing of themselves."""
    if path.suffix.lower() not in (".hdr", ".img"):
        return False
    try:
        with path.with_suffix(".hdr").open("rb") as file:
            return file.read(4) in _PAIR_HEADERS
    except OSError:
        return False
