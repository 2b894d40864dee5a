"""Segmentation masks of tumors, as collections store them: mask images and VIA annotation files."""

import json
import math
from functools import lru_cache
from pathlib import Path
from typing import TypedDict

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from brainsift.core.errors import InputError, SourceError
from brainsift.core.files import sha256_of
from brainsift.images.decode import check_whole, decoder_errors, opaque, open_image, read_content

_ROUNDED = 1.0  # pixels by which a side may be off: it was rounded when the mask was scaled
_FAULTS = (OSError, ValueError, KeyError, TypeError, AttributeError, Image.DecompressionBombError)


class ViaShape(TypedDict, total=False):
    """A shape as VIA stores it, in pixels: each kind has some of these; `theta` turns an ellipse, in radians."""

    name: str
    all_points_x: list[float]
    all_points_y: list[float]
    x: float
    y: float
    width: float
    height: float
    cx: float
    cy: float
    r: float
    rx: float
    ry: float
    theta: float


def load_mask(ref: str, shape: tuple[int, int]) -> npt.NDArray[np.bool_]:
    """Reads the segmentation mask of a tumor.

    Args:
        ref: path of a mask image (tumor where it is neither black nor transparent), or
            ``<VIA JSON file>#<name of the image>``.
        shape: (H, W) of the image in pixels. A mask image of another size and the same proportions is resized to it
            (nearest pixel); the shapes of a VIA file are drawn in the pixels of the image.

    Returns:
        (H, W), True inside the tumor.

    Raises:
        SourceError: the reference leads nowhere, or to something that is no mask: a broken file, one of several
            pictures, or one of other proportions than the image.

    Source: VGG Image Annotator 2; ellipses carry their rotation in radians.
    """
    file, name = _parsed(ref)
    try:
        return _drawn(file, name, shape) if name else _image_mask(file, shape)
    except SourceError:
        raise
    except (InputError, *_FAULTS) as error:
        raise _unreadable(ref, error) from error


def mask_sha256(ref: str) -> str:
    """Returns a hash of what `load_mask` reads, "" for no reference.

    Raises:
        SourceError: the reference leads nowhere.
    """
    if not ref:
        return ""
    file, name = _parsed(ref)
    try:
        content = json.dumps(read_annotations(file)[name]).encode() if name else file.read_bytes()
    except _FAULTS as error:
        raise _unreadable(ref, error) from error
    return sha256_of(content)


def read_annotations(file: Path) -> dict[str, list[ViaShape]]:
    """Reads a VIA file: name of an image -> its shapes.

    Raises:
        SourceError: the file is no VIA file.
    """
    try:
        return _annotations(file, file.stat().st_mtime_ns)
    except _FAULTS as error:
        raise SourceError(file, f"is no VIA annotation file ({error!r})", "Restore it, or move it away.") from error


def _parsed(ref: str) -> tuple[Path, str]:
    """Returns a VIA file and the name of an image therein, or a mask image and no name."""
    file, _, name = ref.rpartition("#")
    return (Path(file), name) if file.lower().endswith(".json") else (Path(ref), "")


def _unreadable(ref: str, error: Exception) -> SourceError:
    why = error.rule if isinstance(error, InputError) else repr(error)
    return SourceError(ref, f"is no readable mask ({why})", "Restore the file, or empty the column `mask`.")


@lru_cache(maxsize=8)
def _annotations(file: Path, changed_ns: int) -> dict[str, list[ViaShape]]:
    content = json.loads(file.read_text(encoding="utf-8"))
    entries = content.get("_via_img_metadata", content).values()
    shapes: dict[str, list[ViaShape]] = {}
    for entry in entries:
        regions = entry["regions"]  # a list in VIA 2, an object in VIA 1
        regions = regions if isinstance(regions, list) else list(regions.values())
        shapes.setdefault(entry["filename"], []).extend(region["shape_attributes"] for region in regions)
    return shapes


def _drawn(file: Path, name: str, shape: tuple[int, int]) -> npt.NDArray[np.bool_]:
    canvas = Image.new("1", (shape[1], shape[0]))
    pen = ImageDraw.Draw(canvas)
    for drawn in read_annotations(file)[name]:
        pen.polygon(_corners(drawn), fill=1, outline=1)
    return np.asarray(canvas, dtype=bool)


def _corners(shape: ViaShape) -> list[tuple[float, float]]:
    """Returns the corners (x, y) of a VIA shape in pixels; round ones become 90 corners."""
    if shape["name"] in ("polygon", "polyline"):
        return list(zip(shape["all_points_x"], shape["all_points_y"], strict=True))
    if shape["name"] == "rect":
        left, top = shape["x"], shape["y"]
        right, bottom = left + shape["width"], top + shape["height"]
        return [(left, top), (right, top), (right, bottom), (left, bottom)]
    radii = (shape["r"], shape["r"]) if shape["name"] == "circle" else (shape["rx"], shape["ry"])
    cosine, sine = math.cos(shape.get("theta", 0.0)), math.sin(shape.get("theta", 0.0))
    angles = np.linspace(0.0, 2.0 * math.pi, 90, endpoint=False)
    along, across = radii[0] * np.cos(angles), radii[1] * np.sin(angles)
    x, y = shape["cx"] + along * cosine - across * sine, shape["cy"] + along * sine + across * cosine
    return list(zip(x.tolist(), y.tolist(), strict=True))


def _image_mask(path: Path, shape: tuple[int, int]) -> npt.NDArray[np.bool_]:
    content = read_content(path, str(path))
    with open_image(content, str(path)) as image:
        # A JPEG blurs its edges into small values; elsewhere any value but 0 is a class of tumor tissue.
        floor = 127 if image.format == "JPEG" else 0
        is_grey = image.mode in ("1", "L", "I", "F", "I;16")  # a palette is looked up
        with decoder_errors(str(path)):
            count = getattr(image, "n_frames", 1)
            image.load()
            values = np.asarray(image if is_grey else opaque(image).convert("RGB")) > floor
    if count > 1:
        raise SourceError(path, f"holds {count} pictures, and a mask is one", "Save the mask of each image alone.")
    check_whole(content, image.format or "", str(path))
    inside = Image.fromarray(values.any(axis=2) if values.ndim == 3 else values)
    (height, width), (own_width, own_height) = shape, inside.size
    if min(abs(own_width * height / width - own_height), abs(own_height * width / height - own_width)) > _ROUNDED:
        rule = f"has {own_width} x {own_height} pixels, other proportions than its image of {width} x {height}"
        raise SourceError(path, rule, "Cut both alike, or empty the column `mask`.")
    return np.asarray(inside.resize((width, height), Image.Resampling.NEAREST), dtype=bool)
