"""NIfTI, MGH, MetaImage and NRRD volumes to slices, the way they are shown in radiology.

Whatever the order of its axes, a volume is turned to the nearest of right-anterior-superior and cut in the plane that
it was acquired in: across the axis with the thickest voxels, or across the body where no axis stands out. It is read
once, when the first of its slices is wanted, and lives as long as one of them does.
"""

import contextlib
import gzip
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, cast

import numpy as np
import numpy.typing as npt

from brainsift.core.errors import BrainsiftError, ImageSizeError, UnreadableImageError, in_one_line
from brainsift.core.reasons import Reason
from brainsift.images.decode import LIMITS, Limits, Rescale, chained, check_size, in_float32
from brainsift.images.padding import without_padding
from brainsift.images.spikes import range_without_spikes
from brainsift.volumes.acquisition import Acquisition
from brainsift.volumes.contrast import contrast_note, contrast_of_name
from brainsift.volumes.geometry import Geometry, geometry_of
from brainsift.volumes.raw_volume import read_raw_header
from brainsift.volumes.signatures import GZIP, HEADER_BYTES, MGH_SUFFIXES, is_raw_volume, nifti_version
from brainsift.volumes.slices import Loaded, Slice, coarse_of, joined, slice_of_values
from brainsift.volumes.voxel_grid import VoxelGrid

if TYPE_CHECKING:
    from nibabel.spatialimages import SpatialImage

_THICK = 1.5  # times the second thickest; thicker voxels tell the plane of a volume
_PLANES = ("sagittal", "coronal", "axial")  # by the axis that they are cut across
_FEW = 3  # times fewer slices along one axis tell the plane where all voxels count as alike
_REMEDY = "Convert it again, or leave it out."
_Array = npt.NDArray[np.generic]
_IMPORTING = threading.Lock()


def nifti_slices(path: str | Path, *, limits: Limits = LIMITS) -> list[Slice]:
    """Lists the slices of a file, axial ones from the feet upwards; only the header is read.

    Raises:
        UnreadableImageError: no NIfTI file, broken, or no grey image.
        ImageSizeError: beyond ``limits``.
    """
    volume, kind = _open(Path(path), limits), contrast_of_name(path)
    count, note = volume.count, joined(volume.note, contrast_note(kind) if kind else "")
    names = [str(path)] if count == 1 else [f"{path}#{number}" for number in range(1, count + 1)]
    return [
        Slice(
            name,
            str(path),
            partial(volume.load, place, name, limits),
            note=note,
            acquisition=Acquisition(geometry=volume.geometry(place), other_contrast=kind, grid=volume.grid),
        )
        for place, name in enumerate(names)
    ]


