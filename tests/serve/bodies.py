"""Files that the tests send to the service: drawn slices as pictures, DICOM, NIfTI, and in archives and forms."""

import io
import zipfile

import nibabel
import numpy as np
import pydicom
from PIL import Image
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage, generate_uid

from brainsift.images.phantom import draw

HEAD = draw(3, tumor=True, size=64).pixels
SECRET = "Doe^Jane"  # what must not be told
BOUNDARY = "xyz"


def picture(pixels=HEAD, kind="PNG"):
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, kind)
    return stream.getvalue()


def dicom(pixels=HEAD, syntax=ExplicitVRLittleEndian, **tags):
    """An MR slice, the same bytes each time."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = MRImageStorage, generate_uid(entropy_srcs=["a"])
    meta.TransferSyntaxUID = syntax
    made = FileDataset("", {}, file_meta=meta, preamble=bytes(128))
    made.SOPClassUID, made.SOPInstanceUID = MRImageStorage, meta.MediaStorageSOPInstanceUID
    made.Modality, made.PatientName, made.SeriesDescription = "MR", SECRET, SECRET
    made.Rows, made.Columns = pixels.shape
    made.SamplesPerPixel, made.PhotometricInterpretation = 1, "MONOCHROME2"
    made.BitsAllocated, made.BitsStored, made.HighBit, made.PixelRepresentation = 16, 12, 11, 0
    made.PixelData = pixels.astype(np.uint16).tobytes()
    for name, value in tags.items():
        setattr(made, name, value)
    stream = io.BytesIO()
    pydicom.dcmwrite(stream, made, enforce_file_format=True)
    return stream.getvalue()


def dicom_of_series(number, *, series="1.2.3", **tags):
    """The slice of a series with a number, and a place of its own."""
    place = {"ImageOrientationPatient": [1, 0, 0, 0, 1, 0], "ImagePositionPatient": [0, 0, -number]}
    named = {"SOPInstanceUID": generate_uid(), "SeriesInstanceUID": series, "InstanceNumber": number}
    return dicom(**{**place, **named, **tags})


def nifti(array=None):
    stack = np.stack([HEAD] * 3, axis=2).astype(np.int16) if array is None else array
    return nibabel.Nifti1Image(stack, np.eye(4)).to_bytes()


def archive(members, *, method=zipfile.ZIP_DEFLATED):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as made:
        for name, content in members:
            # Of one date: what tests are called by must not depend on when they are collected.
            made.writestr(zipfile.ZipInfo(name), content, method)
    return stream.getvalue()


def multipart(files, *, end="--"):
    body = b"".join(
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{field}"; filename="{name}"\r\n'.encode()
        + b"Content-Type: image/png\r\n\r\n"
        + content
        + b"\r\n"
        for field, name, content in files
    )
    return body + f"--{BOUNDARY}{end}\r\n".encode()
