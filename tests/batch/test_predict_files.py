"""What `brainsift predict` does, as a function: predictions, tables, maps and the report from one call."""

import csv
import json
import shutil
from pathlib import Path

import nibabel
import numpy as np
import pytest
from PIL import Image

from brainsift.batch.predict_files import BatchResult, predict_files
from brainsift.core.errors import InputError, UsageError
from brainsift.core.progress import Progress
from brainsift.images.phantom import draw
from brainsift.inference.bundle import load_bundle


@pytest.fixture(scope="module")
def scans(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scans")
    for seed in range(3):
        Image.fromarray(draw(seed, tumor=seed == 0, size=96).pixels).save(folder / f"{seed}.png")
    (folder / "broken.png").write_bytes(b"\x89PNG not really")
    stack = np.stack([draw(seed, tumor=True, size=96).pixels for seed in range(4)], axis=2).astype(np.int16)
    nibabel.Nifti1Image(stack, np.eye(4)).to_filename(folder / "scan.nii")
    return folder


def test_one_call_writes_all_that_is_wanted(scans, tmp_path):
    seen, heard = [], []
    result = predict_files(
        scans,
        csv=tmp_path / "a.csv",
        json=str(tmp_path / "a.json"),
        volumes=tmp_path / "v.csv",
        heatmaps=tmp_path / "maps",
        report=tmp_path / "r.html",
        threads=1,
        each=seen.append,
        progress=heard.append,
    )
    assert result.n == 8 == len(seen) == sum(result.by_status.values()) == sum(result.by_decision.values())
    assert result.by_status["unreadable"] == 1 == result.by_decision[""]
    rows = list(csv.DictReader((tmp_path / "a.csv").read_text().splitlines()))
    assert [row["path"] for row in rows] == [one.path for one in seen]
    assert json.loads((tmp_path / "a.json").read_text()) == [one.to_dict() for one in seen]
    (volume,) = result.volumes
    (row,) = csv.DictReader((tmp_path / "v.csv").read_text().splitlines())
    assert row["n_slices"] == "4" and row["decision"] == volume.decision and row["reason"] == volume.reason
    assert len(list((tmp_path / "maps").glob("0*.png"))) == 7 and (tmp_path / "maps" / "volume-00000.png").exists()
    assert "scan.nii" in (tmp_path / "r.html").read_text()
    assert result.written == tuple(tmp_path / name for name in ("a.csv", "a.json", "v.csv", "r.html", "maps"))
    assert heard[-1] == Progress("scoring", 8, 8)
    assert BatchResult.from_json(json.loads(json.dumps(result.to_json()))) == result


def test_a_map_or_a_report_that_cannot_be_written_costs_itself_and_no_table(scans, tmp_path):
    """The folder of the maps and that of the report go while the files are scored, and so does an image."""
    files = [tmp_path / f"{number}.png" for number in range(4)]
    for file in files:
        shutil.copy(scans / "0.png", file)

    def disturb(progress):
        if progress.done == 1:
            files[1].unlink()  # it is scored already, and read again for its map
            (tmp_path / "page").write_text("no folder")

    result = predict_files(
        files,
        csv=tmp_path / "a.csv",
        heatmaps=tmp_path / "maps",
        report=tmp_path / "page" / "r.html",
        threads=1,
        progress=disturb,
    )
    rows = list(csv.DictReader((tmp_path / "a.csv").read_text().splitlines()))
    assert [row["path"] for row in rows] == list(map(str, files)) and result.n == 4
    assert result.by_status == {"ok": 4}
    assert sorted(path.name[:5] for path in (tmp_path / "maps").iterdir()) == ["00000", "00002", "00003"]
    assert result.written == (tmp_path / "a.csv", tmp_path / "maps")
    maps, page = result.unwritten
    assert "maps cannot be written" in maps and "no such file" in maps and "r.html cannot be written" in page


@pytest.mark.parametrize(
    ("option", "name", "words"),
    [
        ("csv", "a.xlsx", "ends in .xlsx, but what is written is CSV"),
        ("volumes", "v.json", "ends in .json, but what is written is CSV"),
        ("json", "a.CSV", "ends in .csv, but what is written is JSON"),
        ("report", "r.docx", "ends in .docx, but what is written is HTML or HTM or PDF"),
    ],
)
def test_a_name_that_promises_another_format_is_refused(scans, tmp_path, option, name, words):
    with pytest.raises(UsageError, match=words):
        predict_files(scans, **{option: tmp_path / name})
    assert not list(tmp_path.iterdir())


def test_a_folder_of_maps_that_is_a_file_is_refused_before_anything_is_scored(scans, tmp_path):
    (tmp_path / "maps").touch()
    with pytest.raises(InputError, match="is no folder"):
        predict_files(scans, csv=tmp_path / "a.csv", heatmaps=tmp_path / "maps", each=lambda _: pytest.fail("scored"))


def test_a_list_is_taken_path_by_path(scans):
    result = predict_files(iter([scans / "0.png", "gone.png"]), expand=False, bundle=load_bundle(), threads=1)
    assert result.by_status == {"ok": 1, "unreadable": 1} and result.written == () and result.volumes == ()
    with pytest.raises(InputError, match="does not exist"):
        predict_files("x" * 5000)
    with pytest.raises(InputError, match="does not exist"):
        predict_files([scans / "0.png", "gone.png"])


@pytest.mark.parametrize(
    ("options", "rule"),
    [
        ({"threshold": "even", "sensitivity": 0.9}, "exclude each other"),
        ({"engine": "spark"}, "'local' or 'ray', not 'spark'"),
        ({"workers": -1}, "0 or more, not -1"),
        ({"workers": 2, "threads": 2}, "exclude each other"),
        ({"engine": "ray", "report": "r.html"}, "stay with the workers"),
        ({"threshold": "magic"}, "not 'magic'"),
    ],
)
def test_options_that_exclude_each_other_are_named(options, rule):
    with pytest.raises(UsageError, match=rule):
        predict_files("nowhere.png", **options)


def test_no_name_of_a_file_is_a_formula_and_its_path_still_leads_there(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Image.fromarray(draw(0, tumor=True, size=96).pixels).save('=HYPERLINK("x").png')
    predict_files(['=HYPERLINK("x").png'], expand=False, csv="a.csv", threads=1)
    (row,) = csv.DictReader(Path("a.csv").read_text().splitlines())
    assert row["path"] == './=HYPERLINK("x").png' and Path(row["path"]).is_file() and row["status"] == "ok"
