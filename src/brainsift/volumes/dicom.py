"""DICOM files to slices: the series of a file, what its header says of each frame, and the slices in order."""

import hashlib
import io
import re
from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from brainsift.core.errors import ImageSizeError, InputError, UnreadableImageError
from brainsift.core.reasons import Reason, Rejection
from brainsift.core.warned import collected_warnings
from brainsift.images.decode import LIMITS, Limits
from brainsift.volumes.acquisition import acquisition_of
from brainsift.volumes.contrast import contrast_note, image_type
from brainsift.volumes.dicom_header import (
    EXPORT_AGAIN,
    HEADER,
    SERIES,
    b_value_of,
    component_of,
    dicom_errors,
    flat_header,
    number_of,
    plain_text_of,
    read_dataset,
    text_of,
    times_of,
    transfer_syntax,
    values_of,
    vector_of,
)
from brainsift.volumes.dicom_pixels import load_dataset, load_file, load_frame, rescale_fault
from brainsift.volumes.slices import Slice, broken_slice
from brainsift.volumes.stacks import Frame, natural, stacks_of

if TYPE_CHECKING:
    from pydicom import Dataset

_HEADS = "HEAD BRAIN SKULL NECK CRAN CEREB ENCEPH HIRN KOPF SCHAEDEL SCHÄDEL TETE TÊTE CERVEAU FACE ORBIT PITUIT SELLA"
# Other parts of the body, in words of the standard and of a few languages; any other word says nothing.
_ELSEWHERE = """
    ABDOMEN ADRENAL ANKLE ANUS AORTA APPENDIX ARM AXILLA BACK BLADDER BREAST BRONCHUS BUTTOCK CALCANEUS CALF CHEST
    CLAVICLE COCCYX COLON ELBOW ESOPHAGUS EXTREMITY FEMUR FIBULA FINGER FOOT FOREARM GALLBLADDER HAND HEART HIP
    HUMERUS ILEUM ILIUM KIDNEY KNEE LEG LIVER LSPINE LUMBAR LUNG OVARY PANCREAS PELVIS PROSTATE RADIUS RECTUM RIB
    SACRUM SCAPULA SHOULDER SIJOINT SPLEEN STERNUM STOMACH TESTIS THIGH THORAX THUMB TIBIA TOE TSPINE ULNA UTERUS
    WRIST BAUCH BECKEN BEIN BRUST FUSS FUß HUEFTE HÜFTE KNIE LEBER LWS BWS SCHULTER BASSIN CHEVILLE EPAULE ÉPAULE
    FOIE GENOU HANCHE PIED POIGNET CADERA HIGADO HÍGADO HOMBRO MUÑECA PELVICO RODILLA TOBILLO TORAX TÓRAX ADDOME
    ANCA CAVIGLIA FEGATO GINOCCHIO POLSO SPALLA TORACE BUIK HEUP VOET DIZ KARIN OMUZ
""".split()  # noqa: SIM905
# Of the words for the type of an image, those that make it another one; others say how it was filtered: ND, NORM.
_KINDS = frozenset(["FIELD MAP", "T1 MAP", "T2 MAP", "PHASE MAP", "PROJECTION IMAGE"]).union(
    """
    ORIGINAL DERIVED PRIMARY SECONDARY M R I P PHASE MAGNITUDE REAL IMAGINARY MIXED FIELDMAP DIFFUSION TRACEW TRACE EXP
    TENSOR ADC FA WATER FAT W F IP OP IN_PHASE OUT_PHASE OPP_PHASE PROJECTION SUB SUBTRACTION ADD MEAN MPROJ MPR MIP
    MINIP MNIP T1MAP T2MAP LOCALIZER
    """.split()  # noqa: SIM905
)
_MAX_FRAMES = 65_535
_FRAME_BYTES = 16  # at least, whatever the compression
_WORD = 16  # characters of a code string in DICOM


