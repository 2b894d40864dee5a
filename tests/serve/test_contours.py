"""Contours that a reader draws: kept with the history, checked, and exported as masks that other commands read."""

import csv
import gzip
import io
import json
import sqlite3
import zipfile
from dataclasses import replace
from importlib.util import find_spec

import nibabel
import numpy as np
import pydicom
import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from PIL import Image

from brainsift.cli.main import main
from brainsift.core.errors import InputError, NotFoundError, UsageError
from brainsift.images.phantom import draw as draw_head
from brainsift.inference.bundle import load_bundle
from brainsift.serve.history.contours import Contour
from brainsift.serve.history.store import FILE, History
from brainsift.volumes.voxel_grid import VoxelGrid

from ..page.scans import draw_volume, write_nifti, write_series
from .test_history import ROW, kept_volume, of_schema_2, png, stored_bytes, table

pytestmark = pytest.mark.slow

NEEDED = {
    "StudyInstanceUID": "1.2.826.0.1.88",
    "FrameOfReferenceUID": "1.2.826.0.1.88.9",
    "PixelSpacing": [2.0, 2.0],
    "SliceThickness": 4.0,
}


def disc(width, height, center, radius):
    y, x = np.mgrid[:height, :width] + 0.5
    return np.hypot(x - center[0], y - center[1]) <= radius


SMALL = Contour.of_mask(disc(8, 8, (5, 3), 2))
EMPTY = Contour.of_mask(np.zeros((8, 8), bool))


@pytest.fixture
def history(tmp_path):
    opened = History(tmp_path / "kept", keep_images=True)
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def keeping(serving, tmp_path_factory):
    with serving(keep=tmp_path_factory.mktemp("kept") / "history", keep_images=True, threads=1) as running:
        yield running


def unpacked(content):
    with zipfile.ZipFile(io.BytesIO(content)) as packed:
        assert len(set(packed.namelist())) == len(packed.namelist())
        return {name: packed.read(name) for name in packed.namelist()}


def exported(history):
    stream = io.BytesIO()
    history.write_masks(stream)
    return unpacked(stream.getvalue())


def rows(found, name="manifest.csv"):
    return list(csv.DictReader(io.StringIO(found[name].decode())))


def pixels(content):
    return np.asarray(Image.open(io.BytesIO(content)))


@given(mask=arrays(bool, array_shapes(min_dims=2, max_dims=2, max_side=12)))
def test_runs_are_the_mask(mask):
    contour = Contour.of_mask(mask)
    assert sum(contour.runs) == mask.size
    assert np.array_equal(contour.mask(), mask)


@given(runs=st.lists(st.integers(0, 9), max_size=12))
def test_runs_of_another_length_are_refused(runs):
    contour = Contour(3, 4, runs)
    if sum(runs) == 12:
        assert contour.mask().shape == (4, 3)
    else:
        with pytest.raises(InputError, match=f"are {sum(runs)} pixels long together, the image of 3 x 4 has 12"):
            contour.mask()


def test_the_last_contour_counts_and_survives(history, tmp_path):
    first, second = history.record([replace(ROW, picture_png=png(1), size=(8, 8)), ROW])
    assert history.contour(first) is None and history.open(first).contours == 0
    history.draw(first, EMPTY)
    history.draw(first, replace(SMALL, start="network", level=0.4))
    history.close()
    again = History(tmp_path / "kept", keep_images=True)
    assert again.contour(first).contour == replace(SMALL, start="network", level=0.4)
    assert again.contour(first).drawn.endswith("Z")
    assert [again.open(one).contours for one in (first, second)] == [1, 0]
    assert [case.contours for case in again.search()[1]] == [0, 1]
    again.remove_contour(first)
    assert again.contour(first) is None
    with pytest.raises(NotFoundError):
        again.remove_contour(first)
    again.close()


def test_a_volume_counts_its_slices(history):
    number, slices = kept_volume(history)
    history.draw(slices[0], SMALL)
    history.draw(slices[2], EMPTY)
    assert history.open(number).contours == 2
    assert [case.contours for case in history.slices(number)] == [1, 0, 1]
    assert history.wholes(slices)[slices[1]].contours == 2
    with pytest.raises(UsageError, match="is a volume of 3 slices"):
        history.draw(number, SMALL)
    history.delete(number)
    with sqlite3.connect(history.folder / FILE) as connection:
        for kept in ("contours", "sources"):
            assert connection.execute(f"SELECT count(*) FROM {kept}").fetchone() == (0,)
    connection.close()


