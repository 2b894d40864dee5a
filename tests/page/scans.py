"""Drawn heads as files of the kinds that the page takes."""

import nibabel
import numpy as np
import pydicom
from PIL import Image
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage, generate_uid

from brainsift.images.phantom import draw

SIDE = 96


def draw_volume(seed, count):
    """(count, height, width): a head with a tumor in the slices of its second half, smaller towards its ends."""
    with_tumor, without = (draw(seed, tumor=tumor, size=SIDE).pixels for tumor in (True, False))
    slices = []
    for place in range(count):
        share = np.sqrt(1 - ((place - (count - 1) / 2) / (count / 2 + 0.2)) ** 2)
        side = max(8, round(SIDE * share))
        canvas = Image.new("L", (SIDE, SIDE))
        pixels = with_tumor if count // 2 <= place < count - 2 else without
        canvas.paste(Image.fromarray(pixels).resize((side, side)), ((SIDE - side) // 2,) * 2)
        slices.append(np.asarray(canvas))
    return np.stack(slices)


def write_series(folder, seed, count, **tags):
    """DICOM files without a suffix, as archives have them."""
    folder.mkdir(parents=True)
    series = generate_uid()
    for place, pixels in enumerate(draw_volume(seed, count)):
        meta = FileMetaDataset()
        meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = MRImageStorage, generate_uid()
        meta.TransferSyntaxUID = ExplicitVRLittleEndian
        made = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
        made.SOPClassUID, made.SOPInstanceUID = MRImageStorage, meta.MediaStorageSOPInstanceUID
        made.Modality, made.SeriesInstanceUID, made.InstanceNumber = "MR", series, place + 1
        directions = tags.get("ImageOrientationPatient", [1, 0, 0, 0, 1, 0])
        made.ImageOrientationPatient = directions
        made.ImagePositionPatient = list(5.0 * place * np.cross(directions[:3], directions[3:]))
        made.Rows, made.Columns = pixels.shape
        made.SamplesPerPixel, made.PhotometricInterpretation = 1, "MONOCHROME2"
        made.BitsAllocated, made.BitsStored, made.HighBit, made.PixelRepresentation = 16, 12, 11, 0
        for name, value in tags.items():
            setattr(made, name, value)
        made.PixelData = pixels.astype(np.uint16).tobytes()
        pydicom.dcmwrite(folder / f"IM{place + 1:04d}", made, enforce_file_format=True)


def write_nifti(path, slices):
    """A volume of (count, height, width), which brainsift reads back in the same order and orientation."""
    turned = np.asarray(slices)[:, ::-1, ::-1].transpose(2, 1, 0)
    nibabel.Nifti1Image(turned.astype(np.int16), np.diag([1.0, 1.0, 5.0, 1.0])).to_filename(path)
    return path
