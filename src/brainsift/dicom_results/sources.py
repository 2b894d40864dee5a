"""What the objects take from the images that were scored: identifiers as they are, byte by byte, and the geometry.

Nothing here turns a name or an identifier of a patient into a value of pydicom, whose warnings would quote it.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from brainsift.core.errors import InputError
from brainsift.core.reasons import Reason
from brainsift.dicom_results.identity import EQUIPMENT, is_own_result, uid_of
from brainsift.images.decode import LIMITS
from brainsift.inference.decision import Prediction
from brainsift.inference.volume_decision import WRONG_FILE, VolumePrediction
from brainsift.volumes.dicom_header import (
    FRAMES,
    HEADER,
    flat_header,
    number_of,
    read_dataset,
    text_of,
    transfer_syntax,
    value_of,
    values_of,
    vector_of,
)
from brainsift.volumes.dicom_pixels import load_file, load_frame
from brainsift.volumes.reader import kind_of, split_name
from brainsift.volumes.slices import Loaded

if TYPE_CHECKING:
    from pydicom import Dataset
    from pydicom.dataelem import RawDataElement

PATIENT_AND_STUDY = """
    SpecificCharacterSet
    PatientName PatientID IssuerOfPatientID IssuerOfPatientIDQualifiersSequence TypeOfPatientID PatientBirthDate
    PatientBirthTime PatientSex OtherPatientIDs OtherPatientIDsSequence OtherPatientNames EthnicGroup
    PatientIdentityRemoved DeidentificationMethod DeidentificationMethodCodeSequence QualityControlSubject
    PatientAge PatientSize PatientWeight
    StudyInstanceUID StudyID StudyDate StudyTime StudyDescription AccessionNumber IssuerOfAccessionNumberSequence
    ReferringPhysicianName PhysiciansOfRecord ReferencedStudySequence ProcedureCodeSequence AdmissionID
    ClinicalTrialSponsorName ClinicalTrialProtocolID ClinicalTrialProtocolName ClinicalTrialSiteID ClinicalTrialSiteName
    ClinicalTrialSubjectID ClinicalTrialSubjectReadingID ClinicalTrialTimePointID ClinicalTrialTimePointDescription
