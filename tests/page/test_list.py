"""The list of cases: sort, filter, search, thousands of rows."""

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


def test_show_more_of_the_history_leads_to_what_it_showed(open_page, serving, files, tmp_path):
    for place in range(201):
        shutil.copy(files / "broken.png", tmp_path / f"{place}.png")
    with serving(keep=tmp_path / "history", threads=1) as running:
        page = open_page(running.url)
        drop(page, sorted(tmp_path.glob("*.png")))
        expect(page.locator("[data-filter=all] .count")).to_have_text("201")
        expect(page.locator("body")).to_have_attribute("data-busy", "false")
        page.get_by_role("link", name="History").click()
        for shown in range(50, 201, 50):
            expect(page.locator("#history-rows tr")).to_have_count(shown)
            page.locator("#history-more").press("Enter")
        expect(page.locator("#history-rows .case-open").nth(200)).to_be_focused()


MANY = 5000
MOST = 100  # rows in the document at once, of a list of any length
IN_VIEW = """button => {
  const row = button.closest('tr').getBoundingClientRect();
  const box = document.querySelector('#view-cases .table-box').getBoundingClientRect();
  const head = document.querySelector('#case-table thead').getBoundingClientRect();
  const [top, bottom] = [Math.max(box.top, 0) + head.height, Math.min(box.bottom, innerHeight)];
  return row.height > 0 && row.top >= top - 1 && row.bottom <= bottom + 1;
}"""


def test_of_5000_cases_only_those_in_view_are_rows_and_keys_reach_each(open_page, files):
    """An image that is dropped, and records of more, which the page takes as it takes those of the service."""
    page = open_page(strict=False)  # the records have no pictures
    source = page.request.get(f"{page.url}page/app.js").text()
    made = "const cases = new Cases(panel.rule);"
    assert made in source
    page.route(
        "**/page/app.js",
        lambda route: route.fulfill(
            body=source.replace(made, f"{made} window.cases = cases;"), content_type="text/javascript"
        ),
    )
    page.reload()
    expect(page.locator("body[data-ready=true]")).to_be_attached()
    drop(page, [files / "tumor-4.png"])
    wait_until_scored(page, 1)
    page.evaluate(TAKE, MANY)
    expect(page.locator("[data-filter=all] .count")).to_have_text(f"{MANY:,}")
    rows = page.locator("#case-rows tr:not(.gap)")
    assert rows.count() < MOST
    in_view = rows.count()
    page.get_by_role("link", name="History").click()
    page.evaluate("cases.setRule({...cases.rule})")  # while the list is hidden
    page.get_by_role("link", name="Cases").click()
    wait_until(page, lambda: rows.count() == in_view)
    expect(page.locator("#case-table")).to_have_attribute("aria-rowcount", str(MANY + 1))
    focused = page.locator("#case-rows .case-open:focus")
    page.locator("#case-rows .case-open").first.focus()

    def at(place, name):
        """The focus is on the case at a place of the list; it is open, and its row is in view."""
        expect(page.locator("#case-title")).to_have_text(name)
        expect(focused).to_have_text(name)
        assert focused.evaluate("button => button.closest('tr').ariaRowIndex") == str(place + 2)
        wait_until(page, lambda: focused.evaluate(IN_VIEW))
        assert rows.count() < MOST

    page.keyboard.press("Control+End")
    at(MANY - 1, "4999.png")
    page.keyboard.press("ArrowUp")
    at(MANY - 2, "4998.png")
    page.keyboard.press("PageUp")
    expect(page.locator("#case-title")).not_to_have_text("4998.png")
    place = int(focused.evaluate("button => button.closest('tr').ariaRowIndex")) - 2
    assert MANY - 30 < place < MANY - 4
    at(place, f"{place}.png")
    page.keyboard.press("Control+Home")
    at(0, "tumor-4.png")
    for place in range(1, 26):
        page.keyboard.press("ArrowDown")
        at(place, f"{place}.png")

    box = page.locator("#view-cases .table-box")
    box.evaluate("box => { box.scrollTop = 100_000; }")  # the focus stays, although its row is far from view
    wait_until(page, lambda: rows.filter(has_text="2500.png").count() == 1)
    expect(focused).to_have_text("25.png")
    page.keyboard.press("Tab")
    expect(focused).to_have_text("26.png")
    wait_until(page, lambda: focused.evaluate(IN_VIEW))
    box.evaluate("box => { box.scrollTop = 100_000; }")
    wait_until(page, lambda: rows.filter(has_text="2500.png").count() == 1)
    page.keyboard.press("ArrowDown")  # on from the open case
    at(26, "26.png")

    page.get_by_role("button", name="Probability").click()
    box.evaluate("box => { box.scrollTop = 0; }")
    expect(rows.first.locator(".case-name")).to_have_text("1.png")
    page.locator("#search").fill("no such name")
    expect(page.locator("#no-match")).to_be_visible()
    page.locator("#search").fill("4997")
    expect(rows).to_have_count(1)
    page.locator("#search").fill("")
    page.get_by_role("button", name="Grid of pictures").click()
    wait_until(page, lambda: 10 < rows.count() < MOST)
    box.evaluate("box => { box.scrollTop = box.scrollHeight; }")
    wait_until(page, lambda: rows.locator(".case-name").last.inner_text() == "4999.png")


