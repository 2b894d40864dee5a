"""Chunks of files can be scored apart: nothing is lost, and what is read together stays together."""

from itertools import pairwise
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from brainsift.inference.chunks import chunks_of

CONTENTS = {"dicom": b"\0" * 128 + b"DICM", "nifti": b"\x5c\1\0\0" + b"\0" * 340 + b"n+1\0", "": b"\x89PNG"}


def write(folder, kinds):
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{number:03}" for number in range(len(kinds))]
    for path, kind in zip(paths, kinds, strict=True):
        path.write_bytes(CONTENTS[kind])
    return list(map(str, paths))


def test_plain_images_fill_chunks_and_volumes_stay_whole(tmp_path):
    plain = write(tmp_path / "plain", [""] * 10)
    series = write(tmp_path / "series", ["", "dicom", "", "dicom", "dicom", "nifti"])
    volumes = write(tmp_path / "volumes", ["nifti", "nifti"])
    found = list(chunks_of([*plain, *series, *volumes], size=4))
    assert found == [plain[:4], plain[4:8], [*plain[8:], series[0], *series[1:]], [volumes[0]], [volumes[1]]]
    assert list(chunks_of([volumes[0], volumes[0], plain[0]], size=4)) == [[volumes[0]] * 2, [plain[0]]]
    assert list(chunks_of([])) == []


@given(st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from(["dicom", "nifti", ""]))), st.integers(1, 5))
def test_no_border_lies_behind_a_dicom_file_of_the_same_folder(tmp_path_factory, files, size):
    root = tmp_path_factory.mktemp("files")
    known = {(name, kind): write(root / name / kind, [kind])[0] for name in "ab" for kind in CONTENTS}
    paths = [str(Path(known[file])) for file in files]
    chunks = list(chunks_of(paths, size=size))
    assert [path for chunk in chunks for path in chunk] == paths
    for one, other in pairwise(chunks):
        assert "dicom" not in Path(one[-1]).parts or Path(one[-1]).parent != Path(other[0]).parent
