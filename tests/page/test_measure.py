"""Sizes on the page: the ruler by keyboard, and the longest diameter of the contour of an image."""

import io
import re

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import expect

from brainsift.images.components import labels

from .actions import drop, wait_until_scored
from .scans import write_series

pytestmark = pytest.mark.browser


def test_the_ruler_is_laid_by_keys(open_page, tmp_path):
    write_series(tmp_path / "series", 8, 6, PixelSpacing=[1.5, 1.5])
    page = open_page()
    page.set_input_files("#pick-folder", tmp_path / "series")
    wait_until_scored(page, 1)
    expect(page.locator("#stage .stage-message").first).to_be_hidden()
    slices = page.locator("#slice-number").inner_text()
    page.locator("#case-rows .case-open").focus()
    page.keyboard.press("l")
    said = page.locator("#live")
    expect(said).to_contain_text("the arrow keys move its end")
    for _ in range(2):
        page.keyboard.press("Shift+ArrowRight")
    expect(said).to_have_text("Ruler: 30.0\u00a0mm")  # 20 pixels
    page.keyboard.press("Enter")
    page.keyboard.press("Shift+ArrowLeft")
    page.keyboard.press("ArrowLeft")
    expect(said).to_have_text("Ruler: 46.5\u00a0mm")
    assert page.locator("#slice-number").inner_text() == slices  # the keys moved the ruler alone
    page.keyboard.press("l")
    page.keyboard.press("Home")
    page.keyboard.press("ArrowRight")
    expect(page.locator("#slice-number")).to_have_text("2 / 6")


def test_the_longest_diameter_of_an_image_is_that_of_its_map(open_page, files):
    page = open_page()
    maps = []
    page.on("request", lambda request: "map.png" in request.url and maps.append(request.url))
    drop(page, [files / "tumor-4.png"])
    wait_until_scored(page, 1)
    words = page.locator("#case-tools .measure").first
    expect(words).to_contain_text(re.compile(r"Longest diameter on this slice: \d+\.\d\u00a0px"))
    shown = float(re.search(r"(\d+\.\d)\u00a0px", words.inner_text())[1])
    tumor_map = np.asarray(Image.open(io.BytesIO(page.request.get(maps[-1]).body())))
    patches = labels(tumor_map > 127.5)
    longest = 0.0
    for patch in range(1, patches.max() + 1):
        points = np.argwhere(patches == patch).astype(float)
        longest = max(longest, np.linalg.norm(points[:, None] - points[None], axis=2).max())
    assert longest > 10
    assert longest <= shown <= longest + 2  # the contour runs around the pixels, half of one or less beyond each
