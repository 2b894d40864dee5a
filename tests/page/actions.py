"""What the tests do on the page: drop files, wait, open a case, read the canvas."""

import base64
import re
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import expect

WORDS = {
    "tumor": "Tumor",
    "no_tumor": "No tumor",
    "refer": "Refer",
    "not_brain_mri": "Not a brain MRI",
    "unreadable": "Unreadable",
}
PHONE = {"viewport": {"width": 360, "height": 740}, "is_mobile": True, "has_touch": True}
SHADES = """canvas => {
  const copy = new OffscreenCanvas(canvas.width, canvas.height).getContext('2d', {willReadFrequently: true});
  copy.drawImage(canvas, 0, 0);
  const {data} = copy.getImageData(0, 0, canvas.width, canvas.height);
  let colored = 0, bright = 0;
  for (let i = 0; i < data.length; i += 4) { colored += data[i] - data[i + 2] > 25; bright += data[i + 2] > 40; }
  return {colored, bright};
}"""
DROP = """(files) => {
  const transfer = new DataTransfer();
  for (const {name, content} of files) {
    transfer.items.add(new File([Uint8Array.from(atob(content), c => c.charCodeAt(0))], name));
  }
  for (const type of ['dragenter', 'dragover', 'drop']) {
    document.body.dispatchEvent(new DragEvent(type, {dataTransfer: transfer, bubbles: true, cancelable: true}));
  }
}"""


def called(answer):
    """What the page calls a prediction: its decision, or its status where it was not scored."""
    return WORDS[answer.decision if answer.status == "ok" else answer.status]


def drop(page, paths):
    """Drops files on the page, as the mouse does."""
    contents = [{"name": path.name, "content": base64.b64encode(path.read_bytes()).decode()} for path in paths]
    page.evaluate(DROP, contents)


def drag(page, *paths):
    """Drags files or folders from outside onto the page, as the system does."""
    session = page.context.new_cdp_session(page)
    data = {"items": [], "files": [str(path) for path in paths], "dragOperationsMask": 1}
    for kind in ("dragEnter", "dragOver", "drop"):
        session.send("Input.dispatchDragEvent", {"type": kind, "x": 300, "y": 300, "data": data})


def wait_until_scored(page, count):
    """Waits until all is scored and listed; of the rows, only those in view are in the document."""
    expect(page.locator("#case-table")).to_have_attribute("aria-rowcount", str(count + 1))
    expect(page.locator("body")).to_have_attribute("data-busy", "false")


def natural_key(name):
    """A key: numbers in names sort as numbers."""
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", name)]


def row(page, name):
    return page.locator("#case-rows tr").filter(has_text=name)


def open_case(page, name):
    row(page, name).get_by_role("button").click()
    expect(page.locator("#case-title")).to_have_text(name)


def read_shades(page):
    return page.locator("#stage canvas").evaluate(SHADES)


def wait_until(page, happens):
    """Waits for what no locator sees: pixels of the canvas."""
    for _ in range(3000):
        if happens():
            return
        page.evaluate("() => new Promise(requestAnimationFrame)")
    raise AssertionError("did not happen")


def read_counts(page):
    """Of the filter's buttons: label to number."""
    labels = page.locator("#filters button").all_text_contents()
    return {match[1]: int(match[2]) for text in labels if (match := re.match(r"\s*(.+?)\s+(\d+)$", text))}


def download(page, button):
    page.locator("#export summary").click()
    with page.expect_download() as saved:
        page.click(button)
    return Path(saved.value.path()).read_text(encoding="utf-8")


@contextmanager
def hold_back(page, pattern, go_on=lambda route: route.continue_()):
    """Holds back what the page asks for; gives what lets go of all that was asked for so far, and tells of how many."""
    routes = []

    def hold(route):
        routes.append(route)

    def let_go():
        count = len(routes)
        while routes:
            go_on(routes.pop())
        return count

    page.route(pattern, hold)
    yield let_go
    page.unroute(pattern)
    let_go()
