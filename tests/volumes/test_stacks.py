"""Stacks: what lies at the same places is told apart, copies count once, gaps are named; on drawn DICOM series."""

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from brainsift.core.errors import UnreadableImageError
from brainsift.volumes import reader
from brainsift.volumes.dicom import dicom_slices
from brainsift.volumes.reader import slices_of

from .drawn import frame_header

NORMALS = {"axial": [1, 0, 0, 0, 1, 0], "coronal": [1, 0, 0, 0, 0, -1], "sagittal": [0, 1, 0, 0, 0, -1]}


def found(folder):
    """The volumes of a folder: name -> names of the files of its slices, in order."""
    volumes = {}
    for piece in slices_of(sorted(folder.rglob("*.dcm"))):
        volumes.setdefault(piece.volume, []).append(piece.name.rpartition("/")[2])
    return volumes


def notes(folder):
    return {piece.name.rpartition("/")[2]: piece.note for piece in slices_of(sorted(folder.rglob("*.dcm")))}


SIEMENS = (0x0019, "SIEMENS MR dicom.headER", 0x0C, "IS")
GE = (0x0043, "GEMS_PARM_01", 0x39, "IS")
PART_OF_GE = (0x0043, "GEMS_PARM_01", 0x2F, "SS")
PHILIPS = (0x2001, "Philips Imaging DD 001", 0x03, "FL")

# What makes another stack: the tags of one and of the other.
APART = {
    "study": ({"StudyInstanceUID": "1.1"}, {"StudyInstanceUID": "1.2"}),
    "patient": ({"PatientID": "A"}, {"PatientID": "B"}),
    "name": ({"PatientName": "A"}, {"PatientName": "B"}),
    "series number": ({"SeriesNumber": 3}, {"SeriesNumber": 4}),
    "description": ({"SeriesDescription": "T1"}, {"SeriesDescription": "T2"}),
    "orientation": ({}, {"ImageOrientationPatient": NORMALS["sagittal"]}),
    "turned in its plane": ({}, {"ImageOrientationPatient": [0, 1, 0, -1, 0, 0]}),
    "magnitude and phase": (
        {"ImageType": ["ORIGINAL", "PRIMARY", "M", "ND"]},
        {"ImageType": ["ORIGINAL", "PRIMARY", "P", "ND"]},
    ),
    "ADC": ({"ImageType": ["DERIVED", "PRIMARY", "ADC"]}, {"ImageType": ["ORIGINAL", "PRIMARY", "DIFFUSION"]}),
    "component of GE": ({"private": [(*PART_OF_GE, 0)]}, {"private": [(*PART_OF_GE, 1)]}),
    "component": ({"ComplexImageComponent": "MAGNITUDE"}, {"ComplexImageComponent": "PHASE"}),
    "b-value": ({"DiffusionBValue": 0.0}, {"DiffusionBValue": 1000.0}),
    "b-value of Siemens": ({"private": [(*SIEMENS, 0)]}, {"private": [(*SIEMENS, 1000)]}),
    "b-value of GE": ({"private": [(*GE, [0, 1, 2, 3])]}, {"private": [(*GE, [1_000_001_000, 1, 2, 3])]}),
    "b-value of Philips": ({"private": [(*PHILIPS, 0.0)]}, {"private": [(*PHILIPS, 1000.0)]}),
    "b-value in the name of the sequence": ({"SequenceName": "*ep_b0"}, {"SequenceName": "*ep_b1000#3"}),
    "time": ({"TemporalPositionIdentifier": 1}, {"TemporalPositionIdentifier": 2}),
    "echo": ({"EchoNumbers": 1}, {"EchoNumbers": 2}),
    "echo time": ({"EchoTime": "20"}, {"EchoTime": "80"}),
    "inversion time": ({"InversionTime": "100"}, {"InversionTime": "2500"}),
    "flip angle": ({"FlipAngle": "5"}, {"FlipAngle": "20"}),
    "acquisition": ({"AcquisitionNumber": 1}, {"AcquisitionNumber": 2}),
    "stack": ({"StackID": "1"}, {"StackID": "2"}),
    "nothing but their number": ({}, {}),
}


