"""The audit: what it finds in collections whose faults are known."""

import io
import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from brainsift.auditing.audit import AuditConfig, audit
from brainsift.auditing.findings import Findings
from brainsift.auditing.reading import class_figure, headline
from brainsift.auditing.shortcuts import PROTOCOLS
from brainsift.cli.main import main
from brainsift.core.errors import ManifestError
from brainsift.datasets.catalog import collect
from brainsift.datasets.manifest import AUDIT_COLUMNS, SOURCE_COLUMNS, read_manifest, several_pictures_note
from brainsift.images.phantom import draw

QUICK = AuditConfig(probes=False, workers=1)
TOTALS = {
    "files": 12,
    "readable": 10,
    "distinct_files": 9,
    "distinct_pixels": 8,
    "groups": 5,
    "largest_group": 4,
    "conflicts": 3,
    "near_conflicts": 2,
    "unreadable": 1,
    "tiny": 1,
    "off_topic": 1,
    "several_pictures": 0,
}


def head(seed):
    return draw(seed, tumor=False).pixels


def jpeg(grey, quality=30):
    buffer = io.BytesIO()
    Image.fromarray(grey).save(buffer, "JPEG", quality=quality)
    return np.asarray(Image.open(buffer))


def save(path, pixels, **options):
    Image.fromarray(np.ascontiguousarray(pixels)).save(path, **options)
    return path


def listed(*rows):
    """Makes a manifest of rows (path, label, further columns)."""
    empty = dict.fromkeys(SOURCE_COLUMNS, "") | {"source": "a"}
    return pd.DataFrame([empty | {"path": str(path), "label": label} | more for path, label, more in rows])


def has(result, flag):
    """Returns the names of the files that carry a flag."""
    table = result.manifest
    return {
        path.rsplit("/", 1)[-1]
        for path, flags in zip(table["path"], table["flags"], strict=True)
        if flag in flags.split(";")
    }


def groups_of(result):
    return {path.rsplit("/", 1)[-1]: group for path, group in result.manifest[["path", "group"]].to_numpy()}


@pytest.fixture(scope="module")
def faulty(tmp_path_factory):
    """Twelve files of two sources with one fault of each kind."""
    folder, b = tmp_path_factory.mktemp("faulty"), {"source": "b"}
    save(folder / "one.png", head(1), compress_level=1)
    shutil.copy(folder / "one.png", folder / "one_copy.png")
    save(folder / "one_again.png", head(1), compress_level=9)
    save(folder / "one_encoded.jpg", Image.fromarray(head(1)), quality=30)
    save(folder / "two.png", head(2))
    save(folder / "two_mirrored.png", head(2)[:, ::-1])
    save(folder / "three.png", head(3))
    save(folder / "three_turned.png", np.rot90(head(3)))
    save(folder / "four.png", head(4))
    save(folder / "photo.png", np.random.default_rng(0).integers(0, 256, (90, 90, 3), dtype=np.uint8))
    (folder / "broken.png").write_bytes((folder / "four.png").read_bytes()[:2000])
    save(folder / "tiny.png", head(1)[:9, :9])
    return listed(
        (folder / "one.png", 1.0, {}),
        (folder / "one_copy.png", 0.0, b),
        (folder / "one_again.png", 1.0, {}),
        (folder / "one_encoded.jpg", 1.0, b),
        (folder / "two.png", 1.0, {}),
        (folder / "two_mirrored.png", 0.0, b),
        (folder / "three.png", 0.0, {}),
        (folder / "three_turned.png", 0.0, {}),
        (folder / "four.png", np.nan, {}),
        (folder / "photo.png", 0.0, {}),
        (folder / "broken.png", 0.0, {}),
        (folder / "tiny.png", 0.0, {}),
    )


@pytest.fixture(scope="module")
def found(faulty, tmp_path_factory):
    return audit(faulty, QUICK, cache=tmp_path_factory.mktemp("cache"))


def test_totals_are_those_of_the_faults(found):
    assert found.findings.totals.to_json() == TOTALS


