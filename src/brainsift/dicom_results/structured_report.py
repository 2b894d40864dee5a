"""The result as a measurement report (TID 1500), which programs read: probabilities, decisions, threshold, algorithm.

Source: DICOM PS3.16, TID 1500, 1501, 1411 and 4019.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from brainsift import __version__
from brainsift.core.reasons import Reason
from brainsift.dicom_results.assembly import BANNER, NOTICE, Assembly
from brainsift.dicom_results.identity import MANUFACTURER, MODEL, make_uid
from brainsift.dicom_results.result_set import Reference, ResultObject
from brainsift.inference.bundle import Bundle
from brainsift.inference.decision import Decision, Rule, rounded
from brainsift.inference.volume_decision import VolumePrediction

if TYPE_CHECKING:
    from highdicom.sr import AlgorithmIdentification, CodedConcept
    from pydicom import Dataset

_PRESENCE: dict[Decision, tuple[str, str, str]] = {
    "tumor": ("52101004", "SCT", "Present"),
    "no_tumor": ("272519000", "SCT", "Absent"),
    "refer": ("373068000", "SCT", "Undetermined"),
}
_BRAIN_MRI = ("24590-2", "LN", "Brain MRI")
_NEOPLASM = ("108369006", "SCT", "Neoplasm")
_BRAIN = ("12738006", "SCT", "Brain")


def make_report(
    assembly: Assembly,
    volume: VolumePrediction,
    bundle: Bundle,
    rule: Rule,
    *,
    segmentation: ResultObject | None = None,
    version: int = 1,
    predecessor: Reference | None = None,
    forced: bool = False,
    left_out: Sequence[str] = (),
) -> ResultObject:
    """Makes the structured report.

    One group of measurements is for the series, one for each of its most suspicious slices, and one refers to the
    segmentation.

    Args:
        assembly: what all objects have in common.
        volume: the prediction for the series.
        bundle: that was used.
        rule: that was used.
        segmentation: that the report refers to.
        version: counts the results for the same series.
        predecessor: the report that this one replaces.
        forced: whether the series may not be complete.
        left_out: why other objects could not be made.
    """
    from highdicom import sr
    from pydicom import Dataset

    source = assembly.source
    images = {one.prediction.path: assembly.stand_in_image(one) for one in source.slices}
    of_series, of_slices = (
        _algorithm(bundle, parameters)
        for parameters in (
            _series_parameters(assembly, volume, bundle, rule, version=version, forced=forced, left_out=left_out),
            [BANNER, _threshold_words(bundle, rule.threshold, rule.margin), f"network SHA-256: {assembly.network}"],
        )
    )
    common: dict[str, Any] = {
        "finding_type": _concept(_NEOPLASM),
        "finding_sites": [sr.FindingSite(anatomic_location=_concept(_BRAIN))],
    }
    groups: list[Any] = [
        sr.MeasurementsAndQualitativeEvaluations(
            tracking_identifier=sr.TrackingIdentifier(assembly.uid("tracking", "series"), "series"),
            algorithm_id=of_series,
            **_measured(volume.probability, volume.decision),
            **common,
        )
    ]
    places = {one.path: place for place, one in enumerate(volume.slices, start=1)}
    for path in volume.suspicious:
        if path in images:
            one = source.by_path[path].prediction
            words = f"slice {places[path]} of {volume.n_slices}"
            image = images[path]
            groups.append(
                sr.MeasurementsAndQualitativeEvaluations(
                    tracking_identifier=sr.TrackingIdentifier(assembly.uid("tracking", str(places[path])), words),
                    algorithm_id=of_slices,
                    source_images=[sr.SourceImageForMeasurementGroup(image.SOPClassUID, image.SOPInstanceUID)],
                    **_measured(one.probability, one.decision),
                    **common,
                )
            )
    evidence = list(images.values())
    if segmentation:
        shown = Dataset()
        shown.SOPClassUID, shown.SOPInstanceUID = segmentation.sop_class_uid, segmentation.sop_instance_uid
        shown.StudyInstanceUID, shown.SeriesInstanceUID = evidence[0].StudyInstanceUID, segmentation.series_instance_uid
        groups.append(_segment_group(assembly, shown, evidence[0].SeriesInstanceUID, of_slices, common))
        evidence.append(shown)
    content = sr.MeasurementReport(
        observation_context=sr.ObservationContext(observer_device_context=_observer(assembly)),
        procedure_reported=[_concept(code) for code in source.procedures or (_BRAIN_MRI,)],
        imaging_measurements=groups,
        title=_concept(("126000", "DCM", "Imaging Measurement Report")),
        language_of_content_item_and_descendants=sr.LanguageOfContentItemAndDescendants(
            _concept(("en", "RFC5646", "English"))
        ),
    )
    report = sr.Comprehensive3DSR(
        evidence=evidence,
        content=content,
        series_instance_uid=assembly.uid("report series"),
        series_number=1,
        sop_instance_uid=assembly.uid("report"),
        instance_number=1,
        is_complete=not forced,
    )
    if forced:
        report.CompletionFlagDescription = "The series may not be complete."
    if predecessor:
        report.PredecessorDocumentsSequence = [
            _reference_to(predecessor, evidence[0].StudyInstanceUID, str(report.SOPClassUID))
        ]
    return assembly.finish(report, "structured-report")


def _concept(code: tuple[str, str, str]) -> "CodedConcept":
    from highdicom.sr import CodedConcept

    return CodedConcept(*code)


def _measured(probability: float | None, decision: Decision) -> dict[str, Any]:
    """Returns the measurement and the evaluation of a group; without a probability there is no measurement."""
    from highdicom import sr

    shown = rounded(probability)
    name, unit = _concept(("122157", "DCM", "Probability")), _concept(("1", "UCUM", "no units"))
    presence = _concept(_PRESENCE.get(decision, _PRESENCE["refer"]))
    return {
        "measurements": None if shown is None else [sr.Measurement(name=name, value=shown, unit=unit)],
        "qualitative_evaluations": [
            sr.QualitativeEvaluation(_concept(("121052", "DCM", "Presence of property")), presence)
        ],
    }


def _algorithm(bundle: Bundle, parameters: Sequence[str]) -> "AlgorithmIdentification":
    """Returns TID 4019, without a family, which readers of such reports would take for an evaluation."""
    from highdicom.sr import AlgorithmIdentification

    return AlgorithmIdentification(
        name=f"{MODEL} {bundle.name}", version=__version__, parameters=list(parameters), manufacturer=MANUFACTURER
    )


def _series_parameters(
    assembly: Assembly,
    volume: VolumePrediction,
    bundle: Bundle,
    rule: Rule,
    *,
    version: int,
    forced: bool,
    left_out: Sequence[str],
) -> list[str]:
    """Returns what a reader of the report has to know, one sentence each."""
    words = [
        f"{BANNER}. {NOTICE}",
        _threshold_words(bundle, volume.threshold, rule.margin),
        f"finding: {volume.finding}",
        f"rule: {bundle.volumes_in_words}" if volume.n_slices > 1 else "rule: the probability of the only slice",
        f"slices: {volume.n_slices}, of which {volume.n_scored} were scored, {volume.n_not_brain_mri} show no head, or "
        f"hardly any of it, and {volume.n_unreadable} are unreadable",
        f"network SHA-256: {assembly.network}",
        f"version of this result: {version}",
    ]
    if volume.reason is not Reason.NONE:
        words.append(f"referred to a human: {volume.reason}")
    if volume.detail:
        words.append(volume.detail.encode("ascii", "replace").decode())
    if forced:
        words.append("the series may not be complete: it was scored before all of its images were known to be here")
    return [*words, *(f"not sent: {reason}" for reason in left_out)]


def _threshold_words(bundle: Bundle, threshold: float, margin: float) -> str:
    words = f"threshold on the probability: {rounded(threshold)} ({bundle.threshold_name(threshold)})"
    return f"{words}; referred where the logit is nearer to 0 than {rounded(margin)}" if margin else words


def _observer(assembly: Assembly) -> Any:
    from highdicom import sr

    identity = sr.DeviceObserverIdentifyingAttributes(
        uid=make_uid("device", __version__, assembly.network),
        name=MODEL,
        manufacturer_name=MANUFACTURER,
        model_name=f"{MODEL} {__version__}",
    )
    return sr.ObserverContext(_concept(("121007", "DCM", "Device")), identity)


def _segment_group(
    assembly: Assembly,
    segmentation: "Dataset",
    series: str,
    algorithm: "AlgorithmIdentification",
    common: dict[str, Any],
) -> Any:
    """Returns the group (TID 1411) that refers to the segment."""
    from highdicom import sr

    segment = sr.ReferencedSegment(
        segmentation.SOPClassUID,
        segmentation.SOPInstanceUID,
        1,
        source_series=sr.SourceSeriesForSegmentation(series),
    )
    return sr.VolumetricROIMeasurementsAndQualitativeEvaluations(
        tracking_identifier=sr.TrackingIdentifier(assembly.uid("tracking", "segment"), "tumor map"),
        referenced_segment=segment,
        algorithm_id=algorithm,
        **common,
    )


def _reference_to(report: Reference, study: str, sop_class: str) -> "Dataset":
    from pydicom import Dataset

    document, series, whole = Dataset(), Dataset(), Dataset()
    document.ReferencedSOPClassUID, document.ReferencedSOPInstanceUID = sop_class, report.sop_instance_uid
    series.SeriesInstanceUID, series.ReferencedSOPSequence = report.series_instance_uid, [document]
    whole.StudyInstanceUID, whole.ReferencedSeriesSequence = study, [series]
    return whole
