"""From what a builder made to a whole DICOM file: series, equipment, times, and the identifiers of the source.

The builders, highdicom among them, see stand-ins instead of all identifiers, so that no warning of theirs can quote
one. Here the bytes of the source take their places.
"""

import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING
from uuid import NAMESPACE_OID, uuid5

from brainsift import __version__
from brainsift.dicom_results.identity import MANUFACTURER, MODEL, make_uid
from brainsift.dicom_results.result_set import Kind, ResultObject
from brainsift.dicom_results.sources import Source, SourceSlice

if TYPE_CHECKING:
    from pydicom import Dataset

FORMAT = 1
"""Bumped whenever the objects made of the same prediction change, so that they get other UIDs."""
BANNER = "RESEARCH ONLY"
NOTICE = "Research use only. Not a medical device."
_DESCRIPTIONS: dict[Kind, tuple[int, str, str]] = {
    "structured-report": (9901, "SR", "brainsift report"),
    "segmentation": (9902, "SEG", "brainsift tumor map >= 0.5"),
    "secondary-capture": (9903, "OT", "brainsift suspicious slices"),
    "fractional": (9904, "SEG", "brainsift tumor map"),
    "pdf": (9905, "DOC", "brainsift page"),
    "drawn-segmentation": (9906, "SEG", "contour drawn by a reader"),
}
_NEVER_ABSENT = """
    PatientName PatientID PatientBirthDate PatientSex
    StudyID StudyDate StudyTime AccessionNumber ReferringPhysicianName
""".split()  # noqa: SIM905 - may be empty
_EVIDENCE = ("ReferencedSeriesSequence",)  # lists whole files, each once; elsewhere a reference may name one frame


@dataclass(frozen=True, eq=False)
class Assembly:
    """What all objects of one result have in common.

    Attributes:
        source: the images.
        key: all that makes it another result, as text.
        when: date and time of the result.
        network: SHA-256 of the network.
        stand_ins: UIDs that builders are given, and those that they stand for.
    """

    source: Source
    key: str
    when: datetime
    network: str
    stand_ins: dict[str, str] = field(default_factory=dict)

    def uid(self, *parts: str) -> str:
        """Returns the UID of a part of this result."""
        return make_uid(self.key, *parts)

    def stand_in(self, uid: str) -> str:
        """Returns the UID that builders are given instead of one of the source."""
        shown = f"2.25.{uuid5(NAMESPACE_OID, uid).int}"
        self.stand_ins[shown] = uid
        return shown

    def stand_in_image(self, one: SourceSlice) -> "Dataset":
        """Returns an MR image of one frame that builders are given instead of a slice.

        Its geometry is that of the slice, as far as the header has one.
        """
        from pydicom import Dataset
        from pydicom.uid import MRImageStorage

        image = Dataset()
        image.SOPClassUID, image.SOPInstanceUID = MRImageStorage, self.stand_in(f"{one.uids.instance}#{one.frame}")
        image.StudyInstanceUID, image.SeriesInstanceUID = self.stand_in(one.uids.study), self.stand_in(one.uids.series)
        image.Modality = "MR"
        for name in _NEVER_ABSENT:
            setattr(image, name, None)
        image.Rows, image.Columns = one.shape
        if one.uids.frame_of_reference:
            image.FrameOfReferenceUID = self.stand_in(one.uids.frame_of_reference)
        for name, vector in (
            ("ImageOrientationPatient", one.orientation),
            ("ImagePositionPatient", one.position),
            ("PixelSpacing", one.spacing),
        ):
            if vector is not None:
                setattr(image, name, [_decimal(value) for value in vector])
        if one.thickness is not None:
            image.SliceThickness = _decimal(one.thickness)
        return image

    def finish(self, dataset: "Dataset", kind: Kind, number: int = 1) -> ResultObject:
        """Completes what a builder made, and writes it.

        Args:
            dataset: with its SOPClassUID; the elements of patient, study, series, equipment and times are replaced.
            kind: of the object.
            number: counts the objects of the kind from 1.
        """
        from pydicom.charset import convert_encodings, default_encoding
        from pydicom.dataset import FileMetaDataset
        from pydicom.filewriter import correct_ambiguous_vr
        from pydicom.uid import UID, ExplicitVRLittleEndian

        series = self.uid(kind)
        uid = self.uid(kind, str(number))
        self._describe(dataset, kind, number, series, uid)
        images = {self.stand_in(f"{one.uids.instance}#{one.frame}"): one for one in self.source.slices}
        _restore(dataset, self.stand_ins, images)
        correct_ambiguous_vr(dataset, True)
        for name in _NEVER_ABSENT:
            setattr(dataset, name, None)
        for element in self.source.patient_and_study:
            dataset[element.tag] = element
        meta = FileMetaDataset()
        meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = dataset.SOPClassUID, UID(uid)
        meta.TransferSyntaxUID = ExplicitVRLittleEndian
        dataset.file_meta, dataset.preamble = meta, b"\0" * 128
        # As if it had been read in the encoding that it is written in: then bytes stay as they are.
        letters = dataset.get("SpecificCharacterSet")
        dataset.set_original_encoding(False, True, convert_encodings(letters) if letters else default_encoding)
        written = io.BytesIO()
        dataset.save_as(written, enforce_file_format=True)
        study = self.source.slices[0].uids.study
        return ResultObject(kind, number, study, series, str(dataset.SOPClassUID), uid, written.getvalue())

    def _describe(self, dataset: "Dataset", kind: Kind, number: int, series: str, uid: str) -> None:
        from pydicom import Dataset
        from pydicom.sr.codedict import codes

        date, time = f"{self.when:%Y%m%d}", f"{self.when:%H%M%S}"
        series_number, modality, description = _DESCRIPTIONS[kind]
        dataset.SOPInstanceUID, dataset.InstanceNumber = uid, number
        dataset.SeriesInstanceUID, dataset.SeriesNumber, dataset.Modality = series, series_number, modality
        dataset.SeriesDescription = f"{BANNER} {description}"
        dataset.SeriesDate = dataset.InstanceCreationDate = dataset.ContentDate = date
        dataset.SeriesTime = dataset.InstanceCreationTime = dataset.ContentTime = time
        equipment = Dataset()
        equipment.PurposeOfReferenceCodeSequence = [code_item(*codes.DCM.ProcessingEquipment[:3])]
        for item in (dataset, equipment):
            item.Manufacturer, item.ManufacturerModelName = MANUFACTURER, MODEL
            item.SoftwareVersions, item.DeviceSerialNumber = __version__, self.network
        equipment.ContributionDateTime = f"{date}{time}"
        equipment.ContributionDescription = NOTICE
        dataset.ContributingEquipmentSequence = [equipment]


