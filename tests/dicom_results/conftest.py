"""Drawn DICOM series in all planes and states of their headers, their results, and the programs that check them."""

import shutil
import subprocess
from datetime import datetime
from functools import cache
from importlib.util import find_spec
from types import SimpleNamespace

import numpy as np
import pytest
from pydicom import Dataset
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import EnhancedMRImageStorage, ExplicitVRLittleEndian, MRImageStorage

from brainsift.dicom_results.build import build_results
from brainsift.images.phantom import draw
from brainsift.inference.predictor import Predictor, predict_volume

WHEN = datetime(2026, 3, 4, 15, 6, 7)
PATIENT = {
    "PatientName": "Zwetschgenbaum^Aurelia",
    "PatientID": "ZQ-77120934",
    "PatientBirthDate": "19470319",
    "PatientSex": "F",
    "AccessionNumber": "ACC-5501-XK",
    "StudyID": "STUDYID-8841",
    "ReferringPhysicianName": "Hohenfels^Ottokar",
    "StudyDescription": "Schaedel nativ",
    "StudyDate": "20260301",
    "StudyTime": "101112",
    "PatientComments": "fears needles",
    "RequestingService": "Ward 7 Wolkenstein",
}
PLANES = {
    "axial": [1, 0, 0, 0, 1, 0],
    "sagittal": [0, 1, 0, 0, 0, -1],
    "coronal": [1, 0, 0, 0, 0, -1],
    "oblique": [0.866, 0.5, 0, -0.433, 0.75, -0.5],
}
_SIDE, _COUNT, _STEP_MM = 96, 4, 5.0


def header(sop_class, uid):
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = sop_class, uid
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    made = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    made.SOPClassUID, made.SOPInstanceUID = sop_class, uid
    made.StudyInstanceUID, made.SeriesInstanceUID = "1.2.826.0.1.77", "1.2.826.0.1.77.1"
    made.FrameOfReferenceUID = "1.2.826.0.1.77.9"
    made.Modality, made.BodyPartExamined, made.SeriesNumber, made.ImageType = "MR", "BRAIN", 3, ["ORIGINAL", "PRIMARY"]
    for name, value in PATIENT.items():
        setattr(made, name, value)
    made.SamplesPerPixel, made.PhotometricInterpretation = 1, "MONOCHROME2"
    made.BitsAllocated, made.BitsStored, made.HighBit, made.PixelRepresentation = 16, 16, 15, 0
    return made


def changed(made, tags):
    """Replaces or adds elements; None takes them away."""
    for name, value in tags.items():
        if value is not None:
            setattr(made, name, value)
        elif name in made:
            delattr(made, name)
    return made


@cache
def pixels_of(number):
    return draw(20 + number, tumor=True, size=_SIDE).pixels.astype("<u2")


def place_of(orientation, number):
    normal = np.cross(orientation[:3], orientation[3:])
    return [round(float(value), 4) for value in number * _STEP_MM * normal]


def write_series(folder, *, plane="axial", count=_COUNT, start=1, shrink=1, **tags):
    """Writes one file per slice; ``shrink`` keeps every so manieth column, on pixels that are so much wider."""
    folder.mkdir(parents=True, exist_ok=True)
    orientation = PLANES[plane]
    for number in range(count):
        made = header(MRImageStorage, f"1.2.826.0.1.77.1.{start + number}")
        pixels = pixels_of(number)[:, ::shrink]
        made.InstanceNumber = start + number
        made.ImageOrientationPatient, made.ImagePositionPatient = orientation, place_of(orientation, number)
        made.PixelSpacing, made.SliceThickness = [2.0, 2.0 * shrink], 4.0
        made.Rows, made.Columns = pixels.shape
        made.PixelData = pixels.tobytes()
        changed(made, tags).save_as(folder / f"IM{start + number}.dcm", enforce_file_format=True)
    return folder


