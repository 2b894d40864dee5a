"""The preprocessing of the baseline study, step by step and unchanged, weaknesses included.

Source: BrainTumor_ML. The division by 255 belongs to the input of the network.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from brainsift.core.errors import MissingExtraError


def baseline(rgb: npt.NDArray[np.uint8], size: int = 128) -> npt.NDArray[np.uint8]:
    """Crops to the largest bright contour and equalises the saturation.

    The contour is found after the image was resized to the square. The saturation of grey images is 0 nearly
    everywhere, so its equalisation changes colored pixels only. The study did both in this way.

    Args:
        rgb: (height, width, 3) uint8.
        size: side of the result in pixels.

    Returns:
        (size, size, 3) uint8.

    Raises:
        MissingExtraError: OpenCV is not installed.
    """
    cv2 = _opencv()
    square = cv2.resize(np.ascontiguousarray(rgb), (size, size))
    left, top, width, height = _outline_box(cv2, square)
    hsv = cv2.cvtColor(square[top : top + height, left : left + width], cv2.COLOR_RGB2HSV)
    hsv[..., 1] = cv2.equalizeHist(np.ascontiguousarray(hsv[..., 1]))
    result: npt.NDArray[np.uint8] = cv2.resize(cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB), (size, size))
    return result


def _outline_box(cv2: Any, square: npt.NDArray[np.uint8]) -> tuple[int, int, int, int]:
    """Returns left, top, width and height of the largest contour, or of the whole image if there is none."""
    equalised = cv2.equalizeHist(cv2.cvtColor(square, cv2.COLOR_RGB2GRAY))
    _, mask = cv2.threshold(cv2.GaussianBlur(equalised, (3, 3), 0), 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    outlines, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    if not outlines:
        return 0, 0, square.shape[1], square.shape[0]
    left, top, width, height = cv2.boundingRect(max(outlines, key=cv2.contourArea))
    return left, top, width, height


def _opencv() -> Any:
    try:
        import cv2
    except ImportError as error:
        raise MissingExtraError("opencv", "is not installed", 'Install it: pip install "brainsift[train]".') from error
    return cv2