def test_findings_keep_their_schema(found):
    findings = json.loads(json.dumps(found.findings.to_json(), allow_nan=False))
    assert set(findings) == {
        "schema", "version", "config", "sources", "totals", "tables", "overlap", "conflicts", "unreadable",
        "off_topic", "near_duplicates", "groups", "probes", "seconds", "cost_of_a_million",
    }  # fmt: skip
    assert findings["schema"] == 1 and findings["sources"] == ["a", "b"] and findings["probes"] == []
    assert findings["config"] == {"min_similarity": 0.82, "probes": False, "workers": 1, "seed": 0}
    assert set(findings["tables"]) == {"source", "format", "mode", "class", "size"}
    assert set(findings["seconds"]) == {"reading", "near-duplicates", "grouping", "probes"}
    assert set(findings["cost_of_a_million"]) == {"seconds", "hours", "how"}
    for name in ("conflicts", "unreadable", "off_topic"):
        assert all(set(row) == {"path", "detail"} and row["detail"] for row in findings[name])


def test_manifest_keeps_its_contract(found, faulty):
    table = found.manifest
    assert list(table.columns) == [*SOURCE_COLUMNS, *AUDIT_COLUMNS]
    assert list(table["path"]) == list(faulty["path"])
    assert (table["group"] == "").equals(table["status"] != "ok")


def test_copies_share_a_group_and_others_do_not(found):
    groups = groups_of(found)
    assert len({groups[name] for name in ("one.png", "one_copy.png", "one_again.png", "one_encoded.jpg")}) == 1
    assert groups["two.png"] == groups["two_mirrored.png"] and groups["three.png"] == groups["three_turned.png"]
    assert len({groups[name] for name in ("one.png", "two.png", "three.png", "four.png", "photo.png")}) == 5


def test_flags_name_each_kind_of_copy(found):
    ones = {"one.png", "one_copy.png", "one_again.png"}
    assert has(found, "duplicate") == ones - {"one_again.png"}
    assert has(found, "same_pixels") == ones
    pairs = {"two.png", "two_mirrored.png", "three.png", "three_turned.png"}
    assert has(found, "near_duplicate") == ones | {"one_encoded.jpg"} | pairs
    assert has(found, "off_topic") == {"photo.png"}


def test_opposite_labels_are_conflicts(found):
    assert has(found, "conflict") == {"one.png", "one_copy.png", "one_again.png"}
    assert has(found, "near_conflict") == {"two.png", "two_mirrored.png"}
    listed_paths = {row.path.rsplit("/", 1)[-1] for row in found.findings.conflicts}
    assert listed_paths == has(found, "conflict") | has(found, "near_conflict")


def test_unreadable_and_off_topic_are_listed_with_a_reason(found):
    unreadable = {row.path.rsplit("/", 1)[-1]: row.detail for row in found.findings.unreadable}
    assert set(unreadable) == {"broken.png", "tiny.png"} and "9 x 9" in unreadable["tiny.png"]
    assert "colored" in found.findings.off_topic[0].detail


def test_overlap_counts_images_with_a_copy_elsewhere(found):
    assert found.findings.overlap == {
        "files": {"a": {"b": 1}, "b": {"a": 1}},
        "pixels": {"a": {"b": 2}, "b": {"a": 1}},
        "groups": {"a": {"b": 3}, "b": {"a": 3}},
    }


def test_tables_count_every_file(found):
    tables = found.findings.to_json()["tables"]
    assert tables["source"] == [
        {"name": "a", "files": 9, "tumor": 3, "no_tumor": 5},
        {"name": "b", "files": 3, "tumor": 1, "no_tumor": 2},
    ]
    assert {row["name"]: row["files"] for row in tables["class"]} == {"tumor": 4, "no tumor": 7, "unlabelled": 1}
    assert {row["name"]: row["files"] for row in tables["format"]}["JPEG"] == 1
    assert tables["size"][0]["name"] == "192×192" and tables["size"][0]["files"] == 9


def test_largest_groups_are_shown_without_exact_copies(found):
    shown = found.findings.groups
    assert [row.size for row in shown] == [2, 2, 2]
    assert sorted(row.labels for row in shown) == [(0,), (0, 1), (1,)]
    assert found.findings.near_duplicates.pairs == 3
    assert 0.82 <= found.findings.near_duplicates.similarity_min <= 1.0001


