"""Compressed DICOM is read by the base install, to the last bit where the compression keeps it.

The files come from encoders that are not ours: those of DCMTK and GDCM where they are installed, and those that pydicom
has as files.
"""

import shutil
import subprocess
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.data import get_testdata_file
from pydicom.encaps import encapsulate, get_frame

from brainsift.core.errors import UnreadableImageError
from brainsift.inference.predictor import Predictor
from brainsift.volumes.reader import find_slice

EIGHT = {"BitsAllocated": 8, "BitsStored": 8, "HighBit": 7}
DCMTK = {
    "JPEG Lossless SV1": ["dcmcjpeg", "+e1"],
    **{f"JPEG Lossless, predictor {number}": ["dcmcjpeg", "+el", "+sv", str(number)] for number in range(1, 8)},
    "JPEG-LS": ["dcmcjpls"],
    "RLE": ["dcmcrle"],
    "deflated": ["dcmconv", "+td"],
}
GDCM = {
    "JPEG Lossless by GDCM": ["gdcmconv", "--jpeg"],
    "JPEG-LS by GDCM": ["gdcmconv", "--jpegls"],
    "JPEG 2000": ["gdcmconv", "--j2k"],
    "RLE by GDCM": ["gdcmconv", "--rle"],
}
TOOLS = DCMTK | GDCM
KINDS = ("unsigned", "signed", "signed of 12 bits", "noise", "bytes", "colours")
FIRST, *OTHERS = KINDS


def needs(tool, name):
    if not shutil.which(tool):
        pytest.skip(f"needs {'gdcm' if tool == 'gdcmconv' else 'dcmtk'}: {tool} is not installed")
    if "JPEG-LS" in name:
        needs_jpeg_ls()


def needs_jpeg_ls():
    if find_spec("jpeg_ls") is None:
        pytest.skip("pyjpegls has no wheel for this Python")


