"""Makes the pictures of docs/how-to/beside-orthanc.md anew: a drawn series and its results in a real Orthanc.

Needs root on Linux, Orthanc with its web viewer (`apt-get install orthanc orthanc-dicomweb orthanc-webviewer`), DCMTK
and Chromium: it runs in a network namespace of its own.

Usage:
    pip install -e '.[test,dicom]' && python docs/pictures/orthanc.py
"""

import io
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import Page, sync_playwright

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.node.conftest import (
    free_port,
    journal_of,
    loopback_only,
    node_settings,
    orthanc,
    running_node,
    send,
    until,
    write_series,
)

HERE = Path(__file__).parent
PLUGINS = [f"/usr/share/orthanc/plugins/libOrthanc{name}.so" for name in ("DicomWeb", "WebViewer")]
WIDE, HIGH = {"width": 1200, "height": 780}, {"width": 600, "height": 760}
PATIENT = {
    "PatientName": "PHANTOM^DRAWN",
    "PatientID": "PHANTOM-1",
    "PatientBirthDate": "",
    "AccessionNumber": "",
    "StudyID": "1",
    "ReferringPhysicianName": "",
    "StudyDescription": "Drawn head",
}


def main() -> None:
    """Draws a series, has a node score it, and photographs what the archive shows."""
    with loopback_only(), tempfile.TemporaryDirectory() as name, sync_playwright() as playwright:
        folder, port = Path(name), free_port()
        with orthanc(folder / "orthanc", port, Plugins=PLUGINS) as archive:
            config = node_settings(folder / "n", port=port, target=archive.port)
            files = write_series(folder / "in", count=9, side=256, seed=2, patient=PATIENT)
            send(archive.port, *files, called="ORTHANC")
            with running_node(config):
                send(port, *files)
                until(lambda: journal_of(config).counts() == {"delivered": 1}, seconds=120)
            browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
            url = f"http://127.0.0.1:{archive.web_port}"
            page = browser.new_page(viewport=WIDE)
            (study,) = archive.get("/studies")
            page.goto(f"{url}/app/explorer.html#study?uuid={study}")
            page.wait_for_timeout(2000)
            page.screenshot(path=HERE / "orthanc-study.jpg", quality=85)
            shots = [_viewed(browser.new_page(viewport=HIGH), url, archive, one) for one in ("MR", "SEG", "OT")]
    row = Image.new("RGB", (3 * HIGH["width"], HIGH["height"]))
    for place, shot in enumerate(shots):
        row.paste(Image.open(io.BytesIO(shot)), (place * HIGH["width"], 0))
    row.save(HERE / "orthanc-results.jpg", quality=85)


def _viewed(page: Page, url: str, archive: Any, modality: str) -> bytes:
    """Returns the first image of the series of a modality, as the web viewer shows it."""
    (series,) = [one["ID"] for one in archive.get("/series?expand") if one["MainDicomTags"]["Modality"] == modality]
    page.goto(f"{url}/web-viewer/app/viewer.html?series={series}")
    page.wait_for_timeout(3000)
    return page.screenshot()


if __name__ == "__main__":
    main()
