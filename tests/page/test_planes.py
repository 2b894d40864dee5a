"""The other planes of a volume: sides, crosshair, sizes; and the ruler, the contour, cine, inversion."""

import re

import nibabel
import numpy as np
import pytest
from nibabel.orientations import axcodes2ornt, inv_ornt_aff, io_orientation, ornt_transform
from playwright.sync_api import expect

from .actions import drop, open_case, read_shades, wait_until, wait_until_scored
from .scans import draw_volume, write_series
from .test_places import BRIGHTEST, draw_marked

pytestmark = pytest.mark.browser
SIDES = {"axial": ["R", "L", "A", "P"], "coronal": ["R", "L", "S", "I"], "sagittal": ["A", "P", "S", "I"]}
SERIES = {"PixelSpacing": [1.5, 1.5], "SeriesDescription": "t1 post"}


def pane(page, number):
    return page.locator(".pane").nth(number)


def sides(box):
    return [box.locator(f".side[data-side={side}]").text_content() for side in ("left", "right", "top", "bottom")]


def brightest(page, canvas):
    found = None

    def look():
        nonlocal found
        found = canvas.evaluate(BRIGHTEST)
        return found is not None

    wait_until(page, look)
    return found


def click_at(page, canvas, share):
    box = canvas.bounding_box()
    page.mouse.click(box["x"] + share[0] * box["width"], box["y"] + share[1] * box["height"])


def write_marked(path, codes="RAS"):
    slices = draw_marked()
    slices[3:6, 20:30, 62:72] = 255  # larger than the crosshair
    voxels = slices[:, ::-1, ::-1].transpose(2, 1, 0)
    affine = np.diag([2.0, 2.0, 5.0, 1.0])
    turn = ornt_transform(io_orientation(affine), axcodes2ornt(codes))
    stored = nibabel.orientations.apply_orientation(voxels, turn)
    nibabel.Nifti1Image(stored, affine @ inv_ornt_aff(turn, voxels.shape)).to_filename(path)
    return path


@pytest.mark.parametrize("codes", ["RAS", "LPS", "PIL", "SRA"])
def test_the_marker_is_on_its_side_in_every_plane(open_page, tmp_path, codes):
    page = open_page()
    page.set_input_files("#pick-files", [write_marked(tmp_path / "marked.nii", codes)])
    wait_until_scored(page, 1)
    page.locator("#slice-slider").fill("5")
    main = page.locator("#stage canvas").first
    page.locator("#case-tools").get_by_label("Opacity").fill("0")
    page.locator("#case-tools").get_by_role("switch", name="Contour", exact=True).uncheck()
    page.locator("#case-tools").get_by_label("Width").fill("0.8")  # of the whole range, in all planes
    page.locator("#case-tools").get_by_label("Level").fill("0.4")
    page.get_by_role("button", name="Other planes").click()
    expect(pane(page, 0).locator(".pane-words")).to_contain_text("Coronal")
    expect(pane(page, 1).locator(".pane-words")).to_contain_text("not scored")
    click_at(page, main, brightest(page, main))
    for number, plane in enumerate(("coronal", "sagittal")):
        x, y = brightest(page, pane(page, number).locator("canvas"))
        assert sides(pane(page, number)) == SIDES[plane]
        assert (x > 0.5) == (plane == "coronal")  # left is on the right of the picture; in sagittal, the front is left
        assert abs(y - 0.5) < 0.1  # the slice in the middle
    label = re.compile("not scored itself; the patient's right is on the left of the picture, superior is at its top")
    expect(pane(page, 0).locator("canvas")).to_have_attribute("aria-label", label)


@pytest.mark.parametrize(
    ("directions", "planes"),
    [
        ([1, 0, 0, 0, 1, 0], {"Coronal": ["R", "L", "S", "I"], "Sagittal": ["A", "P", "S", "I"]}),
        ([0, 1, 0, 0, 0, -1], {"Axial": ["R", "L", "A", "P"], "Coronal": ["R", "L", "S", "I"]}),
        ([1, 0, 0, 0, 0, -1], {"Axial": ["R", "L", "A", "P"], "Sagittal": ["A", "P", "S", "I"]}),
        ([1, 0, 0, 0, 0.8, 0.6], {"Coronal": ["R", "L", "SA", "IP"], "Sagittal": ["AI", "PS", "SA", "IP"]}),
    ],
)
def test_a_dicom_series_has_the_other_two_planes(open_page, tmp_path, directions, planes):
    write_series(tmp_path / "series", 8, 6, ImageOrientationPatient=directions, **SERIES)
    page = open_page()
    page.set_input_files("#pick-folder", tmp_path / "series")
    wait_until_scored(page, 1)
    page.get_by_role("button", name="Other planes").click()
    for number, (name, letters) in enumerate(planes.items()):
        expect(pane(page, number).locator(".pane-words")).to_contain_text(name)
        assert sides(pane(page, number)) == letters


def test_a_click_in_a_plane_goes_to_the_slice(open_page, tmp_path):
    page = open_page()
    page.set_input_files("#pick-files", [write_marked(tmp_path / "marked.nii")])
    wait_until_scored(page, 1)
    page.locator("#slice-slider").fill("1")
    page.get_by_role("button", name="Other planes").click()
    canvas = pane(page, 0).locator("canvas")
    expect(pane(page, 0).locator(".pane-words")).to_contain_text("Coronal")
    click_at(page, canvas, (0.5, 0.5))
    expect(page.locator("#slice-number")).to_have_text("5 / 9")
    page.locator("#slice-slider").fill("3")
    expect(page.locator("#slice-number")).to_have_text("3 / 9")
    page.get_by_role("button", name="Other planes").click()
    expect(pane(page, 0)).to_be_hidden()


