"""NIfTI volumes to axial slices, the way they are shown in radiology.

Whatever the order of its axes, a volume is turned to the nearest of right-anterior-superior and cut across the last
axis; it is read once, when the first of its slices is wanted, and lives as long as one of them does.
"""

import gzip
import threading
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from io import IOBase
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, TypeVar, cast

import numpy as np
import numpy.typing as npt

from brainsift.core.errors import BrainsiftError, ImageSizeError, UnreadableImageError, in_one_line
from brainsift.core.reasons import Reason
from brainsift.images.decode import LIMITS, Limits, Rescale, check_size
from brainsift.images.padding import without_padding
from brainsift.volumes.slices import Loaded, Slice, coarse_of, slice_of_values

if TYPE_CHECKING:
    from nibabel.nifti1 import Nifti1Image

GZIP = b"\x1f\x8b"
_MAGICS = ((344, b"n+1\0"), (4, b"n+2\0"))  # where and what, of version 1 and 2
_HEADER_BYTES = 352
_OUTLIER = 4.0  # values beyond this multiple of the 99.9th percentile are spikes
_REMEDY = "Convert it again, or leave it out."
_Array = npt.NDArray[np.generic]
_Result = TypeVar("_Result")


def is_nifti(head: bytes) -> bool:
    """Tells whether the first bytes of a file, 4096 or all, are of a NIfTI file in one piece, packed or not."""
    return bool(_version(_unpacked(head)))


def nifti_slices(path: str | Path, *, limits: Limits = LIMITS) -> list[Slice]:
    """Lists the axial slices of a file from the feet upwards; only the header is read.

    A volume of one slice gives that slice, whichever way it was cut.

    Raises:
        UnreadableImageError: no NIfTI file, broken, or no grey image.
        ImageSizeError: beyond ``limits``.
    """
    volume = _guarded(str(path), partial(_open, Path(path), limits))
    count = volume.count
    names = [str(path)] if count == 1 else [f"{path}#{number}" for number in range(1, count + 1)]
    return [
        Slice(name, str(path), partial(volume.load, place, name, limits), note=volume.note)
        for place, name in enumerate(names)
    ]


@dataclass(eq=False)
class _Volume:
    """A volume that is read when its first slice is.

    Attributes:
        path: of the file.
        shape: of the file's axes, three of them.
        turn: what `nibabel` calls an orientation, (3, 2): how the file's axes become right, anterior, superior.
        axis: of the turned volume, across which it is cut.
        spacing: mm between the rows and the columns of a slice.
        count: number of slices.
        note: what else to know.
        rescale: turns voxels into the units of the file, once they are read.
    """

    path: Path
    shape: tuple[int, int, int]
    turn: npt.NDArray[np.float64]
    axis: int
    spacing: tuple[float, float]
    count: int
    note: str
    rescale: Rescale = (0.0, 1.0)
    _voxels: _Array | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def load(self, place: int, name: str, limits: Limits = LIMITS) -> Loaded:
        """Cuts a slice: anterior, or for other planes superior, up; the patient's right, or front, on the left."""
        with self._lock:  # threads share the volume
            if self._voxels is None:
                self._voxels = _guarded(str(self.path), self._read)
        cut = self._voxels[place].T[::-1, ::-1]
        image = slice_of_values(cut, name=name, spacing=self.spacing, limits=limits)
        return Loaded(replace(image, rescale=_chained(image.rescale, self.rescale)), coarse_of(cut))

    def _read(self) -> _Array:
        from nibabel.orientations import apply_orientation

        with _opened(self.path) as stream:
            image = _image(stream)
            first = image.dataobj[(..., *(0 for _ in image.shape[3:]))] if image.ndim > 3 else image.dataobj
            # What is mapped from the file cannot be written to.
            values = np.require(np.asarray(first, np.float32), requirements="W").reshape(self.shape)
        voxels, self.rescale = _as_uint16(values)
        turned = np.asarray(apply_orientation(voxels, self.turn))
        return np.ascontiguousarray(np.moveaxis(turned, self.axis, 0))


