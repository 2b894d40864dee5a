"""Replies that are no JSON, and what routes say of them."""

from datetime import datetime
from typing import Any

from fastapi import Response

OpenApi = dict[int | str, dict[str, Any]]
"""What a route says of its replies, by status."""


def content_of(media_type: str) -> OpenApi:
    """Returns what a route says of a reply of this type."""
    return {200: {"content": {media_type: {}}}}


def answers(media_type: str) -> dict[str, Any]:
    """Returns the arguments of a route whose reply is of this type."""
    return {"response_class": Response, "responses": content_of(media_type)}


def attached(content: str | bytes, media_type: str, what: str) -> Response:
    """Returns a reply that a browser saves under a name of its own: with the local time, to the microsecond.

    Args:
        content: of the file.
        media_type: of the content.
        what: the end of the name, such as ``report.html``.
    """
    name = f"brainsift-{datetime.now():%Y-%m-%d-%H%M%S-%f}-{what}"
    return Response(content, media_type=media_type, headers={"content-disposition": f'attachment; filename="{name}"'})
