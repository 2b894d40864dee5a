"""Two cases side by side: matched slices, windows of their own, one map switch, earlier studies of the same patient."""

import re

import pytest
from playwright.sync_api import expect

from .actions import PHONE, SHADES, drop, open_case, row, wait_until, wait_until_scored
from .scans import draw_volume, write_nifti, write_series

pytestmark = pytest.mark.browser
OTHER = ".other canvas"
FINE = {"PixelSpacing": [1.5, 1.5]}


def shades(page, canvas):
    return page.locator(canvas).evaluate(SHADES)


def compare(page, name):
    """Opens the comparison of the open case with another one by its name."""
    page.get_by_role("button", name="Compare with another case").click()
    page.locator("#compare-search").fill(name)
    page.locator("#compare-search").press("Enter")
    expect(page.locator(".side-head.of-other .case-name")).to_have_text(name)


def add_series(page, tmp_path, name, count, **tags):
    write_series(tmp_path / name, 8, count, SeriesDescription=name, **FINE, **tags)
    before = page.locator("#case-rows tr").count()
    page.set_input_files("#pick-folder", tmp_path / name)
    wait_until_scored(page, before + 1)


def test_two_series_scroll_together_by_position(open_page, tmp_path):
    page = open_page()
    add_series(page, tmp_path, "long", 9)
    add_series(page, tmp_path, "short", 5)
    open_case(page, "long")
    compare(page, "short")
    head = page.locator(".side-head.of-other .side-slice")
    page.locator("#slice-slider").fill("3")
    expect(head).to_contain_text("slice 3 / 5")
    expect(head).to_contain_text("S\u00a010.0\u00a0mm")  # as on the other side
    expect(head).to_contain_text("matched by position in mm")
    expect(page.locator(".side-head.of-this .side-slice")).to_contain_text("slice 3 / 9")
    page.locator(OTHER).hover()
    page.mouse.wheel(0, 100)
    expect(page.locator("#slice-number")).to_have_text("4 / 9")
    expect(head).to_contain_text("slice 4 / 5")
    page.get_by_role("button", name="Other case: previous slice, alone").click()
    expect(head).to_contain_text("slice 3 / 5")
    expect(head).to_contain_text("moved by −1")
    page.keyboard.press("ArrowLeft")
    expect(page.locator("#slice-number")).to_have_text("3 / 9")
    expect(head).to_contain_text("slice 2 / 5")
    sides = [page.locator(f".other .side[data-side={side}]").text_content() for side in ("left", "right", "top")]
    assert sides == ["R", "L", "A"]
    page.keyboard.press("2")
    expect(page.locator(OTHER)).to_have_count(0)
    expect(page.get_by_role("button", name="Other planes")).to_be_visible()


def test_each_side_has_its_result_and_its_window_and_the_map_switch_is_one(open_page, files, images, expected):
    page = open_page()
    drop(page, [*images, files / "head.nii.gz"])
    wait_until_scored(page, len(images) + 1)
    open_case(page, "tumor-4.png")
    compare(page, "tumor-12.png")
    for side, name in (("this", "tumor-4.png"), ("other", "tumor-12.png")):
        expect(page.locator(f".side-head.of-{side} .side-decision")).to_contain_text(
            f"{expected[name].probability:.3f}"
        )
    wait_until(page, lambda: shades(page, OTHER)["colored"] > 200)
    before = shades(page, "#stage .canvas-box:first-child canvas")["bright"]
    box = page.locator(OTHER).bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2 + 250, steps=4)  # darker
    page.mouse.up()
    dark = shades(page, OTHER)["bright"]
    page.keyboard.press("m")
    wait_until(page, lambda: shades(page, OTHER)["colored"] == 0)
    wait_until(page, lambda: shades(page, "#stage .canvas-box:first-child canvas")["colored"] == 0)
    page.keyboard.press("w")
    wait_until(page, lambda: shades(page, OTHER)["bright"] > 1.2 * dark)
    assert shades(page, "#stage .canvas-box:first-child canvas")["bright"] > 0.8 * before
    page.keyboard.press("m")
    page.keyboard.press("2")
    compare(page, "holiday.png")  # rejected: neither number nor map
    expect(page.locator(".side-head.of-other .side-decision")).to_have_text("Not a brain MRI")
    wait_until(page, lambda: shades(page, OTHER)["bright"] > 0)
    expect(page.locator(".side-head.of-other .side-slice")).not_to_contain_text("0.")
    open_case(page, "tumor-12.png")
    expect(page.locator(OTHER)).to_have_count(0)  # another case ends it
    compare(page, "broken.png")
    expect(page.locator(".other .stage-message")).to_have_text("There is no picture of this case.")


