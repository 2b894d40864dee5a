"""The sections of a page: their headings, the list of contents, and the charts in them."""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from brainsift.charts.figure import Figure

Context = Mapping[str, object]
"""What a template shows, by the name it has there."""


class Section(NamedTuple):
    """One section of a page.

    Attributes:
        place: its id, which the list of contents points to.
        short: its name in the list of contents.
        heading: of the section.
        needs: what of the page's context has to be there for it to be shown; "" for one that is always shown.
    """

    place: str
    short: str
    heading: str
    needs: str = ""


class Tile(NamedTuple):
    """A large number with a label above and a few words below."""

    label: str
    value: str
    sub: str = ""
    leaky: bool = False


def headings(sections: Sequence[Section]) -> dict[str, str]:
    """Returns the headings by id."""
    return {section.place: section.heading for section in sections}


def contents(sections: Sequence[Section], context: Context) -> list[tuple[str, str]]:
    """Returns ids and short names of the sections that are shown."""
    return [(one.place, one.short) for one in sections if not one.needs or context[one.needs]]


def figures_of(shown: object) -> Iterator[Figure]:
    """Yields the charts of a context, at any depth."""
    if isinstance(shown, Figure):
        yield shown
    elif isinstance(shown, Mapping):
        for value in shown.values():
            yield from figures_of(value)
    elif isinstance(shown, list | tuple):
        for value in shown:
            yield from figures_of(value)
