"""What programs read out of a report: probabilities, decisions, thresholds, references, and what is not said."""

from dataclasses import replace

import pydicom
import pytest

from brainsift.core.reasons import Reason
from brainsift.dicom_results.result_set import Reference, ResultOptions
from brainsift.inference.decision import Rule
from brainsift.volumes.contrast import contrast_note

pytestmark = pytest.mark.slow

PROBABILITY, PRESENCE = ("122157", "DCM"), ("121052", "DCM")
PRESENT, ABSENT, UNDETERMINED = "52101004", "272519000", "373068000"


def read(made):
    """Returns the report and its groups, as highdicom reads them back."""
    from highdicom.sr import Comprehensive3DSR

    report = Comprehensive3DSR.from_dataset(made.report.dataset)
    return (
        report,
        report.content.get_image_measurement_groups(),
        report.content.get_volumetric_roi_measurement_groups(),
    )


def code(item):
    return item.CodeValue, item.CodingSchemeDesignator


def items(container, name):
    """Yields the content items of a name, at any depth."""
    for item in container.get("ContentSequence", []):
        if code(item.ConceptNameCodeSequence[0]) == name:
            yield item
        yield from items(item, name)


def numbers(container):
    return [float(item.MeasuredValueSequence[0].NumericValue) for item in items(container, PROBABILITY)]


def presences(container):
    return [item.ConceptCodeSequence[0].CodeValue for item in items(container, PRESENCE)]


def parameters(container):
    return [item.TextValue for item in items(container, ("111002", "DCM"))]


def test_highdicom_reads_probability_and_decision_back(case):
    volume = case("axial").volume
    _, groups, regions = read(case("axial").results)
    assert [group.tracking_identifier for group in groups] == ["series", *(f"slice {n} of 4" for n in places(volume))]
    found = [[measured.value for measured in group.get_measurements()] for group in groups]
    by_path = {one.path: one for one in volume.slices}
    assert found == [[round(volume.probability, 6)], *([round(by_path[n].probability, 6)] for n in volume.suspicious)]
    assert [group.finding_type.value for group in groups] == ["108369006"] * 5
    assert [group.finding_sites[0].value.value for group in groups] == ["12738006"] * 5
    assert len(regions) == 1 and regions[0].referenced_segment.referenced_sop_instance_uid in {
        one.sop_instance_uid for one in case("axial").results.objects if one.kind == "segmentation"
    }


def places(volume):
    names = [one.path for one in volume.slices]
    return [names.index(name) + 1 for name in volume.suspicious]


def test_pydicom_reads_the_same(case):
    volume, report = case("axial").volume, case("axial").results.report.dataset
    by_path = {one.path: one for one in volume.slices}
    expected = [volume.probability, *(by_path[name].probability for name in volume.suspicious)]
    assert numbers(report) == [round(one, 6) for one in expected]
    assert presences(report) == [PRESENT] * 5
    assert (report.PreliminaryFlag, report.CompletionFlag, report.VerificationFlag) == (
        "PRELIMINARY",
        "COMPLETE",
        "UNVERIFIED",
    )
    assert not list(items(report, ("111000", "DCM"))), "no algorithm family: readers take it for an evaluation"


@pytest.mark.parametrize(("decision", "presence"), [("tumor", PRESENT), ("no_tumor", ABSENT), ("refer", UNDETERMINED)])
def test_each_decision_has_its_code(case, results, decision, presence):
    found = case("axial").volume
    slices = tuple(replace(one, decision=decision) for one in found.slices)
    made = results.build(replace(found, decision=decision, slices=slices))
    assert presences(made.report.dataset) == [presence] * 5


def test_a_volume_without_a_probability_has_no_measurement(case, results):
    volume = replace(
        case("axial").volume,
        probability=None,
        decision="refer",
        suspicious=(),
        reason=Reason.NO_USABLE_SLICE,
        detail="no slice could be scored",
    )
    report = results.build(volume).report.dataset
    assert numbers(report) == [] and presences(report) == [UNDETERMINED]
    assert {"referred to a human: no_usable_slice", "no slice could be scored"} <= set(parameters(report))


def test_the_parameters_say_threshold_rule_network_and_research_only(case, results):
    bundle = results.predictor().bundle
    said = parameters(case("axial").results.report.dataset)
    assert "RESEARCH ONLY. Research use only. Not a medical device." in said and "RESEARCH ONLY" in said
    assert f"threshold on the probability: {round(bundle.volumes.thresholds['confirm'], 6)} (confirm)" in said
    assert f"finding: {case('axial').volume.finding}" in said and f"rule: {bundle.volumes_in_words}" in said
    assert f"threshold on the probability: {round(bundle.thresholds['balanced'], 6)} (balanced)" in said
    assert f"network SHA-256: {bundle.checksums()['network.onnx']}" in said
    assert "version of this result: 1" in said


