"""UIDs that are the same for the same result and carry a mark; own results are known by each of three signs."""

import uuid

import pytest
from pydicom import Dataset
from pydicom.uid import UID

from brainsift.dicom_results.identity import MANUFACTURER, MODEL, is_own_result, make_uid


def test_a_uid_is_a_uuid_below_the_root_of_uuids():
    uid = UID(make_uid("a", "b"))
    assert uid.is_valid and uid.startswith("2.25.")
    found = uuid.UUID(int=int(uid.removeprefix("2.25.")))
    assert found.version == 8 and found.variant == uuid.RFC_4122


def test_parts_that_join_alike_give_other_uids():
    assert len({make_uid("ab", "c"), make_uid("a", "bc"), make_uid("abc"), make_uid("abc", "")}) == 4


def marked(**tags):
    made = Dataset()
    for name, value in tags.items():
        setattr(made, name, value)
    return made


@pytest.mark.parametrize(
    ("tags", "sign"),
    [
        ({"SeriesInstanceUID": make_uid("one")}, "series"),
        ({"SOPInstanceUID": make_uid("one"), "SeriesInstanceUID": "1.2.3"}, "series"),
        ({"Manufacturer": MANUFACTURER, "ManufacturerModelName": MODEL}, "manufacturer and model"),
        (
            {"ContributingEquipmentSequence": [marked(Manufacturer=MANUFACTURER, ManufacturerModelName=MODEL)]},
            "contributing equipment",
        ),
        ({}, ""),
        ({"SeriesInstanceUID": f"2.25.{uuid.UUID('12345678-1234-4234-8234-123456789abc').int}"}, ""),
        ({"SeriesInstanceUID": "2.25.brsift"}, ""),
        ({"Manufacturer": "SIEMENS", "ManufacturerModelName": "Skyra"}, ""),
        ({"Manufacturer": MANUFACTURER}, ""),
        ({"ContributingEquipmentSequence": [marked(Manufacturer="SIEMENS")]}, ""),
    ],
)
def test_one_sign_is_enough(tags, sign):
    assert is_own_result(marked(**tags)) == sign


@pytest.mark.slow
def test_each_object_is_known_by_each_sign(case):
    for one in case("axial").results.objects:
        whole = one.dataset
        assert is_own_result(whole) == "series"
        whole.SeriesInstanceUID = whole.SOPInstanceUID = "1.2.3"
        assert is_own_result(whole) == "manufacturer and model"
        del whole.Manufacturer
        assert is_own_result(whole) == "contributing equipment"
