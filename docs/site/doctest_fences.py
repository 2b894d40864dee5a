"""Puts each doctest of a docstring into a code block; Markdown would read `>>>` as a quotation."""

import re

import griffe


class DoctestFences(griffe.Extension):
    """Rewrites the docstring of each object that the site shows."""

    def on_object(self, *, obj: griffe.Object, **kwargs: object) -> None:
        """Rewrites one docstring."""
        if obj.docstring:
            obj.docstring.value = re.sub(r"(?m)(^>>> .*(?:\n(?!\s*$).*)*)", r"```pycon\n\1\n```", obj.docstring.value)
