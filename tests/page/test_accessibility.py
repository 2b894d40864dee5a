"""No view has an accessibility barrier (axe-core)."""

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from .actions import PHONE, open_case, wait_until_scored

pytestmark = pytest.mark.browser


@pytest.mark.parametrize("look", [{}, {"color_scheme": "dark"}, PHONE], ids=["light", "dark", "phone"])
def test_no_barrier_in_any_view(open_page, files, images, look):
    page = open_page(**look)
    options = {"resultTypes": ["violations"]}
    if "color_scheme" in look:  # only colors differ from the light page
        options["runOnly"] = {"type": "rule", "values": ["color-contrast"]}
    found = {}
    page.evaluate(Axe().axe_script)

    def check(view):
        violations = page.evaluate("options => axe.run(options).then(({ violations }) => violations)", options)
        found[view] = [(one["id"], [node["html"][:120] for node in one["nodes"]][:3]) for one in violations]

    check("empty")
    page.set_input_files("#pick-files", [*images, files / "head.nii.gz"])
    wait_until_scored(page, len(images) + 1)
    page.locator(".threshold").evaluate("details => { details.open = true; }")
    page.locator("#judging").evaluate("details => { details.open = true; }")
    check("list")
    for name in ("head.nii.gz", "holiday.png"):
        open_case(page, name)
        check(name)
        page.get_by_role("button", name="Compare with another case").click()
        check(f"what to compare {name} with")
        page.locator("#compare-cases button").first.click()
        check(f"{name} beside another case")
        page.keyboard.press("2")
        if name == "head.nii.gz":
            page.get_by_role("button", name="Other planes").click()
            expect(page.locator(".pane-words").first).to_contain_text("not scored")
            check("other planes")
            expect(page.locator("#case-verdict")).to_be_visible()  # it is kept
            page.get_by_role("button", name="Correct the contour (X)").click()
            check("drawing with other planes")
            page.get_by_role("button", name="Done").click()
            page.get_by_role("button", name="Other planes").click()
        if "is_mobile" in look:
            page.get_by_role("button", name="Back to the list").click()
    if not look:
        open_case(page, "broken.png")
        check("broken.png")
        page.locator("#blind").check()
        open_case(page, "head.nii.gz")
        check("blind")
        page.locator("#blind").uncheck()
        page.get_by_role("button", name="Grid of pictures").click()
        check("grid")
        page.get_by_role("button", name="Grid of pictures").click()
        page.get_by_role("button", name="Clear the list").click()
        check("confirmation")
        page.keyboard.press("Escape")
        page.get_by_role("button", name="Table only").click()
        check("table")
        page.locator("#help").click()
        check("shortcuts")
        page.keyboard.press("Escape")
    page.get_by_role("link", name="History").click()
    page.locator("#history-rows button").first.click()
    check("history")
    page.get_by_role("link", name="About").click()
    check("about")
    assert not {view: barriers for view, barriers in found.items() if barriers}
