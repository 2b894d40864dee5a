"""What contradicted itself: rejected images with a number, volumes beside their slices, cases that need a look."""

import csv
import io
import shutil
from dataclasses import replace

import pytest
from playwright.sync_api import expect

from brainsift.inference.bundle import load_bundle, write_bundle
from brainsift.inference.decision import make_rule
from brainsift.inference.predictor import Predictor
from brainsift.inference.volume_decision import summarise_volumes

from .actions import download, drop, open_case, read_counts, read_shades, row, wait_until, wait_until_scored
from .scans import write_series

pytestmark = pytest.mark.browser


def test_a_rejected_image_has_no_number_and_no_map_unless_the_reader_wants_them(open_page, images, expected):
    page = open_page()
    drop(page, images)
    wait_until_scored(page, len(images))
    assert expected["holiday.png"].status == "not_brain_mri"
    assert read_counts(page)["Not a brain MRI"] == 1 and read_counts(page)["Refer"] == 0
    expect(row(page, "holiday.png").locator(".bar-value")).to_have_text("–")
    open_case(page, "holiday.png")
    expect(page.locator("#prediction-number")).to_have_text("")
    expect(page.locator("#prediction-scale .scale")).to_be_hidden()
    expect(page.locator("#case-tools")).to_contain_text("No map is shown: this image was rejected.")
    wait_until(page, lambda: read_shades(page)["bright"] > 0)
    assert read_shades(page)["colored"] == 0
    page.get_by_role("button", name="Show the map and the probability anyway").click()
    expect(page.locator("#prediction-number")).to_have_text(f"{expected['holiday.png'].probability:.3f}")
    expect(page.locator("#case-tools .opacity")).to_be_visible()
    page.get_by_role("button", name="Hide the map and the probability").click()
    expect(page.locator("#prediction-number")).to_have_text("")
    page.get_by_role("button", name="Probability", exact=True).click()
    last = page.locator("#case-rows .case-name").nth(-1)
    wait_until(page, lambda: last.text_content() in ("holiday.png", "broken.png"))
    page.locator("#filters button", has_text="Not a brain MRI").click()
    expect(page.locator("#case-rows .case-name")).to_have_text(["holiday.png"])
    (told,) = csv.DictReader(io.StringIO(download(page, "#export-csv")))
    assert (told["status"], told["decision"]) == ("not_brain_mri", "refer")  # as the command line writes it


def test_a_volume_between_the_thresholds_is_not_safe_and_its_slices_are_no_tumors(
    open_page, serving, files, tmp_path, bundle
):
    scan, bundle = files / "head.nii.gz", replace(bundle, volumes=None)
    (volume,) = summarise_volumes(Predictor(bundle, threads=1).predict([scan]), make_rule(bundle))
    limits = {"balanced": volume.probability - 0.01, "confirm": volume.probability + 0.01, "even": 0.5}
    shutil.copytree(bundle.folder, tmp_path / "bundle")
    write_bundle(replace(bundle, folder=tmp_path / "bundle", thresholds=limits))
    with serving(load_bundle(tmp_path / "bundle"), threads=1) as running:
        page = open_page(running.url)
        drop(page, [scan])
        wait_until_scored(page, 1)
        expect(page.locator("#prediction .decision")).to_have_text("Suspicious")
        color = "node => getComputedStyle(node).color"
        assert page.locator("#prediction .decision").evaluate(color) == page.locator(
            "#slice-decision .decision"
        ).evaluate(color)  # amber, not the blue of "No tumor"
        expect(page.locator("#slice-decision")).to_have_text(f"Above {limits['balanced']:.3f}")
        expect(page.locator("[data-attention=unconfirmed]")).to_be_visible()
        expect(page.locator("#prediction-words")).to_contain_text("each of many slices can give a false alarm")
        expect(page.locator("#strip [data-decision=tumor]")).to_have_count(0)
        assert page.locator("#strip [data-decision=above]").count() > 0
        assert read_counts(page)["Needs a look"] == 1
        page.locator("#threshold-names label", has_text="Balanced").click()
        expect(page.locator("#prediction .decision")).to_have_text("Tumor")
        expect(page.locator("[data-attention=unconfirmed]")).to_have_count(0)


