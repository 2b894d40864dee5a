"""The history: search, open, delete, export; a volume and its slices."""

import csv
import io
from pathlib import Path

import pytest
import requests
from playwright.sync_api import expect

from brainsift.core.reasons import Reason
from brainsift.serve.history.store import History, HistoryRow
from brainsift.stats.metrics import wilson

from .actions import SHADES, drop, hold_back, open_case, read_shades, wait_until, wait_until_scored

pytestmark = pytest.mark.browser


def test_history_is_searched_judged_exported_and_deleted(open_page, server, images):
    page = open_page()
    drop(page, images)
    wait_until_scored(page, len(images))
    open_case(page, images[-1].name)
    expect(page.locator("#case-verdict")).to_be_visible()  # they are kept
    page.get_by_role("link", name="History").click()
    page.locator("#history-decision").select_option("unreadable")
    expect(page.locator("#history-rows tr").filter(has_not_text="Unreadable")).to_have_count(0)
    expect(page.locator("#history-rows tr").filter(has_text="broken.png").first).to_be_visible()
    page.locator("#history-decision").select_option("")
    page.locator("#history-search").fill("tumor-12")
    expect(page.locator("#history-rows tr").filter(has_not_text="tumor-12.png")).to_have_count(0)
    kept = page.locator("#history-rows tr").filter(has_text="tumor-12.png")
    kept.first.get_by_role("button").click()
    expect(page.locator("#case-title")).to_have_text("tumor-12.png")
    wait_until(page, lambda: page.locator("#stage canvas").evaluate(SHADES)["colored"] > 500)
    page.locator("#case-verdict label", has_text="No tumor").first.click()
    expect(page.locator("#case-verdict .save-state").first).to_have_text("Saved")
    page.locator("#case-verdict textarea").first.fill("a vessel")
    page.locator("#case-verdict textarea").first.blur()
    expect(kept.first.locator(".badge")).to_have_text("No tumor")
    expect(kept.first.locator(".has-note")).to_be_visible()
    page.locator("#history-verdicts").select_option("no_tumor")
    expect(page.locator("#history-total")).to_have_text("1 case, 1 judged")
    with page.expect_download() as saved:
        page.locator("#history-export summary").click()
        page.locator("#export-images").click()
    table = list(csv.DictReader(io.StringIO(Path(saved.value.path()).read_text(encoding="utf-8"))))
    assert [(found["verdict"], found["note"]) for found in table if found["verdict"]] == [("no_tumor", "a vessel")]
    page.locator("#delete-case").click()
    page.get_by_role("button", name="Keep").click()
    expect(page.locator("#history-total")).to_have_text("1 case, 1 judged")
    page.locator("#delete-case").click()
    page.get_by_role("button", name="Delete", exact=True).click()
    expect(page.locator("#history-empty")).to_be_visible()
    page.locator("#history-verdicts").select_option("")
    page.locator("#history-search").fill("")
    expect(page.locator("#history-rows tr").first).to_be_visible()
    page.locator("#history-delete-all").click()
    page.get_by_role("button", name="Delete all").last.click()
    expect(page.locator("#history-total")).to_have_text("0 cases, 0 judged")


def test_a_case_that_was_deleted_elsewhere_leaves_the_list(open_page, server, images):
    page = open_page(strict=False)  # Chromium writes to its console that it is not there
    drop(page, images[-1:])
    wait_until_scored(page, 1)
    expect(page.locator("#case-verdict")).to_be_visible()
    page.get_by_role("link", name="History").click()
    first = page.locator("#history-rows tr").first
    first.evaluate("row => row.id = 'going'")
    newest = requests.get(f"{server}/api/v1/history", params={"limit": 1}).json()["cases"][0]["id"]
    assert requests.delete(f"{server}/api/v1/history/{newest}").ok
    first.get_by_role("button").click()
    expect(page.locator("#going")).to_have_count(0)
    expect(page.locator("#history-error")).to_be_visible()
    expect(page.locator("#case-body")).to_be_hidden()


def test_a_volume_of_the_history_is_one_case_with_its_slices(open_page, files, images):
    page = open_page(strict=False)  # Chromium writes to its console that what was deleted is not there
    drop(page, [images[0], files / "head.nii.gz"])
    wait_until_scored(page, 2)
    open_case(page, "head.nii.gz")
    parts = ("#prediction-number", "#prediction-scale", "#prediction-words")
    shown = [page.locator(part).inner_text() for part in parts]
    expect(page.locator("#case-verdict")).to_be_visible()
    page.get_by_role("link", name="History").click()
    page.locator("#history-search").fill("head.nii")
    expect(page.locator("#history-rows tr").filter(has_not_text="head.nii.gz")).to_have_count(0)
    kept = page.locator("#history-rows tr").first
    expect(kept).to_contain_text("9 slices")
    kept.get_by_role("button").click()
    expect(page.locator("#case-body")).to_be_visible()  # hidden, it still holds what was shown before
    expect(page.locator("#case-where")).to_contain_text("network")
    expect(page.locator("#prediction-kind")).to_have_text("Volume, 9 slices")
    assert [page.locator(part).inner_text() for part in parts] == shown
    expect(page.locator("#strip .strip-bar")).to_have_count(9)
    wait_until(page, lambda: read_shades(page)["colored"] > 500)
    page.keyboard.press("Home")
    expect(page.locator("#slice-number")).to_have_text("1 / 9")
    page.locator("#case-verdict label", has_text="No tumor").first.click()
    expect(kept.locator(".badge")).to_have_text("No tumor")
    page.locator("#slice-verdict summary").click()
    expect(page.locator("#slice-verdict-title")).to_have_text("Verdict on slice 1 only")
    page.locator("#slice-verdict label", has_text="Unsure").click()
    expect(page.locator("#slice-verdict .save-state")).to_have_text("Saved")
    page.get_by_role("button", name="Next slice").click()
    expect(page.locator("#slice-verdict input:checked")).to_have_count(0)
    tables = {}
    for of in ("cases", "images"):
        page.locator("#history-export summary").click()
        with page.expect_download() as saved:
            page.locator(f"#export-{of}").click()
        rows = csv.DictReader(io.StringIO(Path(saved.value.path()).read_text(encoding="utf-8")))
        tables[of] = [(row["verdict"], row["label"]) for row in rows if row["name"].startswith("head.nii.gz")]
    assert ("no_tumor", "0") in tables["cases"]
    assert ("unsure", "") in tables["images"] and ("no_tumor", "0") not in tables["images"]
    page.locator("#delete-case").click()
    page.get_by_role("button", name="Delete", exact=True).click()
    page.get_by_role("link", name="Cases").click()
    expect(page.locator("#case-title")).to_have_text("head.nii.gz")
    expect(page.locator("#delete-case")).to_be_hidden()


