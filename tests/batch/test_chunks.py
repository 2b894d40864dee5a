"""Chunks of files can be scored apart: nothing is lost, and what is read together stays together."""

from itertools import chain

import pydicom
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage, generate_uid

from brainsift.batch.chunks import chunks_of
from brainsift.volumes.grouping import units_of
from brainsift.volumes.reader import kind_of, slices_of

CONTENTS = {"nifti": b"\x5c\1\0\0" + b"\0" * 340 + b"n+1\0", "": b"\x89PNG" + b"\0" * 40 + b"IDAT"}


def write(path, kind, series="1.2"):
    path.parent.mkdir(parents=True, exist_ok=True)
    if kind != "dicom":
        path.write_bytes(CONTENTS[kind])
        return str(path)
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = MRImageStorage, generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    made = pydicom.dataset.FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    made.SOPClassUID, made.SOPInstanceUID = MRImageStorage, meta.MediaStorageSOPInstanceUID
    made.SeriesInstanceUID, made.SeriesDescription, made.Modality = series, "T1", "MR"
    made.save_as(path, enforce_file_format=True)
    return str(path)


def test_plain_images_fill_chunks_and_volumes_stay_whole(tmp_path):
    plain = [write(tmp_path / "plain" / f"{number:03}", "") for number in range(10)]
    kinds = ["", "dicom", "", "dicom", "dicom", "nifti"]
    mixed = [write(tmp_path / "mixed" / f"{number:03}", kind) for number, kind in enumerate(kinds)]
    volumes = [write(tmp_path / "volumes" / name, "nifti") for name in "ab"]
    found = [[list(unit.paths) for unit in chunk] for chunk in chunks_of([*plain, *mixed, *volumes], size=4)]
    series = [mixed[1], mixed[3], mixed[4]]
    assert found == [
        [[path] for path in plain[:4]],
        [[path] for path in plain[4:8]],
        [[plain[8]], [plain[9]], [mixed[0]], series],
        [[mixed[2]]],
        [[mixed[5]]],
        [[volumes[0]]],
        [[volumes[1]]],
    ]
    assert list(chunks_of([])) == []


FILES = st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from(["1.2", "1.3", "nifti", ""])), max_size=8)


@pytest.mark.slow
@settings(suppress_health_check=[HealthCheck.too_slow])
@given(FILES, st.integers(1, 5))
def test_chunks_give_the_slices_that_all_files_at_once_give(tmp_path_factory, files, size):
    root = tmp_path_factory.mktemp("files")
    paths = []
    for number, (folder, kind) in enumerate(files):
        path = root / folder / f"{number}"
        paths.append(write(path, "dicom", kind) if "." in kind else write(path, kind))
    chunks = list(chunks_of(paths, size=size))
    assert list(chain.from_iterable(chunks)) == list(units_of((path, kind_of(path)) for path in paths))
    apart = [(one.name, one.volume) for chunk in chunks for one in slices_of(chunk)]
    assert apart == [(one.name, one.volume) for one in slices_of(paths)]
