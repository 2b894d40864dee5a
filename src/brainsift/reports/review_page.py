"""Doubtful labels -> what their page shows."""

from pathlib import Path

import pandas as pd

from brainsift.core.labels import CLASS_NAMES, class_in_words
from brainsift.core.text import counted, shown, words
from brainsift.evaluation.doubtful_labels import DoubtfulLabels
from brainsift.reports.galleries import Picture, picture
from brainsift.reports.sections import Context, Section, Tile, contents, headings

_GROUPS = 100  # a page with more pictures is slow to open
_PER_GROUP = 4
SECTIONS = (
    Section("found", "What was found", "What was found"),
    Section("sources", "By collection", "By collection", "rows"),
    Section("images", "The images", "The images", "sheets"),
    Section("next", "What to do", "What to do", "sheets"),
)


def review_page(found: DoubtfulLabels, verdicts: Path) -> Context:
    """Returns the variables of the template.

    Args:
        found: the doubtful labels.
        verdicts: the CSV file beside the page.
    """
    table = found.table
    n_groups = table["group"].nunique()
    context: Context = {
        "headings": headings(SECTIONS),
        "tiles": [
            Tile("images scored", str(found.n), counted(found.n_groups, "group")),
            Tile("doubtful labels", str(len(table)), counted(n_groups, "group")),
            *(
                Tile(f"certainty for {words(name)}", shown(found.confidence[name]), "mean of its images")
                for name in CLASS_NAMES
            ),
        ],
        "n_leaked": found.n_leaked,
        "rows": [
            (str(source), len(rows), int((rows["label"] == 1).sum()), int((rows["label"] == 0).sum()))
            for source, rows in table.groupby("source")
        ],
        "sheets": [_sheet(rows) for _, rows in list(table.groupby("group", sort=False))[:_GROUPS]],
        "n_more": max(n_groups - _GROUPS, 0),
        "verdicts": verdicts,
    }
    return {**context, "contents": contents(SECTIONS, context)}


def _sheet(rows: pd.DataFrame) -> tuple[str, str, list[Picture]]:
    """Returns heading, note and pictures of the doubtful images of one group."""
    first = rows.iloc[0]
    pictures = [
        picture(
            row.path,
            row.channel,
            caption=f"{class_in_words(row.label)}, predicted {shown(row.probability)}",
            kind=CLASS_NAMES[int(row.label)],
        )
        for row in rows.head(_PER_GROUP).itertuples()
    ]
    notes = [f"{counted(len(rows), 'doubtful image')} of this group"] if len(rows) > _PER_GROUP else []
    if rows["conflict"].any():
        notes.append("another image of this group carries the other label")
    place = " ".join(filter(None, [first["source"], first["contrast"]]))
    return place, "; ".join(notes), pictures