def test_a_case_of_the_history_that_comes_late_stays_there(open_page, files, images):
    page = open_page()
    drop(page, [images[-1], files / "head.nii.gz"])
    wait_until_scored(page, 2)
    open_case(page, "head.nii.gz")
    expect(page.locator("#case-verdict")).to_be_visible()  # it is kept
    open_case(page, images[-1].name)
    page.get_by_role("link", name="History").click()
    with hold_back(page, "**/history/*/slices") as let_go:
        with page.expect_request("**/history/*/slices"):
            page.locator("#history-rows tr").filter(has_text="head.nii.gz").first.get_by_role("button").click()
        page.get_by_role("link", name="Cases").click()
        expect(page.locator("#case-title")).to_have_text(images[-1].name)
        with page.expect_response("**/history/*/slices"):
            let_go()
    page.evaluate("() => fetch('/api/v1/model').then((reply) => reply.text())")
    expect(page.locator("#case-where")).to_be_empty()
    expect(page.locator("#case-title")).to_have_text(images[-1].name)
    page.get_by_role("link", name="History").click()
    expect(page.locator("#case-where")).to_contain_text("network")
    expect(page.locator("#case-title")).to_have_text("head.nii.gz")


def test_a_series_that_a_node_did_not_score_says_why(open_page, serving, tmp_path):
    history = History(tmp_path / "history", keep_images=False)
    facts = {"volume": "", "probability": None, "decision": "", "leaning": "", "threshold": 0.5, "model": "lite0 0.1.0"}
    history.record(
        [
            HistoryRow(
                name="series 3f9c12ab77e0 v1 4 ax t1",
                status="unreadable",
                reason=Reason.NOT_TAKEN,
                detail="Nothing was sent: not an original slice: a localizer",
                **facts,
            )
        ]
    )
    history.close()
    with serving(keep=tmp_path / "history") as running:
        page = open_page(running.url)
        page.get_by_role("link", name="History").click()
        page.locator("#history-rows tr").get_by_role("button").click()
        expect(page.locator("#prediction-words")).to_have_text("This file was not scored.")
        expect(page.locator("main")).to_contain_text("Nothing was sent: not an original slice: a localizer.")
        expect(page.locator("main")).to_contain_text("There is no picture: the file was not scored.")


def test_the_history_compares_decisions_with_verdicts(open_page, serving, images, expected, tmp_path):
    with serving(keep=tmp_path / "history", keep_images=True, threads=1) as running:
        page = open_page(running.url)
        drop(page, images)
        wait_until_scored(page, len(images))
        expect(page.locator("#judged-count")).to_have_text(f"0 of {len(images) - 1} judged")
        open_case(page, "tumor-12.png")
        expect(page.locator("#case-verdict")).to_be_visible()
        page.get_by_role("link", name="History").click()
        page.locator("#history-judging summary").click()
        count = page.locator("#history-judged-count")
        expect(count).to_have_text(f"0 of {len(images) - 1} judged")
        expect(page.locator("#history-judged-results")).to_be_hidden()
        for number, (name, verdict) in enumerate((("tumor-12.png", "Tumor"), ("plain-2.png", "No tumor")), start=1):
            page.locator("#history-rows tr").filter(has_text=name).get_by_role("button").click()
            expect(page.locator("#case-title")).to_have_text(name)
            page.locator("#case-verdict label", has_text=verdict).first.click()
            expect(count).to_have_text(f"{number} of {len(images) - 1} judged")
        for truth, name in (("onTumor", "tumor-12.png"), ("onNone", "plain-2.png")):
            expect(page.locator(f"#history-judged-{truth}-{expected[name].decision}")).to_have_text("1")
        hit = expected["tumor-12.png"].decision == "tumor"
        value, low, high = (f"{100 * one:.1f}\u00a0%" for one in wilson(float(hit), 1))
        share = page.locator("#history-judged-sensitivity")
        expect(share).to_have_text(f"{value} ({low} to {high}), {int(hit)} of 1 case")
        page.close()  # before the service ends
