"""The picture of a case: map, zoom, move; by mouse and by touch."""

import re

import pytest
from playwright.sync_api import expect

from .actions import PHONE, drop, hold_back, open_case, read_shades, wait_until, wait_until_scored

pytestmark = pytest.mark.browser


def test_the_case_shows_the_map_and_it_fades(open_page, images):
    page = open_page()
    drop(page, images)
    wait_until_scored(page, len(images))
    open_case(page, "tumor-4.png")
    expect(page.locator("#prediction-words")).to_contain_text("reaches the threshold")
    wait_until(page, lambda: read_shades(page)["colored"] > 500)
    strong = read_shades(page)["colored"]
    page.locator("#case-tools").get_by_label("Opacity").fill("0")
    wait_until(page, lambda: 0 < read_shades(page)["colored"] < strong / 2)  # the contour is left
    page.locator("#case-tools").get_by_label("Contour").uncheck()
    wait_until(page, lambda: read_shades(page)["colored"] == 0)
    bright = read_shades(page)["bright"]
    page.locator("#case-tools").get_by_label("Level").fill("1")
    wait_until(page, lambda: read_shades(page)["bright"] < bright / 2)
    page.locator("#case-tools").get_by_role("button", name="Reset").click()
    wait_until(page, lambda: read_shades(page)["bright"] == bright)


def test_the_mouse_zooms_moves_and_windows(open_page, images):
    page = open_page()
    drop(page, images[-1:])
    wait_until_scored(page, 1)
    wait_until(page, lambda: read_shades(page)["bright"] > 500)
    box = page.locator("#stage canvas").bounding_box()
    middle = (box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.move(*middle)
    page.mouse.wheel(0, -400)
    expect(page.locator(".zoom-words").first).not_to_have_text("100\u00a0%")
    zoomed = read_shades(page)
    page.mouse.down()
    page.mouse.move(middle[0] + 150, middle[1] + 90)
    page.mouse.up()
    wait_until(page, lambda: read_shades(page) != zoomed)
    page.mouse.move(*middle)
    page.mouse.down(button="right")
    page.mouse.move(middle[0] + 60, middle[1] - 30)
    page.mouse.up(button="right")
    expect(page.locator("#case-tools").get_by_label("Width")).to_have_value("1.2")
    expect(page.locator("#case-tools").get_by_label("Level")).to_have_value("0.4")
    page.mouse.dblclick(*middle)
    expect(page.locator(".zoom-words").first).to_have_text("100\u00a0%")


def test_two_fingers_zoom_and_one_moves(open_page, images):
    page = open_page(**PHONE)
    page.set_input_files("#pick-files", images[-1:])
    wait_until_scored(page, 1)
    wait_until(page, lambda: read_shades(page)["bright"] > 500)
    box = page.locator("#stage canvas").bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    session = page.context.new_cdp_session(page)

    def touch(kind, *points):
        points = [{"x": x + dx, "y": y + dy, "id": place} for place, (dx, dy) in enumerate(points)]
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    def zoom():
        return int(page.locator(".zoom-words").inner_text().split("\u00a0")[0])

    touch("touchStart", (-30, 0), (30, 0))
    for apart in (40, 60, 80, 90):
        touch("touchMove", (-apart, 0), (apart, 0))
    touch("touchEnd")
    wait_until(page, lambda: 250 < zoom() <= 310)  # three times as far apart
    assert page.evaluate("() => visualViewport.scale") == 1  # the picture, not the page
    before = read_shades(page)
    touch("touchStart", (0, 0))
    touch("touchMove", (40, 20))
    touch("touchMove", (90, 60))
    touch("touchEnd")
    wait_until(page, lambda: read_shades(page) != before)
    touch("touchStart", (-90, 0), (90, 0))
    for apart in (60, 30, 10):
        touch("touchMove", (-apart, 0), (apart, 0))
    touch("touchEnd")
    wait_until(page, lambda: zoom() == 100)


def test_no_picture_stands_under_the_name_of_another(open_page, files, images):
    page = open_page()
    drop(page, images[-1:])
    wait_until_scored(page, 1)
    open_case(page, images[-1].name)
    wait_until(page, lambda: read_shades(page)["bright"] > 500)
    drop(page, [files / "head.nii.gz"])  # only now, or it might be opened first, and its picture be there already
    wait_until_scored(page, 2)
    loading = page.locator("#stage").get_by_text("Loading")
    expect(loading).to_be_hidden()
    with hold_back(page, re.compile(r"/picture.png\?depth=16$")) as let_go:
        for go in (lambda: open_case(page, "head.nii.gz"), lambda: page.keyboard.press("Home")):
            go()
            expect(loading).to_be_visible()
            wait_until(page, lambda: read_shades(page) == {"bright": 0, "colored": 0})
            wait_until(page, lambda: let_go() == 0 and loading.is_hidden())
            wait_until(page, lambda: read_shades(page)["bright"] > 50)
