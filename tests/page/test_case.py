"""One case: its answer in words, and the slices of a volume."""

import pytest
from playwright.sync_api import expect

from brainsift.inference.predictor import Predictor

from .actions import called, drop, open_case, wait_until_scored

pytestmark = pytest.mark.browser


def test_what_cannot_be_judged_says_why(open_page, images, expected, tmp_path):
    page = open_page()
    drop(page, images)
    wait_until_scored(page, len(images))
    open_case(page, "holiday.png")
    expect(page.locator("#prediction-words")).to_contain_text("was rejected")
    expect(page.locator("#prediction-reason")).to_contain_text(expected["holiday.png"].detail)
    open_case(page, "broken.png")
    expect(page.locator("#prediction-reason")).to_contain_text(f"The file {expected['broken.png'].detail}")
    expect(page.locator("#stage .stage-message")).to_contain_text("no picture")
    (tmp_path / "none.png").touch()
    drop(page, [tmp_path / "none.png"])
    wait_until_scored(page, len(images) + 1)
    open_case(page, "none.png")
    expect(page.locator("#prediction-reason")).to_contain_text("The file is empty: 0 bytes")


TRACKPAD = """async (canvas, ways) => {
  await new Promise((resolve) => setTimeout(resolve, 500));  // a rest: what was scrolled before is forgotten
  for (const deltaY of ways) canvas.dispatchEvent(new WheelEvent("wheel", {deltaY, cancelable: true}));
}"""


def test_a_volume_is_scrolled(open_page, files, bundle):
    page = open_page()
    drop(page, [files / "head.nii.gz"])
    wait_until_scored(page, 1)
    answers = list(Predictor(bundle, threads=1).predict([files / "head.nii.gz"]))
    scored = [place for place, answer in enumerate(answers) if answer.status == "ok"]
    best = max(scored, key=lambda place: answers[place].probability)
    number = page.locator("#slice-number")
    expect(number).to_have_text(f"{best + 1} / {len(answers)}")
    expect(page.locator("#strip .strip-bar")).to_have_count(len(answers))
    page.locator("#slice-slider").fill("1")
    expect(page.locator("#slice-title")).to_have_text("Slice 1")
    level = {"tumor": "Above", "no_tumor": "Below"}.get(answers[0].decision)
    limit = bundle.thresholds["balanced"]
    expect(page.locator("#slice-decision")).to_have_text(f"{level} {limit:.3f}" if level else called(answers[0]))
    box = page.locator("#strip svg").bounding_box()
    page.mouse.click(box["x"] + box["width"] - 3, box["y"] + 10)
    expect(number).to_have_text(f"{len(answers)} / {len(answers)}")
    page.locator("#stage canvas").hover()
    page.mouse.wheel(0, -100)
    expect(number).to_have_text(f"{len(answers) - 1} / {len(answers)}")
    page.locator("#stage canvas").evaluate(TRACKPAD, [-8] * 20)
    expect(number).to_have_text(f"{len(answers) - 3} / {len(answers)}")
    page.locator("#stage canvas").evaluate(TRACKPAD, [-100, -40, 40, 39])  # turned round in between
    expect(number).to_have_text(f"{len(answers) - 4} / {len(answers)}")
    expect(page.locator("#live")).to_contain_text(f"Slice {len(answers) - 4} of {len(answers)}: ")
    page.keyboard.press("Home")
    expect(number).to_have_text(f"1 / {len(answers)}")
    page.get_by_role("button", name="Most suspicious", exact=True).click()
    expect(page.locator("#slice-probability")).to_have_text(f"{answers[best].probability:.3f}")
    page.locator("#suspicious button").nth(1).click()
    expect(number).not_to_have_text(f"{best + 1} / {len(answers)}")
