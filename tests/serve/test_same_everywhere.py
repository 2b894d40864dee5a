"""The same odd files through Python, the command line and the service: the same results, and the same notes."""

import gzip
import io
import json
import re

import nibabel
import numpy as np
import pydicom
import pytest
import requests
from PIL import Image
from pydicom.encaps import encapsulate
from pydicom.uid import DeflatedExplicitVRLittleEndian, RLELossless

from brainsift.cli.main import main
from brainsift.images.phantom import draw
from brainsift.inference.predictor import Predictor
from brainsift.inference.volume_decision import summarise_volumes

from .bodies import dicom, dicom_of_series, nifti, picture

pytestmark = pytest.mark.slow
BRAIN = draw(7, tumor=True, size=160).pixels
DEEP = BRAIN.astype(np.uint16) * 12
UID = "1.2.826.0.1.3680043.8.498.15"


def flipped(content, share):
    place = int(share * len(content))
    return content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]


def half(content):
    return content[: len(content) // 2] + bytes(len(content) - len(content) // 2)


def tiff(pixels, **tags):
    """A TIFF file of one page; tags by their number, as ``t262``."""
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "TIFF", tiffinfo={int(name[1:]): value for name, value in tags.items()})
    return stream.getvalue()


def pages(kind, count=3):
    stream = io.BytesIO()
    first, *others = (Image.fromarray(draw(seed, tumor=bool(seed % 2), size=96).pixels) for seed in range(count))
    first.save(stream, kind, save_all=True, append_images=others)
    return stream.getvalue()


def series(count=5, changed=lambda number: {}, **tags):
    """Slices of one series, whose header may differ from slice to slice."""
    named = {"SOPInstanceUID": "", **tags}
    made = {}
    for number in range(1, count + 1):
        named["SOPInstanceUID"] = f"{UID}.{number}"
        made[f"{number}.dcm"] = dicom_of_series(number, pixels=DEEP, **{**named, **changed(number)})
    return made


def raw(text, voxels):
    return text.encode() + voxels.astype("<i2").tobytes(order="F")


def slope(text):
    """A DICOM file with a slope that pydicom would not write."""
    made = pydicom.dcmread(io.BytesIO(dicom(DEEP)))
    made.add_new("RescaleSlope", "LO", text)
    stream = io.BytesIO()
    pydicom.dcmwrite(stream, made, enforce_file_format=True)
    return stream.getvalue().replace(b"(\0S\x10LO", b"(\0S\x10DS")


def rle(content):
    made = pydicom.dcmread(io.BytesIO(content))
    made.compress(RLELossless)
    stream = io.BytesIO()
    pydicom.dcmwrite(stream, made, enforce_file_format=True)
    return stream.getvalue()


def unknown_compression(uid):
    made = pydicom.dcmread(io.BytesIO(dicom()))
    made.PixelData = encapsulate([b"\xff\xd8\xff\xd9"])
    made["PixelData"].is_undefined_length = True
    made.file_meta.TransferSyntaxUID = uid
    stream = io.BytesIO()
    pydicom.dcmwrite(stream, made, enforce_file_format=True)
    return stream.getvalue()


VOXELS = np.stack([BRAIN[::2, ::2].T * share for share in (0.4, 0.8, 1.0, 0.9, 0.7)], axis=2).astype(np.int16)
SCORED = np.where(VOXELS > 0, (VOXELS - VOXELS[VOXELS > 0].mean()) / VOXELS[VOXELS > 0].std(), 0).astype(np.float32)
SHEET = np.vstack([np.hstack([draw(seed, tumor=False, size=128).pixels for seed in (row, row + 1)]) for row in (0, 2)])
META = "ObjectType = Image\nNDims = 3\nDimSize = {} {} {}\nElementType = MET_SHORT\nElementDataFile = LOCAL\n"
NRRD = "NRRD0004\ntype: short\ndimension: 3\nsizes: {} {} {}\nendian: little\nencoding: raw\n\n"
EIGHT = {"BitsAllocated": 8, "BitsStored": 8, "HighBit": 7, "PixelData": BRAIN.tobytes()}
PLAIN = picture(BRAIN)

