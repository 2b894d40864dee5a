"""How a prediction shows itself in a notebook: one piece of HTML that loads nothing, in which all text is escaped."""

from collections.abc import Mapping, Sequence
from html import escape

import numpy as np
import numpy.typing as npt
from PIL import Image

from brainsift.core.errors import BrainsiftError
from brainsift.images.data_uri import jpeg_uri
from brainsift.images.standard import Grey
from brainsift.inference.overlay import overlay
from brainsift.volumes.reader import read_slice

_SIDE = 224
_WIDTH, _HEIGHT = 640, 120  # of the graph, in units of its own
_NOTICE = "Research use only. Not a medical device."


def picture_html(path: str, tumor_map: npt.NDArray[np.float32] | None) -> str:
    """Returns an image as HTML, with the tumor map over it where there is one; "" where the image cannot be read."""
    try:
        grey: Grey = read_slice(path).grey()
    except (BrainsiftError, OSError):  # gone since it was scored, or never a file
        return ""
    if tumor_map is not None:
        picture = overlay(grey, tumor_map)
    else:
        picture = Image.fromarray((grey * np.float32(255 / max(int(grey.max()), 1))).astype(np.uint8))
    return f'<img src="{jpeg_uri(picture, side=_SIDE)}" alt="{_text(path)}" title="{_text(path)}">'


def graph_html(probabilities: Sequence[float | None], threshold: float) -> str:
    """Returns the probabilities of the slices of a volume as bars in SVG, with a line at the threshold.

    Args:
        probabilities: in the order of the slices; None leaves a gap.
        threshold: of the volume.
    """
    step = _WIDTH / max(len(probabilities), 1)
    bars = "".join(
        f'<rect x="{place * step:.2f}" y="{_HEIGHT * (1 - value):.2f}" width="{0.8 * step:.2f}" '
        f'height="{_HEIGHT * value:.2f}" fill="{"#c2410c" if value >= threshold else "#64748b"}"/>'
        for place, value in enumerate(probabilities)
        if value is not None
    )
    line = _HEIGHT * (1 - threshold)
    return (
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" width="{_WIDTH}" height="{_HEIGHT}" role="img" '
        f'aria-label="probability of tumor by slice; the line is the threshold {threshold:.3f}">{bars}'
        f'<line x1="0" x2="{_WIDTH}" y1="{line:.2f}" y2="{line:.2f}" stroke="#0f172a" stroke-dasharray="4 3"/></svg>'
    )


def result_html(pictures: Sequence[str], rows: Mapping[str, object]) -> str:
    """Returns pictures above a table of names and values, as HTML.

    Args:
        pictures: HTML of `picture_html` and `graph_html`; empty ones are left out.
        rows: the table; values that are empty or None are left out.
    """
    shown = {name: f"{value:.3f}" if isinstance(value, float) else value for name, value in rows.items()}
    cells = "".join(
        f'<tr><th style="text-align: left">{_text(name)}</th><td style="text-align: left">{_text(value)}</td></tr>'
        for name, value in shown.items()
        if value not in ("", None)
    )
    return f"<div>{''.join(pictures)}<table>{cells}</table><p><small>{_NOTICE}</small></p></div>"


def _text(value: object) -> str:
    return escape(str(value).encode("utf-8", "backslashreplace").decode())  # names of files may be no UTF-8
