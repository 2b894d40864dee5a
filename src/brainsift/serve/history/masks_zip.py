"""Judged cases and corrected contours as one ZIP archive, which `audit`, `calibrate`, `evaluate` and training read.

manifest.csv      one row per image or slice with a label, with the columns of the history's table and `mask`
images/00012.png  the kept picture of case 12
masks/00012.png   its corrected contour: 255 inside, 0 outside, as many pixels as the image that was scored
volumes/          00011.nii.gz: the contours of the slices of a volume, in the voxels of its source
segmentations/    00011.dcm: the same of a DICOM series as a DICOM segmentation
volumes.csv       which slices of each volume were corrected
left-out.txt      what is missing, and why
"""

import io
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, BinaryIO

import numpy as np
from PIL import Image

from brainsift.core.files import csv_writer
from brainsift.serve.history.contours import Contour
from brainsift.serve.history.export_table import EXPORT_COLUMNS, exported
from brainsift.serve.scoring.slice_pictures import encoded
from brainsift.volumes.voxel_grid import VoxelGrid

MANIFEST_COLUMNS = (*EXPORT_COLUMNS, "mask")
VOLUME_COLUMNS = ("case", "name", "verdict", "slices", "corrected", "nifti", "segmentation")
_README = """Judged cases and corrected contours of brainsift. Research use only. Not a medical device.

manifest.csv      one row per image or slice that a reader judged or drew on: path, label (1 tumor, 0 no tumor), mask,
                  patient and more. Paths count from this file: brainsift audit manifest.csv -o audit
images/           the pictures that the history keeps: 8 bits, at most 1024 pixels per side
masks/            the contours that readers drew: 255 inside, 0 outside, in the pixels of the image that was scored
volumes.csv       the volumes with contours, and the numbers of the slices that were corrected
volumes/          their contours as NIfTI: 1 inside, in the voxels of the source. A slice that nobody corrected is 0
                  throughout: that does not say that it shows no tumor
segmentations/    the contours of DICOM series as DICOM segmentations, while their files are at the service
left-out.txt      what is missing here, and why
"""
Segment = Callable[[Mapping[int, Contour]], tuple[bytes | None, str]]
"""Takes contours by the numbers of their cases, all of one volume; returns a DICOM object and "", or None and why there
is none: "" where it is no DICOM series."""


@dataclass(frozen=True)
class DrawnVolume:
    """An image or volume with contours.

    Attributes:
        name: for display.
        verdict: of the reader on the whole; "" where there is none.
        n_slices: number of its slices as it was scored; 0 for an image.
        numbers: the cases of its slices that are still there, in order; of an image, its own.
        grid: its stored voxels; None where they are not known.
    """

    name: str
    verdict: str
    n_slices: int
    numbers: Sequence[int]
    grid: VoxelGrid | None


def no_segmentation(contours: Mapping[int, Contour]) -> tuple[None, str]:
    """Makes no DICOM segmentation: the files of the history's cases are not here."""
    return None, "the files of its series are not at the service"


def write_zip(
    stream: BinaryIO,
    rows: Sequence[Mapping[str, Any]],
    contours: Mapping[int, Contour],
    volumes: Mapping[int, DrawnVolume],
    *,
    read: Callable[[int], bytes | None],
    segment: Segment,
) -> None:
    """Writes the archive.

    Args:
        stream: where to.
        rows: of the table `cases`, one per picture: images and slices, with `volume_verdict`.
        contours: by case.
        volumes: by the case that is listed, those with contours.
        read: gives the kept picture of a case; None where none was kept.
        segment: makes the DICOM segmentation of a volume.
    """
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as file:
        packed = _Packed(file)
        packed.write("README.txt", _README.encode())
        for number, contour in contours.items():
            packed.write(_name("masks", number, "png"), mask_png(contour), compressed=True)
        packed.table("manifest.csv", MANIFEST_COLUMNS, _manifest(rows, contours, packed, read))
        packed.table("volumes.csv", VOLUME_COLUMNS, _volumes(volumes, contours, packed, segment))
        if packed.left_out:
            packed.write("left-out.txt", "".join(f"{line}\n" for line in packed.left_out).encode())


@dataclass
class _Packed:
    """The archive, and what is left out of it."""

    file: zipfile.ZipFile
    left_out: list[str] = field(default_factory=list)

    def write(self, name: str, content: bytes, *, compressed: bool = False) -> None:
        self.file.writestr(name, content, zipfile.ZIP_STORED if compressed else zipfile.ZIP_DEFLATED)

    def table(self, name: str, columns: Sequence[str], rows: Iterator[Mapping[str, Any]]) -> None:
        text = io.StringIO()
        write_row = csv_writer(text, columns)
        for row in rows:
            write_row(row)
        self.write(name, text.getvalue().encode("utf-8", "surrogateescape"))


