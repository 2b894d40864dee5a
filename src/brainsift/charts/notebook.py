"""How a result shows itself in a notebook: sentences, a chart and a table as one piece of HTML.

It loads nothing from elsewhere, and all text is escaped.
"""

from collections.abc import Sequence
from html import escape

from brainsift.charts.figure import Figure


def notebook_html(
    title: str, sentences: Sequence[str], figure: Figure | None, head: Sequence[str], rows: Sequence[Sequence[str]]
) -> str:
    """Returns what `_repr_html_` of a result returns.

    Args:
        title: above all.
        sentences: one paragraph each.
        figure: becomes part of the HTML itself; None for no chart.
        head: names of the table's columns.
        rows: the table; its first column is text, the others are numbers.
    """
    paragraphs = "".join(f"<p>{escape(one)}</p>" for one in sentences)
    chart = figure.standalone() if figure else ""
    cells = "".join(f"<tr>{''.join(f'<td>{escape(one)}</td>' for one in row)}</tr>" for row in rows)
    names = "".join(f"<th>{escape(one)}</th>" for one in head)
    return (
        f'<div style="max-width: 60rem"><h3>{escape(title)}</h3>{paragraphs}{chart}'
        f"<table><thead><tr>{names}</tr></thead><tbody>{cells}</tbody></table>"
        "<p><small>Research use only, not a medical device.</small></p></div>"
    )
