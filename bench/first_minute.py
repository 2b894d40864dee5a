"""What does a new user reach in the first minute without help, and how fast is the page for him?

A browser that was never on the page, and a server that just started. Every step uses only what can be seen: a button by
its words, the picture, the wheel. A step that does not lead to what it should ends the run. The second table has how
long it takes from choosing a file to the first picture and the first result, how fast a volume scrolls, and what the
browser loads. All files are drawn.

Usage:
    python bench/first_minute.py
"""

import re
import shutil
import tempfile
import time
from pathlib import Path

import nibabel
import numpy as np
from PIL import Image
from playwright.sync_api import CDPSession, Page, expect, sync_playwright
from processes import serving

from brainsift.core.text import markdown_table
from brainsift.images.phantom import draw

SIDE, SLICES = 192, 60
TURNS = 50  # of the wheel
CANVAS = """() => {
  const canvas = document.querySelector('#stage canvas');
  if (!canvas?.checkVisibility()) return false;
  const copy = new OffscreenCanvas(canvas.width, canvas.height).getContext('2d');
  copy.drawImage(canvas, 0, 0);
  return copy.getImageData(0, 0, canvas.width, canvas.height).data.some((value, place) => place % 4 < 3 && value > 60);
}"""
PREVIEW = """() => {
  const image = document.getElementById('preview-image');
  return image.checkVisibility() && image.naturalWidth > 0;
}"""
SCROLL = """async (turns) => {
  const canvas = document.querySelector('#stage canvas');
  const number = document.getElementById('slice-number');
  let slices = 0;
  new MutationObserver(() => { slices += 1; }).observe(number, {childList: true, characterData: true, subtree: true});
  const start = performance.now();
  for (let turn = 0; turn < turns; turn += 1) {
    canvas.dispatchEvent(new WheelEvent('wheel', {deltaY: 100, bubbles: true, cancelable: true}));
    await new Promise(requestAnimationFrame);
  }
  return {slices, seconds: (performance.now() - start) / 1000};
}"""


def main() -> None:
    """Goes through the first minute, and prints both tables."""
    with tempfile.TemporaryDirectory() as folder, serving() as server, sync_playwright() as playwright:
        image, volume = _draw(Path(folder))
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1440, "height": 900}, accept_downloads=True)
        page.set_default_timeout(60_000)
        visit = _Visit(page)
        visit.read(server.url)
        visit.choose("Choose files", image, picture=CANVAS)
        visit.choose("Add files", volume, picture=PREVIEW)
        visit.look()
        visit.scroll()
        browser.close()
    print(markdown_table(("seconds since the page was opened", "what a new user did", "what he then saw"), visit.steps))
    print()
    print(markdown_table(("measure", "value"), visit.measures))


def _draw(folder: Path) -> tuple[Path, Path]:
    """Draws an image and a volume with a tumor in its middle."""
    image, volume = folder / "slice.png", folder / "head.nii.gz"
    Image.fromarray(draw(12, tumor=True, size=384).pixels).save(image)
    ill, well = (draw(8, tumor=tumor, size=SIDE).pixels for tumor in (True, False))
    stack = np.stack([ill if 20 <= place < 35 else well for place in range(SLICES)])
    turned = stack[:, ::-1, ::-1].transpose(2, 1, 0).astype(np.int16)
    nibabel.Nifti1Image(turned, np.diag([1.0, 1.0, 3.0, 1.0])).to_filename(volume)
    return image, volume


