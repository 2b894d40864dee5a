"""The cache: each image once, whatever interrupts it."""

import json
import os
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from brainsift.core.errors import ManifestError, UsageError
from brainsift.images.decode import decode
from brainsift.images.preprocess import network_input, preprocess
from brainsift.training.cache import cached_masks, cached_pixels


def test_pixels_are_those_of_preprocess(parted, tmp_path):
    pixels, rows = cached_pixels(parted, tmp_path, size=32, workers=1)
    assert pixels.shape[1:] == (32, 32) and pixels.dtype == np.uint8
    for index in (0, len(parted) // 2, len(parted) - 1):
        assert np.array_equal(pixels[rows[index]], preprocess(parted["path"].iloc[index], size=32))


def test_same_file_takes_one_row(parted, tmp_path):
    pixels, rows = cached_pixels(parted, tmp_path, size=32, workers=1)
    assert len(pixels) == parted["sha256"].nunique() < len(parted)
    assert len(np.unique(rows)) == len(pixels)


def test_only_new_images_are_decoded(parted, tmp_path):
    seen = []
    half = parted.iloc[: len(parted) // 2]
    cached_pixels(half, tmp_path, size=32, workers=1)
    cached_pixels(parted, tmp_path, size=32, workers=1, report=lambda progress: seen.append(progress.total))
    assert seen[-1] == parted["sha256"].nunique() - half["sha256"].nunique()
    cached_pixels(parted, tmp_path, size=32, workers=1, report=lambda progress: pytest.fail("decoded again"))


@pytest.mark.skipif(os.name == "nt", reason="needs limits of POSIX")
def test_no_room_is_told_as_it_is_and_costs_only_what_is_not_written(parted, tmp_path):
    import resource

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, before[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            cached_pixels(parted, tmp_path / "full", size=32, workers=2)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    pixels, rows = cached_pixels(parted, tmp_path / "full", size=32, workers=1)
    whole, places = cached_pixels(parted, tmp_path / "whole", size=32, workers=1)
    assert np.array_equal(pixels[rows], whole[places])


def test_names_without_their_pixels_are_read_again(parted, tmp_path):
    whole, _ = cached_pixels(parted, tmp_path, size=32, workers=1)
    whole = np.array(whole)
    (path,) = tmp_path.glob("*.u8")
    os.truncate(path, path.stat().st_size - 3 * 32 * 32 - 5)  # as after a power cut
    pixels, _ = cached_pixels(parted, tmp_path, size=32, workers=1)
    assert np.array_equal(pixels, whole)


def test_a_corrected_mask_takes_the_place_of_the_old_one(parted, tmp_path):
    image, mask = decode(parted["path"].iloc[0]), tmp_path / "mask.png"
    shapes = tmp_path / "shapes.json"

    def maskd(ref, corner):
        inside = np.zeros(image.grey().shape, np.uint8)
        inside[:corner, :corner] = 255
        Image.fromarray(inside).save(mask)
        square = {"name": "rect", "x": 0, "y": 0, "width": corner, "height": corner}
        entry = {"filename": "a", "regions": [{"shape_attributes": square}]}
        shapes.write_text(json.dumps({"_via_img_metadata": {"a": entry}}))
        os.utime(shapes, ns=(corner, corner))
        found, rows = cached_masks(parted[:1].assign(mask=ref), tmp_path / "cache", size=32, workers=1)
        return (found[rows[0]] > 127).sum()

    for ref in (str(mask), f"{shapes}#a"):
        small, large, again = (maskd(ref, corner) for corner in (20, 60, 20))
        assert small == again < large


@pytest.mark.parametrize("lost_bytes", [65, *(pytest.param(lost, marks=pytest.mark.slow) for lost in (1, 20, 200))])
def test_a_cut_file_of_keys_loses_only_what_was_cut(parted, tmp_path, lost_bytes):
    before, rows = cached_pixels(parted, tmp_path, size=32, workers=1)
    before = np.array(before)
    keys = next(tmp_path.glob("*.keys"))
    keys.write_bytes(keys.read_bytes()[:-lost_bytes])
    after, rows_after = cached_pixels(parted, tmp_path, size=32, workers=1)
    assert np.array_equal(before[rows], after[rows_after])


def test_pixels_without_keys_are_overwritten(parted, tmp_path):
    cached_pixels(parted.iloc[:4], tmp_path, size=32, workers=1)
    with next(tmp_path.glob("*.u8")).open("ab") as file:
        file.write(b"half an image")
    pixels, rows = cached_pixels(parted, tmp_path, size=32, workers=1)
    last = len(parted) - 1
    assert np.array_equal(pixels[rows[last]], preprocess(parted["path"].iloc[last], size=32))


@pytest.mark.slow
def test_many_processes_give_the_same_pixels(parted, tmp_path):
    one, rows = cached_pixels(parted, tmp_path / "one", size=32, workers=1)
    two, rows_two = cached_pixels(parted, tmp_path / "two", size=32, workers=2)
    assert np.array_equal(one[rows], two[rows_two])


def test_baseline_pixels_have_three_channels(parted, tmp_path):
    pixels, _ = cached_pixels(parted.iloc[:4], tmp_path, preprocessing="baseline", size=32, workers=1)
    assert pixels.shape[1:] == (32, 32, 3)
    assert network_input(pixels).shape == (len(pixels), 3, 32, 32)


def test_rows_without_pixels_are_marked(parted, tmp_path):
    table = parted.iloc[:3].copy()
    table["status"] = ["ok", "unreadable", "tiny"]
    _, rows = cached_pixels(table, tmp_path, size=32, workers=1)
    assert rows[0] >= 0 and list(rows[1:]) == [-1, -1]


def test_unknown_preprocessing_is_named(parted, tmp_path):
    with pytest.raises(UsageError, match="fancy"):
        cached_pixels(parted, tmp_path, preprocessing="fancy")


@pytest.mark.slow
def test_processes_that_share_a_cache_do_not_spoil_it(parted, tmp_path):
    halves = [parted.iloc[::2], parted.iloc[1::2], parted.iloc[::3]]
    with ProcessPoolExecutor(3, mp_context=get_context("spawn")) as pool:
        list(pool.map(partial(cached_pixels, folder=tmp_path, size=32, workers=1), halves))
    pixels, rows = cached_pixels(parted, tmp_path, size=32, workers=1)
    assert len(pixels) == parted["sha256"].nunique()
    for index in range(0, len(parted), 7):
        assert np.array_equal(pixels[rows[index]], preprocess(parted["path"].iloc[index], size=32))


def test_a_file_that_changed_since_the_audit_is_refused(parted, tmp_path):
    row = parted[parted["mask"] != ""].head(1).copy()
    path = tmp_path / "changed.png"
    path.write_bytes(Path(row["path"].iloc[0]).read_bytes())
    row["path"] = str(path)
    cached_pixels(row, tmp_path / "same", size=32, workers=1)
    Image.new("L", (64, 64), 90).save(path)
    for read in (cached_pixels, cached_masks):
        with pytest.raises(ManifestError, match=r"changed\.png: is not the file that was audited"):
            read(row, tmp_path / "other", size=32, workers=1)
