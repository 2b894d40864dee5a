"""Judging at speed: keys, blind mode, the table of two by two, and the verdicts as data for the command line."""

import csv
import io
import re
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import expect

from brainsift.cli.main import main
from brainsift.core.files import read_json
from brainsift.images.phantom import draw
from brainsift.stats.metrics import wilson

from .actions import drop, open_case, read_shades, row, wait_until, wait_until_scored

pytestmark = pytest.mark.browser

JUDGED = "#judged-count"


def start_judging(page, count):
    """Opens the first case, and waits until all of them can be judged."""
    page.locator("#judging summary").click()
    expect(page.locator(JUDGED)).to_have_text(f"0 of {count} judged")
    page.locator("#case-rows .case-open").first.click()


def judge(page, key):
    """Presses the key of a verdict as soon as the case that is shown can be judged."""
    expect(page.locator("#case-verdict")).to_be_visible()
    page.keyboard.press(key)


def share(hits, trials):
    """A share as the page writes it."""
    value, low, high = (f"{100 * one:.1f}\u00a0%" for one in wilson(hits / trials, trials))
    return f"{value} ({low} to {high}), {hits} of {trials} case{'s' * (trials != 1)}"


def test_one_key_judges_and_goes_on_and_the_table_follows(open_page, images, expected):
    readable = [path for path in images if expected[path.name].status != "unreadable"]
    page = open_page()
    drop(page, images)
    wait_until_scored(page, len(images))
    start_judging(page, len(readable))
    expect(page.locator("#case-title")).to_have_text("broken.png")
    page.keyboard.press("t")  # there is nothing to judge: the next case
    expect(page.locator("#case-title")).not_to_have_text("broken.png")
    truth = {}
    for number in range(1, len(readable) + 1):
        name = page.locator("#case-title").inner_text()
        truth[name] = name.startswith("tumor")
        judge(page, "t" if truth[name] else "b" if name == "holiday.png" else "n")
        expect(page.locator(JUDGED)).to_have_text(f"{number} of {len(readable)} judged")
        if number < len(readable):
            expect(page.locator("#case-title")).not_to_have_text(name)
    assert set(truth) == {path.name for path in readable}
    expect(page.locator("#live")).to_have_text("All cases of this list are judged.")
    for key, has_tumor, right in (("sensitivity", True, "tumor"), ("specificity", False, "no_tumor")):
        decided = [
            expected[name].decision
            for name, tumor in truth.items()
            if tumor is has_tumor and expected[name].status == "ok"
        ]
        expect(page.locator(f"#judged-{key}")).to_have_text(share(decided.count(right), len(decided)))
    expect(page.locator("#judged-left-out")).to_contain_text("1 that you call unsure or not a brain MRI")
    expect(row(page, "holiday.png")).to_contain_text("you: not a brain mri")
    before = page.locator("#judged-onTumor-tumor").inner_text()
    page.locator("#threshold-names label", has_text="Confirm").click()
    decisions = page.locator("#case-rows tr", has_text="tumor-").locator(".cell-decision [data-decision=tumor]")
    expect(page.locator("#judged-onTumor-tumor")).to_have_text(str(decisions.count()))
    assert before == str(sum(expected[name].decision == "tumor" for name, tumor in truth.items() if tumor))
    page.reload()
    expect(page.locator(JUDGED)).to_have_text(f"{len(readable)} of {len(readable)} judged")