def test_a_deleted_contour_leaves_nothing_in_the_file(history):
    (number,) = history.record([replace(ROW, picture_png=png(1), size=(1000, 1000))])
    mask = np.zeros((1000, 1000), bool)
    mask[500, 3:987] = True
    contour = Contour.of_mask(mask)
    history.draw(number, contour)
    words = f"[{contour.runs[0]}, 984, {contour.runs[2]}]".encode()
    assert words in stored_bytes(history.folder)
    history.remove_contour(number)
    assert words not in stored_bytes(history.folder)


def test_a_contour_of_another_size_is_refused(history):
    known, small, unknown = history.record(
        [replace(ROW, size=(2000, 1500)), replace(ROW, picture_png=png(1)), replace(ROW, name="no picture")]
    )
    with pytest.raises(InputError, match="is of 8 x 8 pixels, the image of 2000 x 1500"):
        history.draw(known, SMALL)
    assert history.draw(small, SMALL).contour == SMALL  # the picture is smaller than any that was made smaller
    with pytest.raises(InputError, match="the size of its image is not known"):
        history.draw(unknown, SMALL)
    assert history.draw(unknown, SMALL, (8, 8)).contour == SMALL


def test_a_kept_picture_that_may_have_been_made_smaller_tells_no_size(history):
    large = io.BytesIO()
    Image.new("L", (1024, 700)).save(large, "PNG")
    (number,) = history.record([replace(ROW, picture_png=large.getvalue())])
    assert history.source_size(number) is None


def test_an_older_history_takes_contours(tmp_path):
    of_schema_2(tmp_path / FILE)
    history = History(tmp_path, keep_images=True)
    assert history.open(1).contours == 0 and history.source_size(2) is None
    history.draw(2, SMALL, (8, 8))
    assert history.open(1).contours == 1
    history.close()


def judged(history):
    """Images with all pairs of verdict and contour; returns their numbers by name."""
    numbers = {}
    for grey, (name, verdict, contour, changes) in enumerate(
        [
            ("tumor and contour", "tumor", SMALL, {}),
            ("tumor only", "tumor", None, {}),
            ("none only", "no_tumor", None, {}),
            ("none and empty", "no_tumor", EMPTY, {}),
            ("contour only", None, SMALL, {}),
            ("empty only", None, EMPTY, {}),
            ("nothing", None, None, {}),
            ("tumor but empty", "tumor", EMPTY, {}),
            ("none but contour", "no_tumor", SMALL, {}),
            ("unsure", "unsure", SMALL, {}),
            ("rejected", "tumor", SMALL, {"status": "not_brain_mri", "decision": "refer"}),
            ("no picture", "tumor", SMALL, {"picture_png": None}),
        ]
    ):
        row = replace(ROW, name=name, picture_png=png(10 + grey), size=(8, 8))
        (number,) = history.record([replace(row, **changes)])
        numbers[name] = number
        if verdict:
            history.judge(number, verdict)
        if contour:
            history.draw(number, contour)
    return numbers


def test_labels_and_masks_of_the_manifest(history):
    numbers = judged(history)
    found = exported(history)
    made = {row["name"]: row for row in rows(found)}
    assert {name: row["label"] for name, row in made.items()} == {
        "tumor and contour": "1",
        "tumor only": "1",
        "none only": "0",
        "none and empty": "0",
        "contour only": "1",
        "empty only": "0",
    }
    assert [bool(row["mask"]) for row in made.values()] == [True, False, False, True, True, True]
    for name, row in made.items():
        assert row["path"] == f"images/{numbers[name]:05d}.png" and row["path"] in found
    mask = pixels(found[made["contour only"]["mask"]])
    assert mask.dtype == np.uint8 and np.array_equal(mask, SMALL.mask() * np.uint8(255))
    told = found["left-out.txt"].decode()
    for name, words in {
        "tumor but empty": "the contour is empty, and the verdict is tumor; change one of them",
        "none but contour": "the contour shows a tumor, and the verdict is no_tumor; change one of them",
        "unsure": "your verdict on it is unsure, which is no label",
        "rejected": "the network rejected the image",
        "no picture": "its picture was not kept",
    }.items():
        assert f"case {numbers[name]}: not in manifest.csv: {words}" in told
        assert f"masks/{numbers[name]:05d}.png" in found  # what was drawn is there all the same
    assert "nothing" not in made


def test_a_picture_scored_twice_is_there_once_and_the_other_contour_is_told(history):
    first, second = history.record([replace(ROW, picture_png=png(5)), replace(ROW, picture_png=png(5))])
    history.draw(first, SMALL)
    history.judge(second, "tumor")
    found = exported(history)
    (row,) = rows(found)
    assert row["path"] == f"images/{second:05d}.png" and not row["mask"]
    assert f"case {first}: not in manifest.csv: its picture was scored again" in found["left-out.txt"].decode()


