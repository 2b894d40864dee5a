"""MetaImage, NRRD and MGH volumes, and DICOM packed by gzip, give the slices of the same scan as NIfTI.

The headers are as ITK writes them, for a scan that is turned by an angle.
"""

import gzip
import zlib
from pathlib import Path

import nibabel
import numpy as np
import pytest

from brainsift.core.errors import ImageSizeError, UnreadableImageError
from brainsift.images.decode import Limits
from brainsift.images.phantom import draw
from brainsift.inference.predictor import Predictor
from brainsift.volumes.inputs import find_images
from brainsift.volumes.nifti import nifti_slices
from brainsift.volumes.reader import find_slice, kind_of, slices_of

HEAD = draw(5, tumor=True, size=64).pixels.astype(np.int16)
VOXELS = np.stack([np.roll(HEAD, level, axis=0) * (level + 3) // 3 for level in range(7)], axis=2)
TURN = np.array([[0.98, -0.19899748742132398, 0], [0.19899748742132398, 0.98, 0], [0, 0, 1]])
SPACING, PLACE = np.array([1.0, 1.2, 5.0]), np.array([-10.0, 20.0, 5.0])
AFFINE = np.eye(4)
AFFINE[:3, :3], AFFINE[:3, 3] = TURN * SPACING, PLACE
LPS = np.diag([-1.0, -1.0, 1.0])
META = """ObjectType = Image
NDims = 3
BinaryData = True
BinaryDataByteOrderMSB = {big}
CompressedData = {packed}
TransformMatrix = {turn}
Offset = {place}
CenterOfRotation = 0 0 0
AnatomicalOrientation = RAI
ElementSpacing = 1 1.2 5
DimSize = 64 64 7
ElementType = {kind}
ElementDataFile = {data}
"""
NRRD = """NRRD0004
# Complete NRRD file format specification at:
type: {kind}
dimension: 3
space: left-posterior-superior
sizes: 64 64 7
space directions: {vectors}
kinds: domain domain domain
endian: {endian}
encoding: {encoding}
space origin: ({place})
{data}
"""


def meta(data="LOCAL", kind="MET_SHORT", *, big=False, packed=False):
    turn, place = " ".join(map(repr, (LPS @ TURN).T.ravel().tolist())), " ".join(map(str, LPS @ PLACE))
    return META.format(big=big, packed=packed, turn=turn, place=place, kind=kind, data=data).encode()


def nrrd(data="", kind="short", *, endian="little", encoding="raw"):
    vectors = " ".join(f"({','.join(map(repr, vector))})" for vector in (LPS @ TURN * SPACING).T.tolist())
    place = ",".join(map(str, LPS @ PLACE))
    line = f"data file: {data}\n" if data else ""
    return NRRD.format(kind=kind, vectors=vectors, endian=endian, encoding=encoding, place=place, data=line).encode()


def raw(voxels=VOXELS, order="<"):
    return voxels.astype(voxels.dtype.newbyteorder(order)).tobytes(order="F")


def write(folder, files):
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder / next(iter(files))


SCANS = {
    "mha": {"a.mha": meta() + raw()},
    "mha, packed": {"a.mha": meta(packed=True) + zlib.compress(raw())},
    "mha, floats": {"a.mha": meta(kind="MET_DOUBLE") + raw(VOXELS.astype(np.float64))},
    "mha, big-endian": {"a.mha": meta(big=True) + raw(order=">")},
    "mhd": {"a.mhd": meta("a.raw"), "a.raw": raw()},
    "mhd, packed": {"a.mhd": meta("a.zraw", packed=True), "a.zraw": zlib.compress(raw())},
    "nrrd": {"a.nrrd": nrrd() + raw()},
    "nrrd, packed": {"a.nrrd": nrrd(encoding="gzip") + gzip.compress(raw())},
    "nrrd, big-endian": {"a.nrrd": nrrd(endian="big") + raw(order=">")},
    "nhdr": {"a.nhdr": nrrd("a.raw.gz", encoding="gzip"), "a.raw.gz": gzip.compress(raw())},
    "no suffix": {"a": nrrd() + raw()},
}


@pytest.mark.parametrize("name", [*SCANS, "mgz", "mgh"])
def test_a_scan_gives_the_slices_that_it_gives_as_nifti(tmp_path, name):
    (tmp_path / "nifti").mkdir()
    nibabel.Nifti1Image(VOXELS, AFFINE).to_filename(tmp_path / "nifti" / "a.nii.gz")
    wanted = nifti_slices(tmp_path / "nifti" / "a.nii.gz")
    if name in SCANS:
        path = write(tmp_path, SCANS[name])
    else:
        path = tmp_path / f"a.{name}"
        nibabel.MGHImage(VOXELS, AFFINE).to_filename(path)
    assert kind_of(path) == "nifti"
    assert str(path) in list(find_images([tmp_path]))
    found = list(slices_of([path]))
    assert [piece.name for piece in found] == [f"{path}#{number}" for number in range(1, 8)]
    for one, other in zip(found, wanted, strict=True):
        assert np.array_equal(one.read().pixels, other.read().pixels) and one.note == other.note


def test_of_several_volumes_the_first_is_read_and_told(tmp_path):
    both = np.stack([VOXELS, VOXELS[::-1]])
    head = nrrd().replace(b"dimension: 3", b"dimension: 4").replace(b"sizes: 64", b"sizes: 2 64")
    path = write(tmp_path, {"a.nrrd": head.replace(b"directions: ", b"directions: none ") + raw(both)})
    single = write(tmp_path, {"b.nrrd": nrrd() + raw()})
    for one, other in zip(slices_of([path]), slices_of([single]), strict=True):
        assert np.array_equal(one.read().pixels, other.read().pixels)
        assert one.note == "the first of 2 volumes"


def test_a_header_that_does_not_say_how_the_head_lies_is_noted(tmp_path):
    lines = [line for line in meta().splitlines(keepends=True) if not line.startswith(b"TransformMatrix")]
    (tmp_path / "a.mha").write_bytes(b"".join(lines) + raw())
    assert {piece.note for piece in slices_of([tmp_path / "a.mha"])} == {"the header does not say how the head lies"}


@pytest.mark.parametrize("name", ["/etc/hostname", "../a.raw", "b.raw", "a.mhd", "a", "%03d.raw", "LIST", "..\\a.raw"])
def test_a_header_leads_to_no_other_file(tmp_path, name):
    (tmp_path / "in").mkdir()
    write(tmp_path, {"a.raw": raw()})
    path = write(tmp_path / "in", {"a.mhd": meta(name), "b.raw": raw(), "a": raw()})
    with pytest.raises(UnreadableImageError, match="must be in a file of the same name in the same folder"):
        find_slice(path).read()


def test_what_is_broken_says_so(tmp_path):
    for files, words in (
        ({"a.mha": meta() + raw()[:-1]}, "fewer voxels"),
        ({"a.mha": meta(packed=True) + zlib.compress(raw())[:-900]}, "fewer voxels"),
        ({"a.mha": meta(packed=True) + raw()}, "cannot be read"),
        ({"b.mhd": meta("b.raw")}, "b.raw, which is missing"),
        ({"a.nrrd": nrrd(encoding="ascii") + raw()}, "encoding ascii"),
        ({"a.nrrd": nrrd(kind="block") + raw()}, "not read here"),
        ({"a.mha": meta().replace(b"64 64 7", b"64 -64 7") + raw()}, "sizes"),
        ({"a.mgz": gzip.compress(b"\0\0\0\1" + bytes(300))}, "cannot be read|the shape"),
    ):
        with pytest.raises(UnreadableImageError, match=words):
            nifti_slices(write(tmp_path, files))[0].read()
    path = write(tmp_path, {"a.nrrd": nrrd() + raw()})
    with pytest.raises(ImageSizeError):
        nifti_slices(path, limits=Limits(max_bytes=VOXELS.nbytes - 1))
    answers = list(Predictor(threads=1).predict([write(tmp_path, {"a.mha": b"NDims = 3\n"})]))
    assert [answer.status for answer in answers] == ["unreadable"]
    assert "3D Slicer" in answers[0].detail


def test_packed_dicom_is_read_like_plain_dicom(tmp_path, dicom):
    plain = dicom.save(tmp_path / "plain" / "a.dcm", dicom.head)
    frames = dicom.save(tmp_path / "plain" / "b.dcm", np.stack([dicom.head, dicom.head.T]), NumberOfFrames=2)
    for path in (plain, frames):
        (tmp_path / f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes()))
    assert kind_of(tmp_path / "a.dcm.gz") == "dicom"
    assert np.array_equal(find_slice(tmp_path / "a.dcm.gz").read().pixels, find_slice(plain).read().pixels)
    for number in (1, 2):
        found = find_slice(f"{tmp_path / 'b.dcm.gz'}#{number}").read().pixels
        assert np.array_equal(found, find_slice(f"{frames}#{number}").read().pixels)
    names = [Path(path).name for path in find_images([tmp_path])]
    assert names == ["a.dcm.gz", "b.dcm.gz", "a.dcm", "b.dcm"]
    (tmp_path / "bomb.dcm.gz").write_bytes(gzip.compress(plain.read_bytes() + bytes(1 << 22)))
    with pytest.raises(ImageSizeError, match="unpacks to more than"):
        next(iter(slices_of([tmp_path / "bomb.dcm.gz"], limits=Limits(max_bytes=1 << 20)))).read()