TAKE = """(count) => {
  const words = {reason: '', detail: '', note: '', volume: '', description: ''};
  const facts = {...words, has_map: false, has_focus: true, cautions: [], geometry: null, folder: '', status: 'ok'};
  const record = (_, place) => {
    const logit = 14 - (20 * (place + 1)) / count;
    const [id, probability] = [place + 1, 1 / (1 + Math.exp(-logit))];
    return {id, name: `${id}.png`, probability, logit, ...facts, order: id};
  };
  window.cases.take('drawn', Array.from({length: count - 1}, record), []);
}"""


def test_a_picture_that_the_server_lacks_is_asked_for_once(open_page, images):
    page = open_page(strict=False)  # the missing picture stands in the console
    asked = []
    page.route("**/picture.png?side=*", lambda route: asked.append(route.request.url) or route.fulfill(status=404))
    drop(page, images[-2:])
    wait_until_scored(page, 2)
    wait_until(page, lambda: len(set(asked)) == 2)
    for name in ("Screening", "Confirm", "Balanced"):
        value = page.locator("#threshold-value").inner_text()
        page.locator("#threshold-names label", has_text=name).click()
        expect(page.locator("#threshold-value")).not_to_have_text(value)
        expect(page.locator("#case-rows tr").first).to_be_visible()
        page.evaluate("() => new Promise((resolve) => setTimeout(() => requestAnimationFrame(resolve), 250))")
    assert len(asked) == len(set(asked)) == 2


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
    assert found.evaluate(YELLOW) > 15 and plain.evaluate(YELLOW) == 0  # the contour
    page.reload()
    wait_until_scored(page, len(images))
    expect(page.get_by_role("button", name="Grid of pictures")).to_have_attribute("aria-pressed", "true")


YELLOW = """image => {
  const context = new OffscreenCanvas(image.naturalWidth, image.naturalHeight).getContext('2d');
  context.drawImage(image, 0, 0);
  const {data} = context.getImageData(0, 0, image.naturalWidth, image.naturalHeight);
  let yellow = 0;
  for (let i = 0; i < data.length; i += 4) yellow += data[i] > 230 && data[i + 1] > 190 && data[i + 2] < 120;
  return yellow;
}"""
COLORED = """image => {
  const context = new OffscreenCanvas(image.naturalWidth, image.naturalHeight).getContext('2d');
  context.drawImage(image, 0, 0);
  const {data} = context.getImageData(0, 0, image.naturalWidth, image.naturalHeight);
  let colored = 0;
  for (let i = 0; i < data.length; i += 4) colored += data[i] - data[i + 2] > 25;
  return colored;
}"""