@dataclass(eq=False)
class _Volume:
    """A volume that is read when its first slice is.

    Attributes:
        path: of the file.
        first: reads the voxels, of the first volume where there are several.
        shape: of the file's axes, three of them.
        turn: what `nibabel` calls an orientation, (3, 2): how the file's axes become right, anterior, superior.
        axis: of the turned volume, across which it is cut.
        spacing: mm between the rows and the columns of a slice.
        count: number of slices.
        note: what else to know.
        affine: (4, 4), from the turned voxels to mm to the right, to the front and upwards; None where the header does
            not say how the head lies.
        grid: how the slices lie in the voxels of the file; None where its header has no usable place for them.
        rescale: turns voxels into the units of the file, once they are read.
    """

    path: Path
    first: Callable[[], _Array]
    shape: tuple[int, int, int]
    turn: npt.NDArray[np.float64]
    axis: int
    spacing: tuple[float, float]
    count: int
    note: str
    affine: npt.NDArray[np.float64] | None
    grid: VoxelGrid | None
    rescale: Rescale = (0.0, 1.0)
    _voxels: _Array | None = None
    _fault: UnreadableImageError | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def load(self, place: int, name: str, limits: Limits = LIMITS) -> Loaded:
        """Cuts a slice: anterior, or for other planes superior, up; the patient's right, or front, on the left."""
        with self._lock:  # threads share the volume
            if self._fault:  # reading it again for each slice would take minutes
                raise self._fault
            if self._voxels is None:
                try:
                    self._voxels = self._read()
                except UnreadableImageError as error:
                    self._fault = error
                    raise
        cut = self._voxels[place].T[::-1, ::-1]
        image = slice_of_values(cut, name=name, spacing=self.spacing, limits=limits)
        return Loaded(replace(image, rescale=chained(image.rescale, self.rescale)), coarse_of(cut))

    def geometry(self, place: int) -> Geometry | None:
        """Returns where a slice lies, as `load` turns it; None where the header does not say how the head lies."""
        if self.affine is None:
            return None
        x, y = (axis for axis in range(3) if axis != self.axis)
        sides = [self.shape[int(np.flatnonzero(self.turn[:, 0] == axis)[0])] for axis in range(3)]
        corner = np.array([side - 1 for side in sides], np.float64)  # of a slice, the first pixel is the last voxel
        corner[self.axis] = place
        to_dicom = np.diag([-1.0, -1.0, 1.0])
        steps = to_dicom @ self.affine[:3, :3]
        lengths = np.linalg.norm(steps, axis=0)
        first = to_dicom @ (self.affine @ [*corner, 1.0])[:3]
        across, downward = -steps[:, x] / lengths[x], -steps[:, y] / lengths[y]
        spacing = (float(lengths[y]), float(lengths[x]))
        return geometry_of(first, across, downward, (sides[y], sides[x]), spacing)

    def _read(self) -> _Array:
        with _nifti_errors(self.path):
            # What is mapped from the file cannot be written to.
            single, moved = in_float32(self.first())
            values = np.require(single, requirements="W").reshape(self.shape)
        voxels, rescale = _as_uint16(values)
        self.rescale = chained(rescale, moved)
        turned = np.asarray(_nibabel().orientations.apply_orientation(voxels, self.turn))
        return np.ascontiguousarray(np.moveaxis(turned, self.axis, 0))


@dataclass(frozen=True, eq=False)
class _Scan:
    """What the header of a file says, whatever its format.

    Attributes:
        shape: three axes in space, then others.
        affine: (4, 4), from voxels to mm right, anterior, superior.
        zooms: mm, along the axes in space.
        dtype: of a voxel.
        oriented: the header says how the head lies.
        first: reads the voxels, of the first volume where there are several.
        torn: the header says in two ways how the head lies, with the axes in another order or direction.
    """

    shape: tuple[int, ...]
    affine: npt.NDArray[np.float64]
    zooms: tuple[float, ...]
    dtype: np.dtype[Any]
    oriented: bool
    first: Callable[[], _Array]
    torn: bool = False


def _scan(path: Path, limits: Limits) -> _Scan:
    with _opened(path) as stream:
        head = stream.read(HEADER_BYTES)
        if is_raw_volume(head):
            raw = read_raw_header(path, limits)
            zooms = tuple(float(size) for size in np.linalg.norm(raw.affine[:3, :3], axis=0))
            return _Scan(raw.shape, raw.affine, zooms, raw.dtype, raw.oriented, raw.voxels)
        image = _image(stream, head, path.name)
        header: Any = image.header
        told = ("sform_code", "qform_code", "goodRASFlag")
        return _Scan(
            tuple(image.shape),
            image.affine,
            tuple(float(zoom) for zoom in (*header.get_zooms()[:3], 1.0, 1.0, 1.0)[:3]),
            image.get_data_dtype(),
            any(int(header[name]) for name in told if name in header),
            partial(_first_volume, path),
            _is_torn(header),
        )


def _is_torn(header: Any) -> bool:
    """Tells whether sform and qform of a NIfTI header, of which nibabel follows the sform, say different things."""
    if "sform_code" not in header or not (int(header["sform_code"]) and int(header["qform_code"])):
        return False
    nibabel = _nibabel()
    try:
        one, other = (nibabel.orientations.io_orientation(form) for form in (header.get_sform(), header.get_qform()))
    except (nibabel.spatialimages.HeaderDataError, np.linalg.LinAlgError):  # a qform that is none
        return False
    return bool(np.isfinite(one).all() and np.isfinite(other).all() and (one != other).any())


