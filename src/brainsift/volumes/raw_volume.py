"""MetaImage (.mha, .mhd) and NRRD (.nrrd, .nhdr) files: a header of text, and the voxels as they lie in memory.

Both name the voxels' file where they lie apart. Only a file beside the header that starts with the name of the header
is read: a header from elsewhere must not lead to any file of this machine.

Source: https://itk.org/Wiki/ITK/MetaIO/Documentation and https://teem.sourceforge.net/nrrd/format.html
"""

import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from brainsift.core.errors import ImageSizeError, UnreadableImageError
from brainsift.core.reasons import Reason
from brainsift.images.decode import Limits

Matrix = npt.NDArray[np.float64]

_MOST_HEADER = 64 * 1024  # bytes
_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])  # from left-posterior-superior, as ITK counts
_NRRD_SPACES = {
    "right-anterior-superior": np.eye(4),
    "left-anterior-superior": np.diag([-1.0, 1.0, 1.0, 1.0]),
    "left-posterior-superior": _TO_RAS,
}
_NRRD_SPACES |= {"".join(word[0] for word in name.split("-")): matrix for name, matrix in _NRRD_SPACES.items()}
_META_TYPES = {
    **{"MET_CHAR": "i1", "MET_UCHAR": "u1", "MET_SHORT": "i2", "MET_USHORT": "u2", "MET_INT": "i4", "MET_UINT": "u4"},
    **{"MET_LONG": "i8", "MET_ULONG": "u8", "MET_FLOAT": "f4", "MET_DOUBLE": "f8"},
    **{"MET_LONG_LONG": "i8", "MET_ULONG_LONG": "u8"},
}
_NRRD_TYPES = {
    **dict.fromkeys(("signed char", "int8", "int8_t"), "i1"),
    **dict.fromkeys(("uchar", "unsigned char", "uint8", "uint8_t"), "u1"),
    **dict.fromkeys(("short", "short int", "signed short", "signed short int", "int16", "int16_t"), "i2"),
    **dict.fromkeys(("ushort", "unsigned short", "unsigned short int", "uint16", "uint16_t"), "u2"),
    **dict.fromkeys(("int", "signed int", "int32", "int32_t"), "i4"),
    **dict.fromkeys(("uint", "unsigned int", "uint32", "uint32_t"), "u4"),
    **dict.fromkeys(("longlong", "long long", "long long int", "signed long long", "int64", "int64_t"), "i8"),
    **dict.fromkeys(("ulonglong", "unsigned long long", "unsigned long long int", "uint64", "uint64_t"), "u8"),
    **{"float": "f4", "double": "f8"},
}
_REMEDY = "Convert it to NIfTI, with 3D Slicer or: c3d {name} -o volume.nii.gz"


@dataclass(frozen=True, eq=False)
class RawVolume:
    """What the header says.

    Attributes:
        data: file of the voxels.
        start: where they start in it, bytes; below 0 they are its end.
        packed: they are compressed, by zlib or gzip.
        dtype: of a voxel.
        sides: of the file's axes, the fastest first.
        axes: which of them lie in space, three.
        affine: (4, 4), from voxels to mm right, anterior, superior.
        oriented: the header says how the head lies.
    """

    data: Path
    start: int
    packed: bool
    dtype: np.dtype[Any]
    sides: tuple[int, ...]
    axes: tuple[int, ...]
    affine: Matrix
    oriented: bool

    @property
    def shape(self) -> tuple[int, ...]:
        """Voxels along the axes in space, then along the others."""
        others = [side for axis, side in enumerate(self.sides) if axis not in self.axes]
        return (*(self.sides[axis] for axis in self.axes), *others)

    def voxels(self) -> npt.NDArray[np.generic]:
        """Reads the first volume, (x, y, z).

        Raises:
            UnreadableImageError: there are fewer voxels than the header says.
        """
        size = int(np.prod(self.sides, dtype=np.float64)) * self.dtype.itemsize
        with self.data.open("rb") as file:
            file.seek(max(self.start, 0))
            if self.packed:
                content = zlib.decompressobj(wbits=zlib.MAX_WBITS | 32).decompress(file.read(), size)
            else:
                if self.start < 0:
                    file.seek(-size, 2)
                content = file.read(size)
        if len(content) < size:
            raise UnreadableImageError(self.data, "holds fewer voxels than its header says", "Save it again.")
        whole = np.frombuffer(content, self.dtype).reshape(self.sides, order="F")
        first = tuple(slice(None) if axis in self.axes else 0 for axis in range(len(self.sides)))
        return np.asarray(whole[first])


def read_raw_header(path: Path, limits: Limits) -> RawVolume:
    """Reads the header of a MetaImage or NRRD file.

    Raises:
        UnreadableImageError: broken, of a kind that is not read here, or its voxels' file is missing.
        ImageSizeError: beyond ``limits``.
    """
    with path.open("rb") as file:
        head = file.read(_MOST_HEADER)
    try:
        found = _nrrd(path, head) if head.startswith(b"NRRD") else _meta(path, head)
    except (KeyError, ValueError, IndexError, np.linalg.LinAlgError) as error:
        rule = f"has a header that is broken, or of a kind that is not read here ({error})"
        raise UnreadableImageError(path, rule, _REMEDY.format(name=path.name), reason=Reason.UNSUPPORTED) from error
    if not found.data.is_file():
        rule = f"has its voxels in another file, {found.data.name}, which is missing"
        raise UnreadableImageError(path, rule, "Put it beside the header, or save both as one file.")
    size = float(np.prod(found.sides, dtype=np.float64)) * found.dtype.itemsize
    if size > limits.max_bytes:
        raise ImageSizeError(path, f"needs {size:.0f} bytes, more than {limits.max_bytes}", "Cut it.")
    return found


