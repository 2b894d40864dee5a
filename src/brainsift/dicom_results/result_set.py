"""DICOM objects that say what was found in a series: which ones are made, what they are, and how they are written."""

import io
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from brainsift.core.files import replacing

if TYPE_CHECKING:
    from pydicom import Dataset

Kind = Literal["structured-report", "segmentation", "fractional", "drawn-segmentation", "secondary-capture", "pdf"]


@dataclass(frozen=True)
class ResultOptions:
    """Which objects are made.

    Attributes:
        structured_report: Comprehensive 3D SR with the probabilities and decisions.
        segmentation: binary segmentation, where the tumor map is 0.5 or more.
        secondary_capture: pictures of the most suspicious slices.
        fractional: the whole tumor map as a fractional segmentation; few viewers show one.
        pdf: a page with the pictures, as encapsulated PDF; needs the extra `pdf`.
    """

    structured_report: bool = True
    segmentation: bool = True
    secondary_capture: bool = True
    fractional: bool = False
    pdf: bool = False


@dataclass(frozen=True)
class Reference:
    """A report that was sent before, in the same study.

    Attributes:
        series_instance_uid: of its series.
        sop_instance_uid: of the report.
    """

    series_instance_uid: str
    sop_instance_uid: str


@dataclass(frozen=True)
class ResultObject:
    """One DICOM object.

    Attributes:
        kind: which of them.
        number: counts the objects of its kind from 1.
        study_instance_uid: of the source, as it is there.
        series_instance_uid: of the object.
        sop_class_uid: of the object.
        sop_instance_uid: of the object.
        content: a whole DICOM file, Explicit VR Little Endian.
    """

    kind: Kind
    number: int
    study_instance_uid: str
    series_instance_uid: str
    sop_class_uid: str
    sop_instance_uid: str
    content: bytes

    @property
    def dataset(self) -> "Dataset":
        """The object, read from its content."""
        from pydicom import dcmread

        return dcmread(io.BytesIO(self.content))

    @property
    def reference(self) -> Reference:
        """What a later version of a report refers to."""
        return Reference(self.series_instance_uid, self.sop_instance_uid)

    @property
    def file_name(self) -> str:
        """A name without any identifier, such as ``secondary-capture-2.dcm``."""
        return f"{self.kind}-{self.number}.dcm"


@dataclass(frozen=True)
class ResultSet:
    """The objects of one volume.

    Attributes:
        objects: in the order to send them: what a report refers to comes before the report.
        left_out: why an object could not be made, one sentence each, without names and identifiers.
    """

    objects: tuple[ResultObject, ...]
    left_out: tuple[str, ...] = ()

    @property
    def report(self) -> ResultObject | None:
        """The structured report; None where it was not made."""
        return next((one for one in self.objects if one.kind == "structured-report"), None)


def folder_of(number: int) -> str:
    """Returns the name of the folder for the objects of a volume, without any identifier.

    Args:
        number: counts the volumes from 0.

    >>> folder_of(0)
    'volume-00000'
    """
    return f"volume-{number:05d}"


def write_results(results: ResultSet, folder: Path) -> list[Path]:
    """Writes the objects into a folder, each whole or not at all; the folder is made where it is missing.

    Returns:
        The paths, in the order of the objects.
    """
    paths = [folder / one.file_name for one in results.objects]
    for one, path in zip(results.objects, paths, strict=True):
        with replacing(path) as temporary:
            temporary.write_bytes(one.content)
    return paths
