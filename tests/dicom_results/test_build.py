"""The objects of a volume: what checkers say, the same bytes each time, identifiers as they are, what is left out."""

import json
import logging
import subprocess
import sys
import textwrap
import warnings
from dataclasses import replace
from datetime import timedelta

import pydicom
import pytest

from brainsift.core.errors import InputError
from brainsift.core.reasons import Reason
from brainsift.dicom_results.result_set import Reference, ResultOptions, write_results
from brainsift.dicom_results.sources import PATIENT_AND_STUDY
from brainsift.inference.decision import Rule

pytestmark = pytest.mark.slow

ALL = ResultOptions(fractional=True)
CASE_NAMES = [
    "axial",
    "sagittal",
    "coronal",
    "oblique",
    "anisotropic",
    "enhanced",
    "anonymised",
    "utf8",
    "iso2022",
    "no frame of reference",
    "duplicates",
    "no slice thickness",
]


def contents(made):
    return [one.content for one in made.objects]


def uids(made):
    return {one.sop_instance_uid for one in made.objects}


def kinds(made):
    return [one.kind for one in made.objects]


def test_all_cases_are_checked(results):
    assert set(CASE_NAMES) == set(results.cases)


def check_all(check, made, images, folder):
    """Writes objects into a folder, and has the checkers read each of them, and all of them beside the images."""
    paths = write_results(made, folder)
    for path in paths:
        _, lines = check("dciodvfy", "-new", path)
        assert [line for line in lines if line.startswith(("Error", "Abort"))] == [], path.name
    code, lines = check("dsrdump", folder / "structured-report-1.dcm")
    assert code == 0 and "Comprehensive 3D SR Document" in lines
    # Its table places the accession number of a report and that of an image in other modules.
    known = ("present in one instance but not the other", "Different information entities for attribute")
    _, lines = check("dcentvfy", *paths, *images)
    assert [line for line in lines if not any(words in line for words in known)] == []
    return paths


@pytest.mark.slow
@pytest.mark.parametrize("name", CASE_NAMES)
def test_checkers_find_no_error(case, results, check, tmp_path, name):
    found = case(name)
    images = found.folder.glob("[!c]*")  # a file and its copy are an error of theirs
    check_all(check, results.build(found.volume, options=ALL), images, tmp_path)


@pytest.mark.slow
def test_checkers_find_no_error_on_two_series_of_a_study(results, check, tmp_path):
    folders = [
        results.write_series(tmp_path / "one"),
        results.write_series(
            tmp_path / "other", plane="coronal", start=11, SeriesInstanceUID="1.2.826.0.1.77.2", SeriesNumber=4
        ),
    ]
    made = [results.build(results.predict(folder), options=ALL) for folder in folders]
    seen = [path for folder in folders for path in folder.iterdir()]
    for number, one in enumerate(made):  # the second with the results of the first beside it
        seen += check_all(check, one, seen, tmp_path / f"out{number}")
    assert not uids(made[0]) & uids(made[1])
    series = [{one.series_instance_uid for one in each.objects} for each in made]
    assert not series[0] & series[1] and {one.study_instance_uid for each in made for one in each.objects} == {
        pydicom.dcmread(seen[0]).StudyInstanceUID
    }


@pytest.mark.slow
def test_checkers_find_no_error_on_a_real_series(data, results, check, tmp_path):
    volume = results.predict(data / "volumes/dicom_series")
    made = results.build(volume, options=ALL)
    assert kinds(made) == ["segmentation", "fractional", *["secondary-capture"] * 5, "structured-report"]
    assert made.left_out == ()
    paths = write_results(made, tmp_path)
    for path in paths:
        _, lines = check("dciodvfy", "-new", path)
        assert [line for line in lines if line.startswith(("Error", "Abort"))] == [], path.name
    assert check("dsrdump", tmp_path / "structured-report-1.dcm")[0] == 0
    assert contents(results.build(volume, options=ALL)) == contents(made)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["axial", "enhanced", "iso2022"])
