"""What NiiVue takes to start and to show a volume in Chromium, behind the content policy of the page.

Each load is a new page with an empty cache. With and without WebGL, as on a remote desktop. The table of
docs/design.md has the figures.

Usage:
    npm pack @niivue/niivue@0.69.0 && tar xf niivue-niivue-0.69.0.tgz
    python bench/niivue.py package/dist/niivue.umd.js [--loads 5]
"""

import argparse
import gzip
import shutil
import tempfile
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
from playwright.sync_api import sync_playwright

from brainsift.core.text import markdown_table
from brainsift.images.phantom import draw

SIDE, SLICES = 192, 60
POLICY = "default-src 'self'; img-src 'self' blob: data:; style-src 'self'; script-src 'self'; object-src 'none'"
CHROMIUM = {
    "software WebGL": ["--no-sandbox"],
    "no WebGL": ["--no-sandbox", "--disable-gpu", "--disable-software-rasterizer"],
}
PAGE = (
    '<!doctype html><html lang="en"><title>NiiVue</title><canvas id="gl" width="800" height="600"></canvas>'
    '<script src="niivue.umd.js"></script><script type="module" src="run.js"></script>'
)
RUN = """
try {
  const start = performance.now();
  const view = new window.niivue.Niivue();
  await view.attachToCanvas(document.getElementById("gl"));
  const attached = performance.now();
  await view.loadVolumes([{ url: "head.nii.gz" }]);
  view.drawScene();
  window.result = { start: attached - start, volume: performance.now() - attached };
} catch (error) {
  window.result = { error: String(error) };
}
"""


class _Guarded(SimpleHTTPRequestHandler):
    """Serves files with the content policy."""

    def end_headers(self) -> None:
        self.send_header("content-security-policy", POLICY)
        self.send_header("cache-control", "no-store")
        super().end_headers()

    def log_message(self, *_: object) -> None:
        """Says nothing."""


def main() -> None:
    """Measures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("script", type=Path, help="niivue.umd.js of the package")
    parser.add_argument("--loads", type=int, default=5)
    arguments = parser.parse_args()
    content = arguments.script.read_bytes()
    print(f"niivue.umd.js: {len(content) / 1000:.0f} KB, {len(gzip.compress(content)) / 1000:.0f} KB by gzip\n")
    with tempfile.TemporaryDirectory() as folder:
        _write_site(Path(folder), content)
        with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Guarded, directory=folder)) as server:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            rows = _measure(f"http://127.0.0.1:{server.server_port}/", arguments.loads)
            server.shutdown()
    print(markdown_table(("Chromium with", "canvas and shaders, ms", "then the volume, ms"), rows))


def _write_site(folder: Path, script: bytes) -> None:
    head = draw(12, tumor=True, size=SIDE).pixels
    stack = np.repeat(head[::-1, ::-1].T[..., None], SLICES, axis=2).astype(np.int16)
    nibabel.Nifti1Image(stack, np.diag([1.0, 1.0, 3.0, 1.0])).to_filename(folder / "head.nii.gz")
    (folder / "niivue.umd.js").write_bytes(script)
    (folder / "index.html").write_text(PAGE)
    (folder / "run.js").write_text(RUN)


def _measure(url: str, loads: int) -> list[tuple[str, str, str]]:
    rows = []
    with sync_playwright() as playwright:
        for name, flags in CHROMIUM.items():
            browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=flags)
            found: list[dict[str, Any]] = []
            for _ in range(loads):
                page = browser.new_page()
                page.goto(url)
                page.wait_for_function("() => window.result", timeout=120_000)
                found.append(page.evaluate("() => window.result"))
                page.close()
            browser.close()
            if errors := {one["error"] for one in found if "error" in one}:
                rows.append((name, "; ".join(errors), "–"))
            else:
                rows.append((name, _range([one["start"] for one in found]), _range([one["volume"] for one in found])))
    return rows


def _range(times: list[float]) -> str:
    return f"{min(times):.0f} to {max(times):.0f}"


if __name__ == "__main__":
    main()