def test_contours_are_drawn_on_the_scored_slices_only(open_page, tmp_path):
    page = open_page()
    page.set_input_files("#pick-files", [write_marked(tmp_path / "drawn.nii")])
    wait_until_scored(page, 1)
    expect(page.locator("#case-verdict")).to_be_visible()  # it is kept
    page.get_by_role("button", name="Other planes").click()
    words = pane(page, 0).locator(".pane-words")
    expect(words).to_contain_text("Coronal")
    expect(words).not_to_contain_text("draw")
    page.locator("#slice-slider").fill("2")
    page.get_by_role("button", name="Correct the contour (X)").click()
    expect(words).to_contain_text("not scored · draw on the axial picture")
    slice_number = page.locator("#slice-number").inner_text()
    click_at(page, pane(page, 0).locator("canvas"), (0.5, 0.5))
    expect(page.locator("#live")).to_contain_text("Contours are drawn on the axial picture")
    expect(page.locator("#slice-number")).to_have_text(slice_number)
    page.get_by_role("button", name="Done").click()
    expect(words).not_to_contain_text("draw")
    click_at(page, pane(page, 0).locator("canvas"), (0.5, 0.5))
    expect(page.locator("#slice-number")).to_have_text("5 / 9")


def test_a_series_at_uneven_distances_says_why_it_has_no_planes(open_page, tmp_path):
    folder = tmp_path / "series"
    write_series(folder, 8, 8, **SERIES)
    for place in (3, 4):
        (folder / f"IM{place:04d}").unlink()
    page = open_page(strict=False)  # the refusal stands in the console, too
    page.set_input_files("#pick-folder", folder)
    wait_until_scored(page, 1)
    page.get_by_role("button", name="Other planes").click()
    expect(page.locator("#case-tools")).to_contain_text("has slices at uneven distances")
    expect(pane(page, 0)).to_be_hidden()


def test_ruler_and_diameter_are_in_mm(open_page, tmp_path):
    write_series(tmp_path / "series", 8, 6, **SERIES)
    page = open_page()
    page.set_input_files("#pick-folder", tmp_path / "series")
    wait_until_scored(page, 1)
    expect(page.locator("#case-tools")).to_contain_text(
        re.compile(r"Longest diameter on this slice: \d+\.\d\u00a0mm\.")
    )
    canvas = page.locator("#stage canvas").first
    box = canvas.bounding_box()
    side = min(box["width"], box["height"])
    page.get_by_role("button", name="Ruler").click()
    start = (box["x"] + box["width"] / 2 - side / 4, box["y"] + box["height"] / 2)
    page.mouse.move(*start)
    page.mouse.down()
    page.mouse.move(start[0] + side / 2, start[1], steps=4)
    page.mouse.up()
    expect(page.locator("#live")).to_have_text(re.compile(r"Ruler: 7[1-3]\.\d\u00a0mm"))  # half of 96 pixels of 1.5 mm
    page.get_by_role("button", name="Volume of the contour").click()
    expect(page.locator("#case-tools")).to_contain_text(
        re.compile(r"In the volume: [\d,]+\u00a0mm³ \(\d+\.\d\u00a0ml\)")
    )


def test_without_spacing_lengths_are_in_pixels(open_page, images):
    page = open_page()
    drop(page, images)
    wait_until_scored(page, len(images))
    open_case(page, "tumor-4.png")
    words = re.compile(
        r"Longest diameter on this slice: \d+\.\d\u00a0px\. The file does not say how far apart its pixels are\."
    )
    expect(page.locator("#case-tools")).to_contain_text(words)
    expect(page.get_by_role("button", name="Other planes")).to_be_hidden()
    wait_until(page, lambda: read_shades(page)["colored"] > 500)
    page.keyboard.down("h")
    wait_until(page, lambda: read_shades(page)["colored"] == 0)
    page.keyboard.up("h")
    wait_until(page, lambda: read_shades(page)["colored"] > 500)
    bright = read_shades(page)["bright"]
    page.keyboard.press("i")
    wait_until(page, lambda: read_shades(page)["bright"] > 1.2 * bright)
    page.keyboard.press("i")
    page.locator("#case-tools").get_by_label("Threshold on the map").fill("0.95")
    expect(page.locator(".legend-line")).to_contain_text("the map is 0.95")


def test_at_fit_the_left_button_drags_the_window(open_page, images):
    page = open_page()
    drop(page, images[-1:])
    wait_until_scored(page, 1)
    wait_until(page, lambda: read_shades(page)["bright"] > 500)
    box = page.locator("#stage canvas").first.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] / 2 + 60, box["y"] + box["height"] / 2 - 30)
    page.mouse.up()
    expect(page.locator("#case-tools").get_by_label("Width")).to_have_value("1.2")
    page.locator("#case-tools").get_by_label("Window for a contrast").select_option("flair")
    expect(page.locator("#case-tools").get_by_label("Width")).to_have_value("0.8")


def test_the_slices_play_and_stop(open_page, files):
    page = open_page()
    page.set_input_files("#pick-files", [files / "head.nii.gz"])
    wait_until_scored(page, 1)
    page.get_by_role("button", name="Play the slices").click()
    seen = set()
    wait_until(
        page, lambda: seen.add(page.locator("#slice-number").text_content()) or len(seen) == len(draw_volume(12, 9))
    )
    page.get_by_role("button", name="Stop").click()
    stopped = page.locator("#slice-number").text_content()
    page.wait_for_timeout(400)
    expect(page.locator("#slice-number")).to_have_text(stopped)
