"""The window: width and level of pictures of 8 and 16 bits."""

import re

import numpy as np
import pydicom
import pytest
from PIL import Image
from playwright.sync_api import expect

from brainsift.images.phantom import draw

from .actions import drop, open_case, read_shades, wait_until, wait_until_scored
from .scans import SIDE, write_nifti

pytestmark = pytest.mark.browser

LOOKS = """async ([deep, plain]) => {
  const { picture } = await import("/page/pictures.js");
  const { shadesOf } = await import("/page/window.js");
  const shown = ([image, shades]) => Array.from(image.gray, (gray) => shades[gray]);
  const images = [await picture(deep), await picture(plain)];
  return images.map((image) => [image.most, shown([image, shadesOf(image, image.window)])]);
}"""
SHADE = """(canvas, [x, y]) => {
  const side = Math.min(canvas.width, canvas.height);
  const at = [canvas.width / 2 + (x - 0.5) * side, canvas.height / 2 + (y - 0.5) * side];
  const copy = new OffscreenCanvas(canvas.width, canvas.height).getContext("2d", {willReadFrequently: true});
  copy.drawImage(canvas, 0, 0);
  return copy.getImageData(...at.map(Math.floor), 1, 1).data[0];
}"""
PLAIN, FAINT = (0.3, 0.3), (0.7, 0.7)  # places on the slice, as shares of its sides


def shade(page, place):
    return page.locator("#stage canvas").evaluate(SHADE, place)


def write_deep(path, *scales):
    """A volume of 12 bits: even, with black and white stripes, and a patch that is four values of 4095 brighter."""
    even = np.full((SIDE, SIDE), 2000)
    even[:3], even[3:6] = 0, 4095
    even[SIDE // 2 :, SIDE // 2 :] += 4
    return write_nifti(path, [even * scale for scale in scales])


def test_a_first_look_at_16_bits_is_the_picture_of_8(open_page, files, tmp_path):
    head = draw(4, tumor=True, size=2 * SIDE).pixels
    Image.fromarray(head.astype(np.uint16) * 16).save(tmp_path / "deep.png")
    series = pydicom.dcmread(files / "study" / "ax t1" / "IM0003")
    windowed, inverted = {"WindowCenter": 90, "WindowWidth": 80}, {"PhotometricInterpretation": "MONOCHROME1"}
    for name, tags in (("windowed.dcm", windowed), ("inverted.dcm", windowed | inverted)):
        for tag, value in tags.items():
            setattr(series, tag, value)
        series.save_as(tmp_path / name)
    write_deep(tmp_path / "volume.nii", 1)
    page = open_page()
    for count, path in enumerate((*sorted(tmp_path.iterdir()), files / "tumor-4.png"), start=1):
        with page.expect_response(re.compile(r"depth=16$")) as asked:
            drop(page, [path])
            wait_until_scored(page, count)
            open_case(page, path.name)
        (most, shown), (least, plain) = page.evaluate(LOOKS, [asked.value.url, asked.value.url.partition("?")[0]])
        assert (most, least) == (255 if path.name == "tumor-4.png" else 65535, 255)
        assert np.abs(np.subtract(shown, plain)).max() <= (most > 255) and np.ptp(plain) == 255
        expect(page.locator(".window-words")).to_have_text(re.compile(r"W \d+ L \d+" if most > 255 else "^$"))
        if most == 255:
            assert page.locator("#case-tools .slider-value").all_text_contents()[2:] == ["100\u00a0%", "50\u00a0%"]


def test_a_narrow_window_shows_what_lies_between_two_greys(open_page, tmp_path):
    page = open_page()
    drop(page, [write_deep(tmp_path / "faint.nii", 1)])
    wait_until_scored(page, 1)
    page.keyboard.press("m")
    tools = page.locator("#case-tools")
    words = page.locator(".window-words")
    expect(words).to_have_text("W 4095 L 2048")
    wait_until(page, lambda: shade(page, PLAIN) == shade(page, FAINT) == 125)
    tools.get_by_label("Width").fill("0.01")
    tools.get_by_label("Level").fill("0.489")
    expect(words).to_have_text("W 41 L 2002")
    expect(tools.get_by_label("Level")).to_have_attribute("aria-valuetext", "2002")
    wait_until(page, lambda: shade(page, FAINT) - shade(page, PLAIN) >= 20)
    tools.get_by_label("Level").fill("1")
    expect(words).to_have_text("W 41 L 4095")  # the whole range, though nothing lies there
    wait_until(page, lambda: shade(page, FAINT) == shade(page, PLAIN) == 0)
    tools.get_by_role("button", name="Reset").click()
    expect(words).to_have_text("W 4095 L 2048")
    wait_until(page, lambda: shade(page, PLAIN) == shade(page, FAINT) == 125)


def test_a_chosen_window_stays_between_slices_and_others_follow_them(open_page, images, tmp_path):
    page = open_page()
    drop(page, [write_deep(tmp_path / "deep.nii", 1 / 3, 1, 1 / 5), images[-1]])
    wait_until_scored(page, 2)
    open_case(page, "deep.nii")
    page.keyboard.press("m")
    words = page.locator(".window-words")

    def scrolled(*texts):
        page.keyboard.press("Home")
        for place, text in enumerate(texts):
            expect(page.locator("#slice-number")).to_have_text(f"{place + 1} / 3")
            expect(words).to_have_text(text)
            yield place
            page.keyboard.press("ArrowRight")

    own = [re.compile("W 1365 "), re.compile("W 4095 "), re.compile("W 819 ")]
    assert len(list(scrolled(*own))) == 3
    page.keyboard.press("Home")
    expect(words).to_have_text(own[0])
    page.locator("#stage canvas").hover()
    box = page.locator("#stage canvas").bounding_box()
    page.keyboard.down("Shift")
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] / 2 - 200, box["y"] + box["height"] / 2 + 30)
    page.mouse.up()
    page.keyboard.up("Shift")
    chosen = "W 455 L 819"  # 300 pixels are the width that it began with
    for place in scrolled(chosen, chosen, chosen):
        expected = np.clip(255 * ((int(2000 / (3, 1, 5)[place]) - 819) / 455 + 0.5), 0, 255)
        wait_until(page, lambda expected=expected: abs(shade(page, PLAIN) - expected) <= 2)
    page.keyboard.press("w")
    assert len(list(scrolled(*own))) == 3
    expect(page.locator("#case-verdict")).to_be_visible()  # it is kept
    page.get_by_role("link", name="History").click()
    page.locator("#history-rows tr").filter(has_text="deep.nii").get_by_role("button").click()
    expect(page.locator("#case-where")).to_contain_text("network")
    wait_until(page, lambda: read_shades(page)["bright"] > 500)
    expect(words).to_be_empty()  # kept pictures are of 8 bits
    expect(page.locator("#case-tools .slider-value").nth(2)).to_have_text("100\u00a0%")