def test_files_are_written_and_read_back(found, tmp_path):
    found.write(tmp_path)
    assert json.loads((tmp_path / "findings.json").read_text(encoding="utf-8"))["totals"] == TOTALS
    assert Findings.read(tmp_path / "findings.json") == found.findings
    back = read_manifest(tmp_path / "manifest.csv")
    for column in ("path", "sha256", "group", "flags", "status", "detail"):
        assert list(back[column]) == list(found.manifest[column])


def test_groups_do_not_depend_on_the_order(found, faulty, tmp_path):
    again = audit(faulty.sample(frac=1, random_state=1, ignore_index=True), QUICK, cache=tmp_path)
    assert groups_of(again) == groups_of(found) and again.findings.totals.to_json() == TOTALS
    assert has(again, "near_conflict") == has(found, "near_conflict")


def test_groups_do_not_depend_on_the_index(found, faulty, tmp_path):
    again = audit(faulty.set_axis(np.arange(len(faulty)) * 7 + 5), QUICK, cache=tmp_path)
    assert groups_of(again) == groups_of(found)


def test_second_audit_changes_nothing(found, tmp_path):
    once_more = audit(found.manifest, QUICK, cache=tmp_path)
    pd.testing.assert_frame_equal(once_more.manifest, found.manifest)


def test_a_patient_of_two_contrast_sources_is_one_group(tmp_path):
    rows = []
    for number, (source, patient) in enumerate(
        [("brats13_flair", "p1"), ("brats13_t1ce", "p1"), ("brats13_t1ce", "p2"), ("other", "p1"), ("other", "")]
    ):
        rows.append((save(tmp_path / f"{number}.png", head(number)), 1.0, {"source": source, "patient": patient}))
    groups = list(audit(listed(*rows), QUICK, cache=tmp_path).manifest["group"])
    assert groups[0] == groups[1] and len(set(groups)) == 4


def test_a_copy_joins_two_patients(tmp_path):
    rows = [(save(tmp_path / f"{n}.png", head(n)), 0.0, {"patient": f"p{n % 2}"}) for n in range(4)]
    rows.append((save(tmp_path / "copy.png", jpeg(head(2))), 0.0, {"patient": "p1"}))
    assert audit(listed(*rows), QUICK, cache=tmp_path).manifest["group"].nunique() == 1


def test_channels_of_one_file_are_images_of_one_group(tmp_path):
    path = save(tmp_path / "channels.png", np.stack([head(1), head(2), head(3)], axis=2))
    table = listed(*((path, 1.0, {"channel": name, "patient": "p"}) for name in "RGB"))
    result = audit(table, QUICK, cache=tmp_path)
    totals = result.findings.totals
    assert (totals.distinct_files, totals.distinct_pixels, totals.groups) == (3, 3, 1)
    assert list(result.manifest["flags"]) == ["", "", ""]


def test_a_stricter_bound_joins_less(faulty, tmp_path):
    strict = audit(faulty, AuditConfig(min_similarity=1.01, probes=False, workers=1), cache=tmp_path)
    near = strict.findings.near_duplicates.to_json()
    assert near == {"pairs": 0, "similarity_min": None, "similarity_median": None}
    assert strict.findings.totals.groups == TOTALS["distinct_pixels"]


def test_no_readable_image_is_a_finding_not_a_failure(tmp_path):
    result = audit(listed((tmp_path / "missing.png", 1.0, {})), AuditConfig(workers=1), cache=tmp_path)
    totals = result.findings.totals
    assert (totals.files, totals.readable, totals.unreadable, totals.groups) == (1, 0, 1, 0)
    json.dumps(result.findings.to_json(), allow_nan=False)


@pytest.mark.slow
def test_a_folder_is_enough_and_what_is_found_can_be_kept(phantoms, tmp_path):
    result = audit(phantoms, QUICK, output=tmp_path)
    assert result.findings.totals.files == len(result.manifest) > 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["findings.json", "manifest.csv", "scan.sqlite"]
    again = audit([str(phantoms)], QUICK)
    assert again.findings.totals == result.findings.totals


def test_images_that_nobody_has_labelled_are_a_class(tmp_path):
    result = audit(listed((save(tmp_path / "a.png", head(1)), np.nan, {})), QUICK, cache=tmp_path)
    assert [row.name for row in result.findings.tables["class"]] == ["unlabelled"]
    assert "unlabelled" in class_figure(result.manifest).svg


