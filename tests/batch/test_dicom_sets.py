"""`predict_files(dicom=…)`: one set of DICOM objects per volume, what is left out, and own results in the folder."""

from importlib.util import find_spec

import pydicom
import pytest
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage

from brainsift.batch.predict_files import predict_files
from brainsift.cli.main import main
from brainsift.core.errors import UsageError
from brainsift.dicom_results.result_set import ResultOptions
from brainsift.images.phantom import draw

pytestmark = pytest.mark.slow

_SIDE = 96


@pytest.fixture(autouse=True)
def highdicom():
    if find_spec("highdicom") is None:
        pytest.skip("needs dicom: highdicom is not installed")


def write_series(folder, series, count=3):
    folder.mkdir(parents=True)
    for number in range(1, count + 1):
        meta = FileMetaDataset()
        meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = MRImageStorage, f"{series}.{number}"
        meta.TransferSyntaxUID = ExplicitVRLittleEndian
        made = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
        made.SOPClassUID, made.SOPInstanceUID = MRImageStorage, f"{series}.{number}"
        made.StudyInstanceUID, made.SeriesInstanceUID, made.FrameOfReferenceUID = "1.2.3", series, "1.2.9"
        made.Modality, made.BodyPartExamined, made.InstanceNumber = "MR", "BRAIN", number
        made.ImageOrientationPatient, made.ImagePositionPatient = [1, 0, 0, 0, 1, 0], [0, 0, 5 * number]
        made.PixelSpacing, made.SliceThickness, made.Rows, made.Columns = [2, 2], 4, _SIDE, _SIDE
        made.SamplesPerPixel, made.PhotometricInterpretation = 1, "MONOCHROME2"
        made.BitsAllocated, made.BitsStored, made.HighBit, made.PixelRepresentation = 16, 16, 15, 0
        made.PixelData = draw(20 + number, tumor=True, size=_SIDE).pixels.astype("<u2").tobytes()
        made.save_as(folder / f"{number}.dcm", enforce_file_format=True)
    return folder


def files_in(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*.dcm"))


def test_each_series_gets_a_set_of_its_own(tmp_path):
    for name in ("one", "other"):
        write_series(tmp_path / "in" / name, f"1.2.3.{len(name)}")
    found = predict_files(tmp_path / "in", dicom=tmp_path / "out")
    names = ["secondary-capture-1.dcm", "secondary-capture-2.dcm", "secondary-capture-3.dcm", "segmentation-1.dcm"]
    names += ["structured-report-1.dcm"]
    assert files_in(tmp_path / "out") == [f"volume-0000{place}/{name}" for place in (0, 1) for name in names]
    assert found.left_out == () and found.written == (tmp_path / "out",)
    referred = set()
    for place in (0, 1):
        report = pydicom.dcmread(tmp_path / f"out/volume-0000{place}/structured-report-1.dcm")
        series = report.CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence
        referred |= {one.SeriesInstanceUID for one in series if one.SeriesInstanceUID.startswith("1.2.3")}
    assert referred == {"1.2.3.3", "1.2.3.5"}


def test_own_results_in_the_folder_get_no_results(tmp_path):
    folder = write_series(tmp_path / "scan", "1.2.3.4")
    predict_files(folder, dicom=folder / "results")
    again = predict_files(folder, dicom=tmp_path / "again")
    assert len({path.split("/")[0] for path in files_in(tmp_path / "again")}) == 1
    assert again.left_out and all(words.endswith("results of brainsift") for words in again.left_out)


def test_what_is_left_out_is_said(tmp_path, capsys):
    folder = write_series(tmp_path / "scan", "1.2.3.4")
    for path in folder.iterdir():
        header = pydicom.dcmread(path)
        del header.FrameOfReferenceUID
        header.save_as(path)
    assert main(["predict", str(folder), "--dicom", str(tmp_path / "out")]) == 0
    assert "no segmentation: the images have no FrameOfReferenceUID" in capsys.readouterr().err
    assert "volume-00000/segmentation-1.dcm" not in files_in(tmp_path / "out")


def test_plain_images_get_no_objects(tmp_path, phantoms):
    picture = next(phantoms.rglob("*.png"))
    assert predict_files(picture, dicom=tmp_path / "out").left_out == ()
    assert files_in(tmp_path / "out") == []


def test_more_objects_are_wanted_by_name(tmp_path):
    folder = write_series(tmp_path / "scan", "1.2.3.4")
    predict_files(folder, dicom=tmp_path / "a", dicom_options=ResultOptions(fractional=True))
    assert main(["predict", str(folder), "--dicom", str(tmp_path / "b"), "--dicom-also", "fractional"]) == 0
    assert files_in(tmp_path / "a") == files_in(tmp_path / "b")
    assert "volume-00000/fractional-1.dcm" in files_in(tmp_path / "a")


def test_more_objects_need_a_folder(tmp_path, capsys):
    assert main(["predict", str(tmp_path), "--dicom-also", "pdf"]) == UsageError.exit_code
    assert "--dicom-also: needs --dicom." in capsys.readouterr().err


def test_the_engine_ray_makes_none(tmp_path):
    with pytest.raises(UsageError, match="dicom"):
        predict_files(tmp_path, dicom=tmp_path / "out", engine="ray")
