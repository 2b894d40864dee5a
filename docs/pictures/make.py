"""Makes the pictures of docs/serve.md anew: drawn heads on the page, in a real Chromium, with the network that ships.

Usage:
    pip install -e '.[test]' && python docs/pictures/make.py
"""

import io
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import nibabel
import numpy as np
from PIL import Image
from playwright.sync_api import Browser, Page, expect, sync_playwright

from brainsift.images.phantom import draw

HERE = Path(__file__).parent
WIDE, NARROW = {"width": 1200, "height": 750}, {"width": 360, "height": 740}
TUMORS = (1, 2, 6, 7, 9)  # of ten images
SLICES, SIDE = 40, 192
GAP = 36  # pixels between the pictures of a phone


def main() -> None:
    """Draws, serves, photographs."""
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        files = _draw_files(Path(folder))
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        with _served(Path(folder) / "history") as url:
            page = _opened(browser, url, files)
            _open(page, "axial-01.png")
            _shoot(page, "page-case")
            page.get_by_role("button", name="Table only").click()
            page.get_by_role("button", name="Probability").click()
            _shoot(page, "page-table")
            _judge(page)
            _shoot(page, "page-history")
            page.get_by_role("link", name="About").click()
            expect(page.locator("#performance tbody tr").first).to_be_visible()
            _shoot(page, "page-about")
            dark = _opened(browser, url, files, color_scheme="dark")
            _open(dark, "head.nii.gz")
            dark.get_by_role("button", name="Most suspicious").click()
            _shoot(dark, "page-volume-dark")
            _shoot_phone(_opened(browser, url, files, viewport=NARROW, is_mobile=True, has_touch=True))


def _draw_files(folder: Path) -> list[Path]:
    (folder / "visit 1").mkdir()
    for number in range(1, 11):
        pixels = draw(number, tumor=number in TUMORS, size=2 * SIDE).pixels
        Image.fromarray(pixels).save(folder / "visit 1" / f"axial-{number:02d}.png")
    (folder / "broken.png").write_bytes(b"\x89PNG not really")
    y, x = np.mgrid[:240, :320]
    photo = np.stack([128 + 127 * np.sin(x / 30), 128 + 127 * np.cos(y / 25), (x + y) % 255], axis=2)
    Image.fromarray(photo.astype(np.uint8)).save(folder / "holiday.png")
    for name, seed, with_tumor in (("control", 3, range(0)), ("head", 8, range(17, 28))):
        turned = _stack(seed, with_tumor)[:, ::-1, ::-1].transpose(2, 1, 0)
        nibabel.Nifti1Image(turned.astype(np.int16), np.diag([1.0, 1.0, 4.0, 1.0])).to_filename(
            folder / f"{name}.nii.gz"
        )
    return [folder / "visit 1", *(folder / name for name in ("broken.png", "holiday.png"))] + [
        folder / f"{name}.nii.gz" for name in ("control", "head")
    ]


def _stack(seed: int, with_tumor: range) -> np.ndarray:
    """(SLICES, SIDE, SIDE) uint8: a head, smaller towards its ends."""
    ill, well = (draw(seed, tumor=tumor, size=SIDE).pixels for tumor in (True, False))
    slices = []
    for place in range(SLICES):
        side = max(8, round(SIDE * np.sqrt(1 - ((place - SLICES / 2) / (SLICES / 2 + 1)) ** 2)))
        canvas = Image.new("L", (SIDE, SIDE))
        head = Image.fromarray(ill if place in with_tumor else well).resize((side, side))
        canvas.paste(head, ((SIDE - side) // 2,) * 2)
        slices.append(np.asarray(canvas))
    return np.stack(slices)


@contextmanager
def _served(history: Path) -> Iterator[str]:
    command = [sys.executable, "-u", "-m", "brainsift", "serve", "--no-browser", "--port", "0"]
    command += ["--keep", str(history), "--keep-images"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        try:
            yield next(match[0] for line in process.stdout or () if (match := re.search(r"http://\S+", line)))
        finally:
            process.terminate()


def _opened(browser: Browser, url: str, files: list[Path], **options: object) -> Page:
    page = browser.new_page(**{"viewport": WIDE, **options})  # type: ignore[arg-type]
    page.goto(url)
    expect(page.locator("body[data-ready=true]")).to_be_attached()
    for picker, given, count in (("#pick-folder", files[0], 10), ("#pick-files", files[1:], 14)):
        page.set_input_files(picker, given)
        expect(page.locator("#case-rows tr")).to_have_count(count, timeout=60_000)
        expect(page.locator("body")).to_have_attribute("data-busy", "false", timeout=60_000)
    return page


def _open(page: Page, name: str) -> None:
    page.locator("#case-rows tr").filter(has_text=name).get_by_role("button").click()
    expect(page.locator("#case-title")).to_have_text(name)


def _judge(page: Page) -> None:
    page.get_by_role("link", name="History").click()
    for name, verdict, note in (
        ("axial-09.png", "Tumor", ""),
        ("holiday.png", "Not a brain MRI", ""),
        ("control.nii.gz", "Unsure", ""),
        ("head.nii.gz", "Tumor", "Seen on eleven slices."),
    ):
        page.locator("#history-rows tr").filter(has_text=name).get_by_role("button").first.click()
        expect(page.locator("#case-title")).to_have_text(name)
        page.locator("#case-verdict label", has_text=re.compile(f"^{verdict}$")).first.click()
        if note:
            page.locator("#case-verdict textarea").first.fill(note)
            page.locator("#case-verdict textarea").first.blur()
        expect(page.locator("#case-verdict .save-state").first).to_have_text("Saved")
    page.get_by_role("button", name="Most suspicious").click()
    page.locator("#prediction").scroll_into_view_if_needed()


def _shoot(page: Page, name: str) -> None:
    page.wait_for_timeout(600)  # transitions
    page.screenshot(path=HERE / f"{name}.jpg", quality=85)


def _shoot_phone(page: Page) -> None:
    """List, volume and threshold side by side."""
    shots: list[bytes] = []

    def shoot() -> None:
        page.wait_for_timeout(600)
        shots.append(page.screenshot())

    shoot()
    _open(page, "head.nii.gz")
    page.get_by_role("button", name="Most suspicious").tap()
    shoot()
    page.get_by_role("button", name="Back to the list").tap()
    page.locator(".threshold summary").tap()
    page.evaluate("scrollTo(0, 0)")
    shoot()
    row = Image.new("RGB", (3 * NARROW["width"] + 2 * GAP, NARROW["height"]), (203, 210, 217))
    for place, shot in enumerate(shots):
        row.paste(Image.open(io.BytesIO(shot)), (place * (NARROW["width"] + GAP), 0))
    row.save(HERE / "page-phone.jpg", quality=85)


if __name__ == "__main__":
    main()
