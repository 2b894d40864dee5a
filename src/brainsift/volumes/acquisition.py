"""What a header says of how a slice was made, as far as a reader of the prediction should know it."""

import hashlib
import re
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

import numpy as np

from brainsift.volumes.contrast import other_contrast
from brainsift.volumes.dicom_header import number_of, plain_text_of, text_of, vector_of
from brainsift.volumes.geometry import Geometry, geometry_of
from brainsift.volumes.voxel_grid import VoxelGrid

if TYPE_CHECKING:
    from pydicom import Dataset

_YEARS = {"D": 1 / 365.25, "W": 7 / 365.25, "M": 1 / 12, "Y": 1.0}  # by the letter of an age string, DICOM PS3.5, 6.2
_NOBODY = frozenset(  # instead of the number of a patient
    "anon anonymous anonymized anonymised deidentified none na null patient removed test unknown".split()  # noqa: SIM905
)
_LONGEST_DESCRIPTION = 64  # characters of a long string in DICOM


@dataclass(frozen=True)
class Acquisition:
    """What a header says; a plain image has none of it.

    Attributes:
        description: of the series; "" where there is none, or where it holds a part of the patient's name or number.
        geometry: where the picture lies; None where the file does not say how the head lies.
        age_years: of the patient; None where the header does not tell it.
        other_contrast: how it was made, where that is neither T1, T2 nor FLAIR, which the training images are; "" for
            these, and where nothing tells it. See `contrast.other_contrast`.
        burned_in: whether the header says that letters are part of the picture.
        incomplete: whether slices of its series are missing.
        patient: a checksum by which studies of one patient are found, 32 hexadecimal digits; "" where the header does
            not say who it is.
        study_date: of the study, ISO 8601; "" where the header does not tell it.
        grid: the stored voxels of a volume in one file; None for other images.
    """

    description: str = ""
    geometry: Geometry | None = None
    age_years: float | None = None
    other_contrast: str = ""
    burned_in: bool = False
    incomplete: bool = False
    patient: str = ""
    study_date: str = ""
    grid: VoxelGrid | None = None


UNKNOWN = Acquisition()


def acquisition_of(header: "Dataset") -> Acquisition:
    """Reads the header of one DICOM frame."""
    patient = _patient(header)  # first: what is read as a text once is decoded from then on
    study_date = _day(plain_text_of(header, "StudyDate"))
    return Acquisition(
        description=_description(header),
        geometry=_geometry(header),
        age_years=_age(header),
        other_contrast=other_contrast(header),
        burned_in=text_of(header, "BurnedInAnnotation").upper() == "YES",
        patient=patient,
        study_date=study_date.isoformat() if study_date else "",
    )


def _patient(header: "Dataset") -> str:
    """Returns a checksum of the patient's number, its issuer and the date of birth; "" without a number of one's own.

    Two hospitals may give the same number, and two patients may have the same name: so the number alone is not enough,
    and the name is not used.
    """
    number = plain_text_of(header, "PatientID").strip()
    letters = re.sub(r"[\W_]", "", number).casefold()
    if len(set(letters)) < 2 or letters in _NOBODY:
        return ""
    who = (number, *(plain_text_of(header, tag).strip() for tag in ("IssuerOfPatientID", "PatientBirthDate")))
    return hashlib.sha256("\0".join(who).encode()).hexdigest()[:32]


def _description(header: "Dataset") -> str:
    text = text_of(header, "SeriesDescription")[:_LONGEST_DESCRIPTION]
    person = re.split(r"[^\w]+|_", f"{text_of(header, 'PatientName')} {text_of(header, 'PatientID')}".casefold())
    return "" if any(len(word) > 2 and word in text.casefold() for word in person) else text


def _geometry(header: "Dataset") -> Geometry | None:
    orientation, first = vector_of(header, "ImageOrientationPatient", 6), vector_of(header, "ImagePositionPatient", 3)
    if orientation is None or first is None or not np.cross(orientation[:3], orientation[3:]).any():
        return None
    across, downward = (part / np.linalg.norm(part) for part in orientation.reshape(2, 3))
    spacing = vector_of(header, "PixelSpacing", 2)
    known = None if spacing is None or not (spacing > 0).all() else (float(spacing[0]), float(spacing[1]))
    shape = int(number_of(header, "Rows", 1)), int(number_of(header, "Columns", 1))
    return geometry_of(first, across, downward, shape, known)


def _age(header: "Dataset") -> float | None:
    """Returns the age in years: that of the header, or from the dates of birth and study."""
    age = re.fullmatch(r"(\d{1,3})([DWMY])", plain_text_of(header, "PatientAge").upper())
    if age:
        return int(age[1]) * _YEARS[age[2]]
    born, seen = (_day(plain_text_of(header, tag)) for tag in ("PatientBirthDate", "StudyDate"))
    return (seen - born).days / 365.25 if born and seen and seen >= born else None


def _day(text: str) -> date | None:
    try:
        return date(int(text[:4]), int(text[4:6]), int(text[6:8]))
    except ValueError:
        return None
