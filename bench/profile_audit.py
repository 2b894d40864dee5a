"""Where does the time of an audit go? Processor seconds of each stage on the real images, on one thread.

Usage:
    BRAINSIFT_DATA=../shared/data OMP_NUM_THREADS=1 python bench/profile_audit.py
"""

import tempfile
import time
from pathlib import Path

START = time.process_time()  # before the imports, which are a stage of their own

import cv2  # noqa: E402
from real_images import collections  # noqa: E402

from brainsift.auditing.audit import AuditConfig, audit  # noqa: E402
from brainsift.auditing.index import scan  # noqa: E402
from brainsift.auditing.near_duplicates import NeighbourConfig, Views, candidates, near_duplicates  # noqa: E402
from brainsift.auditing.shortcuts import probe  # noqa: E402
from brainsift.core.text import markdown_table  # noqa: E402
from brainsift.datasets.catalog import collect  # noqa: E402
from brainsift.reports.write import write_audit_report  # noqa: E402


def main() -> None:
    cv2.setNumThreads(1)
    clock = _Clock()
    clock.stop("imports")
    table = collect(collections())
    clock.stop("listing")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _, sketches = scan(table, folder / "scan.sqlite")
        clock.stop("reading")
        views = Views(sketches.frame, sketches.head, sketches.box)
        near_duplicates(views)
        clock.stop("near-duplicates")
        candidates(views, NeighbourConfig())
        clock.stop("of which looking candidates up")
        result = audit(table, AuditConfig(probes=False, workers=1), cache=folder)  # what was scanned stays known
        clock.skip()
        labelled = result.manifest[result.manifest["status"] == "ok"]
        probe(labelled, sketches.frames_of(labelled))
        clock.stop("probes")
        result.write(folder)
        write_audit_report(result, folder / "report.html")
        clock.stop("tables and page")
    total = sum(seconds for stage, seconds in clock.seconds.items() if not stage.startswith("of which"))
    rows = [(stage, f"{seconds:.1f}") for stage, seconds in (*clock.seconds.items(), ("all", total))]
    print(markdown_table(("stage", "processor seconds"), rows))


class _Clock:
    """Processor seconds of each stage."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._last = START

    def stop(self, stage: str) -> None:
        self.seconds[stage] = time.process_time() - self._last
        self.skip()

    def skip(self) -> None:
        self._last = time.process_time()


if __name__ == "__main__":
    main()
