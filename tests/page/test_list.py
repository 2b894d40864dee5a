"""The list of cases: sort, filter, search, more rows."""

import re
import shutil

import pytest
from playwright.sync_api import expect

from .actions import download, drop, natural_key, row, wait_until, wait_until_scored

pytestmark = pytest.mark.browser


def test_the_table_sorts_filters_and_finds(open_page, images, expected):
    page = open_page()
    drop(page, images)
    wait_until_scored(page, len(images))
    names = page.locator("#case-rows .case-name")
    page.get_by_role("button", name="Probability").click()
    scored = {name: answer.probability for name, answer in expected.items() if answer.status == "ok"}
    by_probability = sorted(expected, key=lambda name: -scored.get(name, -1))  # what was rejected comes last
    expect(names).to_have_text(by_probability)
    expect(page.locator("th[data-by=probability]")).to_have_attribute("aria-sort", "descending")
    page.get_by_role("button", name="Case", exact=True).click()
    expect(names).to_have_text(sorted(expected, key=natural_key))
    page.locator("#filters button", has_text="No tumor").click()
    expect(names).to_have_text(sorted(name for name, answer in expected.items() if answer.decision == "no_tumor"))
    page.locator("#search").fill("nothing like it")
    expect(names).to_have_count(0)
    expect(page.locator("#no-match")).to_be_visible()
    page.get_by_role("button", name="Show all").click()
    expect(names).to_have_count(len(images))
    page.get_by_role("button", name="Table only").click()
    expect(page.locator("#case-title")).to_be_hidden()
    expect(row(page, "holiday.png").locator(".cell-why")).to_contain_text(expected["holiday.png"].detail)
    page.keyboard.press("ArrowDown")
    expect(page.locator("#live")).to_contain_text(f"{names.nth(1).inner_text()}: ")
    expect(page.locator("#case-title")).to_be_hidden()
    page.locator("#case-rows .selected button").press("Enter")
    expect(page.locator("#case-title")).to_have_text(names.nth(1).inner_text())


def test_a_row_keeps_the_focus_while_others_come(open_page, images):
    page = open_page()
    drop(page, images[:1])
    wait_until_scored(page, 1)
    page.get_by_role("button", name="Probability").click()
    focused = page.locator("#case-rows .case-open", has_text=images[0].name)
    focused.focus()
    for count in range(2, len(images) + 1):
        drop(page, images[count - 1 : count])
        wait_until_scored(page, count)
        expect(focused).to_be_focused()
    page.get_by_role("button", name="Probability").evaluate("button => button.click()")  # the focus stays
    expect(page.locator("th[data-by=probability]")).to_have_attribute("aria-sort", "ascending")
    wait_until(page, lambda: page.locator("#case-rows .bar-value").first.inner_text() == "–")
    expect(focused).to_be_focused()


def test_show_more_leads_to_what_it_showed(open_page, serving, files, tmp_path):
    for place in range(201):
        shutil.copy(files / "broken.png", tmp_path / f"{place}.png")
    with serving(keep=tmp_path / "history", threads=1) as running:
        page = open_page(running.url)
        drop(page, sorted(tmp_path.glob("*.png")))
        expect(page.locator("#more")).to_be_visible()
        expect(page.locator("body")).to_have_attribute("data-busy", "false")
        page.locator("#more").press("Enter")
        expect(page.locator("#case-rows .case-open").nth(150)).to_be_focused()
        page.get_by_role("link", name="History").click()
        for shown in range(50, 201, 50):
            expect(page.locator("#history-rows tr")).to_have_count(shown)
            page.locator("#history-more").press("Enter")
        expect(page.locator("#history-rows .case-open").nth(200)).to_be_focused()


def test_names_are_text_never_markup(open_page, files, tmp_path):
    name = "<img src=x onerror=alert(1)>.png"
    shutil.copy(files / "tumor-4.png", tmp_path / name)
    page = open_page()
    page.set_input_files("#pick-files", tmp_path / name)
    wait_until_scored(page, 1)
    expect(page.locator("#case-title")).to_have_text(name)
    assert page.locator("img[src=x]").count() == 0
    assert "<img src=x" not in download(page, "#export-report")


def test_the_grid_shows_pictures_with_their_maps_and_is_remembered(open_page, images):
    page = open_page()
    drop(page, images)
    wait_until_scored(page, len(images))
    pictures = page.locator("#case-rows .thumb img")
    small = pictures.first.bounding_box()["width"]
    assert all(box["height"] == 40 for box in (one.bounding_box() for one in page.locator("#case-rows tr").all()))
    page.get_by_role("button", name="Grid of pictures").click()
    assert pictures.first.bounding_box()["width"] > 3 * small
    found = row(page, "tumor-4.png").locator("img")
    expect(found).to_have_attribute("src", re.compile("with_map=true"))
    wait_until(page, lambda: found.evaluate("image => image.complete && image.naturalWidth > 0"))
    colored = found.evaluate(COLORED)
    plain = row(page, "holiday.png").locator("img")
    wait_until(page, lambda: plain.evaluate("image => image.complete && image.naturalWidth > 0"))
    assert colored > 100 and plain.evaluate(COLORED) == 0
    page.reload()
    wait_until_scored(page, len(images))
    expect(page.get_by_role("button", name="Grid of pictures")).to_have_attribute("aria-pressed", "true")


COLORED = """image => {
  const context = new OffscreenCanvas(image.naturalWidth, image.naturalHeight).getContext('2d');
  context.drawImage(image, 0, 0);
  const {data} = context.getImageData(0, 0, image.naturalWidth, image.naturalHeight);
  let colored = 0;
  for (let i = 0; i < data.length; i += 4) colored += data[i] - data[i + 2] > 25;
  return colored;
}"""
