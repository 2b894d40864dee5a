"""Pictures as data URIs, inside a page or a notebook."""

import base64
import io

from PIL import Image


def jpeg_uri(image: Image.Image, *, side: int = 128, quality: int = 82) -> str:
    """Encodes a picture as a JPEG data URI; the longer side is shrunk to ``side`` pixels, smaller pictures stay."""
    image = image.copy()
    image.thumbnail((side, side), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    image.save(buffer, format="JPEG", quality=quality, optimize=True)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"