def _open(path: Path, limits: Limits) -> _Volume:
    from nibabel.orientations import io_orientation

    _check_bytes(path.stat().st_size, path, limits)
    with _opened(path) as stream:
        header = _image(stream)
    if header.get_data_dtype().kind not in "buif":
        rule = "holds colours or complex numbers"
        raise UnreadableImageError(path, rule, "Convert it to a grey volume.", reason=Reason.UNSUPPORTED)
    x_side, y_side, z_side = (*header.shape[:3], 1, 1, 1)[:3]
    shape = (x_side, y_side, z_side)
    if min(header.shape, default=0) < 1:
        raise UnreadableImageError(path, f"has the shape {header.shape}", _REMEDY)
    _check_bytes(int(np.prod(shape, dtype=np.float64)) * np.dtype(np.float32).itemsize, path, limits)
    turn = io_orientation(header.affine)
    if not np.isfinite(turn).all():
        turn = np.array([[0, 1], [1, 1], [2, 1]], np.float64)
    place = [int(np.flatnonzero(turn[:, 0] == axis)[0]) for axis in range(3)]  # the file's axis of each turned one
    sides = [shape[one] for one in place]
    zooms = [float(one) for one in (*header.header.get_zooms()[:3], 1.0, 1.0, 1.0)[:3]]
    axis = 2 if sides[2] == 1 or 1 not in sides else sides.index(1)
    x, y = (other for other in range(3) if other != axis)
    check_size((sides[x], sides[y]), str(path), limits)
    spacing = (zooms[place[y]], zooms[place[x]])
    return _Volume(path, shape, turn, axis, spacing, sides[axis], _note(header))


def _note(image: "Nifti1Image") -> str:
    volumes = int(np.prod(image.shape[3:]))
    notes = [f"the first of {volumes} volumes"] if volumes > 1 else []
    if not (int(image.header["sform_code"]) or int(image.header["qform_code"])):
        notes.append("the header does not say how the head lies")
    return "; ".join(notes)


def _check_bytes(size: int, path: Path, limits: Limits) -> None:
    if size > limits.max_bytes:
        raise ImageSizeError(path, f"needs {size} bytes, more than {limits.max_bytes}", "Cut it, or save it smaller.")


def _chained(first: Rescale, second: Rescale) -> Rescale:
    return second[0] + second[1] * first[0], second[1] * first[1]


def _as_uint16(values: npt.NDArray[np.float32]) -> tuple[npt.NDArray[np.uint16], Rescale]:
    """Maps the values of a whole volume to 0 to 65535, so that its slices stay comparable; spikes are cut off."""
    values = without_padding(values)
    low, high = float(values.min()), float(values.max())
    usual = float(np.percentile(values[::2, ::2, ::2], 99.9)) - low
    if usual > 0:
        high = min(high, low + _OUTLIER * usual)
    span = (high - low) or 1.0
    scaled = np.clip((values - low) * np.float32(65535 / span), 0, 65535)
    return np.rint(scaled, out=scaled).astype(np.uint16), (low, span / 65535)


def _opened(path: Path) -> IO[bytes]:
    with path.open("rb") as file:
        packed = file.read(2) == GZIP
    return gzip.open(path, "rb") if packed else path.open("rb")  # type: ignore[return-value]


def _image(stream: IO[bytes]) -> "Nifti1Image":
    """Reads the header; the name of the file has no say, unlike in `nibabel.load`."""
    from nibabel.fileholders import FileHolder
    from nibabel.nifti1 import Nifti1Image
    from nibabel.nifti2 import Nifti2Image

    version = _version(stream.read(_HEADER_BYTES))
    if not version:
        raise UnreadableImageError(stream.name, "is no NIfTI file in one piece", _REMEDY)
    stream.seek(0)
    kind: Any = Nifti1Image if version == 1 else Nifti2Image
    image: Nifti1Image = kind.from_file_map({"image": FileHolder(fileobj=cast(IOBase, stream))})
    return image


def _version(head: bytes) -> int:
    for version, (start, magic) in enumerate(_MAGICS, start=1):
        if head[start : start + 4] == magic:
            return version
    return 0


def _unpacked(head: bytes) -> bytes:
    if not head.startswith(GZIP):
        return head
    try:
        return zlib.decompressobj(wbits=31).decompress(head, _HEADER_BYTES)
    except zlib.error:
        return b""


def _guarded(label: str, action: Callable[[], _Result]) -> _Result:
    try:
        return action()
    except BrainsiftError:
        raise
    except FileNotFoundError as error:
        raise UnreadableImageError(label, "no such file", "Check the path.", reason=Reason.MISSING_FILE) from error
    except Exception as error:  # gzip, struct and nibabel each raise their own on broken files
        raise UnreadableImageError(label, f"cannot be read as NIfTI: {in_one_line(error)}", _REMEDY) from error