def series_of(path: str, limits: Limits = LIMITS) -> tuple[str, str, str]:
    """Returns what tells the series of a file from all others, hashed, its name, and its identifier; reads the header.

    Files with one SeriesInstanceUID are one series, in whichever folders they lie, unless they are of different
    patients or studies, have different numbers or descriptions, or were not made by the same kind of device: then an
    anonymizer gave one identifier to all. Without an identifier, the rest of the header decides, and where nothing
    names patient or study, the folder.

    Raises:
        UnreadableImageError: no DICOM file, or a broken one.
        ImageSizeError: beyond ``limits``.
    """
    header = read_dataset(path, path, limits, tags=SERIES)
    who = [plain_text_of(header, tag) for tag in ("PatientID", "PatientName", "PatientBirthDate", "StudyInstanceUID")]
    what = [text_of(header, tag) for tag in ("SeriesNumber", "SeriesDescription", "Modality")]
    uid = plain_text_of(header, "SeriesInstanceUID")
    key = [uid, *who, *what]
    if not uid:
        key += [plain_text_of(header, "FrameOfReferenceUID")]
        key += [text_of(header, tag) for tag in ("ProtocolName", "Rows", "Columns")]
        key += [] if any(who) else [str(Path(path).parent)]
    title = " ".join(filter(None, what[:2])) or uid or "series"
    digest = hashlib.sha256("\0".join(key).encode(errors="surrogateescape")).hexdigest()
    return digest, f"{Path(path).parent}#{title}", uid


def dicom_slices(paths: Iterable[str], name: str, *, limits: Limits = LIMITS) -> list[Slice]:
    """Lists the slices of the files of one series; only headers are read.

    Slices that lie at the same places are stacks, and so volumes, of their own; `stacks.stacks_of` orders them. A file
    whose header cannot be read comes at the end, and says why when it is read. It counts as a slice of the series;
    where that has several stacks, nothing tells of which one: then it stands alone, and the slices of all have a note.

    Args:
        paths: of the files.
        name: of the series.
        limits: what is read at all.
    """
    frames: list[Frame] = []
    broken: list[tuple[str, InputError]] = []
    for path in paths:
        try:
            with collected_warnings() as words:
                read = _frames(path, limits)
        except InputError as error:
            broken.append((path, error))
        else:
            frames += [replace(frame, slice=frame.slice.noted(*words)) for frame in read] if words else read
    found = stacks_of(frames, name)
    volumes = {piece.volume for piece in found} or {name}
    if broken:
        found = [replace(piece, acquisition=replace(piece.acquisition, incomplete=True)) for piece in found]
    if broken and len(volumes) > 1:
        files = "1 file" if len(broken) == 1 else f"{len(broken)} files"
        found = [piece.noted(f"{files} of the series cannot be read, and may belong here") for piece in found]
    volume = next(iter(volumes)) if len(volumes) == 1 else ""
    return [*found, *(broken_slice(path, volume, error) for path, error in broken)]


def read_bytes(content: bytes, *, name: str = "image", limits: Limits = LIMITS) -> "Dataset":
    """Reads the content of a file.

    Raises:
        UnreadableImageError: no DICOM file, or a broken one.
        ImageSizeError: it unpacks to more than ``limits``.
    """
    return read_dataset(io.BytesIO(content), name, limits)


def dataset_slice(dataset: "Dataset", name: str) -> Slice:
    """Returns a data set of one frame as a slice, with what its header says."""
    with collected_warnings() as words:
        piece = _described(Slice(name, "", partial(load_dataset, dataset, name=name)), flat_header(dataset, 0))
    return piece.noted(*words)


def header_reason(header: "Dataset") -> Rejection | None:
    """Tells why a header is not that of an MR slice of a head; None where nothing in it speaks against that."""
    modality = _word(header, "Modality")
    if modality not in ("", "MR", "MRI"):
        return Rejection(Reason.OTHER_MODALITY, f"its header says that it is {modality}, not MR")
    if "MOSAIC" in text_of(header, "ImageType").upper():
        return Rejection(Reason.SEVERAL_IMAGES, "its header says that it is a mosaic of many slices")
    part = _word(header, "BodyPartExamined")
    elsewhere = any(word in _ELSEWHERE for word in re.split(r"[^\w]+|_", part))
    if elsewhere and not any(word in part for word in _HEADS.split()):
        return Rejection(Reason.OTHER_BODY_PART, f"its header says that it shows {part}, not a head")
    return None


def _word(header: "Dataset", tag: str) -> str:
    """Returns a code of a header; what is longer than codes are is cut off."""
    return text_of(header, tag).upper()[:_WORD].strip()