def test_an_empty_history_says_so_in_the_archive(history):
    found = exported(history)
    assert rows(found) == rows(found, "volumes.csv") == [] and "Research use only" in found["README.txt"].decode()


def test_the_contours_of_a_volume_are_a_volume(history):
    grid = VoxelGrid((8, 8, 3), tuple(map(tuple, np.diag([1.0, 2.0, 3.0, 1.0]).tolist())), (2, 1, 0), (1, -1, -1))
    number, slices = kept_volume(history, grid=grid)
    history.draw(slices[1], SMALL)
    history.draw(slices[2], EMPTY)
    found = exported(history)
    (row,) = rows(found, "volumes.csv")
    assert (row["case"], row["slices"], row["corrected"]) == (str(number), "3", "2 3")
    made = nibabel.Nifti1Image.from_bytes(gzip.decompress(found[row["nifti"]]))
    voxels = np.asarray(made.dataobj)
    assert made.shape == (8, 8, 3) and np.allclose(made.affine, np.diag([1, 2, 3, 1]))
    assert np.array_equal(voxels[..., 1], SMALL.mask()[::-1, ::-1].T) and voxels.sum() == SMALL.mask().sum()
    assert [one["label"] for one in rows(found)] == ["1", "0"]
    assert "no DICOM segmentation" in found["left-out.txt"].decode()
    history.delete(slices[0])
    assert f"case {number}: no NIfTI: slices of it were deleted" in exported(history)["left-out.txt"].decode()


def test_a_volume_without_a_place_says_so(history):
    number, slices = kept_volume(history)
    history.draw(slices[1], SMALL)
    told = exported(history)["left-out.txt"].decode()
    assert f"case {number}: no NIfTI: its slices do not lie at even distances" in told


@pytest.mark.slow
def test_audit_evaluate_calibrate_and_training_take_the_manifest(history, tmp_path, monkeypatch):
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("torch")
    for seed in range(24):
        head = draw_head(seed, tumor=seed % 2 == 0, size=160)
        picture = io.BytesIO()
        Image.fromarray(head.pixels).save(picture, "PNG")
        row = replace(ROW, name=f"head-{seed}", picture_png=picture.getvalue(), size=(160, 160))
        (number,) = history.record([row])
        history.judge(number, "tumor" if seed % 2 == 0 else "no_tumor")
        if seed % 2 == 0:
            history.draw(number, Contour.of_mask(head.mask))
    folder = tmp_path / "export"
    for name, content in exported(history).items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    manifest = folder / "manifest.csv"
    monkeypatch.chdir(tmp_path)
    assert main(["audit", str(manifest), "-o", "audit"]) == 0
    audited = pandas.read_csv("audit/manifest.csv", keep_default_na=False)
    assert list(audited["status"]) == ["ok"] * 24 and (audited["mask"] != "").sum() == 12
    monkeypatch.chdir(folder)
    command = ["evaluate", "--predictions", "manifest.csv", "--manifest", "manifest.csv", "--json", "scores.json"]
    assert main(command) == 0
    assert json.loads((folder / "scores.json").read_text())["n_missing"] == 0
    assert main(["calibrate", "--data", "manifest.csv", "-o", "site"]) == 0
    ours, theirs = load_bundle(folder / "site"), load_bundle()
    assert ours.thresholds != theirs.thresholds
    monkeypatch.chdir(tmp_path)
    quick = ["--size", "64", "--epochs", "1", "--batch-size", "4", "--threads", "1", "--precision", "fp32"]
    weights = {}
    for outlines in ("0", "2"):  # the share of the masks in what is learned
        run = ["train", "audit/manifest.csv", "-o", f"run-{outlines}", "--cache", "cache", *quick]
        assert main([*run, "--outline-weight", outlines]) == 0
        weights[outlines] = (tmp_path / f"run-{outlines}" / "weights.safetensors").read_bytes()
    assert weights["0"] != weights["2"]  # the network learned from what was drawn
    assert main(["explain", "run-2"]) == 0  # the map against the masks of the test images


def upload(url, paths):
    """Scores files as one job, and waits until it is kept; returns the numbers of its cases."""
    files = [("files", (path.name, path.read_bytes())) for path in paths]
    job = requests.post(f"{url}/api/v1/jobs", files=files).json()
    while job["state"] in ("queued", "running") or len(job["cases"]) < job["total"]:
        job = requests.get(f"{url}/api/v1/jobs/{job['id']}?wait=2").json()
    return job


