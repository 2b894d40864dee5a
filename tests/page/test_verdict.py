"""The reader's own verdict: given, saved, not saved."""

import re

import pytest
import requests
from playwright.sync_api import expect

from .actions import drop, hold_back, open_case, wait_until, wait_until_scored

pytestmark = pytest.mark.browser


def test_a_verdict_is_given_where_the_case_is_looked_at(open_page, server, images):
    page = open_page()
    drop(page, images[-1:])
    wait_until_scored(page, 1)
    expect(page.locator("#case-verdict")).to_be_visible()
    page.locator("#case-verdict label", has_text="Unsure").first.click()
    expect(page.locator("#case-verdict .save-state").first).to_have_text("Saved")
    page.locator("#case-verdict textarea").first.fill("typed until the reload")
    page.reload()
    page.get_by_role("link", name="History").click()
    page.locator("#history-verdicts").select_option("unsure")
    expect(page.locator("#history-total")).to_have_text(re.compile(r"^(\d+) cases?, \1 judged$"))  # of all tests
    wanted = {"query": "typed until the reload"}
    wait_until(page, lambda: requests.get(f"{server}/api/v1/history", params=wanted).json()["total"] == 1)


def test_a_verdict_that_is_not_saved_is_taken_back(open_page, images):
    page = open_page(strict=False)  # Chromium writes the refusal to its console
    drop(page, images[-2:])
    wait_until_scored(page, 2)
    open_case(page, images[-2].name)
    expect(page.locator("#case-verdict")).to_be_visible()
    with hold_back(page, "**/verdict", lambda route: route.fulfill(status=507, body="full")) as let_go:
        page.locator("#case-verdict label", has_text="No tumor").first.click()
        wait_until(page, let_go)
        expect(page.locator("#case-verdict .save-state").first).to_contain_text("Not saved")
        expect(page.locator("#case-verdict .save-state").first).to_be_in_viewport()
        expect(page.locator("#case-verdict input:checked")).to_have_count(0)
        page.locator("#case-verdict label", has_text="No tumor").first.click()
        open_case(page, images[-1].name)
        expect(page.locator("#case-verdict")).to_be_visible()
        wait_until(page, let_go)
        expect(page.locator("#live")).to_contain_text(f"The verdict on {images[-2].name} was not saved")
        expect(page.get_by_role("alert")).to_contain_text(f"The verdict on {images[-2].name} was not saved")
        expect(page.locator("#case-verdict .save-state").first).to_be_empty()


def test_a_verdict_is_asked_for_however_long_the_keeping_takes(open_page, files):
    page = open_page()
    page.clock.install()
    looks = []

    def slowly(route):
        reply = route.fetch()
        job = reply.json()
        if job["state"] == "done":
            looks.append(job["cases"])
        route.fulfill(response=reply, json={**job, "cases": job["cases"][: max(0, len(looks) - 4)]})

    page.route(re.compile(r"/jobs/.*after=9007199254740991"), slowly)
    drop(page, [files / "head.nii.gz"])
    wait_until_scored(page, 1)
    verdict = page.locator("#case-verdict")
    wait_until(page, lambda: page.clock.fast_forward(500) or verdict.is_visible())
    assert len(looks) > 10