def write_enhanced(folder, *, count=_COUNT, **tags):
    """Writes one file of several frames."""
    folder.mkdir(parents=True, exist_ok=True)
    made = header(EnhancedMRImageStorage, "1.2.826.0.1.77.1.100")
    made.InstanceNumber, made.NumberOfFrames, made.Rows, made.Columns = 1, count, _SIDE, _SIDE
    shared, orientation, measures = Dataset(), Dataset(), Dataset()
    orientation.ImageOrientationPatient = PLANES["axial"]
    measures.PixelSpacing, measures.SliceThickness = [2.0, 2.0], 4.0
    shared.PlaneOrientationSequence, shared.PixelMeasuresSequence = [orientation], [measures]
    frames = []
    for number in range(count):
        frame, position = Dataset(), Dataset()
        position.ImagePositionPatient = place_of(PLANES["axial"], number)
        frame.PlanePositionSequence = [position]
        frames.append(frame)
    made.SharedFunctionalGroupsSequence, made.PerFrameFunctionalGroupsSequence = [shared], frames
    made.PixelData = b"".join(pixels_of(number).tobytes() for number in range(count))
    changed(made, tags).save_as(folder / "enhanced.dcm", enforce_file_format=True)
    return folder


def write_twice(folder):
    """Writes a series, and each of its files again beside it."""
    write_series(folder)
    for one in list(folder.iterdir()):
        shutil.copy(one, folder / f"copy-of-{one.name}")
    return folder


_BARE = dict.fromkeys([*PATIENT, "BodyPartExamined", "SeriesNumber", "ImageType", "InstanceNumber"])
CASES = {
    "axial": write_series,
    "sagittal": lambda folder: write_series(folder, plane="sagittal"),
    "coronal": lambda folder: write_series(folder, plane="coronal"),
    "oblique": lambda folder: write_series(folder, plane="oblique"),
    "anisotropic": lambda folder: write_series(folder, shrink=2),
    "enhanced": write_enhanced,
    "anonymised": lambda folder: write_series(folder, **_BARE),
    "utf8": lambda folder: write_series(
        folder, SpecificCharacterSet="ISO_IR 192", PatientName="Ямада^Τάρο=山田^太郎", StudyDescription="tête"
    ),
    "iso2022": lambda folder: write_series(
        folder,
        SpecificCharacterSet=["", "ISO 2022 IR 87"],
        PatientName="Yamada^Tarou=山田^太郎=やまだ^たろう",
        StudyDescription="頭部",
    ),
    "no frame of reference": lambda folder: write_series(folder, FrameOfReferenceUID=None),
    "duplicates": write_twice,
    "no slice thickness": lambda folder: write_series(folder, SliceThickness=None),
}


@cache
def predictor():
    return Predictor(threads=1)


def results_of(volume, **options):
    return build_results(volume, predictor().bundle, predictor().rule, **{"when": WHEN, **options})


@pytest.fixture(scope="session")
def results():
    """What draws series, predicts them and makes their results."""
    if find_spec("highdicom") is None:
        pytest.skip("needs dicom: highdicom is not installed")
    return SimpleNamespace(
        cases=CASES,
        planes=PLANES,
        patient=PATIENT,
        when=WHEN,
        write_series=write_series,
        write_enhanced=write_enhanced,
        pixels_of=pixels_of,
        predictor=predictor,
        predict=lambda folder: predict_volume(folder, predictor=predictor()),
        build=results_of,
    )


@pytest.fixture(scope="session")
def case(tmp_path_factory, results):
    """A drawn series by its name: its folder, its prediction and its results."""

    @cache
    def make(name):
        folder = CASES[name](tmp_path_factory.mktemp("series") / "files")
        volume = results.predict(folder)
        return SimpleNamespace(folder=folder, volume=volume, results=results.build(volume))

    return make


@pytest.fixture(scope="session")
def check():
    """Runs a checker on files and returns the lines that it wrote."""

    def run(program, *arguments):
        if shutil.which(program) is None:
            need = "dcmtk" if program == "dsrdump" else "dicom3tools"
            pytest.skip(f"needs {need}: {program} is not installed")
        done = subprocess.run(
            [program, *map(str, arguments)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
            check=False,
        )
        return done.returncode, done.stdout.splitlines()

    return run