""".split()  # noqa: SIM905
"""Elements that are copied as they are, since archives match on them; not PatientComments, not RequestingService."""
COMPRESSION = ("LossyImageCompression", "LossyImageCompressionRatio", "LossyImageCompressionMethod")
"""Elements that a picture made of the images has to repeat."""
_REFERENCES = ("StudyInstanceUID", "SeriesInstanceUID", "SOPClassUID", "SOPInstanceUID", "FrameOfReferenceUID")
_WHO = ("PatientID", "PatientName", "StudyInstanceUID")
_TAGS: list[str | int] = [*HEADER, *PATIENT_AND_STUDY, *COMPRESSION, *_REFERENCES, *EQUIPMENT, "SliceThickness"]
_ITEM = b"\xfe\xff\x00\xe0"  # the tag (FFFE,E000), little endian
_LONGEST = 0xFFFF  # bytes of a value whose length is written in 16 bits
_ALIKE = 1e-3  # directions and spacings that differ by less, in mm

Vector = npt.NDArray[np.float64]


class References(NamedTuple):
    """The UIDs of an image as they are, whether the standard allows them or not; "" where the header has none.

    Attributes:
        study: StudyInstanceUID.
        series: SeriesInstanceUID.
        sop_class: SOPClassUID.
        instance: SOPInstanceUID.
        frame_of_reference: FrameOfReferenceUID.
    """

    study: str
    series: str
    sop_class: str
    instance: str
    frame_of_reference: str


@dataclass(frozen=True, eq=False)
class SourceSlice:
    """One image that was scored, and what its header says.

    Attributes:
        prediction: for it.
        uids: what refers to it.
        frame: number of the frame in its file, from 1; 0 for a file of one image.
        shape: rows and columns of the stored pixels.
        orientation: (6,) direction of the rows, then of the columns; None where the header has none.
        position: (3,) mm; None where the header has none.
        spacing: (2,) mm between rows and between columns; None where the header has none.
        thickness: mm; None where the header has none.
        load: reads its pixels, as they were scored.
    """

    prediction: Prediction
    uids: References
    frame: int
    shape: tuple[int, int]
    orientation: Vector | None
    position: Vector | None
    spacing: Vector | None
    thickness: float | None
    load: Callable[[], Loaded]


@dataclass(frozen=True, eq=False)
class Source:
    """The images of one volume.

    Attributes:
        slices: in the order of the volume; files that cannot be read are left out.
        patient_and_study: elements for each object, as they are in the first image.
        compression: elements for pictures, as they are in the first image; empty where nothing was lost.
        procedures: value, scheme and meaning of the codes of the procedure.
        patients: how many different patients and studies the images name.
        own: whether one of the images is a result of brainsift.
    """

    slices: tuple[SourceSlice, ...]
    patient_and_study: tuple["RawDataElement", ...] = ()
    compression: tuple["RawDataElement", ...] = ()
    procedures: tuple[tuple[str, str, str], ...] = ()
    patients: int = 0
    own: bool = False

    @cached_property
    def by_path(self) -> dict[str, SourceSlice]:
        """The slices by the paths of their predictions."""
        return {one.prediction.path: one for one in self.slices}

    def reference_fault(self) -> str:
        """Tells why no object can refer to the images; "" where they have all that it takes."""
        if not self.slices:
            return "none of its files is a DICOM image that can be read"
        if self.own:
            return "its images are results of brainsift"
        if all(one.prediction.reason in WRONG_FILE for one in self.slices):
            return "its images are no MR of a head"
        for place, name in enumerate(_REFERENCES[:4]):
            if not all(one.uids[place] for one in self.slices):
                return f"the images have no {name}, or none that is a UID"
        return "the images are of several patients or studies" if self.patients > 1 else ""

    def geometry_fault(self) -> str:
        """Tells why nothing can be drawn in the space of the images; "" where they have all that it takes."""
        slices, first = self.slices, self.slices[0]
        needed: dict[str, list[Any]] = {
            "FrameOfReferenceUID": [one.uids.frame_of_reference or None for one in slices],
            "ImageOrientationPatient": [one.orientation for one in slices],
            "ImagePositionPatient": [one.position for one in slices],
            "PixelSpacing": [one.spacing for one in slices],
            "SliceThickness": [one.thickness for one in slices],
        }
        lacking = next((name for name, values in needed.items() if any(value is None for value in values)), "")
        if lacking:
            return f"the images have no {lacking}"
        orientations, positions, spacings = (np.array(values) for values in list(needed.values())[1:4])
        faults = {
            "are of several series": len({one.uids.series for one in slices}) > 1,
            "have several frames of reference": len(set(needed["FrameOfReferenceUID"])) > 1,
            "differ in size": any(one.shape != first.shape for one in slices),
            "lie in different planes": not np.allclose(orientations, orientations[0], atol=_ALIKE),
            "differ in the spacing of pixels": not np.allclose(spacings, spacings[0], atol=_ALIKE),
            "share identifiers": len({(one.uids.instance, one.frame) for one in slices}) < len(slices),
            "share places": len(np.unique(positions.round(3), axis=0)) < len(slices),
        }
        return next((f"the images {words}" for words, found in faults.items() if found), "")


def read_source(volume: VolumePrediction) -> Source:
    """Reads the headers of the images of a volume.

    Args:
        volume: with its slices.

    Raises:
        InputError: a file that was there when it was scored is gone.
    """
    slices: list[SourceSlice] = []
    headers: dict[str, tuple[References, Dataset] | None] = {}
    found, who, own = Source(()), set[tuple[object, ...]](), False
    for prediction in volume.slices:
        path, frame = split_name(prediction.path)
        if path not in headers:
            if prediction.status != "unreadable" and not Path(path).is_file():
                rule = "is gone, or no file: a DICOM object is made of the images that were scored"
                raise InputError(path, rule, "Keep them until it is made.", reason=Reason.MISSING_FILE)
            headers[path] = None
            if (header := _header(path)) is not None:
                own |= bool(is_own_result(header))
                who.add(tuple(element.value for element in verbatim(header, _WHO)))
                if len(who) == 1 and not found.patient_and_study:
                    found = _common(header)
                headers[path] = (References(*(uid_of(header, name) for name in _REFERENCES)), _without_names(header))
        known = headers[path]
        if known is not None:
            slices.append(_source_slice(prediction, *known, path, frame))
    return replace(found, slices=tuple(slices), patients=len(who), own=own)


def verbatim(header: "Dataset", tags: Iterable[str | int]) -> list["RawDataElement"]:
    """Returns elements of a header in Explicit VR Little Endian, the bytes of their values as they are.

    Args:
        header: as it was read; what is not there is left out.
        tags: of the elements.
    """
    from pydicom.datadict import dictionary_VR
    from pydicom.dataelem import RawDataElement
    from pydicom.tag import Tag
    from pydicom.valuerep import STR_VR

    turned = header.original_encoding[1] is False  # big endian: only texts are the same in both
    found = []
    for tag in sorted(Tag(name) for name in tags if name in header):
        element = header.get_item(tag)
        vr = element.VR
        if vr in (None, "UN"):
            try:
                vr = dictionary_VR(tag)
            except KeyError:
                vr = "UN"
        if vr == "SQ":
            value = b"".join(_encoded_item(item) for item in value_of(header, int(tag)) or [])
        elif element.is_raw and not (turned and vr not in STR_VR):
            value = element.value or b""
            value += (b"\0" if vr in ("UI", "UN", "OB") else b" ") * (len(value) % 2)
        elif not element.is_raw:
            value = "\\".join(map(str, values_of(header, int(tag)))).encode("ascii", "ignore")  # type: ignore[arg-type]
            value += b" " * (len(value) % 2)
        else:
            continue
        found.append(RawDataElement(tag, vr, len(value), value, 0, False, True))
    return found


def _encoded_item(item: "Dataset") -> bytes:
    """Returns an item of a sequence in Explicit VR Little Endian."""
    from pydicom.valuerep import EXPLICIT_VR_LENGTH_32

    body = b""
    for element in verbatim(item, list(item.keys())):
        value, vr = element.value or b"", str(element.VR)
        if vr in EXPLICIT_VR_LENGTH_32:
            length = b"\0\0" + len(value).to_bytes(4, "little")
        elif len(value) <= _LONGEST:
            length = len(value).to_bytes(2, "little")
        else:
            continue
        tag = element.tag.group.to_bytes(2, "little") + element.tag.element.to_bytes(2, "little")
        body += tag + vr.encode() + length + value
    return _ITEM + len(body).to_bytes(4, "little") + body


def _header(path: str) -> "Dataset | None":
    """Reads the header of a DICOM image; None for another file and for one that is broken."""
    if kind_of(path) != "dicom":
        return None
    try:
        return read_dataset(path, path, LIMITS, tags=_TAGS)
    except InputError:
        return None


def _common(header: "Dataset") -> Source:
    """Returns what is taken from the first image alone."""
    return Source(
        (),
        patient_and_study=tuple(verbatim(header, PATIENT_AND_STUDY)),
        compression=tuple(verbatim(header, COMPRESSION)) if text_of(header, COMPRESSION[0]) == "01" else (),
        procedures=_procedures(header),
    )


def _without_names(header: "Dataset") -> "Dataset":
    """Takes the names and identifiers away, which else would be turned into values with the rest."""
    for name in {*PATIENT_AND_STUDY, *_REFERENCES}:
        if name in header:
            del header[name]
    return header


def _source_slice(prediction: Prediction, uids: References, header: "Dataset", path: str, frame: int) -> SourceSlice:
    look, syntax = flat_header(header, max(frame - 1, 0)), transfer_syntax(header)
    load = partial(load_file, path, LIMITS)
    if frame:
        load = partial(load_frame, path, frame - 1, look, syntax=syntax, name=prediction.path, limits=LIMITS)
    return SourceSlice(
        prediction,
        uids,
        frame=frame,
        shape=(int(number_of(look, "Rows")), int(number_of(look, "Columns"))),
        orientation=vector_of(look, "ImageOrientationPatient", 6),
        position=vector_of(look, "ImagePositionPatient", 3),
        spacing=vector_of(look, "PixelSpacing", 2),
        thickness=_thickness(header),
        load=load,
    )


def _thickness(header: "Dataset") -> float | None:
    shared = value_of(header, FRAMES[2]) or []
    measures = [item for group in shared[:1] for item in value_of(group, "PixelMeasuresSequence") or []]
    found = (number_of(look, "SliceThickness") for look in [header, *measures])
    return next((thickness for thickness in found if thickness > 0), None)


def _procedures(header: "Dataset") -> tuple[tuple[str, str, str], ...]:
    """Returns the codes of the procedure, those in plain letters: the text of a report is written in these."""
    names = ("CodeValue", "CodingSchemeDesignator", "CodeMeaning")
    found = (tuple(text_of(item, name) for name in names) for item in value_of(header, "ProcedureCodeSequence") or [])
    return tuple((code[0], code[1], code[2]) for code in found if all(code) and "".join(code).isascii())
