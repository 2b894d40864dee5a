"""The result on a page, as encapsulated PDF: decision, pictures and a table of the most suspicious slices.

Source: DICOM PS3.3, A.45.1 and C.24.2.
"""

from brainsift.dicom_results.assembly import BANNER, NOTICE, Assembly, code_item
from brainsift.dicom_results.result_set import ResultObject
from brainsift.dicom_results.secondary_capture import suspicious_pictures
from brainsift.images.data_uri import jpeg_uri
from brainsift.inference.bundle import Bundle
from brainsift.inference.decision import Rule
from brainsift.inference.volume_decision import VolumePrediction
from brainsift.pages.html import page_head, pdf_of, render

_SIDE = 600  # of a picture, pixels


def make_printed_report(
    assembly: Assembly, volume: VolumePrediction, bundle: Bundle, rule: Rule, *, forced: bool = False
) -> ResultObject:
    """Makes the page; it names no patient.

    Args:
        assembly: what all objects have in common.
        volume: the prediction for the series.
        bundle: that was used.
        rule: that was used.
        forced: whether the series may not be complete.

    Raises:
        MissingExtraError: without the extra `pdf`.
        InputError: a file is gone.
    """
    from pydicom import Dataset
    from pydicom.uid import EncapsulatedPDFStorage

    places = {one.path: place for place, one in enumerate(volume.slices, start=1)}
    context = {
        **page_head({"title": "Brain MRI: is there a tumor?", "created": f"{assembly.when:%Y-%m-%dT%H:%M}"}),
        "meta": f"{assembly.when:%Y-%m-%d %H:%M}, network {bundle.name} {assembly.network[:12]}",
        "contents": [],
        "notice": f"{BANNER}. {NOTICE}",
        "volume": volume,
        "forced": forced,
        "how": bundle.volumes_in_words,
        "slices": [
            {"place": places[one.prediction.path], "found": one.prediction, "picture": jpeg_uri(picture, side=_SIDE)}
            for one, picture in suspicious_pictures(assembly, volume, bundle, rule)
        ],
        "threshold": rule.threshold,
    }
    printed = pdf_of(render("series.html.j2", context))
    made = Dataset()
    made.SOPClassUID = EncapsulatedPDFStorage
    made.ConversionType, made.BurnedInAnnotation, made.AcquisitionDateTime = "WSD", "NO", None
    made.DocumentTitle, made.MIMETypeOfEncapsulatedDocument = f"{BANNER}: brainsift", "application/pdf"
    made.ConceptNameCodeSequence = [code_item("126000", "DCM", "Imaging Measurement Report")]
    made.EncapsulatedDocument, made.EncapsulatedDocumentLength = printed + b"\0" * (len(printed) % 2), len(printed)
    return assembly.finish(made, "pdf")
