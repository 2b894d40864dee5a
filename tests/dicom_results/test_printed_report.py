"""The page as encapsulated PDF."""

import pytest

from brainsift.core.errors import MissingExtraError
from brainsift.dicom_results.result_set import ResultOptions, write_results

PAGE = ResultOptions(structured_report=False, segmentation=False, secondary_capture=False, pdf=True)


@pytest.fixture(scope="module")
def page(case, results):
    try:
        return results.build(case("axial").volume, options=PAGE)
    except MissingExtraError as error:
        pytest.skip(f"needs pango: {error}")


@pytest.mark.slow
def test_the_page_is_the_same_each_time_and_names_no_patient(case, results, page):
    (whole,) = (one.dataset for one in page.objects)
    printed = whole.EncapsulatedDocument[: whole.EncapsulatedDocumentLength]
    assert printed.startswith(b"%PDF-") and printed.rstrip().endswith(b"%%EOF")
    assert not any(value.encode() in printed for value in results.patient.values() if len(value) > 4)
    assert results.build(case("axial").volume, options=PAGE).objects[0].content == page.objects[0].content


@pytest.mark.slow
def test_checkers_find_no_error(page, check, tmp_path):
    (path,) = write_results(page, tmp_path)
    _, lines = check("dciodvfy", "-new", path)
    assert [line for line in lines if line.startswith(("Error", "Abort"))] == []
