"""One series is one volume, in whichever folders its files lie and whichever way they come in."""

import itertools
import shutil
import tracemalloc

import pytest
from PIL import Image

from brainsift.volumes.grouping import Unit, units_of
from brainsift.volumes.inputs import find_images
from brainsift.volumes.reader import kind_of, slices_of


def series(dicom, folder, *, count=6, folders=("a", "b/c", "d"), uid="1.2.3", **tags):
    """Writes a series over several folders."""
    return [
        dicom.save(
            folder / folders[level % len(folders)] / f"{level}.dcm",
            dicom.head,
            series=uid,
            number=level,
            place=5.0 * level,
            **tags,
        )
        for level in range(count)
    ]


def test_a_series_over_several_folders_is_one_volume(dicom, tmp_path):
    paths = series(dicom, tmp_path, SeriesDescription="T1")
    found = list(slices_of(find_images([tmp_path])))
    assert [piece.name for piece in found] == list(map(str, paths))
    assert {piece.volume for piece in found} == {f"{tmp_path / 'a'}#T1"}
    flat = tmp_path / "flat"
    flat.mkdir()
    for path in paths:
        shutil.copy(path, flat)
    assert [
        len(list(group)) for _, group in itertools.groupby(slices_of(find_images([flat])), lambda one: one.volume)
    ] == [6]


def test_a_series_comes_where_its_first_file_stands(dicom, tmp_path):
    one, other = series(dicom, tmp_path / "one"), series(dicom, tmp_path / "other", uid="1.3", count=2)
    pictures = [tmp_path / f"{number}.png" for number in range(4)]
    for picture in pictures:
        Image.fromarray(dicom.head).save(picture)
    files = [
        pictures[0],
        one[3],
        pictures[1],
        other[0],
        *one[:3],
        pictures[2],
        *one[4:],
        pictures[3],
        other[1],
        pictures[3],
    ]
    names = [piece.name for piece in slices_of(files)]
    assert names == [
        str(path) for path in (pictures[0], *one, pictures[1], *other, pictures[2], pictures[3], pictures[3])
    ]


def test_two_patients_with_one_identifier_are_two_volumes(dicom, tmp_path):
    for patient in ("A", "B"):
        series(dicom, tmp_path / patient, PatientID=patient, SeriesDescription="T1")
    volumes = [volume for volume, _ in itertools.groupby(slices_of(find_images([tmp_path])), lambda one: one.volume)]
    assert len(volumes) == len(set(volumes)) == 2
    flat = [
        dicom.save(tmp_path / f"{name}{level}.dcm", dicom.head, place=5.0 * level, PatientName=name)
        for level in range(3)
        for name in ("X", "Y")
    ]
    volumes = [volume for volume, _ in itertools.groupby(slices_of(flat), lambda one: one.volume)]
    assert volumes == [f"{tmp_path}#1.2.3", f"{tmp_path}#1.2.3 (1.2.3)"]


def test_plain_images_pass_through_one_by_one():
    taken = []

    def files():
        for number in itertools.count():
            taken.append(number)
            yield f"{number}.png", ""

    units = units_of(files())
    assert [next(units) for _ in range(3)] == [Unit("", (f"{number}.png",)) for number in range(3)]
    assert taken == [0, 1, 2]


@pytest.mark.slow
def test_memory_stays_small_however_many_files_follow_a_dicom_file(dicom, tmp_path):
    first = str(dicom.save(tmp_path / "a.dcm", dicom.head))
    files = itertools.chain(
        [(first, kind_of(first))], ((f"/far/away/{number:06}.png", "") for number in range(200_000))
    )
    tracemalloc.start()
    count = sum(1 for _ in units_of(files))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count == 200_001 and peak < 20e6


def test_broken_dicom_files_stand_alone(dicom, tmp_path):
    (tmp_path / "a.dcm").write_bytes(b"nothing of the kind")
    path = dicom.save(tmp_path / "b.dcm", dicom.head)
    found = list(slices_of([tmp_path / "a.dcm", path]))
    assert [(piece.name, bool(piece.volume)) for piece in found] == [
        (str(tmp_path / "a.dcm"), False),
        (str(path), True),
    ]