class _Visit:
    """What was done, and what was measured."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.start = time.monotonic()
        self.steps: list[tuple[str, str, str]] = []
        self.measures: list[tuple[str, str]] = []

    def step(self, did: str, saw: str) -> None:
        self.steps.append((f"{time.monotonic() - self.start:.1f}", did, saw))

    def read(self, url: str) -> None:
        """Opens the page, and reads what it is for."""
        session, loaded = self.page.context.new_cdp_session(self.page), []
        session.send("Network.enable")
        session.on("Network.loadingFinished", lambda event: loaded.append(event["encodedDataLength"]))
        self.page.goto(url)
        question = self.page.get_by_role("heading", name="Is there a tumor on this slice?")
        expect(question).to_be_visible()
        expect(self.page.get_by_text("Drop images, a DICOM series, a NIfTI volume")).to_be_visible()
        expect(self.page.locator("body[data-ready=true]")).to_be_attached()
        self.measures.append(("from the address to a page that is ready", f"{time.monotonic() - self.start:.2f} s"))
        self.measures.append(("loaded, in files", f"{sum(loaded) / 1000:.0f} KB, {len(loaded)}"))
        self.step("opened the address", f"“{question.inner_text()}”, what to drop, and that nothing leaves the machine")

    def choose(self, button: str, path: Path, *, picture: str) -> None:
        """Picks a file, and waits for its picture, which a script finds on the page, and for its result."""
        with self.page.expect_file_chooser() as chooser:
            self.page.get_by_role("button", name=button).first.click()
        before = time.monotonic()
        chooser.value.set_files(path)
        self.page.wait_for_function(picture)
        first_picture = time.monotonic() - before
        row = self.page.locator("#case-rows tr").filter(has_text=path.name)
        expect(row).to_be_visible()
        first_result = time.monotonic() - before
        kind = "an image" if path.suffix == ".png" else f"a volume of {SLICES} slices"
        self.measures.append((f"from choosing {kind} to its picture", f"{first_picture:.2f} s"))
        self.measures.append((f"from choosing {kind} to its result", f"{first_result:.2f} s"))
        expect(self.page.locator("#case-title")).to_have_text(path.name)
        decision = self.page.locator("#prediction-decision").inner_text().strip()
        number = self.page.locator("#prediction-number").inner_text()
        self.step(f"pressed *{button}*, chose `{path.name}`", f"the picture with the map, *{decision}*, {number}")

    def look(self) -> None:
        """Uses the buttons that stand beside the picture."""
        page = self.page
        page.get_by_role("button", name="Most suspicious").click()
        self.step("pressed *Most suspicious*", f"slice {page.locator('#slice-number').inner_text()}")
        page.get_by_role("button", name="Other planes").click()
        words = page.locator(".pane-words").first
        expect(words).to_contain_text("not scored")
        self.step("pressed the button *Other planes*", f"three planes with a crosshair; “{words.inner_text()}”")
        page.get_by_role("button", name="Other planes").click()
        value = page.locator("#threshold-value").inner_text()
        page.locator("#threshold-names label", has_text="Screening").click()
        expect(page.locator("#threshold-value")).not_to_have_text(value)
        self.step("chose *Screening*", f"threshold {page.locator('#threshold-value').inner_text()}, list decided anew")
        page.locator("#export summary").click()
        with page.expect_download() as saved:
            page.get_by_role("button", name="Report with pictures").click()
        size = Path(saved.value.path()).stat().st_size
        self.step("pressed *Export*, *Report with pictures*", f"a file of {size / 1000:.0f} KB")

    def scroll(self) -> None:
        """Turns the wheel over the picture, once per frame."""
        session = self.page.context.new_cdp_session(self.page)
        session.send("Performance.enable", {"timeDomain": "threadTicks"})
        self.page.locator("#slice-slider").fill("1")
        before = _main_thread_s(session)
        found = self.page.evaluate(SCROLL, TURNS)
        busy = 1000 * (_main_thread_s(session) - before) / found["slices"]
        assert re.match(r"\d+ / 60", self.page.locator("#slice-number").inner_text())
        self.step("turned the wheel over the picture", f"{found['slices']} slices go by")
        self.measures.append(("slices per second while scrolling", f"{found['slices'] / found['seconds']:.0f}"))
        self.measures.append(("processor time of the page's main thread per slice", f"{busy:.1f} ms"))


def _main_thread_s(session: CDPSession) -> float:
    metrics = session.send("Performance.getMetrics")["metrics"]
    return next(float(one["value"]) for one in metrics if one["name"] == "TaskDuration")


if __name__ == "__main__":
    main()