def code_item(value: str, scheme: str, meaning: str) -> "Dataset":
    """Returns an item of a sequence of codes."""
    from pydicom import Dataset

    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning
    return item


def _decimal(value: float) -> str:
    """Returns a number as a decimal string, which takes 16 characters."""
    return next(text for digits in range(12, 0, -1) if len(text := f"{value:.{digits}g}") <= 16)


def _restore(
    dataset: "Dataset", uids: Mapping[str, str], images: Mapping[str, SourceSlice], *, whole_files: bool = False
) -> None:
    """Puts the UIDs of the source where their stand-ins are, and the class and the frame of each image."""
    from pydicom import config
    from pydicom.dataelem import DataElement

    for element in list(dataset):
        if element.VR == "SQ":
            listing = whole_files or element.keyword in _EVIDENCE
            for item in element.value:
                _restore(item, uids, images, whole_files=listing)
            if listing:
                element.value = list(_once(element.value))
        elif element.VR == "UI" and (image := images.get(str(element.value))):
            dataset.add(DataElement(element.tag, "UI", image.uids.instance, validation_mode=config.IGNORE))
            if element.keyword == "ReferencedSOPInstanceUID":
                tag = "ReferencedSOPClassUID"
                dataset.add(DataElement(tag, "UI", image.uids.sop_class, validation_mode=config.IGNORE))
                if image.frame and not whole_files:
                    dataset.ReferencedFrameNumber = image.frame
        elif element.VR == "UI" and str(element.value) in uids:
            dataset.add(DataElement(element.tag, "UI", uids[str(element.value)], validation_mode=config.IGNORE))


def _once(items: list["Dataset"]) -> Iterator["Dataset"]:
    """Yields the items of a list of references, each file once."""
    known = set[str]()
    for item in items:
        uid = str(item.get("ReferencedSOPInstanceUID", ""))
        if not uid or uid not in known:
            yield item
        known.add(uid)