def test_no_image_is_an_error(faulty, tmp_path):
    with pytest.raises(ManifestError, match="no image"):
        audit(faulty.iloc[:0], QUICK, cache=tmp_path)


@pytest.mark.slow
def test_external_sources_are_left_out_of_the_probes(phantoms, tmp_path):
    table = collect([f"phantom={phantoms}"]).iloc[:60].reset_index(drop=True)
    table["role"] = ["external" if row % 3 == 0 else "development" for row in range(60)]
    calls = []
    result = audit(table, AuditConfig(workers=1), cache=tmp_path, report=calls.append)
    probes = result.findings.probes
    assert [row.protocol for row in probes] == list(PROTOCOLS) * 4
    assert [row.leaky for row in probes] == [protocol == "random" for protocol in PROTOCOLS] * 4
    assert {row.n for row in probes} == {40}
    assert Findings.from_json(json.loads(json.dumps(result.findings.to_json(), allow_nan=False))) == result.findings
    assert {progress.stage for progress in calls} >= {"reading files", "near-duplicates", "probes"}


@pytest.mark.slow
def test_drawn_collection_with_known_copies(phantoms, audited):
    """Each copy ends in its original's group; groups are patients, but for patients that copies join."""
    copies = audited[audited["patient"] == ""]
    originals = audited[audited["patient"] != ""]
    assert len(copies) and copies["group"].isin(originals["group"]).mean() > 0.9
    assert originals.groupby("patient")["group"].nunique().max() == 1
    assert originals.groupby("group")["patient"].nunique().max() == 1
    assert not audited["flags"].str.contains("off_topic|conflict").any()


def test_part_of_the_real_collections(data, tmp_path):
    """Br35H's tumor-free files stand byte for byte in the other collection."""
    table = collect([f"br35h={data / 'br35h'}", f"preet={data / 'preet'}"])
    healthy = table[table["label"] == 0.0]
    br35h = healthy[healthy["source"] == "br35h"].iloc[:60]
    sizes = {(data / path).stat().st_size for path in br35h["path"]}
    preet = healthy[healthy["source"] == "preet"]
    twins = preet[[(data / path).stat().st_size in sizes for path in preet["path"]]].iloc[:90]
    result = audit(pd.concat([br35h, twins], ignore_index=True), QUICK, cache=tmp_path)
    totals, overlap = result.findings.totals, result.findings.overlap
    assert totals.unreadable == totals.conflicts == totals.near_conflicts == 0
    files, pixels, groups = (overlap[kind]["br35h"]["preet"] for kind in ("files", "pixels", "groups"))
    assert files >= 30
    assert groups >= pixels >= files
    assert totals.groups < totals.distinct_pixels < totals.files


def test_the_first_of_several_pictures_in_a_file_is_told(tmp_path, capsys):
    for name in ("tumor", "no_tumor"):
        (tmp_path / "data" / name).mkdir(parents=True)
        for number in range(6):
            save(tmp_path / "data" / name / f"{number}.png", draw(number, tumor=name == "tumor", size=64).pixels)
    pages = [Image.fromarray(draw(number, tumor=True, size=64).pixels) for number in (20, 21)]
    pages[0].save(tmp_path / "data" / "tumor" / "pages.tif", save_all=True, append_images=pages[1:])
    found = audit(tmp_path / "data", QUICK, output=tmp_path / "out")
    assert found.findings.totals.several_pictures == 1
    flagged = found.manifest[found.manifest["flags"].str.contains("several_pictures")]
    assert [Path(path).name for path in flagged["path"]] == ["pages.tif"]
    assert "the first of 2 pictures in its file" in flagged["detail"].iloc[0]
    assert any("the first of several in their file" in words for words in headline(found.findings, found.manifest))
    table = found.manifest.assign(part="train")
    assert several_pictures_note(table).startswith("1 image is the first of several pictures in the file")
    assert several_pictures_note(table.assign(part="")) == ""
    assert (
        main(["split", str(tmp_path / "out" / "manifest.csv"), "-o", str(tmp_path / "split.csv"), "--folds", "2"]) == 0
    )
    assert "1 image is the first of several" in capsys.readouterr().out
