"""Studies of one patient have one checksum: of the number, its issuer and the date of birth, never of a name."""

import pytest
from pydicom import Dataset

from brainsift.volumes.acquisition import acquisition_of

WHO = {"PatientID": "4711-X", "PatientBirthDate": "19600101", "PatientName": "Doe^Jane"}


def of(**tags):
    header = Dataset()
    for name, value in tags.items():
        setattr(header, name, value)
    return acquisition_of(header)


def test_a_patient_has_one_checksum_in_all_studies():
    one = of(**WHO, StudyDate="20260303")
    assert (len(one.patient), one.study_date) == (32, "2026-03-03")
    assert of(**{**WHO, "PatientName": "Roe^Jane"}, StudyDate="20250101").patient == one.patient  # she married
    assert of(**{**WHO, "PatientID": "4711-X "}).patient == one.patient  # padded
    assert "4711" not in one.patient


@pytest.mark.parametrize(
    "tags", [{"PatientID": "4711-Y"}, {"PatientBirthDate": "19600102"}, {"IssuerOfPatientID": "another hospital"}]
)
def test_another_number_issuer_or_birthday_is_another_patient(tags):
    assert of(**{**WHO, **tags}).patient not in ("", of(**WHO).patient)


@pytest.mark.parametrize("number", ["", " ", "0", "000000", "XXXX", "Anonymous", "ANON", "de-identified", "N/A"])
def test_without_a_number_of_ones_own_nobody_is_known(number):
    assert of(**{**WHO, "PatientID": number}).patient == ""


@pytest.mark.parametrize("date", ["", "no date", "20261301", "2026"])
def test_a_date_that_is_none_is_left_out(date):
    header = Dataset()
    header.add_new(0x00080020, "LO", date)
    assert acquisition_of(header).study_date == ""