def _frames(path: str, limits: Limits) -> list[Frame]:
    """Reads the header of a file, frame by frame."""
    with dicom_errors(path):
        size = Path(path).stat().st_size
    if size > limits.max_bytes:
        raise ImageSizeError(path, f"has more than {limits.max_bytes} bytes", "Save it smaller.")
    header = read_dataset(path, path, limits, tags=HEADER)
    count = int(number_of(header, "NumberOfFrames", 1))
    if count > _MAX_FRAMES:
        raise ImageSizeError(path, f"has {count} frames, more than {_MAX_FRAMES}", "Split it.")
    if count > size // _FRAME_BYTES:
        raise UnreadableImageError(path, f"says that it has {count} frames, more than it has room for", EXPORT_AGAIN)
    if count <= 1:
        look = flat_header(header, 0)
        return [_frame(look, Slice(path, "", partial(load_file, path, limits)), path, 0, size)]
    frames, syntax = [], transfer_syntax(header)
    for index in range(count):
        look, name = flat_header(header, index), f"{path}#{index + 1}"
        piece = Slice(name, "", partial(load_frame, path, index, look, syntax=syntax, name=name, limits=limits))
        frames.append(_frame(look, piece, path, index, size))
    return frames


def _frame(look: "Dataset", piece: Slice, path: str, index: int, size: int) -> Frame:
    """Gathers what the header of a slice says of where it belongs, and why it may be no MR of a head."""
    orientation = vector_of(look, "ImageOrientationPatient", 6)
    directions = None if orientation is None else orientation.reshape(2, 3)
    if directions is not None:
        flat = not np.cross(*directions).any()
        directions = None if flat else directions / np.linalg.norm(directions, axis=1, keepdims=True)
    location = vector_of(look, "SliceLocation", 1)
    return Frame(
        _described(piece, look),
        instance=plain_text_of(look, "SOPInstanceUID"),
        number=number_of(look, "InstanceNumber"),
        file=natural(path),
        size=size,
        index=index,
        position=vector_of(look, "ImagePositionPatient", 3),
        directions=directions,
        location=None if location is None else float(location[0]),
        properties=_properties(look),
        times=times_of(look),
        settings=_settings(look),
    )


def _described(piece: Slice, look: "Dataset") -> Slice:
    """Returns a slice with what its header says of it."""
    fault, kind, acquisition = rescale_fault(look), image_type(look), acquisition_of(look)
    notes = [f"its header says that it is {kind}"] if kind else []
    notes += [contrast_note(acquisition.other_contrast)] if acquisition.other_contrast not in ("", kind) else []
    notes += [f"{fault}: the stored values are shown"] if fault else []
    return replace(piece, rejection=header_reason(look), note="; ".join(notes), acquisition=acquisition)


def _properties(look: "Dataset") -> dict[str, str]:
    """Returns what makes another stack, in words; "" for what the header does not have."""
    b_value = b_value_of(look)
    types = (text_of(look, "FrameType") or text_of(look, "ImageType")).split("/")
    return {
        "size": f"{number_of(look, 'Rows'):.0f} x {number_of(look, 'Columns'):.0f}",
        "type": "/".join(word for word in types if word.upper() in _KINDS),
        "component": component_of(look),
        "stack": _words(look, "stack {}", "StackID"),
        "time": _words(look, "time {}", "TemporalPositionIndex", "TemporalPositionIdentifier"),
        "b-value": "" if b_value is None else f"b={b_value:g}",
        "echo": _words(look, "echo {}", "EchoNumbers"),
    }


def _settings(look: "Dataset") -> dict[str, str]:
    """Returns what makes another stack where places repeat, in words; it may also change from slice to slice."""
    return {
        "type": text_of(look, "FrameType") or text_of(look, "ImageType"),
        "acquisition": _words(look, "acquisition {}", "AcquisitionNumber"),
        "flip angle": _words(look, "flip angle {}", "FlipAngle"),
        "repetition time": _words(look, "TR {} ms", "RepetitionTime"),
        "sequence": text_of(look, "SequenceName"),
        "direction": _words(look, "direction {}", "DiffusionGradientOrientation"),
        "dimensions": _words(look, "index {}", "DimensionIndexValues"),
        "trigger": _words(look, "trigger {} ms", "TriggerTime"),
    }


def _words(look: "Dataset", form: str, *tags: str) -> str:
    """Puts the values of the first tag that has some into words, numbers to four digits."""
    for tag in tags:
        words = []
        for value in values_of(look, tag):
            try:
                words.append(f"{float(value):.4g}")
            except (TypeError, ValueError):
                words.append(text_of(look, tag))
        if words:
            return form.format(" ".join(words))
    return ""
