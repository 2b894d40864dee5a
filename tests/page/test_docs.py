"""The page of the HTTP API: linked from the page, under its content policy, without a network, without barriers."""

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from .actions import PHONE

pytestmark = pytest.mark.browser


@pytest.mark.parametrize("look", [{}, {"color_scheme": "dark"}, PHONE], ids=["light", "dark", "phone"])
def test_the_page_of_the_api_is_linked_and_has_no_barrier(open_page, server, look):
    page = open_page(**look)
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    page.get_by_role("link", name="HTTP API").click()
    expect(page.get_by_role("heading", name="HTTP API", level=1)).to_be_visible()
    expect(page.get_by_role("heading", name="POST /api/v1/predict", exact=True)).to_be_visible()
    assert asked and all(url.startswith(server) for url in asked)
    assert page.evaluate("() => document.documentElement.scrollWidth <= window.innerWidth")
    page.evaluate(Axe().axe_script)
    violations = page.evaluate("() => axe.run({resultTypes: ['violations']}).then(({violations}) => violations)")
    assert [(one["id"], [node["html"][:120] for node in one["nodes"]][:3]) for one in violations] == []
    page.get_by_role("link", name="PredictReply").first.click()
    expect(page.get_by_role("heading", name="PredictReply", exact=True)).to_be_in_viewport()
    page.get_by_role("link", name="Cases", exact=True).click()
    expect(page.get_by_role("button", name="Choose files")).to_be_visible()