def _meta(path: Path, head: bytes) -> RawVolume:
    end = re.search(rb"^ElementDataFile\s*=.*$\n?", head, re.MULTILINE)
    if not end:
        raise ValueError("it names no ElementDataFile")
    lines = (line.split("=", 1) for line in head[: end.end()].decode("latin-1").splitlines() if "=" in line)
    fields = {key.strip(): value.strip() for key, value in lines}
    n_axes = int(fields["NDims"])
    sides = _whole(fields["DimSize"], n_axes)
    channels = int(fields.get("ElementNumberOfChannels", 1))
    if n_axes not in (3, 4) or channels != 1 or fields.get("BinaryData", "True").lower() != "true":
        raise ValueError(f"{n_axes} axes, {channels} channels")
    big = fields.get("BinaryDataByteOrderMSB", fields.get("ElementByteOrderMSB", "False")).lower() == "true"
    turn = next((fields[name] for name in ("TransformMatrix", "Rotation", "Orientation") if name in fields), "")
    directions = _reals(turn, n_axes**2).reshape(n_axes, n_axes)[:3, :3] if turn else np.eye(3)
    spacing = _reals(fields.get("ElementSpacing", fields.get("ElementSize", "1 " * n_axes)), n_axes)[:3]
    place = next((fields[name] for name in ("Offset", "Position", "Origin") if name in fields), "0 " * n_axes)
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = directions.T * spacing, _reals(place, n_axes)[:3]
    data, local = fields["ElementDataFile"], fields["ElementDataFile"].upper() == "LOCAL"
    skipped = int(fields.get("HeaderSize", 0))
    return RawVolume(
        path if local else _beside(path, data),
        end.end() if local else skipped,
        fields.get("CompressedData", "False").lower() == "true",
        np.dtype(_META_TYPES[fields["ElementType"]]).newbyteorder(">" if big else "<"),
        sides,
        (0, 1, 2),
        _TO_RAS @ affine,
        bool(turn),
    )


def _nrrd(path: Path, head: bytes) -> RawVolume:
    end = re.search(rb"\r?\n\r?\n", head)
    lines = head[: end.start() if end else len(head)].decode("latin-1").splitlines()[1:]
    pairs = (line.split(":", 1) for line in lines if ":" in line and not line.startswith("#"))
    fields = {key.strip().lower(): value.lstrip("=").strip() for key, value in pairs}
    n_axes = int(fields["dimension"])
    sides = _whole(fields["sizes"], n_axes)
    encoding = fields["encoding"].lower()
    data = fields.get("data file", fields.get("datafile", ""))
    if encoding not in ("raw", "gzip", "gz") or int(fields.get("line skip", 0)) or (not data and not end):
        raise ValueError(f"encoding {encoding}")
    skipped = int(fields.get("byte skip", 0))
    axes, affine, oriented = _nrrd_place(fields, n_axes)
    dtype = np.dtype(_NRRD_TYPES[fields["type"].lower()])
    big = fields.get("endian", "little").lower() == "big"
    return RawVolume(
        _beside(path, data) if data else path,
        -1 if skipped < 0 else skipped + (0 if data or not end else end.end()),
        encoding != "raw",
        dtype.newbyteorder(">" if big else "<"),
        sides,
        axes,
        affine,
        oriented,
    )


def _nrrd_place(fields: Mapping[str, str], n_axes: int) -> tuple[tuple[int, ...], Matrix, bool]:
    """Returns which axes lie in space, the affine, and whether the header says how the head lies."""
    affine = np.eye(4)
    vectors = re.findall(r"none|\([^)]*\)", fields.get("space directions", ""))
    if vectors:
        axes = tuple(axis for axis, vector in enumerate(vectors) if vector != "none")
        if len(vectors) != n_axes or len(axes) != 3:
            raise ValueError(f"{len(axes)} of {n_axes} axes in space")
        affine[:3, :3] = np.stack([_reals(vectors[axis].strip("()").replace(",", " "), 3) for axis in axes], axis=1)
        if "space origin" in fields:
            affine[:3, 3] = _reals(fields["space origin"].strip("()").replace(",", " "), 3)
    elif n_axes == 3:
        axes = (0, 1, 2)
        sizes = _reals(fields.get("spacings", "1 1 1").replace("nan", "1"), 3)
        affine[:3, :3] = np.diag(np.where(sizes > 0, sizes, 1))
    else:
        raise ValueError(f"{n_axes} axes, none of them in space")
    space = _NRRD_SPACES.get(fields.get("space", "").lower())
    return axes, (np.eye(4) if space is None else space) @ affine, bool(vectors) and space is not None


def _beside(path: Path, name: str) -> Path:
    """Returns the file of the voxels, which must lie beside the header and start with its name."""
    stem = path.name.rpartition(".")[0]
    if not stem or Path(name).name != name or "\\" in name or not name.startswith(f"{stem}.") or name == path.name:
        raise ValueError(f"its voxels must be in a file of the same name in the same folder, not in {name[:80]!r}")
    return path.with_name(name)


def _whole(text: str, count: int) -> tuple[int, ...]:
    values = tuple(int(word) for word in text.split())
    if len(values) != count or min(values) < 1:
        raise ValueError(f"sizes {text[:80]!r}")
    return values


def _reals(words: str, count: int) -> Matrix:
    values = np.array([float(word) for word in words.split()])
    if values.shape != (count,) or not np.isfinite(values).all():
        raise ValueError(f"numbers {words[:80]!r}")
    return values
