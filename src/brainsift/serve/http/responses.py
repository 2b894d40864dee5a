"""Replies that browsers save as files."""

from datetime import datetime

from fastapi import Response


def attached(content: str | bytes, media_type: str, what: str) -> Response:
    """Returns a reply that a browser saves under a name of its own: with the local time, to the microsecond.

    Args:
        content: of the file.
        media_type: of the content.
        what: the end of the name, such as ``report.html``.
    """
    name = f"brainsift-{datetime.now():%Y-%m-%d-%H%M%S-%f}-{what}"
    return Response(content, media_type=media_type, headers={"content-disposition": f'attachment; filename="{name}"'})