def test_the_same_arguments_give_the_same_bytes(case, results, name):
    found = case(name)
    again = results.build(results.predict(found.folder), options=ALL)
    assert contents(again) == contents(results.build(found.volume, options=ALL))


def test_the_time_changes_no_uid(case, results):
    found = case("axial")
    later = results.build(found.volume, when=results.when + timedelta(days=1))
    assert uids(later) == uids(found.results) and contents(later) != contents(found.results)
    for one in later.objects:
        whole = one.dataset
        assert (whole.ContentDate, whole.ContentTime) == ("20260305", "150607") and whole.StudyDate == "20260301"


@pytest.mark.parametrize(
    "options",
    [
        {"version": 2},
        {"predecessor": Reference("1.2.3", "1.2.4")},
        {"forced": True},
        {"options": ResultOptions(segmentation=False)},
    ],
)
def test_another_result_has_other_uids(case, results, options):
    found = case("axial")
    assert not uids(results.build(found.volume, **options)) & uids(found.results)


def test_another_rule_network_or_image_gives_other_uids(case, results):
    from brainsift.dicom_results.build import build_results

    found, predictor = case("axial"), results.predictor()
    arguments = {"when": results.when}
    made = [
        found.results,
        build_results(found.volume, predictor.bundle, Rule(0.123), **arguments),
        build_results(found.volume, replace(predictor.bundle, temperature=9.0), predictor.rule, **arguments),
        build_results(
            replace(found.volume, slices=found.volume.slices[:3]), predictor.bundle, predictor.rule, **arguments
        ),
    ]
    assert len(set.union(*map(uids, made))) == sum(len(one.objects) for one in made)


@pytest.mark.slow
@pytest.mark.parametrize("name", CASE_NAMES)
def test_patient_and_study_are_as_in_the_source(case, name):
    found = case(name)
    for one in found.results.objects:
        source, whole = pydicom.dcmread(next(found.folder.iterdir())), one.dataset
        for keyword in PATIENT_AND_STUDY:
            if keyword in source:
                assert whole.get_item(keyword).value == source.get_item(keyword).value, keyword
                assert str(whole[keyword].value) == str(source[keyword].value), keyword
            else:
                assert not whole.get(keyword), keyword
        assert "PatientComments" not in whole and "RequestingService" not in whole
        assert "RESEARCH ONLY" in whole.SeriesDescription
        assert one.study_instance_uid == source.StudyInstanceUID
        assert (one.sop_class_uid, one.sop_instance_uid) == (whole.SOPClassUID, whole.SOPInstanceUID)
        assert one.series_instance_uid == whole.SeriesInstanceUID
        assert whole.file_meta.TransferSyntaxUID == pydicom.uid.ExplicitVRLittleEndian


def write_raw(folder, results, values):
    """Writes a series with values that pydicom would not write, nor read without a warning."""
    results.write_series(folder)
    for path in folder.iterdir():
        content = path.read_bytes()
        for right, wrong in values.items():
            assert content.count(right) and len(right) == len(wrong)
            content = content.replace(right, wrong)
        path.write_bytes(content)
    return folder


ODD = {
    b"19470319": b"1947-319",  # date of birth
    b"20260301": b"March_26",  # date of the study
    b"Zwetschgenbaum^Aurelia": b"Zwetschgenbaum^A=b=c=d",
    b"1.2.826.0.1.77.1": b"1.2.826.0.01.7.1",  # no number of a UID starts with 0
    b"1.2.826.0.1.77.9": b"1.2.826.0.01.7.9",
    b"CS\x02\x00F ": b"CS\x02\x00QQ",  # sex
}