def _first_volume(path: Path) -> _Array:
    with _opened(path) as stream:
        image = _image(stream, stream.read(HEADER_BYTES), path.name)
        first = image.dataobj[(..., *(0 for _ in image.shape[3:]))] if image.ndim > 3 else image.dataobj
        return np.asarray(first)


def _open(path: Path, limits: Limits) -> _Volume:
    with _nifti_errors(path):
        _check_bytes(path.stat().st_size, path, limits)
        header = _scan(path, limits)
        turn = _nibabel().orientations.io_orientation(header.affine)
    zooms, note = header.zooms, _note(header)
    kind = header.dtype.kind
    if kind not in "buif":
        rule = "holds colors or complex numbers"
        raise UnreadableImageError(path, rule, "Convert it to a grey volume.", reason=Reason.UNSUPPORTED)
    x_side, y_side, z_side = (*header.shape[:3], 1, 1, 1)[:3]
    shape = (x_side, y_side, z_side)
    if min(header.shape, default=0) < 1:
        raise UnreadableImageError(path, f"has the shape {header.shape}", _REMEDY)
    _check_bytes(int(np.prod(shape, dtype=np.float64)) * np.dtype(np.float32).itemsize, path, limits)
    if not np.isfinite(turn).all():
        turn = np.array([[0, 1], [1, 1], [2, 1]], np.float64)
    place = [int(np.flatnonzero(turn[:, 0] == axis)[0]) for axis in range(3)]  # the file's axis of each turned one
    sides, spacings = [shape[one] for one in place], [zooms[one] for one in place]
    axis = _acquired_across(sides, spacings)
    x, y = (other for other in range(3) if other != axis)
    check_size((sides[x], sides[y]), str(path), limits)
    if header.oriented and axis != _PLANES.index("axial"):
        note = "; ".join(filter(None, (note, f"cut in the {_PLANES[axis]} plane")))
    affine, grid = None, None
    if np.isfinite(header.affine).all() and np.abs(np.linalg.det(header.affine[:3, :3])) > 0:
        grid = _grid(header, shape, turn, axes=(axis, y, x))
        if header.oriented:
            affine = header.affine @ _nibabel().orientations.inv_ornt_aff(turn, shape)
    return _Volume(path, header.first, shape, turn, axis, (spacings[y], spacings[x]), sides[axis], note, affine, grid)


def _grid(
    header: _Scan, shape: tuple[int, int, int], turn: npt.NDArray[np.float64], *, axes: tuple[int, int, int]
) -> VoxelGrid:
    """Returns how slices lie in the voxels of a file, as `_Volume.load` turns them.

    Args:
        header: of the file.
        shape: of its axes.
        turn: how they become right, anterior, superior.
        axes: of the turned volume, from slice to slice, from row to row and from column to column.
    """
    place = [int(np.flatnonzero(turn[:, 0] == axis)[0]) for axis in axes]
    ways = [int(turn[one, 1]) for one in place]
    affine = tuple(tuple(float(value) for value in row) for row in header.affine)
    shown = (ways[0], -ways[1], -ways[2])  # the first row and the first column of a slice are the last voxels
    return VoxelGrid(shape, affine, (place[0], place[1], place[2]), shown, header.oriented)


def _acquired_across(sides: list[int], spacings: list[float]) -> int:
    """Returns the axis across which a volume was acquired: 0 for sagittal, 1 for coronal, 2 for axial slices.

    Args:
        sides: voxels to the right, to the front, and upwards.
        spacings: mm, along the same axes; of a header that does not tell them they are alike.
    """
    if sides[2] == 1 or 1 in sides:
        return 2 if sides[2] == 1 else sides.index(1)
    usual = [spacing for spacing in sorted(spacings) if spacing > 0][:2]
    thick = [axis for axis in range(3) if usual and spacings[axis] > _THICK * usual[-1]]
    few = min(range(3), key=lambda axis: sides[axis])
    if not thick and sides[few] * _FEW < sorted(sides)[1]:
        thick = [few]
    return thick[0] if thick else 2