def test_in_blind_mode_the_other_side_hides_its_result_too(open_page, files, images):
    page = open_page()
    drop(page, [*images[-2:], files / "head.nii.gz"])
    wait_until_scored(page, 3)
    page.locator("#judging summary").click()
    page.locator("#judging").get_by_text("Hide each result until I judge the case").click()
    maps = []
    page.on("request", lambda request: request.url.endswith("map.png") and maps.append(request.url))
    open_case(page, images[-1].name)
    compare(page, "head.nii.gz")
    for side in ("this", "other"):
        expect(page.locator(f".side-head.of-{side} .side-decision")).to_have_text("Hidden")
    wait_until(page, lambda: shades(page, OTHER)["bright"] > 0)
    expect(page.locator(OTHER)).not_to_have_attribute("aria-label", re.compile("probability|Above|Below"))
    assert maps == []
    page.locator("#blind").uncheck()
    expect(page.locator(".side-head.of-other .side-decision")).not_to_have_text("Hidden")
    wait_until(page, lambda: maps)


def test_earlier_studies_of_the_same_patient_are_offered_with_dates(open_page, serving, tmp_path):
    with serving(keep=tmp_path / "history", keep_images=True, threads=1) as running:
        page = open_page(running.url)
        who = {"PatientID": "4711-X", "PatientName": "Doe^Jane", "PatientBirthDate": "19600101"}
        add_series(page, tmp_path, "first", 5, StudyDate="20250701", **who)
        add_series(page, tmp_path, "namesake", 5, StudyDate="20250101", **{**who, "PatientID": "8-15"})
        add_series(page, tmp_path, "nobody", 5, StudyDate="20250102", PatientName="Doe^Jane")
        expect(page.locator("#judged-count")).to_have_text("0 of 3 judged")
        page.get_by_role("link", name="History").click()
        expect(page.locator("#history-rows tr")).to_have_count(3)  # all are kept
        page.close()
        page = open_page(running.url)  # a page with an empty list
        add_series(page, tmp_path, "second", 9, StudyDate="20260303", **who)
        row(page, "second").get_by_role("button").click()
        expect(page.locator("#case-verdict")).to_be_visible()
        page.keyboard.press("2")
        offers = page.locator("#compare-earlier-cases li")
        expect(offers).to_have_text(["first2025-07-01, 8 months (245 days) earlier"])
        offers.get_by_role("button").click()
        head = page.locator(".side-head.of-other .side-slice")
        expect(head).to_contain_text("study of 2025-07-01")
        expect(head).to_contain_text("8 months (245 days) earlier")
        expect(head).to_contain_text("matched by position in mm")  # of 5 and 9 slices
        page.locator("#slice-slider").fill("3")
        expect(head).to_contain_text("slice 3 / 5")
        expect(head).to_contain_text("S\u00a010.0\u00a0mm")
        wait_until(page, lambda: shades(page, OTHER)["bright"] > 0)
        page.get_by_role("link", name="History").click()
        page.locator("#history-rows tr", has_text="nobody").get_by_role("button").click()
        expect(page.locator("#case-title")).to_have_text("nobody")
        expect(page.locator("#place")).to_contain_text("Axial · S\u00a0")  # the history knows where slices lie
        expect(page.locator("#stage .side[data-side=left]").first).to_have_text("R")
        page.keyboard.press("2")
        expect(page.locator("#compare-cases li")).to_have_count(3)
        expect(page.locator("#compare-earlier")).to_be_hidden()
        page.close()  # before the service ends


def test_a_case_that_was_deleted_meanwhile_is_told(open_page, serving, images, tmp_path):
    with serving(keep=tmp_path / "history", keep_images=True, threads=1) as running:
        page = open_page(running.url, strict=False)  # the refusal stands in the console, too
        drop(page, images[-2:])
        wait_until_scored(page, 2)
        expect(page.locator("#judged-count")).to_have_text("0 of 2 judged")
        page.get_by_role("link", name="History").click()
        page.locator("#history-rows tr", has_text=images[-1].name).get_by_role("button").click()
        expect(page.locator("#case-title")).to_have_text(images[-1].name)
        (gone,) = page.request.get(f"{running.url}/api/v1/history?query={images[-2].name}").json()["cases"]
        assert page.request.delete(f"{running.url}/api/v1/history/{gone['id']}").ok
        page.keyboard.press("2")
        page.locator("#compare-cases button").first.click()
        expect(page.locator("#banner-words")).to_contain_text("is not in the history")
        page.close()


def test_on_a_phone_one_lies_above_the_other(open_page, tmp_path):
    page = open_page(**PHONE)
    paths = [write_nifti(tmp_path / name, draw_volume(12, 5)) for name in ("one.nii", "two.nii")]
    page.set_input_files("#pick-files", paths)
    wait_until_scored(page, 2)
    open_case(page, "one.nii")
    compare(page, "two.nii")
    boxes = [page.locator(box).bounding_box() for box in ("#stage .canvas-box:first-child", ".other")]
    assert boxes[1]["y"] >= boxes[0]["y"] + boxes[0]["height"] and boxes[0]["x"] == boxes[1]["x"]
    assert all(box["height"] > 150 and box["x"] + box["width"] <= 360 for box in boxes)
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