def test_odd_identifiers_are_kept_and_quoted_nowhere(results, tmp_path, caplog, capfd):
    folder = write_raw(tmp_path / "odd", results, ODD)
    secrets = [*results.patient.values(), *(wrong.decode() for wrong in ODD.values())]
    with caplog.at_level(logging.DEBUG), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        made = results.build(results.predict(folder), options=ALL)
    said = [*capfd.readouterr(), caplog.text, *(str(one.message) for one in caught), *made.left_out]
    said = [words.replace(str(tmp_path), "") for words in said]
    assert [secret for secret in secrets if len(secret) > 5 and any(secret in words for words in said)] == []
    assert kinds(made)[:2] == ["segmentation", "fractional"]
    for one in made.objects:
        for wrong in list(ODD.values())[:3]:
            assert wrong in one.content
        assert b"1.2.826.0.01.7.1" in one.content and b"1.2.826.0.1.77.1" not in one.content
        assert b"CS\x02\x00QQ" in one.content
    assert b"1.2.826.0.01.7.9" in made.objects[0].content


@pytest.mark.slow
@pytest.mark.parametrize("syntax", ["ImplicitVRLittleEndian", "ExplicitVRBigEndian"])
def test_other_encodings_of_the_source_give_the_same_objects(case, results, tmp_path, syntax):
    found = case("utf8")
    for path in found.folder.iterdir():
        whole = pydicom.dcmread(path)
        issuer = pydicom.Dataset()
        issuer.UniversalEntityID, issuer.UniversalEntityIDType = "Wölkchen", "DNS"
        whole.IssuerOfAccessionNumberSequence = [issuer]
        for folder, name in (("plain", "ExplicitVRLittleEndian"), ("other", syntax)):
            (tmp_path / folder).mkdir(exist_ok=True)
            copy = pydicom.Dataset(whole)
            if name == "ExplicitVRBigEndian":
                copy.PixelData = bytes(memoryview(whole.PixelData).cast("H").tobytes())
                copy.PixelData = b"".join(copy.PixelData[i : i + 2][::-1] for i in range(0, len(copy.PixelData), 2))
            copy.file_meta = pydicom.dataset.FileMetaDataset(whole.file_meta)
            copy.file_meta.TransferSyntaxUID = getattr(pydicom.uid, name)
            pydicom.dcmwrite(
                tmp_path / folder / path.name,
                copy,
                implicit_vr=name.startswith("Implicit"),
                little_endian=name != "ExplicitVRBigEndian",
                enforce_file_format=True,
            )
    plain, other = (results.build(results.predict(tmp_path / folder)) for folder in ("plain", "other"))
    assert contents(plain) == contents(other)
    assert plain.report.dataset.IssuerOfAccessionNumberSequence[0].UniversalEntityID == "Wölkchen"


def test_without_geometry_report_and_pictures_go_alone_and_the_report_says_why(case):
    made = case("no frame of reference").results
    assert kinds(made) == ["secondary-capture"] * 4 + ["structured-report"]
    reason = "no segmentation: the images have no FrameOfReferenceUID"
    assert made.left_out == (reason,)
    assert f"not sent: {reason}".encode() in made.report.content


def test_copies_count_once(results, tmp_path):
    folder = results.write_series(tmp_path / "copies")
    results.write_series(folder / "again")
    made = results.build(results.predict(folder))
    assert made.left_out == () and made.objects[0].dataset.NumberOfFrames == 4


def mixed(results, folder, **tags):
    """Joins the slices of two series to one volume."""
    one, other = (
        results.predict(results.write_series(folder / name, start=start, **more))
        for name, start, more in (("one", 1, {}), ("other", 11, tags))
    )
    return replace(one, slices=(*one.slices, *other.slices), n_slices=8, n_scored=8)


@pytest.mark.parametrize(
    ("tags", "reason"),
    [
        ({"SeriesInstanceUID": "1.2.3.4"}, "the images are of several series"),
        ({}, "the images share places"),
        ({"FrameOfReferenceUID": "1.2.3.4"}, "the images have several frames of reference"),
        ({"plane": "coronal"}, "the images lie in different planes"),
        ({"shrink": 2}, "the images differ in size"),
        ({"PixelSpacing": [1.5, 1.5]}, "the images differ in the spacing of pixels"),
    ],
)
def test_a_volume_that_has_no_one_geometry_has_no_segmentation(results, tmp_path, tags, reason):
    made = results.build(mixed(results, tmp_path, **tags))
    assert made.left_out == (f"no segmentation: {reason}",)
    assert set(kinds(made)) == {"secondary-capture", "structured-report"}


