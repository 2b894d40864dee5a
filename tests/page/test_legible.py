"""Words and lines over a picture can be seen on its brightest pixels, and around it all is dark."""

import io

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import expect

from .actions import drop, read_shades, wait_until, wait_until_scored

pytestmark = pytest.mark.browser

LINES = """canvas => {
  const copy = new OffscreenCanvas(canvas.width, canvas.height).getContext('2d', {willReadFrequently: true});
  copy.drawImage(canvas, 0, 0);
  const {data} = copy.getImageData(0, 0, canvas.width, canvas.height);
  let yellow = 0, dark = 0, white = 0;
  for (let i = 0; i < data.length; i += 4) {
    const [red, green, blue] = [data[i], data[i + 1], data[i + 2]];
    yellow += red > 230 && green > 190 && blue < 140;
    white += blue > 250;
    dark += red < 120 && green < 120 && blue < 120;
  }
  return {yellow, dark, white};
}"""


def contrast(png):
    """The contrast between the brightest and the darkest pixels of a picture, as WCAG 2 has it."""
    pixels = np.asarray(Image.open(io.BytesIO(png)).convert("RGB"), float) / 255
    linear = np.where(pixels <= 0.04045, pixels / 12.92, ((pixels + 0.055) / 1.055) ** 2.4)
    luminance = linear @ (0.2126, 0.7152, 0.0722)
    return (luminance.max() + 0.05) / (np.median(luminance) + 0.05)


def test_the_hint_and_the_window_are_legible_on_white(open_page, tmp_path):
    white = np.full((900, 1600), 60000, np.uint16)
    white[:, 700:730] = 0  # else there is no range to show
    Image.fromarray(white).save(tmp_path / "white.png")
    page = open_page()
    drop(page, [tmp_path / "white.png"])
    wait_until_scored(page, 1)
    wait_until(page, lambda: read_shades(page)["bright"] > 100_000)
    page.locator("#stage canvas").hover()
    for words in (".stage-hint", ".window-words"):
        node = page.locator(words).first
        wait_until(page, lambda node=node: node.evaluate("node => getComputedStyle(node).opacity") == "1")
        assert node.inner_text()
        assert contrast(node.screenshot()) > 7, words


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_contour_is_seen_on_white_and_around_the_picture_it_is_dark(open_page, files, scheme):
    page = open_page(color_scheme=scheme)
    drop(page, [files / "tumor-4.png"])
    wait_until_scored(page, 1)
    wait_until(page, lambda: read_shades(page)["colored"] > 500)
    tools = page.locator("#case-tools")
    tools.get_by_label("Opacity").fill("0")
    tools.get_by_label("Width").fill(tools.get_by_label("Width").get_attribute("min"))
    tools.get_by_label("Level").fill("0.1")
    canvas = page.locator("#stage canvas").first
    contour = page.get_by_role("switch", name="Contour", exact=True)
    contour.uncheck()
    wait_until(page, lambda: canvas.evaluate(LINES)["white"] > 20_000)
    without = canvas.evaluate(LINES)
    contour.check()
    wait_until(page, lambda: canvas.evaluate(LINES)["yellow"] > without["yellow"] + 100)
    lines = canvas.evaluate(LINES)
    assert lines["dark"] > without["dark"] + 100  # the dark line on both sides of the yellow one
    expect(page.locator("#stage")).to_have_css("background-color", "rgb(0, 0, 0)")
    corner = page.locator("#stage").screenshot()
    assert np.asarray(Image.open(io.BytesIO(corner)).convert("L"))[4, 4] < 20