def test_what_the_header_says_is_a_caution_and_the_chip_gathers_such_cases(open_page, files, tmp_path):
    write_series(tmp_path / "child", 8, 6, PatientAge="009Y", SeriesDescription="ax t1", SeriesNumber=3)
    write_series(tmp_path / "gap", 8, 6)
    (tmp_path / "gap" / "IM0003").unlink()
    page = open_page()
    page.set_input_files("#pick-folder", tmp_path / "child")
    wait_until_scored(page, 1)
    expect(page.locator("#case-title")).to_have_text("3 ax t1")
    expect(page.locator("[data-attention=child]")).to_contain_text("The patient is a child")
    drop(page, [files / "head.nii.gz"])
    wait_until_scored(page, 2)
    page.set_input_files("#pick-folder", tmp_path / "gap")
    wait_until_scored(page, 3)
    page.locator("#filters button", has_text="Needs a look").click()
    wait_until(page, lambda: page.locator("#case-rows tr").count() < 4)
    names = page.locator("#case-rows .case-name").all_text_contents()
    assert {"3 ax t1", "series 1"} <= set(names)
    open_case(page, "series 1")
    expect(page.locator("[data-attention=incomplete]")).to_be_visible()


def test_a_tumor_without_a_focus_says_so_here_and_in_the_history(open_page, serving, images, bundle, tmp_path):
    """At a threshold of almost 0, a head without a tumor is called one, and its map points at no place."""
    scored = Predictor(bundle, threads=1).predict(images)
    without = [path for path, one in zip(images, scored, strict=True) if one.status == "ok" and one.has_focus is False]
    assert without
    shutil.copytree(bundle.folder, tmp_path / "bundle")
    low = dict.fromkeys(bundle.thresholds, 1e-9)
    write_bundle(replace(bundle, folder=tmp_path / "bundle", thresholds=low))
    with serving(load_bundle(tmp_path / "bundle"), keep=tmp_path / "kept", keep_images=True, threads=1) as running:
        page = open_page(running.url)
        drop(page, without[:1])
        wait_until_scored(page, 1)
        expect(page.locator("#prediction .decision")).to_have_text("Tumor")
        expect(page.locator("[data-attention=no_focus]")).to_have_text(
            "No focus found: the map points at no place. Such a result is less often right."
        )
        assert read_counts(page)["Needs a look"] == 1
        expect(page.locator("#case-verdict")).to_be_visible()  # it is kept
        page.get_by_role("link", name="History").click()
        page.locator("#history-rows .case-open").first.click()
        expect(page.locator("#case-where")).to_contain_text("network")
        expect(page.locator("[data-attention=no_focus]")).to_be_visible()


def test_cautions_are_kept_in_the_history(open_page, tmp_path):
    write_series(tmp_path / "child", 8, 6, PatientAge="007Y", SeriesDescription="kept child", SeriesNumber=4)
    page = open_page()
    page.set_input_files("#pick-folder", tmp_path / "child")
    wait_until_scored(page, 1)
    expect(page.locator("#case-verdict")).to_be_visible()
    page.get_by_role("link", name="History").click()
    page.locator("#history-rows tr").filter(has_text="kept child").first.get_by_role("button").click()
    expect(page.locator("#case-where")).to_contain_text("network")
    expect(page.locator("[data-attention=child]")).to_contain_text("The patient is a child")


def test_another_kind_of_image_is_named_once_beside_what_follows_from_it(open_page, tmp_path):
    write_series(tmp_path / "series", 8, 6, SeriesDescription="ep2d diff b1000", SeriesNumber=5)
    page = open_page()
    page.set_input_files("#pick-folder", tmp_path / "series")
    wait_until_scored(page, 1)
    expect(page.locator("#case-title")).to_have_text("5 ep2d diff b1000")
    expect(page.locator("[data-attention=other_contrast]")).to_have_text(
        "No figure of the model card holds for this kind of image."
    )
    expect(page.locator("#prediction-reason")).to_contain_text("Made as diffusion")
    expect(page.locator("#slice-reason")).to_be_hidden()  # the note of the volume says it


def test_the_list_says_that_the_open_case_is_not_in_it(open_page, images, expected):
    page = open_page()
    drop(page, images)
    wait_until_scored(page, len(images))
    open_case(page, "holiday.png")
    expect(page.locator("#open-hidden")).to_be_hidden()
    page.locator("#filters button", has_text="Unreadable").click()
    expect(page.locator("#open-hidden")).to_contain_text("The open case, holiday.png, is not in this list.")
    page.get_by_role("button", name="Show all cases").click()
    expect(page.locator("#open-hidden")).to_be_hidden()
    expect(page.locator("#case-rows tr")).to_have_count(len(images))


def test_only_shares_of_errors_that_refer_something_are_offered(open_page, bundle):
    page = open_page()
    offered = [
        value for value in page.locator("#max-error option").evaluate_all("all => all.map(one => one.value)") if value
    ]
    assert offered == [share for share, found in bundle.margins.items() if found["referred"] > 0]
    assert 0 < len(offered) < len(bundle.margins)
