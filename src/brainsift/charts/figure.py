"""A chart with its name: inline SVG for a page that is light, dark or printed, and the same as a file of its own.

Text, axes and series take their colours from the page (`currentColor` and the variables ``--grid``, ``--c1`` to
``--c6``). The series follow Okabe & Ito's palette for colour-blind readers.
"""

import hashlib
import io
import re
from dataclasses import dataclass, replace
from html import escape
from pathlib import Path

from matplotlib import rc_context
from matplotlib.colors import to_hex
from matplotlib.figure import Figure as Drawing

from brainsift.core.files import write_text

# Matplotlib draws with these; the page's colours take their place in the SVG.
INK, GRID = "#010203", "#040506"
SERIES = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")


@dataclass(frozen=True)
class Figure:
    """A chart.

    Attributes:
        name: what it shows, such as "ROC curves"; screen readers read it aloud.
        svg: the drawing, which takes its colours from the page around it.
        heading: of the section of a page that it belongs to.
        leaky: whether it shows figures of a split that lets copies of test images into the training set.
    """

    name: str
    svg: str
    heading: str = ""
    leaky: bool = False

    def under(self, heading: str, *, leaky: bool = False) -> "Figure":
        """Returns the chart as part of a section with this heading."""
        return replace(self, heading=heading, leaky=leaky)

    @property
    def file_name(self) -> str:
        """Name of its own file, from the heading and its name; it says "leaky" where that holds.

        >>> Figure("ROC curves", "<svg/>").under("Curves, random split", leaky=True).file_name
        'curves-random-split-leaky-roc-curves.svg'
        """
        words = f"{self.heading}{' leaky' * self.leaky} {self.name}"
        return re.sub(r"\W+", "-", words).strip("-").lower() + ".svg"

    def standalone(self) -> str:
        """Returns the SVG as a file of its own: black on white, and nothing taken from a page."""
        drawn = self.svg.replace("currentColor", "#000000").replace("var(--grid)", "#dddddd")
        for number, colour in enumerate(SERIES, start=1):
            drawn = drawn.replace(f"var(--c{number})", to_hex(colour))
        own = r'xmlns="http://www.w3.org/2000/svg" style="background: #ffffff" width="\1"'
        return re.sub(r'style="--width: (\d+)px"', own, drawn, count=1) + "\n"

    def write(self, folder: Path) -> Path:
        """Writes it into a file of its own, for a manuscript or a slide, and returns the path."""
        path = folder / self.file_name
        write_text(path, self.standalone())
        return path

    def _repr_html_(self) -> str:
        """Shows it in a notebook."""
        return self.standalone()


def from_drawing(drawing: Drawing, name: str) -> Figure:
    """Turns a drawing of matplotlib into a figure, without what would name the machine or the day.

    Its ids are its own, so that several figures can be on one page.
    """
    buffer = io.StringIO()
    with rc_context({"svg.hashsalt": name}):
        drawing.savefig(
            buffer, format="svg", transparent=True, bbox_inches="tight", pad_inches=0.05, metadata={"Date": None}
        )
    drawn = buffer.getvalue()
    drawn = drawn[drawn.index("<svg") :]
    drawn = re.sub(r"<metadata>.*?</metadata>|<!--.*?-->|<style.*?</style>", "", drawn, flags=re.DOTALL)
    drawn = re.sub(r'<g id="[^"]*"', "<g", drawn)
    drawn = drawn.replace(INK, "currentColor").replace(GRID, "var(--grid)")
    for number, colour in enumerate(SERIES, start=1):
        drawn = drawn.replace(to_hex(colour), f"var(--c{number})")
    drawn = re.sub(r"(font: (?:\d+ )?[\d.]+px|font-family:) [^;\"]+", r"\1 system-ui, sans-serif", drawn)
    drawn = re.sub(r' xmlns(:xlink)?="[^"]*"| version="1.1"|<defs>\s*</defs>', "", drawn).replace("xlink:href", "href")
    drawn = re.sub(r' transform="rotate\(-0 [^"]*"', "", drawn)
    prefix = f"f{hashlib.sha256(drawn.encode()).hexdigest()[:8]}-"
    drawn = re.sub(r'id="([^"]+)"', rf'id="{prefix}\1"', drawn)
    drawn = re.sub(r'(href="#|url\(#)', rf"\g<1>{prefix}", drawn)
    width = re.search(r'<svg[^>]*? width="([\d.]+)pt"', drawn)
    for side in ("width", "height"):
        drawn = re.sub(rf'(<svg[^>]*?) (?:{side}="[\d.]+pt")', r"\1", drawn, count=1)
    size = f"{float(width.group(1)) * 96 / 72:.0f}" if width else "440"
    head = f'<svg role="img" aria-label="{escape(name)}" style="--width: {size}px"'
    return Figure(name, re.sub(r"\s*\n\s*", "\n", drawn.replace("<svg", head, 1)).strip())
