"""From a file to what a network sees, the same for training, prediction and every picture in a report."""

from pathlib import Path

import numpy as np
import numpy.typing as npt

from brainsift.core.errors import UsageError
from brainsift.core.warned import collected_warnings
from brainsift.images import standard
from brainsift.images.decode import DecodedImage, decode

PREPROCESSINGS = ("standard", "baseline")


def preprocess(
    source: str | Path | bytes, *, channel: str = "", preprocessing: str = "standard", size: int = 128
) -> npt.NDArray[np.uint8]:
    """Decodes one image and preprocesses it.

    Args:
        source: path, or the content of a file.
        channel: "R", "G" or "B" where one colour channel is an image of its own.
        preprocessing: "standard" (`standard.standard`) or "baseline" (`baseline.baseline`).
        size: side of the square result, pixels.

    Returns:
        uint8 (size, size) for "standard", (size, size, 3) for "baseline".

    Raises:
        UsageError: no such preprocessing.
        UnreadableImageError, ImageSizeError: the file cannot be used.
    """
    if preprocessing not in PREPROCESSINGS:
        raise UsageError("preprocessing", f"must be one of {PREPROCESSINGS}, not {preprocessing!r}", "Choose one.")
    with collected_warnings():  # the audit of the images has told of them
        decoded = decode(source)
    return preprocess_decoded(decoded, channel=channel, preprocessing=preprocessing, size=size)


def preprocess_decoded(
    decoded: DecodedImage, *, channel: str = "", preprocessing: str = "standard", size: int = 128
) -> npt.NDArray[np.uint8]:
    """Preprocesses an image that is decoded already; see `preprocess`."""
    if preprocessing == "standard":
        return standard.standard(decoded.grey(channel), size, cells=None if channel else decoded.cells)
    from brainsift.images.baseline import baseline

    return baseline(np.repeat(decoded.grey(channel)[..., None], 3, axis=2) if channel else decoded.rgb(), size)


def preprocess_outline(
    source: str | Path | bytes, mask: str, *, channel: str = "", size: int = 128
) -> npt.NDArray[np.uint8]:
    """Reads an image and the outline of its tumor, and places the outline as "standard" places the image.

    Args:
        source: path of the image, or its content.
        mask: a reference that `masks.load_mask` reads.
        channel: as in `preprocess`.
        size: side of the square result, pixels.

    Returns:
        uint8 (size, size), 255 inside of the tumor.
    """
    from brainsift.images.masks import load_mask

    with collected_warnings():
        grey = decode(source).grey(channel)
    return standard.standard_outline(grey, load_mask(mask, grey.shape), size)


def network_input(pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """Turns uint8 (n, size, size) or (n, size, size, 3) into float32 (n, channels, size, size) in [0, 1]."""
    images = pixels[:, None] if pixels.ndim == 3 else pixels.transpose(0, 3, 1, 2)
    return images.astype(np.float32) / np.float32(255)