def test_images_with_one_identifier_have_no_segmentation(results, tmp_path):
    made = results.build(results.predict(results.write_series(tmp_path / "one", SOPInstanceUID="1.2.3")))
    assert made.left_out == ("no segmentation: the images share identifiers",)
    assert made.report is not None


@pytest.mark.parametrize(
    ("tags", "reason"),
    [
        ({"StudyInstanceUID": None}, "the images have no StudyInstanceUID, or none that is a UID"),
        ({"SOPInstanceUID": None}, "the images have no SOPInstanceUID, or none that is a UID"),
        ({"Modality": "CT"}, "its images are no MR of a head"),
        ({"Manufacturer": "brainsift", "ManufacturerModelName": "brainsift"}, "its images are results of brainsift"),
    ],
)
def test_nothing_is_made_where_nothing_could_refer_to_the_images(results, tmp_path, tags, reason):
    made = results.build(results.predict(results.write_series(tmp_path / "one", **tags)))
    assert made.objects == () and made.left_out == (f"no DICOM object: {reason}",) and made.report is None


@pytest.mark.parametrize("tags", [{"PatientID": "other"}, {"StudyInstanceUID": "1.2.3.4"}])
def test_nothing_is_made_of_two_patients(results, tmp_path, tags):
    made = results.build(mixed(results, tmp_path, **tags))
    assert made.left_out == ("no DICOM object: the images are of several patients or studies",)


def test_nothing_is_made_of_nifti(results, tmp_path):
    import nibabel
    import numpy as np

    voxels = np.stack([results.pixels_of(number) for number in range(3)], axis=-1).astype(np.int16)
    nibabel.save(nibabel.Nifti1Image(voxels, np.eye(4)), tmp_path / "scan.nii.gz")
    made = results.build(results.predict(tmp_path / "scan.nii.gz"))
    assert made.left_out == ("no DICOM object: none of its files is a DICOM image that can be read",)


def test_a_series_that_cannot_be_scored_gets_its_report(results, tmp_path):
    import numpy as np

    black = np.zeros((96, 96), np.uint16).tobytes()
    volume = results.predict(results.write_series(tmp_path / "one", PixelData=black))
    made = results.build(volume)
    assert volume.reason is Reason.NO_USABLE_SLICE and kinds(made) == ["structured-report"]
    assert made.left_out == (
        "no segmentation: the tumor map is below 0.5 everywhere",
        "no secondary capture: no slice could be scored",
    )


def test_a_file_that_is_gone_is_an_error(results, tmp_path):
    volume = results.predict(results.write_series(tmp_path / "one"))
    (tmp_path / "one/IM2.dcm").unlink()
    with pytest.raises(InputError):
        results.build(volume)


def test_files_are_written_whole_under_names_without_identifiers(case, tmp_path):
    found = case("axial").results
    paths = write_results(found, tmp_path / "new/folder")
    assert [path.read_bytes() for path in paths] == contents(found)
    assert sorted(path.name for path in (tmp_path / "new/folder").iterdir()) == sorted(
        [
            "segmentation-1.dcm",
            "structured-report-1.dcm",
            *(f"secondary-capture-{number}.dcm" for number in range(1, 5)),
        ]
    )


def test_without_the_extra_the_error_names_it():
    script = """
        import sys
        sys.modules["highdicom"] = None
        from datetime import datetime
        from brainsift.core.errors import MissingExtraError
        from brainsift.dicom_results.build import build_results
        try:
            build_results(None, None, None, when=datetime.now())
        except MissingExtraError as error:
            print(error)
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, check=True)
    assert "pip install 'brainsift[dicom]'" in done.stdout


def test_importing_the_package_loads_no_highdicom():
    script = "import json, sys; import brainsift.dicom_results.build; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert not {"highdicom", "pynetdicom", "weasyprint"} & set(json.loads(done.stdout))
