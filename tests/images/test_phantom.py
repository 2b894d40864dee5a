"""Drawn heads: deterministic, outlined, and not to be told apart by anything but the tumor."""

import csv
import hashlib
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from brainsift.core.errors import UsageError
from brainsift.images.phantom import COLUMNS, CONTRASTS, draw, write_phantoms

COUNT = 60


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    manifest = write_phantoms(tmp_path_factory.mktemp("phantoms"), count=COUNT, seed=4)
    with manifest.open(newline="") as file:
        return manifest.parent, list(csv.DictReader(file))


@settings(max_examples=10)
@given(seed=st.integers(0, 2**32), tumor=st.booleans(), size=st.sampled_from([64, 128, 192]))
def test_the_seed_decides(seed, tumor, size):
    one, other = (draw(seed, tumor=tumor, size=size) for _ in range(2))
    np.testing.assert_array_equal(one.pixels, other.pixels)
    np.testing.assert_array_equal(one.mask, other.mask)
    assert (one.pixels.shape, one.pixels.dtype, one.mask.dtype) == ((size, size), np.uint8, bool)
    assert one.contrast == other.contrast
    assert one.contrast in CONTRASTS
    assert one.mask.any() == tumor


def test_seeds_differ_and_show_every_contrast():
    drawn = [draw(seed, tumor=False, size=64) for seed in range(40)]
    assert len({phantom.pixels.tobytes() for phantom in drawn}) == 40
    assert {phantom.contrast for phantom in drawn} == set(CONTRASTS)


def test_the_tumor_is_where_the_outline_says():
    """The same head is drawn with and without, and differs mostly inside of the outline."""
    for seed in range(8):
        with_tumor, without = draw(seed, tumor=True), draw(seed, tumor=False)
        change = np.abs(with_tumor.pixels.astype(int) - without.pixels)
        assert change[with_tumor.mask].mean() > 4 * change[~with_tumor.mask].mean()
        assert 0.003 < with_tumor.mask.mean() < 0.2


@pytest.mark.slow
def test_brightness_and_size_of_the_head_do_not_tell():
    heads = {
        kind: [draw(seed, tumor=kind).pixels for seed in seeds]
        for kind, seeds in ((True, range(60)), (False, range(60, 120)))
    }
    for figure in (
        lambda pixels: pixels[:, 96].max(),
        lambda pixels: (pixels > 40).mean(),
        lambda pixels: pixels[:9].std(),
    ):
        tumor, healthy = (np.array([figure(pixels) for pixels in heads[kind]]) for kind in (True, False))
        wins = (tumor[:, None] > healthy).mean() + 0.5 * (tumor[:, None] == healthy).mean()
        assert 0.3 < wins < 0.7  # the ROC AUC of the figure alone


@pytest.mark.slow
def test_files_and_manifest(written):
    folder, rows = written
    assert len(rows) == COUNT
    assert tuple(rows[0]) == COLUMNS
    assert Counter(row["source"] for row in rows) == {"phantom": COUNT}
    assert 0.35 < sum(row["label"] == "1" for row in rows) / COUNT < 0.65
    for row in rows:
        assert row["path"].split("/")[0] == ("tumor" if row["label"] == "1" else "no_tumor")
        assert (row["mask"] != "") == (row["label"] == "1")
        with Image.open(folder / row["path"]) as image:
            size = image.size
        if row["mask"]:
            mask = np.asarray(Image.open(folder / row["mask"]))
            assert mask.shape == size[::-1]
            assert set(np.unique(mask)) == {0, 255}
    assert {row["path"][-4:] for row in rows} == {".png", ".jpg"}


@pytest.mark.slow
def test_patients_have_several_slices_of_one_class_and_contrast(written):
    _, rows = written
    patients = {}
    for row in rows:
        if row["patient"]:
            patients.setdefault(row["patient"], []).append((row["label"], row["contrast"]))
    assert len(patients) > 10
    assert all(len(slices) <= 4 and len(set(slices)) == 1 for slices in patients.values())
    assert min(Counter(len(slices) for slices in list(patients.values())[:-1])) >= 2


@pytest.mark.slow
def test_there_are_copies_to_be_found(written):
    folder, rows = written
    copies = [row for row in rows if not row["patient"]]
    assert len(copies) == round(0.1 * COUNT)
    hashes = Counter(hashlib.sha256((folder / row["path"]).read_bytes()).hexdigest() for row in rows)
    assert sum(count - 1 for count in hashes.values()) >= 2
    assert {row["path"].split("_")[-1][:-4] for row in copies} == {"exact", "encoded", "mirrored"}


@pytest.mark.slow
def test_the_same_files_again(written, tmp_path):
    folder, rows = written
    write_phantoms(tmp_path, count=COUNT, seed=4)
    for name in ("phantoms.csv", rows[0]["path"], rows[-1]["path"]):
        assert (tmp_path / name).read_bytes() == (folder / name).read_bytes()


def test_too_few():
    with pytest.raises(UsageError, match="not 1"):
        write_phantoms("anywhere", count=1)
