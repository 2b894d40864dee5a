"""Drawn DICOM files for the tests of series, stacks and groups."""

from types import SimpleNamespace

import pytest
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage, generate_uid

from brainsift.images.phantom import draw

SIDE = 64


def save(path, pixels, *, series="1.2.3", number=1, place=0.0, private=(), **tags):
    """Writes one slice; keywords replace or add elements, None takes them away."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = MRImageStorage, generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    made = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    made.SOPClassUID, made.SOPInstanceUID = MRImageStorage, meta.MediaStorageSOPInstanceUID
    made.Modality, made.BodyPartExamined, made.SeriesInstanceUID, made.InstanceNumber = "MR", "BRAIN", series, number
    made.ImageOrientationPatient, made.ImagePositionPatient = [1, 0, 0, 0, 1, 0], [0, 0, place]
    made.Rows, made.Columns = pixels.shape[-2:]
    made.SamplesPerPixel, made.PhotometricInterpretation = 1, "MONOCHROME2"
    made.BitsAllocated, made.BitsStored, made.HighBit, made.PixelRepresentation = 16, 16, 15, 0
    if pixels.dtype.kind == "i":
        made.PixelRepresentation = 1
    made.PixelData = pixels.astype("<u2" if pixels.dtype.kind != "i" else "<i2").tobytes()
    for name, value in tags.items():
        if value is not None:
            setattr(made, name, value)
        elif name in made:
            delattr(made, name)
    for group, creator, element, vr, value in private:
        made.private_block(group, creator, create=True).add_new(element, vr, value)
    path.parent.mkdir(parents=True, exist_ok=True)
    made.save_as(path, enforce_file_format=True)
    return path


@pytest.fixture(scope="session")
def dicom():
    """What draws a head and saves DICOM files: ``dicom.save(path, dicom.head, number=3)``."""
    return SimpleNamespace(save=save, head=draw(5, tumor=True, size=SIDE).pixels)