def plain_file(path, dicom, kind, **more):
    """An uncompressed slice, of one kind of pixels."""
    head = dicom.head
    deep = head.astype(np.int32) * 16 + np.arange(head.shape[1]) % 13
    pixels, tags = {
        "unsigned": (deep.astype(np.uint16), {"BitsStored": 12, "HighBit": 11}),
        "signed": ((deep - 900).astype(np.int16), {}),
        "signed of 12 bits": ((deep // 2 - 900).astype(np.int16), {"BitsStored": 12, "HighBit": 11}),
        "noise": (np.random.default_rng(0).integers(0, 1 << 16, head.shape).astype(np.uint16), {}),
        "bytes": (head, EIGHT),
        "colours": (
            np.stack([head, head[::-1], head.T], axis=-1),
            {**EIGHT, "SamplesPerPixel": 3, "PhotometricInterpretation": "RGB", "PlanarConfiguration": 0},
        ),
    }[kind]
    rows, columns = head.shape
    return dicom.save(path, pixels, **{"PixelData": pixels.tobytes(), "Rows": rows, "Columns": columns, **tags, **more})


@pytest.mark.parametrize("kind", [FIRST, *(pytest.param(kind, marks=pytest.mark.slow) for kind in OTHERS)])
@pytest.mark.parametrize("name", TOOLS)
def test_a_compressed_slice_is_the_plain_one(tmp_path, dicom, name, kind):
    needs(TOOLS[name][0], name)
    plain = plain_file(tmp_path / "plain.dcm", dicom, kind)
    subprocess.run([*TOOLS[name], plain, tmp_path / "packed.dcm"], check=True)
    packed = pydicom.dcmread(tmp_path / "packed.dcm")
    assert packed.file_meta.TransferSyntaxUID not in ("1.2.840.10008.1.2", "1.2.840.10008.1.2.1")
    loaded, wanted = find_slice(tmp_path / "packed.dcm").load(), find_slice(plain).load()
    assert np.array_equal(loaded.image.pixels, wanted.image.pixels)
    assert np.array_equal(loaded.values().grey, wanted.values().grey)
    assert np.array_equal(packed.pixel_array, pydicom.dcmread(plain).pixel_array)


@pytest.mark.parametrize("name", ["JPEG Lossless SV1", "JPEG-LS", "RLE", "deflated", "JPEG 2000"])
def test_each_frame_of_a_compressed_file_is_its_own(tmp_path, dicom, name):
    needs(TOOLS[name][0], name)
    frames = np.stack([dicom.head * np.uint16(8), dicom.head.T * np.uint16(9), dicom.head[::-1] * np.uint16(10)])
    plain = dicom.save(tmp_path / "plain.dcm", frames, NumberOfFrames=3)
    subprocess.run([*TOOLS[name], plain, tmp_path / "packed.dcm"], check=True)
    for number in (3, 1, 2):
        found = find_slice(f"{tmp_path / 'packed.dcm'}#{number}").read().pixels
        assert np.array_equal(found, frames[number - 1])


@pytest.mark.parametrize(
    ("packed", "plain"),
    [
        ("MR_small_RLE.dcm", "MR_small.dcm"),
        ("MR_small_jp2klossless.dcm", "MR_small.dcm"),
        ("MR_small_jpeg_ls_lossless.dcm", "MR_small.dcm"),
        ("SC_rgb_rle_2frame.dcm", ""),
        ("image_dfl.dcm", ""),
    ],
)
def test_files_that_others_compressed_are_read(packed, plain):
    if "jpeg_ls" in packed:
        needs_jpeg_ls()
    path = get_testdata_file(packed, download=False)
    assert path, f"pydicom has no {packed} any more"
    found = find_slice(f"{path}#1" if "2frame" in packed else path).read().pixels
    if plain:
        assert np.array_equal(found, find_slice(get_testdata_file(plain, download=False)).read().pixels)
    assert np.ptp(found) > 0


@pytest.mark.slow
@pytest.mark.parametrize("name", ["JPEG Lossless SV1", "JPEG Lossless, predictor 6", "JPEG-LS", "RLE", "JPEG 2000"])
@pytest.mark.parametrize("share", [0.3, 0.9, 0.99])
@pytest.mark.parametrize("filled", [True, False])
def test_compressed_pixels_that_end_early_are_no_image(tmp_path, dicom, name, share, filled):
    needs(TOOLS[name][0], name)
    plain = plain_file(tmp_path / "plain.dcm", dicom, "unsigned")
    subprocess.run([*TOOLS[name], plain, tmp_path / "packed.dcm"], check=True)
    packed = pydicom.dcmread(tmp_path / "packed.dcm")
    frame = get_frame(packed.PixelData, 0, number_of_frames=1)
    kept = frame[: int(share * len(frame))]
    packed.PixelData = encapsulate([kept + bytes(len(frame) - len(kept)) if filled else kept])
    packed.save_as(tmp_path / "cut.dcm")
    with pytest.raises(UnreadableImageError, match="cannot be decoded"):
        find_slice(tmp_path / "cut.dcm").read()


@pytest.mark.parametrize(
    ("syntax", "words"),
    [
        ("1.2.840.10008.1.2.4.201", r"High-Throughput.*pip install pylibjpeg pylibjpeg-openjpeg"),
        ("1.2.840.10008.1.2.4.203", r"High-Throughput.*pip install pylibjpeg pylibjpeg-openjpeg"),
        ("1.2.840.10008.1.2.4.51", r"gdcmconv --raw.*install python-gdcm"),
        ("1.2.840.10008.1.2.4.102", r"MPEG-4.*Export it again without compression"),
    ],
)
def test_a_compression_that_is_not_decoded_says_so_and_what_to_do(tmp_path, dicom, syntax, words):
    made = pydicom.dcmread(dicom.save(tmp_path / "a.dcm", dicom.head))
    made.PixelData = encapsulate([b"\xff\xd8\xff\xd9"])
    made["PixelData"].is_undefined_length = True
    made.file_meta.TransferSyntaxUID = syntax
    made.save_as(tmp_path / "b.dcm")
    with pytest.raises(UnreadableImageError, match=words):
        find_slice(Path(tmp_path / "b.dcm")).read()


def test_compressed_pixels_without_transfer_syntax_are_no_image(tmp_path, dicom):
    plain = plain_file(tmp_path / "plain.dcm", dicom, "unsigned")
    packed = pydicom.dcmread(plain)
    packed.compress(pydicom.uid.RLELossless)
    del packed.file_meta.TransferSyntaxUID
    packed.save_as(tmp_path / "packed.dcm", enforce_file_format=False, implicit_vr=False, little_endian=True)
    with pytest.raises(UnreadableImageError, match="does not say how they are compressed"):
        find_slice(tmp_path / "packed.dcm").load()


@pytest.mark.parametrize("kind", [b"UN", b"AT", b"CS"])
def test_a_transfer_syntax_of_another_type_is_never_a_fault_of_ours(tmp_path, dicom, kind):
    plain = plain_file(tmp_path / "plain.dcm", dicom, "unsigned")
    content = plain.read_bytes()
    place = content.index(b"\x02\x00\x10\x00UI")
    broken = tmp_path / "broken.dcm"
    broken.write_bytes(content[: place + 4] + kind + content[place + 6 :])
    (prediction,) = Predictor(threads=1).predict([broken])
    assert prediction.status in ("unreadable", "ok")


def test_a_uid_that_is_no_transfer_syntax_is_refused_in_one_frame_and_in_many(tmp_path, dicom):
    for n_frames in (1, 3):
        made = pydicom.dcmread(dicom.save(tmp_path / f"{n_frames}.dcm", dicom.head))
        made.PixelData, made.NumberOfFrames = made.PixelData * n_frames, n_frames
        path = tmp_path / f"{n_frames}.dcm"
        made.save_as(path)
        path.write_bytes(path.read_bytes().replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.9.9.9\0"))
        found = list(Predictor(threads=1).predict([path]))
        assert len(found) == n_frames and {one.status for one in found} == {"unreadable"}
        assert all("is not decoded here" in one.detail for one in found)


def test_a_header_that_cannot_be_read_is_not_one_that_lacks_a_value(tmp_path, dicom):
    for n_frames in (1, 3):
        path = tmp_path / f"{n_frames}.dcm"
        made = pydicom.dcmread(dicom.save(path, dicom.head))
        made.PixelData, made.NumberOfFrames = made.PixelData * n_frames, n_frames
        made.save_as(path)
        stored = b"\x28\x00\x01\x01"  # BitsStored, as a number of 8 bytes that has 2
        path.write_bytes(path.read_bytes().replace(stored + b"US", stored + b"FD"))
        found = list(Predictor(threads=1).predict([path]))
        assert found and {one.status for one in found} == {"unreadable"}
