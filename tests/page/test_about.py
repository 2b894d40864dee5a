"""About shows the model card."""

import pytest
from playwright.sync_api import expect

from brainsift.inference.model_card import statements

pytestmark = pytest.mark.browser


def test_about_shows_the_model_card(open_page, bundle):
    page = open_page()
    page.get_by_role("link", name="About").click()
    expect(page.locator("#about-notice")).to_have_text(bundle.notice)
    rows = page.locator("#performance tbody tr")
    expect(rows).to_have_count(len(bundle.provenance["figures"]))
    expect(page.locator("#facts")).to_contain_text(bundle.name)
    expect(page.locator("#performance h3")).to_have_text("Held-out test sets, all datasets together")
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Keyboard shortcuts")).to_be_visible()
    page.keyboard.press("Escape")
    for title, text in statements(bundle):
        expect(page.get_by_role("region", name=title, exact=True)).to_have_text(title + text)