def _manifest(
    rows: Sequence[Mapping[str, Any]],
    contours: Mapping[int, Contour],
    packed: _Packed,
    read: Callable[[int], bytes | None],
) -> Iterator[Mapping[str, Any]]:
    """Yields the rows of the manifest, and packs the pictures."""
    for row in rows:
        number = row["id"]
        made, contour = exported(row, ""), contours.get(number)
        if contour:
            made["label"], fault = _label(row, made["label"], contour)
            if fault:
                packed.left_out.append(f"case {number}: not in manifest.csv: {fault}")
                continue
        if made["label"] == "":
            continue
        picture = read(number) if row["picture"] else None
        if picture is None:
            reason = "its picture was not kept; start the service with --keep-images to keep pictures"
            packed.left_out.append(f"case {number}: not in manifest.csv: {reason}")
            continue
        made["path"], made["mask"] = _name("images", number, "png"), _name("masks", number, "png") if contour else ""
        packed.write(made["path"], picture, compressed=True)
        yield made
    for number in contours.keys() - {row["id"] for row in rows}:
        reason = "its picture was scored again, and the case that was judged last stands for it"
        packed.left_out.append(f"case {number}: not in manifest.csv: {reason}")


def _label(row: Mapping[str, Any], stated: str, contour: Contour) -> tuple[str, str]:
    """Returns the label of an image with a contour, and why it has none; what a reader drew is a statement, too."""
    drawn = "1" if any(contour.runs[1::2]) else "0"
    if row["status"] != "ok":
        return "", "the network rejected the image, so that it has no label"
    if row["verdict"] in ("unsure", "not_brain_mri"):
        return "", f"your verdict on it is {row['verdict']}, which is no label"
    if stated not in ("", drawn):
        shown = "shows a tumor" if drawn == "1" else "is empty"
        whose = row["verdict"] or row["volume_verdict"]
        return "", f"the contour {shown}, and the verdict is {whose}; change one of them"
    return drawn, ""


def _volumes(
    volumes: Mapping[int, DrawnVolume], contours: Mapping[int, Contour], packed: _Packed, segment: Segment
) -> Iterator[Mapping[str, Any]]:
    """Yields the rows of the table of volumes, and packs their contours."""
    for number, volume in volumes.items():
        own = {case: contours[case] for case in volume.numbers if case in contours}
        row: dict[str, Any] = {"case": number, "name": volume.name, "verdict": volume.verdict}
        row["slices"] = volume.n_slices or 1
        row["corrected"] = " ".join(str(place) for place, case in enumerate(volume.numbers, 1) if case in own)
        content, reason = _nifti(volume, own)
        for column, folder, suffix, kind in (
            ("nifti", "volumes", "nii.gz", "NIfTI"),
            ("segmentation", "segmentations", "dcm", "DICOM segmentation"),
        ):
            if column == "segmentation":
                content, reason = segment(own)
            row[column] = _name(folder, number, suffix) if content else ""
            if content:
                packed.write(row[column], content, compressed=suffix == "nii.gz")
            elif reason:
                packed.left_out.append(f"case {number}: no {kind}: {reason}")
        if volume.n_slices or row["nifti"] or row["segmentation"]:
            yield row


def _nifti(volume: DrawnVolume, contours: Mapping[int, Contour]) -> tuple[bytes | None, str]:
    """Returns the contours of a volume as NIfTI, or why there is none: "" for an image."""
    if volume.grid is None:
        reason = "its slices do not lie at even distances, or the file does not say where they lie"
        return None, reason if volume.n_slices else ""
    if volume.grid.n_slices != len(volume.numbers):
        return None, "slices of it were deleted from the history"
    masks = {place: contours[case].mask() for place, case in enumerate(volume.numbers) if case in contours}
    return volume.grid.nifti(volume.grid.masks(masks), "Contours of a reader"), ""


def mask_png(contour: Contour) -> bytes:
    """Returns the mask of a contour as PNG: 255 inside, 0 outside."""
    return encoded(Image.fromarray(contour.mask().astype(np.uint8) * np.uint8(255)), compress_level=6)


def _name(folder: str, number: int, suffix: str) -> str:
    return f"{folder}/{number:05d}.{suffix}"