def put(url, number, contour):
    body = {"width": contour.width, "height": contour.height, "runs": contour.runs, "start": contour.start}
    return requests.put(f"{url}/api/v1/history/{number}/contour", json=body)


def test_the_service_knows_the_size_of_a_large_image(keeping, tmp_path):
    pixels = np.kron(draw_head(4, tumor=True, size=140).pixels, np.ones((10, 10), np.uint8))[:, :1100]
    Image.fromarray(pixels).save(tmp_path / "large.png")
    (number,) = upload(keeping.url, [tmp_path / "large.png"])["cases"]
    address = f"{keeping.url}/api/v1/history/{number}"
    assert requests.get(f"{address}/contour").json() == {"size": [1100, 1400], "drawn": None, "contour": None}
    contour = Contour.of_mask(disc(1100, 1400, (500, 600), 90))
    assert put(keeping.url, number, contour).status_code == 200
    assert requests.get(f"{address}/contour").json()["contour"]["runs"] == contour.runs
    assert requests.get(address).json()["contours"] == 1
    mask = np.asarray(Image.open(io.BytesIO(requests.get(f"{address}/mask.png").content)))
    assert np.array_equal(mask > 0, contour.mask())
    refused = put(keeping.url, number, SMALL)
    assert refused.status_code == 422 and "is of 8 x 8 pixels, the image of 1100 x 1400" in refused.json()["rule"]
    assert requests.delete(f"{address}/contour").status_code == 204
    assert requests.get(f"{address}/mask.png").status_code == 404


def test_bad_contours_are_refused_with_the_rule(keeping, tmp_path):
    Image.fromarray(draw_head(5, tumor=True, size=64).pixels).save(tmp_path / "head.png")
    (number,) = upload(keeping.url, [tmp_path / "head.png"])["cases"]
    address = f"{keeping.url}/api/v1/history/{number}/contour"
    good = {"width": 64, "height": 64, "runs": [64 * 64]}
    for change, status, words in (
        ({"runs": [5, 4]}, 422, "are 9 pixels long together, the image of 64 x 64 has 4096"),
        ({"runs": [-1, 4097]}, 400, "greater than or equal to 0"),
        ({"runs": "all"}, 400, "valid list"),
        ({"width": 0}, 400, "greater than or equal to 1"),
        ({"start": "a guess"}, 400, "empty"),
        ({"reader": "me"}, 400, "unexpected"),
    ):
        reply = requests.put(address, json={**good, **change})
        assert reply.status_code == status and words in reply.json()["rule"].lower(), (change, reply.json())
    reply = requests.put(address, json={**good, "runs": [0, 0] * 400_000})
    assert (reply.status_code, reply.json()["code"]) == (413, "too_large")
    assert "larger than 1048576 bytes" in reply.json()["rule"] and "smoother" in reply.json()["remedy"]
    assert requests.put(address, data=b"\x00\x01").status_code in (400, 422)
    assert requests.get(address).json()["contour"] is None