@pytest.mark.parametrize("kind", APART)
def test_slices_at_the_same_places_are_told_apart(dicom, tmp_path, kind):
    expected = {"one": [], "other": []}
    for level in range(6):
        for name, tags in zip(expected, APART[kind], strict=True):
            position = [0, 0, 5.0 * level] if "ImageOrientationPatient" not in tags else [5.0 * level, 0, 5.0 * level]
            number, file = 2 * level + (name == "other"), f"{level}{name}.dcm"
            dicom.save(tmp_path / file, dicom.head, number=number, **{"ImagePositionPatient": position, **tags})
            expected[name].append(file)
    volumes = found(tmp_path)
    assert len(volumes) == 2
    assert sorted(map(sorted, volumes.values())) == sorted(expected.values())
    assert all(names in (sorted(names), sorted(names, reverse=True)) for names in volumes.values())


def test_what_changes_from_slice_to_slice_divides_no_stack(dicom, tmp_path):
    for level in range(8):
        changing = {
            "AcquisitionNumber": 1 + level % 2,
            "EchoTime": f"{20 + level / 100}",
            "TriggerTime": f"{level * 20}",
            "RepetitionTime": f"{500 + level}",
            "SliceLocation": f"{5 * level}",
        }
        dicom.save(tmp_path / f"{level}.dcm", dicom.head, number=level, place=5.0 * level, **changing)
    assert list(found(tmp_path).values()) == [[f"{level}.dcm" for level in range(8)]]