# name -> files, and whether the results carry a note or a reason
FILES = {
    "1 flipped byte": {"a.png": flipped(PLAIN, 0.5), "whole.png": PLAIN},
    "1 second half zeros": {"a.jpg": half(picture(BRAIN, "JPEG")), "whole.png": PLAIN},
    "1 empty and text": {"a.png": b"", "b.jpg": b"no picture", "whole.png": PLAIN},
    "2 one readable slice": {
        **{f"{n}.dcm": half(one) for n, one in enumerate(series(4).values())},
        "9.dcm": dicom_of_series(9),
    },
    "2 gap": {name: one for name, one in series(9).items() if name not in ("4.dcm", "5.dcm")},
    "3 z-scored": {"a.nii.gz": gzip.compress(nifti(SCORED), mtime=0), "b.nii": nifti(np.where(SCORED, SCORED, np.nan))},
    "3 float TIFF": {"a.tif": tiff(np.where(BRAIN, BRAIN / 90 - 1, 0).astype(np.float32))},
    "3 padding": {"a.dcm": dicom(np.where(BRAIN, DEEP, 4000), PixelPaddingValue=4000)},
    "4 echoes": series(6, lambda n: {"EchoTime": 10.0 if n % 2 else 90.0, "EchoNumbers": n % 2}),
    "4 patients": series(6, lambda n: {"PatientID": str(n % 2)}),
    "5 copies": {f"copy {n}.dcm": dicom_of_series(2, SOPInstanceUID=UID) for n in range(3)} | series(3),
    "9 pages of TIFF": {"a.tif": pages("TIFF")},
    "9 frames of GIF": {"a.gif": pages("GIF")},
    "9 sheet": {"a.png": picture(SHEET)},
    "11 slope 0": {"a.dcm": dicom(DEEP, RescaleSlope=0, RescaleIntercept=0)},
    "11 slope with a comma": {"a.dcm": slope("1,00")},
    "11 useless window": {"a.dcm": dicom(DEEP, WindowCenter=40, WindowWidth=1)},
    "12 head in Spanish": {"a.dcm": dicom(DEEP, BodyPartExamined="CABEZA")},
    "12 knee": {"a.dcm": dicom(DEEP, BodyPartExamined="KNEE")},
    "13 no suffix": {
        "IM0001": dicom(DEEP),
        "IM0002.MR": dicom(DEEP, InstanceNumber=2),
        "a.dcm.gz": gzip.compress(dicom(DEEP), mtime=0),
    },
    "13 MetaImage": {"a.mha": raw(META.format(*VOXELS.shape), VOXELS)},
    "13 NRRD": {"a.nrrd": raw(NRRD.format(*VOXELS.shape), VOXELS)},
    "13 MGH": {"a.mgz": gzip.compress(nibabel.MGHImage(VOXELS, np.eye(4)).to_bytes(), mtime=0)},
    "13 MINC": {"a.mnc": b"CDF\1" + bytes(400), "whole.png": PLAIN},
    "13 half of a pair": {"a.hdr": (348).to_bytes(4, "little") + bytes(344), "whole.png": PLAIN},
    "14 RLE": {"a.dcm": rle(dicom(DEEP))},
    "14 deflated": {"a.dcm": dicom(DEEP, DeflatedExplicitVRLittleEndian)},
    "14 not decoded": {"a.dcm": unknown_compression("1.2.840.10008.1.2.4.201"), "whole.png": PLAIN},
    "15 sagittal": {"a.nii": nibabel.Nifti1Image(VOXELS.transpose(2, 0, 1), np.diag([5, 1, 1, 1])).to_bytes()},
    "16 WhiteIsZero": {"a.tif": tiff(65535 - DEEP * 5, t262=0)},
    "16 oblong pixels": {"a.dcm": dicom(DEEP, PixelAspectRatio=[2, 1])},
    "16 localizer": {"a.dcm": dicom(DEEP, ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])},
    "16 SliceLocation": series(4, lambda n: {"ImagePositionPatient": None, "SliceLocation": float(9 - n)}),
    "18 steering signs": {**series(2, SeriesDescription="ax\x1b[31m t1\r\nx")},
    "18 warnings of pydicom": {"a.dcm": dicom(DEEP, StudyDate="20260101").replace(b"20260101", b"yesterda")},
    "8 bits": {"a.dcm": dicom(BRAIN, **EIGHT)},
}


@pytest.fixture(scope="module")
def predictor():
    return Predictor(threads=1)


def rows(found, folder):
    """Results without what the service keeps to itself: folders, words of libraries, descriptions of series.

    Of the names of volumes remains which results belong to one.
    """
    columns = ("status", "probability", "decision", "reason", "detail", "volume")
    named = [{"path": one.get("path", one.get("name")), **{name: one[name] for name in columns}} for one in found]
    named = json.loads(json.dumps(named).replace(f"{folder}/", ""))
    numbers = {"": 0}
    for one in named:
        one["volume"] = numbers.setdefault(one["volume"], len(numbers))
        one["detail"] = re.sub(r"(cannot be \w+)[ :].*(\. \w+ it)", r"\1\2", one["detail"])
    return named


@pytest.mark.parametrize("kind", FILES)
def test_python_the_command_line_and_the_service_say_the_same(served, predictor, tmp_path, kind):
    folder = tmp_path / "scans"
    folder.mkdir()
    for name, content in FILES[kind].items():
        (folder / name).write_bytes(content)
    paths = sorted(map(str, folder.iterdir()))
    predictions = list(predictor.predict(paths))
    expected = rows([one.to_dict() for one in predictions], folder)
    volumes = [one.to_dict() for one in summarise_volumes(predictions, predictor.rule)]

    code = main(["predict", *paths, "--threads", "1", "--json", str(tmp_path / "a.json")])
    assert code == 3 * any(one["status"] == "unreadable" for one in expected)
    assert rows(json.loads((tmp_path / "a.json").read_text()), folder) == expected

    files = [("files", (name.rpartition("/")[2], FILES[kind][name.rpartition("/")[2]])) for name in paths]
    reply = requests.post(f"{served.url}/api/v1/predict", files=files)
    assert reply.status_code == 200, reply.text
    assert rows(reply.json()["answers"], folder) == expected
    kept = ("n_slices", "n_scored", "n_unreadable", "probability", "decision", "reason", "detail")
    assert [[one[name] for name in kept] for one in reply.json()["volumes"]] == [
        [one[name] for name in kept] for one in volumes
    ]