@pytest.mark.parametrize("tags", [{}, {"ImageOrientationPatient": [0, 1, 0, 0, 0, -1]}, {"PixelSpacing": [2.0, 4.0]}])
def test_the_contours_of_a_series_are_nifti_and_a_dicom_segmentation(keeping, tmp_path, tags):
    write_series(tmp_path / "series", 8, 6, SeriesDescription="ax t1", **{**NEEDED, **tags})
    files = sorted((tmp_path / "series").iterdir())
    job = upload(keeping.url, files)
    width, height = (192, 96) if tags.get("PixelSpacing") else (96, 96)
    place = 2
    drawn = disc(width, height, (width * 0.7, height * 0.2), 9)
    contour = Contour.of_mask(drawn)
    assert put(keeping.url, job["cases"][place], contour).status_code == 200
    found = unpacked(requests.get(f"{keeping.url}/api/v1/history/masks.zip").content)
    *_, row = (one for one in rows(found, "volumes.csv") if one["name"] == "ax t1" and one["nifti"])
    made = nibabel.Nifti1Image.from_bytes(gzip.decompress(found[row["nifti"]]))
    header = pydicom.dcmread(files[int(job["answers"][place]["name"].rsplit("IM", 1)[-1]) - 1])
    voxels = np.argwhere(np.asarray(made.dataobj))
    center = (made.affine @ [*voxels.mean(axis=0), 1])[:3] * [-1, -1, 1]
    right, down = np.array(header.ImageOrientationPatient[:3]), np.array(header.ImageOrientationPatient[3:])
    rows_mm, columns_mm = header.PixelSpacing
    wanted = (
        np.array(header.ImagePositionPatient)
        + right * columns_mm * (96 * 0.7 - 0.5)
        + down * rows_mm * (96 * 0.2 - 0.5)
    )
    assert np.abs(center - wanted).max() < max(header.PixelSpacing) / 2  # half a voxel
    if find_spec("highdicom") is None:
        pytest.skip("needs dicom: highdicom is not installed")
    whole = pydicom.dcmread(io.BytesIO(found[row["segmentation"]]))
    (segment,) = whole.SegmentSequence
    assert segment.SegmentAlgorithmType == "MANUAL" and "SegmentAlgorithmName" not in segment
    assert whole.ContentCreatorName == "" and "RESEARCH ONLY" in whole.SeriesDescription
    from highdicom.seg import Segmentation

    frame = Segmentation.from_dataset(whole).get_pixels_by_source_instance([header.SOPInstanceUID])[0, ..., 0]
    stored = np.asarray(made.dataobj)[..., voxels[0, 2]].T
    assert np.array_equal(frame, stored) and abs(int(frame.sum()) * (width // 96) - int(drawn.sum())) <= 12
    requests.delete(f"{keeping.url}/api/v1/history/{job['cases'][place]}/contour")


def test_a_contour_that_began_with_the_network_is_semiautomatic(keeping, tmp_path):
    if find_spec("highdicom") is None:
        pytest.skip("needs dicom: highdicom is not installed")
    write_series(tmp_path / "series", 12, 4, SeriesDescription="semi", **NEEDED)
    job = upload(keeping.url, sorted((tmp_path / "series").iterdir()))
    contour = replace(Contour.of_mask(disc(96, 96, (40, 40), 9)), start="network")
    assert put(keeping.url, job["cases"][1], contour).status_code == 200
    found = unpacked(requests.get(f"{keeping.url}/api/v1/history/masks.zip").content)
    (row,) = (one for one in rows(found, "volumes.csv") if one["name"] == "semi")
    (segment,) = pydicom.dcmread(io.BytesIO(found[row["segmentation"]])).SegmentSequence
    assert segment.SegmentAlgorithmType == "SEMIAUTOMATIC" and "brainsift" in segment.SegmentAlgorithmName


@pytest.mark.slow
def test_a_nifti_has_its_mask_and_after_a_restart_a_series_has_no_segmentation(serving, tmp_path):
    write_nifti(tmp_path / "head.nii.gz", draw_volume(12, 9))
    write_series(tmp_path / "series", 8, 5, SeriesDescription="later", **NEEDED)
    with serving(keep=tmp_path / "history", keep_images=True, threads=1) as running:
        nifti = upload(running.url, [tmp_path / "head.nii.gz"])["cases"]
        series = upload(running.url, sorted((tmp_path / "series").iterdir()))["cases"]
    with serving(keep=tmp_path / "history", keep_images=True, threads=1) as running:
        contour = Contour.of_mask(disc(96, 96, (30, 60), 8))
        for number in (nifti[5], series[1]):  # drawn on what is kept
            assert put(running.url, number, contour).status_code == 200
        found = unpacked(requests.get(f"{running.url}/api/v1/history/masks.zip").content)
    first, second = rows(found, "volumes.csv")
    source, made = nibabel.load(tmp_path / "head.nii.gz"), None
    made = nibabel.Nifti1Image.from_bytes(gzip.decompress(found[first["nifti"]]))
    assert made.shape == source.shape and np.allclose(made.affine, source.affine)
    assert np.array_equal(np.asarray(made.dataobj)[..., 5], contour.mask()[::-1, ::-1].T)
    assert second["nifti"] and not second["segmentation"]
    told = found["left-out.txt"].decode()
    assert f"case {second['case']}: no DICOM segmentation: a DICOM segmentation needs the files" in told


def test_without_a_history_there_are_no_contours(served):
    for path in ("1/contour", "1/mask.png", "masks.zip"):
        reply = requests.get(f"{served.url}/api/v1/history/{path}")
        assert reply.status_code == 404 and "--keep" in reply.json()["remedy"]


def test_tables_name_the_same_columns(history):
    history.record([replace(ROW, picture_png=png(1))])
    history.judge(1, "tumor")
    (row,), (whole,) = rows(exported(history)), table(history.export())
    assert {name: row[name] for name in whole if name != "path"} == {
        name: value for name, value in whole.items() if name != "path"
    }