def test_small_differences_of_a_header_divide_no_pass(dicom, tmp_path):
    for level in range(24):
        types = ["ORIGINAL", "PRIMARY", "M", "NORM", *(["ND"] if level == 20 else [])]
        tags = {"EchoTime": ("90", "90.01")[level % 2], "InversionTime": ("2500", "2499.5")[level // 12]}
        dicom.save(tmp_path / f"{level:02}.dcm", dicom.head, number=level, place=5.0 * level, ImageType=types, **tags)
    assert list(found(tmp_path).values()) == [[f"{level:02}.dcm" for level in range(24)]]


def test_the_same_places_filtered_in_two_ways_are_told_apart(dicom, tmp_path):
    for level in range(12):
        types = ["ORIGINAL", "PRIMARY", "M", ("ND", "DIS2D")[level % 2]]
        dicom.save(tmp_path / f"{level:02}.dcm", dicom.head, number=level, place=5.0 * (level // 2), ImageType=types)
    volumes = found(tmp_path)
    assert {name.rpartition(", ")[2] for name in volumes} == {"ND", "DIS2D"}
    assert [len(names) for names in volumes.values()] == [6, 6]


def test_the_names_say_what_tells_stacks_apart(dicom, tmp_path):
    for number, (plane, b) in enumerate((plane, b) for plane in NORMALS for b in (0, 1000) for _ in range(2)):
        tags = {"ImageOrientationPatient": NORMALS[plane], "DiffusionBValue": float(b), "SeriesDescription": "DWI"}
        dicom.save(
            tmp_path / f"{number}.dcm", dicom.head, ImagePositionPatient=[5.0 * (number % 2)] * 3, number=number, **tags
        )
    words = {name.removeprefix(f"{tmp_path}#DWI, ") for name in found(tmp_path)}
    assert words == {f"{plane}, b={b}" for plane in NORMALS for b in (0, 1000)}


def test_frames_of_an_enhanced_file_are_told_apart(dicom, tmp_path):
    groups = []
    for level, b in ((level, b) for level in range(4) for b in (0.0, 1000.0)):
        group = frame_header(
            PlanePositionSequence={"ImagePositionPatient": [0, 0, 5 * level]},
            FrameContentSequence={"StackID": "1", "InStackPositionNumber": level},
            MRDiffusionSequence={"DiffusionBValue": b},
            MREchoSequence={"EffectiveEchoTime": 80.0},
        )
        groups.append(group)
    tags = {"NumberOfFrames": 8, "PerFrameFunctionalGroupsSequence": Sequence(groups), "ImagePositionPatient": None}
    dicom.save(tmp_path / "a.dcm", np.stack([dicom.head] * 8), **tags)
    assert [[name.partition("#")[2] for name in names] for names in found(tmp_path).values()] == [
        ["1", "3", "5", "7"],
        ["2", "4", "6", "8"],
    ]


def test_dimensions_of_an_enhanced_file_tell_points_in_time_apart(dicom, tmp_path):
    pointers = []
    for pointer in (0x00209057, 0x00200100):  # the place in the stack, and a dimension of a maker
        pointers.append(Dataset())
        pointers[-1].DimensionIndexPointer = pointer
    groups = []
    for level, time in ((level, time) for time in (1, 2) for level in (1, 2, 3)):
        group, place, content = Dataset(), Dataset(), Dataset()
        place.ImagePositionPatient, content.DimensionIndexValues = [0, 0, 5 * level], [level, time]
        group.PlanePositionSequence, group.FrameContentSequence = Sequence([place]), Sequence([content])
        groups.append(group)
    tags = {"PerFrameFunctionalGroupsSequence": Sequence(groups), "DimensionIndexSequence": Sequence(pointers)}
    dicom.save(tmp_path / "a.dcm", np.stack([dicom.head] * 6), NumberOfFrames=6, ImagePositionPatient=None, **tags)
    volumes = found(tmp_path)
    assert list(volumes.values()) == [["a.dcm#1", "a.dcm#2", "a.dcm#3"], ["a.dcm#4", "a.dcm#5", "a.dcm#6"]]
    assert [name.rpartition(", ")[2] for name in volumes] == ["index 1", "index 2"]


def test_without_an_identifier_the_rest_of_the_header_makes_one_volume(dicom, tmp_path):
    for level in range(16):
        dicom.save(tmp_path / f"{level:02}.dcm", dicom.head, series="", number=level, place=5.0 * level, PatientID="A")
    assert [len(names) for names in found(tmp_path).values()] == [16]
    for level in range(4):
        tags = {"PatientID": "B", "SeriesDescription": "T2", "SeriesInstanceUID": None}
        dicom.save(tmp_path / f"b{level}.dcm", dicom.head, number=level, place=5.0 * level, **tags)
    assert sorted(len(names) for names in found(tmp_path).values()) == [4, 16]
    for name in ("one", "other"):
        (tmp_path / "nobody" / name).mkdir(parents=True)
        for level in range(3):
            dicom.save(
                tmp_path / "nobody" / name / f"{name}{level}.dcm",
                dicom.head,
                series="",
                number=level,
                place=5.0 * level,
            )
    assert [len(names) for names in found(tmp_path / "nobody").values()] == [3, 3]


def test_copies_count_once_with_a_note(dicom, tmp_path):
    for level in range(5):
        dicom.save(
            tmp_path / f"{level}.dcm", dicom.head, number=level, place=5.0 * level, SOPInstanceUID=f"1.9.{level}"
        )
    (tmp_path / "again").mkdir()
    for copy in ("x.dcm", "again/y.dcm"):
        dicom.save(tmp_path / copy, dicom.head, number=2, place=10.0, SOPInstanceUID="1.9.2")
    volumes = found(tmp_path)
    assert [len(names) for names in volumes.values()] == [5]
    assert [note for note in notes(tmp_path).values() if note] == ["counted once of 3 copies"]


def test_one_identifier_for_all_images_makes_them_no_copies(dicom, tmp_path):
    for level in range(5):
        dicom.save(tmp_path / f"{level}.dcm", dicom.head, number=level, place=5.0 * level, SOPInstanceUID="1.9")
    for level in range(5):
        (tmp_path / "nowhere").mkdir(exist_ok=True)
        tags = {"ImagePositionPatient": None, "InstanceNumber": None}
        dicom.save(tmp_path / "nowhere" / f"{level}.dcm", dicom.head, series="1.7", SOPInstanceUID="1.9", **tags)
    assert [len(names) for names in found(tmp_path).values()] == [5, 5]


def test_missing_slices_are_named(dicom, tmp_path):
    for level in [0, 1, 2, 5, 6, 7, 9, 10]:
        dicom.save(tmp_path / f"{level:02}.dcm", dicom.head, number=level, place=5.0 * level + 0.001 * (level % 2))
    words = "2 slices are missing between 3 and 4 of 8; 1 slice is missing between 6 and 7 of 8"
    assert set(notes(tmp_path).values()) == {words}
    for level in (3, 4, 8):
        dicom.save(tmp_path / f"{level:02}.dcm", dicom.head, number=level, place=5.0 * level)
    assert set(notes(tmp_path).values()) == {""}


def test_uneven_stacks_lack_nothing(dicom, tmp_path):
    for number, place in enumerate((0, 1, 4, 10, 11, 30)):
        dicom.save(tmp_path / f"{number}.dcm", dicom.head, number=number, place=float(place))
    assert set(notes(tmp_path).values()) == {""}


def test_the_location_counts_where_the_position_is_missing(dicom, tmp_path):
    for number, location in enumerate((20, 5, 10, 15)):
        tags = {"SliceLocation": f"{location}", "ImagePositionPatient": None}
        dicom.save(tmp_path / f"{number}.dcm", dicom.head, number=number, **tags)
    assert list(found(tmp_path).values()) == [["1.dcm", "2.dcm", "3.dcm", "0.dcm"]]


@pytest.mark.parametrize("located", [True, False])
@pytest.mark.parametrize("echoes", [1, 2])
def test_one_position_for_all_slices_is_none(dicom, tmp_path, located, echoes):
    for number in range(8 * echoes):
        level, echo = divmod(number, echoes)
        tags = {"SliceLocation": 40.0 - 5 * level} if located else {"SliceLocation": 0.0}
        dicom.save(tmp_path / f"{level}{echo}.dcm", dicom.head, number=number, EchoNumbers=echo, **tags)
    ordered = [[f"{level}{echo}.dcm" for level in range(8)] for echo in range(echoes)]
    assert list(found(tmp_path).values()) == ([names[::-1] for names in ordered] if located else ordered)
    words = f"the order of {'SliceLocation' if located else 'InstanceNumber'}"
    assert all(words in note for note in notes(tmp_path).values())


@pytest.mark.parametrize("tag", ["TemporalPositionIdentifier", "TriggerTime", "AcquisitionNumber"])
def test_one_slice_at_many_times_is_no_stack(dicom, tmp_path, tag):
    for time in range(8):
        dicom.save(tmp_path / f"{time}.dcm", dicom.head, number=time, **{tag: time + 1})
    assert [len(names) for names in found(tmp_path).values()] == [1] * 8


def test_a_file_that_comes_again_with_another_identifier_is_no_neighbor(dicom, tmp_path):
    for level in range(5):
        dicom.save(tmp_path / f"{level}.dcm", dicom.head, number=level, place=5.0 * level)
    dicom.save(tmp_path / "again.dcm", dicom.head, number=9, place=10.0)
    assert sorted(len(names) for names in found(tmp_path).values()) == [1, 5]


def test_of_copies_the_one_that_is_whole_is_kept(dicom, tmp_path):
    for level in range(5):
        dicom.save(
            tmp_path / f"{level}.dcm", dicom.head, number=level, place=5.0 * level, SOPInstanceUID=f"1.9.{level}"
        )
    whole = (tmp_path / "2.dcm").read_bytes()
    (tmp_path / "0 cut.dcm").write_bytes(whole[:-3000])
    found = list(slices_of(sorted(tmp_path.glob("*.dcm"))))
    assert [piece.name for piece in found] == [str(tmp_path / f"{level}.dcm") for level in range(5)]


@pytest.mark.parametrize("echoes", [1, 2])
def test_a_file_that_breaks_behind_its_series_is_told(dicom, tmp_path, echoes):
    for level in range(4 * echoes):
        tags = {"place": 5.0 * (level // echoes), "EchoNumbers": 1 + level % echoes}
        dicom.save(tmp_path / f"{level}.dcm", dicom.head, number=level, **tags)
    dicom.save(tmp_path / "9.dcm", dicom.head, number=9, place=50.0, NumberOfFrames=60_000)  # without room for them
    *others, last = slices_of(sorted(tmp_path.glob("*.dcm")))
    assert last.name == str(tmp_path / "9.dcm") and len(others) == 4 * echoes
    with pytest.raises(UnreadableImageError, match="60000 frames"):
        last.read()
    notes = {piece.note for piece in others}
    if echoes == 1:
        assert {piece.volume for piece in others} == {last.volume} and notes == {""}
    else:
        assert last.volume == "" and notes == {"1 file of the series cannot be read, and may belong here"}


def test_a_file_that_has_gone_costs_no_other(dicom, tmp_path):
    kept, gone = dicom.save(tmp_path / "0.dcm", dicom.head), tmp_path / "1.dcm"
    found, missing = dicom_slices([str(kept), str(gone)], "a series")
    assert found.read().pixels.shape == dicom.head.shape
    with pytest.raises(UnreadableImageError, match="no such file"):
        missing.read()


def test_a_file_that_goes_while_it_is_looked_for_says_so(dicom, tmp_path, monkeypatch):
    path = dicom.save(tmp_path / "0.dcm", dicom.head)

    def kind_and_gone(path, kind_of=reader.kind_of):
        kind = kind_of(path)
        (tmp_path / "0.dcm").unlink(missing_ok=True)
        return kind

    monkeypatch.setattr(reader, "kind_of", kind_and_gone)
    piece = reader.find_slice(path)
    with pytest.raises(UnreadableImageError, match="no such file"):
        piece.read()
