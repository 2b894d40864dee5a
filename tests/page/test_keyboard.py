"""Keys are enough."""

import re

import pytest
from playwright.sync_api import expect

from .actions import wait_until_scored

pytestmark = pytest.mark.browser


def test_keys_are_enough(open_page, files, images):
    page = open_page()
    page.on("filechooser", lambda chooser: chooser.set_files([*images, files / "head.nii.gz"]))
    page.keyboard.press("Tab")
    expect(page.get_by_text("Skip to the content")).to_be_focused()
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="brainsift")).to_be_focused()  # there is no case to skip to
    page.get_by_role("button", name="Choose files").focus()
    page.keyboard.press("Enter")
    wait_until_scored(page, len(images) + 1)
    first = page.locator("#case-rows .case-open").first
    first.focus()
    page.keyboard.press("ArrowDown")
    expect(page.locator("#case-rows tr").nth(1)).to_have_class(re.compile("selected"))
    expect(page.locator("#case-rows .case-open").nth(1)).to_be_focused()
    expect(page.locator("#live")).to_contain_text(f"{page.locator('#case-title').inner_text()}: ")
    page.keyboard.press("ArrowUp")
    expect(first).to_have_attribute("aria-current", "true")
    page.keyboard.press("Enter")
    expect(page.locator("#case-title")).to_be_focused()
    first.focus()
    page.get_by_text("Skip to the case").press("Enter")
    expect(page.locator("#case-title")).to_be_focused()
    page.keyboard.press("/")
    expect(page.locator("#search")).to_be_focused()
    page.keyboard.type("head")
    expect(page.locator("#case-rows tr")).to_have_count(1)
    page.keyboard.press("Tab")
    page.locator("#case-rows .case-open").first.focus()
    page.keyboard.press("Enter")
    expect(page.locator("#case-title")).to_have_text("head.nii.gz")
    page.keyboard.press("End")
    expect(page.locator("#slice-number")).to_have_text("9 / 9")
    page.keyboard.press("ArrowLeft")
    expect(page.locator("#slice-number")).to_have_text("8 / 9")
    page.keyboard.press("Shift+S")
    expect(page.locator("#slice-probability")).to_have_text(page.locator("#suspicious .figures").first.inner_text())
    page.keyboard.press("M")
    expect(page.locator("#case-tools").get_by_label("Opacity")).to_have_value("0")
    page.keyboard.press("+")
    expect(page.locator(".zoom-words").first).to_have_text("125\u00a0%")
    page.locator("input[name=threshold][value=balanced]").focus()
    page.keyboard.press("ArrowRight")
    expect(page.locator("#threshold-name")).to_have_text("Screening")
    page.locator("#case-rows .case-open").first.focus()
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Keyboard shortcuts")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog", name="Keyboard shortcuts")).to_be_hidden()