def test_an_abstention_margin_is_said(case, results):
    from brainsift.dicom_results.build import build_results

    volume, bundle = case("axial").volume, results.predictor().bundle
    made = build_results(volume, bundle, Rule(0.5, margin=1.25), when=results.when)
    assert any(
        words.endswith("; referred where the logit is nearer to 0 than 1.25")
        for words in parameters(made.report.dataset)
    )


def references(sequence):
    return [
        (series.SeriesInstanceUID, document.ReferencedSOPInstanceUID, document.ReferencedSOPClassUID)
        for study in sequence
        for series in study.ReferencedSeriesSequence
        for document in series.ReferencedSOPSequence
    ]


@pytest.mark.parametrize("name", ["axial", "enhanced"])
def test_all_images_and_the_segmentation_are_evidence(case, name):
    found = case(name)
    report = found.results.report.dataset
    listed = references(report.CurrentRequestedProcedureEvidenceSequence)
    files = [pydicom.dcmread(path) for path in found.folder.iterdir()]
    shown = [one for one in found.results.objects if one.kind == "segmentation"]
    assert sorted(listed) == sorted(
        [
            *((one.SeriesInstanceUID, one.SOPInstanceUID, one.SOPClassUID) for one in files),
            *((one.series_instance_uid, one.sop_instance_uid, one.sop_class_uid) for one in shown),
        ]
    )
    assert {one.StudyInstanceUID for one in report.CurrentRequestedProcedureEvidenceSequence} == {"1.2.826.0.1.77"}


@pytest.mark.parametrize("name", ["axial", "enhanced"])
def test_a_slice_refers_to_its_image_and_frame(case, name):
    found = case(name)
    groups = list(items(found.results.report.dataset, ("125007", "DCM")))[1:-1]
    images = [item.ReferencedSOPSequence[0] for group in groups for item in items(group, ("121112", "DCM"))]
    for place, image in zip(places(found.volume), images, strict=True):
        uid = f"1.2.826.0.1.77.1.{100 if name == 'enhanced' else place}"
        assert image.ReferencedSOPInstanceUID == uid
        assert image.get("ReferencedFrameNumber") == (place if name == "enhanced" else None)


def test_a_later_version_names_its_predecessor(case, results):
    first = case("axial").results.report
    again = results.build(case("axial").volume, version=2, predecessor=first.reference).report.dataset
    assert references(again.PredecessorDocumentsSequence) == [
        (first.series_instance_uid, first.sop_instance_uid, first.sop_class_uid)
    ]
    assert again.PredecessorDocumentsSequence[0].StudyInstanceUID == first.study_instance_uid
    assert "version of this result: 2" in parameters(again)
    assert first.reference == Reference(first.series_instance_uid, first.sop_instance_uid)


def test_a_report_on_a_series_that_may_lack_images_says_so(case, results):
    report = results.build(case("axial").volume, forced=True).report.dataset
    assert report.CompletionFlag == "PARTIAL"
    assert any("may not be complete" in words for words in parameters(report))


def test_the_procedure_of_the_source_is_reported_where_it_is_in_plain_letters(results, tmp_path):
    def reported(meaning):
        procedure = pydicom.Dataset()
        procedure.CodeValue, procedure.CodingSchemeDesignator, procedure.CodeMeaning = "77", "99LOCAL", meaning
        folder = results.write_series(
            tmp_path / meaning, SpecificCharacterSet="ISO_IR 192", ProcedureCodeSequence=[procedure]
        )
        report = results.build(results.predict(folder)).report.dataset
        assert report.ProcedureCodeSequence[0].CodeMeaning == meaning
        return [code(item.ConceptCodeSequence[0]) for item in items(report, ("121058", "DCM"))]

    assert reported("MRI head") == [("77", "99LOCAL")]
    assert reported("Schädel") == [("24590-2", "LN")]


def test_no_name_of_a_file_or_series_is_in_an_object(results, tmp_path):
    folder = results.write_series(tmp_path / "Wolkenstein", SeriesDescription="Quendoline")
    made = results.build(results.predict(folder), options=ResultOptions(fractional=True))
    assert made.left_out == ()
    for one in made.objects:
        assert b"Wolkenstein" not in one.content and b"Quendoline" not in one.content and b"IM1" not in one.content


def test_how_the_series_was_made_stands_once_in_the_report(results, tmp_path):
    folder = results.write_series(tmp_path / "series", SeriesDescription="DWI b1000")
    report = results.build(results.predict(folder)).report.dataset
    (note,) = (words for words in parameters(report) if "made as" in words)
    assert note.count(contrast_note("diffusion")) == 1