def _note(header: _Scan) -> str:
    volumes = int(np.prod(header.shape[3:]))
    notes = [f"the first of {volumes} volumes"] if volumes > 1 else []
    if not header.oriented:
        notes.append("the header does not say how the head lies")
    if header.torn:
        notes.append("sform and qform of the header disagree on how the head lies: the sform is followed")
    return "; ".join(notes)


def _check_bytes(size: int, path: Path, limits: Limits) -> None:
    if size > limits.max_bytes:
        raise ImageSizeError(path, f"needs {size} bytes, more than {limits.max_bytes}", "Cut it, or save it smaller.")


def _as_uint16(values: npt.NDArray[np.float32]) -> tuple[npt.NDArray[np.uint16], Rescale]:
    """Maps the values of a whole volume to 0 to 65535, so that its slices stay comparable; spikes are cut off."""
    values = without_padding(values)
    low, high = range_without_spikes(values, values[::2, ::2, ::2])
    span = (high - low) or 1.0
    scaled = np.clip((values - low) * np.float32(65535 / span), 0, 65535)
    return np.rint(scaled, out=scaled).astype(np.uint16), (low, span / 65535)


@contextlib.contextmanager
def _nifti_errors(path: Path) -> Iterator[None]:
    """Turns what broken files make gzip, struct and nibabel raise into our errors."""
    try:
        yield
    except (BrainsiftError, ImportError, MemoryError):
        raise
    except FileNotFoundError as error:
        raise UnreadableImageError(path, "no such file", "Check the path.", reason=Reason.MISSING_FILE) from error
    except Exception as error:
        raise UnreadableImageError(path, f"cannot be read as {_kind(path)}: {in_one_line(error)}", _REMEDY) from error


def _kind(path: Path) -> str:
    suffix = path.suffix.lower()
    return "a volume" if suffix in (*MGH_SUFFIXES, ".mha", ".mhd", ".nrrd", ".nhdr") else "NIfTI"


def _nibabel() -> Any:
    """Imports nibabel by one thread at a time: a half-imported package would look like a broken file."""
    with _IMPORTING:
        import nibabel
        import nibabel.fileholders
        import nibabel.freesurfer.mghformat
        import nibabel.nifti1
        import nibabel.nifti2
        import nibabel.orientations
        import nibabel.spatialimages
    return nibabel


def _opened(path: Path) -> IO[bytes]:
    with path.open("rb") as file:
        packed = file.read(2) == GZIP
    return gzip.open(path, "rb") if packed else path.open("rb")  # type: ignore[return-value]


def _image(stream: IO[bytes], head: bytes, name: str) -> "SpatialImage":
    """Reads the header; unlike in `nibabel.load`, the name of the file has a say only for MGH."""
    nibabel, version = _nibabel(), nifti_version(head)
    kinds = {1: nibabel.nifti1.Nifti1Image, 2: nibabel.nifti2.Nifti2Image}
    kind = nibabel.MGHImage if name.lower().endswith(MGH_SUFFIXES) else kinds.get(version)
    if kind is None:
        raise UnreadableImageError(stream.name, "is no NIfTI file in one piece", _REMEDY)
    stream.seek(0)
    image: Any = kind.from_file_map({"image": nibabel.fileholders.FileHolder(fileobj=stream)})
    if kind is not nibabel.MGHImage and image.dataobj.offset < image.header.single_vox_offset:
        # nibabel then takes the header for voxels; other programs start at one byte or another
        rule = f"says that its voxels start at byte {image.dataobj.offset}, which is within its header"
        raise UnreadableImageError(name, rule, f"Write {image.header.single_vox_offset} as `vox_offset`.")
    return cast("SpatialImage", image)