def test_a_result_is_hidden_until_the_case_is_judged(open_page, files, images, expected):
    page = open_page()
    drop(page, [*images[-2:], files / "head.nii.gz"])
    wait_until_scored(page, 3)
    start_judging(page, 3)
    page.locator("#judging").get_by_text("Hide each result until I judge the case").click()
    names = [images[-1].name, "head.nii.gz"]
    for name in names:
        open_case(page, name)
        expect(page.locator("#result-hidden")).to_be_visible()
        for part in ("#prediction", "#slice-prediction", "#strip", "#most-suspicious", "#filters", ".rug-box"):
            expect(page.locator(part)).to_be_hidden()
        expect(row(page, name).locator(".decision:visible")).to_have_text("Hidden")
        expect(row(page, name).locator(".bar-value")).to_have_text("–")
        expect(page.locator("#live")).to_have_text(name)
        wait_until(page, lambda: read_shades(page)["bright"] > 0)
        assert read_shades(page)["colored"] == 0
        expect(page.locator("#stage canvas").first).not_to_have_attribute("aria-label", re.compile("probability"))
    expect(page.locator("#slice-number")).to_have_text("5 / 9")
    page.keyboard.press("s")
    expect(page.locator("#slice-number")).to_have_text("5 / 9")
    page.keyboard.press("ArrowRight")
    expect(page.locator("#live")).to_have_text("Slice 6 of 9")
    expect(page.locator("#slice-slider")).to_have_attribute("aria-valuetext", "Slice 6 of 9")
    open_case(page, names[0])
    expect(page.locator("#case-verdict")).to_be_visible()
    page.locator("#case-verdict label", has_text="Unsure").first.click()
    expect(page.locator("#prediction")).to_be_visible()
    expect(page.locator("#prediction-number")).to_have_text(f"{expected[names[0]].probability:.3f}")
    wait_until(page, lambda: read_shades(page)["colored"] > 0)
    expect(row(page, names[0]).locator(".decision:visible")).not_to_have_text("Hidden")
    page.get_by_role("link", name="History").click()
    hidden = page.locator("#history-rows tr").filter(has_text="head.nii.gz").first
    expect(hidden.locator(".decision")).to_have_text("Hidden")
    page.reload()
    expect(page.locator("body[data-blind]")).to_be_attached()


def test_the_other_planes_hide_the_map_and_the_volume_too(open_page, files):
    page = open_page()
    maps = []
    page.on("request", lambda request: "/planes/" in request.url and "map" in request.url and maps.append(request.url))
    drop(page, [files / "head.nii.gz"])
    wait_until_scored(page, 1)
    start_judging(page, 1)
    page.locator("#judging").get_by_text("Hide each result until I judge the case").click()
    expect(page.locator("#result-hidden")).to_be_visible()
    page.get_by_role("button", name="Other planes").click()
    expect(page.locator(".pane-words").first).to_contain_text("not scored")
    volume = page.locator("#case-tools").get_by_text("In the volume:")
    expect(volume).to_be_hidden()
    assert not maps
    page.locator("#case-verdict label", has_text="Unsure").first.click()
    expect(volume).to_be_visible()
    wait_until(page, lambda: maps)


def test_verdicts_become_data_for_the_command_line(open_page, serving, tmp_path, capsys):
    """Page -> CSV -> `brainsift evaluate` and `brainsift calibrate`."""
    drawn = tmp_path / "drawn"
    drawn.mkdir()
    for seed in range(24):
        kind = "tumor" if seed % 2 else "plain"
        Image.fromarray(draw(seed + 1, tumor=bool(seed % 2), size=128).pixels).save(drawn / f"{kind}-{seed:02d}.png")
    with serving(keep=tmp_path / "history", keep_images=True, threads=1) as running:
        page = open_page(running.url)
        drop(page, sorted(drawn.iterdir()))
        wait_until_scored(page, 24)
        start_judging(page, 24)
        for number in range(1, 25):
            judge(page, "t" if page.locator("#case-title").inner_text().startswith("tumor") else "n")
            expect(page.locator(JUDGED)).to_have_text(f"{number} of 24 judged")
        table = {key: page.locator(f"#judged-{key}").inner_text() for key in ("sensitivity", "specificity")}
        with page.expect_download() as saved:
            page.locator("#judged-export").click()
        text = Path(saved.value.path()).read_text(encoding="utf-8")
    rows = list(csv.DictReader(io.StringIO(text)))
    assert {(one["label"], one["verdict"]) for one in rows if one["status"] == "ok"} == {
        ("1", "tumor"),
        ("0", "no_tumor"),
    }
    assert all(one["name"].startswith("tumor" if one["verdict"] == "tumor" else "plain") for one in rows)
    mine = tmp_path / "mine.csv"
    mine.write_text(text, encoding="utf-8")
    command = ["evaluate", "--predictions", str(mine), "--manifest", str(mine), "--json", str(tmp_path / "scores.json")]
    assert main(command) == 0
    scores = read_json(tmp_path / "scores.json")
    scored = [one for one in rows if one["status"] == "ok"]
    assert scores["n"] == len(scored)
    for key, shown in table.items():
        assert shown.startswith(f"{100 * scores['scores'][key]['value']:.1f}\u00a0%")
    command = ["calibrate", "--data", str(mine), "-o", str(tmp_path / "site")]
    assert main(command) == 0, capsys.readouterr().err
    assert (tmp_path / "site" / "bundle.json").is_file()
