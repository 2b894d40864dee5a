"""Drawn DICOM files: one slice as pydicom has it, and as a file."""

from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage, generate_uid


def dataset(pixels, *, series="1.2.3", number=1, place=0.0, private=(), **tags):
    """One slice as pydicom has it; keywords replace or add elements, None takes them away."""
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
    return made


def save(path, pixels, **tags):
    """Writes one slice; keywords as `dataset` takes them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    dataset(pixels, **tags).save_as(path, enforce_file_format=True)
    return path


def frame_header(**sequences):
    """What the header of a file of many frames says of one: the elements of each named sequence."""
    group = Dataset()
    for name, values in sequences.items():
        item = Dataset()
        for tag, value in values.items():
            setattr(item, tag, value)
        setattr(group, name, Sequence([item]))
    return group
