"""The page fits: phone, small and narrow screens, dark and high contrast."""

import re

import pytest
from playwright.sync_api import expect

from .actions import PHONE, drop, open_case, read_shades, row, wait_until, wait_until_scored

pytestmark = pytest.mark.browser


def test_dark_follows_the_system_and_the_button(open_page):
    page = open_page(color_scheme="dark")
    background = "() => getComputedStyle(document.body).backgroundColor"
    dark = page.evaluate(background)
    page.locator("#theme").click()
    light = page.evaluate(background)
    assert dark != light
    page.reload()
    assert page.evaluate(background) == light
    expect(page.locator("#theme")).to_have_attribute("aria-label", "Theme: light")
    page.locator("#theme").click()
    assert page.evaluate(background) == dark


def test_a_phone_shows_one_thing_at_a_time(open_page, files, images):
    page = open_page(**PHONE)

    def fits():
        return page.evaluate("() => document.documentElement.scrollWidth <= window.innerWidth")

    assert fits()
    page.set_input_files("#pick-files", [*images, files / "head.nii.gz"])
    wait_until_scored(page, len(images) + 1)
    expect(page.locator("#case-title")).to_be_hidden()
    assert fits()
    page.locator(".threshold summary").tap()
    assert fits()
    row(page, "head.nii.gz").get_by_role("button").tap()
    expect(page.locator("#case-title")).to_be_visible()
    expect(page.locator("#search")).to_be_hidden()
    assert fits()
    page.get_by_role("button", name="Back to the list").tap()
    expect(page.locator("#search")).to_be_visible()
    row(page, images[0].name).get_by_role("button").tap()
    expect(page.locator("#search")).to_be_hidden()
    page.go_back()  # the system's
    expect(page.locator("#search")).to_be_visible()
    page.go_forward()
    expect(page.locator("#case-title")).to_have_text(images[0].name)
    page.go_back()
    expect(page.locator("#search")).to_be_visible()
    for view in ("History", "About"):
        page.get_by_role("link", name=view).tap()
        assert fits()


TABLET = {"viewport": {"width": 820, "height": 1180}, "is_mobile": True, "has_touch": True}


@pytest.mark.parametrize("look", [PHONE, TABLET, {}], ids=["phone", "tablet", "desk"])
def test_a_picked_file_opens_its_result_at_any_size(open_page, images, look):
    page = open_page(**look)
    for path in images[-2:]:  # also where another case is open
        page.set_input_files("#pick-files", path)
        expect(page.locator("#case-title")).to_have_text(path.name)
        expect(page.locator("#case-title")).to_be_in_viewport()
        expect(page.locator("#prediction-decision")).to_be_visible()
        wait_until(page, lambda: read_shades(page)["bright"] > 100)
        assert page.evaluate("() => document.documentElement.scrollWidth <= window.innerWidth")
        if look is PHONE:
            page.get_by_role("button", name="Back to the list").tap()
    page.get_by_role("button", name="Grid of pictures").click()
    pictures = page.locator("#case-rows .thumb img")
    expect(pictures).to_have_count(2)
    boxes = [picture.bounding_box() for picture in pictures.all()]
    assert all(box["width"] >= 80 and box["x"] + box["width"] <= page.viewport_size["width"] for box in boxes)
    assert page.evaluate("() => document.documentElement.scrollWidth <= window.innerWidth")


@pytest.mark.parametrize("look", [PHONE, TABLET, {}], ids=["phone", "tablet", "desk"])
def test_no_letter_of_a_side_lies_under_the_tools(open_page, files, look):
    page = open_page(**look)
    page.set_input_files("#pick-files", files / "head.nii.gz")
    expect(page.locator("#case-title")).to_have_text("head.nii.gz")
    letters = page.locator("#stage .canvas-box:first-child .side")
    expect(letters).to_have_text(["R", "L", "A", "P"])
    for planes in (False, True):
        if planes:
            page.get_by_role("button", name="Other planes").click()
            expect(page.locator(".pane-words").first).to_contain_text("not scored")
        tools = page.locator(".stage-tools").bounding_box()
        for letter in letters.all():
            box = letter.bounding_box()
            assert box["y"] + box["height"] <= tools["y"] or box["x"] + box["width"] <= tools["x"], letter.inner_text()


OVERFLOW = """() => {
  const boxes = [document.documentElement, ...document.querySelectorAll(
    ".list-pane, .case-pane, .list-head, .table-box, .segments, .segment, .filter-bar, .cases th, .cases td")];
  return boxes.filter((box) => box.clientWidth && box.scrollWidth > box.clientWidth)
    .map((box) => `${box.className || box.tagName}: ${box.innerText.slice(0, 30)}`);
}"""


def test_nothing_overflows_its_pane_at_any_width(open_page, files, images):
    page = open_page()
    drop(page, [*images, files / "head.nii.gz"])
    wait_until_scored(page, len(images) + 1)
    open_case(page, "head.nii.gz")
    expect(page.locator("#case-verdict")).to_be_visible()
    page.locator("#case-verdict label", has_text="No tumor").first.click()
    expect(page.locator("#case-verdict .save-state").first).to_have_text("Saved")
    for view in ("Cases", "History"):
        page.get_by_role("link", name=view).click()
        expect(page.locator(f"#view-{view.lower()} tbody tr", has_text="head.nii.gz").first).to_be_attached()
        for width in (1440, 1180, 1024, 760, 360, 320):
            page.set_viewport_size({"width": width, "height": 800})
            page.locator(f"#view-{view.lower()}").evaluate("view => { view.dataset.pane = 'list'; }")
            assert (view, width, page.evaluate(OVERFLOW)) == (view, width, [])
        page.set_viewport_size({"width": 1440, "height": 900})


def test_a_small_screen_shows_a_case_from_its_top_and_more_than_one_row(open_page, images):
    page = open_page(viewport={"width": 1024, "height": 500})
    drop(page, images)
    wait_until_scored(page, len(images))
    assert page.locator("#view-cases .table-box").evaluate("box => box.scrollHeight <= box.clientHeight")
    expect(page.locator("#case-rows tr").first).to_have_class("selected")
    pane = page.locator("#case-pane")
    pane.evaluate("pane => { pane.scrollTop = 200; }")
    assert pane.evaluate("pane => pane.scrollTop") > 0
    page.locator("#next-case").evaluate("button => button.click()")
    expect(page.locator("#case-rows tr").nth(1)).to_have_class(re.compile("selected"))
    wait_until(page, lambda: pane.evaluate("pane => pane.scrollTop") == 0)


def test_high_contrast_tells_apart_what_is_chosen(open_page, images):
    page = open_page(forced_colors="active")
    drop(page, images)
    wait_until_scored(page, len(images))
    open_case(page, images[-1].name)

    def drawn(node):
        return page.locator(node).first.evaluate(
            "node => ['backgroundColor', 'borderColor', 'outlineStyle'].map((name) => getComputedStyle(node)[name])"
        )

    switch = page.get_by_role("switch", name="Contour", exact=True)
    on = drawn("#case-tools .switch")
    switch.uncheck()
    assert drawn("#case-tools .switch") != on
    for kind, chosen in (
        ("#filters button", "[aria-pressed=true]"),
        ("#views a", "[aria-current]"),
        ("#case-rows tr", ".selected"),
    ):
        assert drawn(f"{kind}{chosen}") != drawn(f"{kind}:not({chosen})")
