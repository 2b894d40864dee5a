"""What happens to images on their way: changes that more than one benchmark makes."""

import io
from collections.abc import Callable

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

Bytes = npt.NDArray[np.uint8]
Change = Callable[[Bytes], Bytes]


def jpeg(quality: int) -> Change:
    """Encodes as JPEG and decodes again."""

    def change(grey: Bytes) -> Bytes:
        buffer = io.BytesIO()
        Image.fromarray(grey).save(buffer, "JPEG", quality=quality)
        return np.asarray(Image.open(buffer))

    return change


def rotated(degrees: float) -> Change:
    """Turns counter-clockwise about the centre; what comes from outside is black."""

    def change(grey: Bytes) -> Bytes:
        height, width = grey.shape
        matrix = cv2.getRotationMatrix2D((width / 2, height / 2), degrees, 1.0)
        return np.asarray(cv2.warpAffine(grey, matrix, (width, height)), np.uint8)

    return change
