"""Files of several pictures: pages of TIFF, frames of GIF, APNG and WebP, images of MPO; each is an image itself."""

import re
import threading
from collections.abc import Iterable
from pathlib import Path

from PIL import Image

from brainsift.core.errors import ImageSizeError, InputError
from brainsift.images.decode import (
    LIMITS,
    TIFF_MARKS,
    DecodedImage,
    Limits,
    check_whole,
    decoder_errors,
    from_pillow,
    open_image,
    read_content,
)

HEAD_BYTES = 352
"""Of a file, from its start, that tell whether it may hold several pictures."""
_ANIMATIONS = ("GIF", "PNG", "WEBP")  # a frame of theirs is drawn over those before it
_MAX_PASSED = 64  # frames that are kept for threads that come later
_MAX_PASSED_BYTES = 64 * 1024 * 1024
_MAX_PAGES = 65_535
_IMAGEJ = re.compile(r"^ImageJ=(?:.*\n)*?images=(\d{1,9})\b")
_TIFF_DESCRIPTION = 270
_TIFF_SUBFILE, _REDUCED_OR_MASK = 254, 0b101
_MPO_IMAGES = 0xB002
_WEBP_FLAGS, _WEBP_ANIMATED = 20, 0b10


def may_hold_pages(head: bytes) -> bool:
    """Tells from the first `HEAD_BYTES` of a file whether it is worth looking for more than one picture in it."""
    if head.startswith(b"\x89PNG"):
        return b"acTL" in head or b"IDAT" not in head
    if head.startswith(b"\xff\xd8"):
        return b"MPF\0" in head or b"Exif\0" in head  # cameras put the list of images behind the EXIF data
    if head.startswith(b"RIFF"):
        return head[12:16] == b"VP8X" and bool(head[_WEBP_FLAGS] & _WEBP_ANIMATED)
    return head.startswith((*TIFF_MARKS, b"GIF8"))


class Pages:
    """The pictures of one file, which is open from the first that is read to the last that is forgotten.

    Args:
        path: of the file.
        limits: what is decoded at all.

    Attributes:
        numbers: of the pages, which count from 1; without thumbnails, reduced copies and masks of other pages.
        note: what else to know; "" where there is nothing to say.

    Raises:
        UnreadableImageError: missing, no image, or broken.
        ImageSizeError: beyond ``limits``, or more than 65535 pages.
    """

    def __init__(self, path: str | Path, limits: Limits = LIMITS) -> None:
        self._path, self._limits = str(path), limits
        self._lock = threading.Lock()
        self._image: Image.Image | None = None
        self._passed: dict[int, DecodedImage] = {}
        content = read_content(path, self._path, limits)
        with open_image(content, self._path, limits) as image, decoder_errors(self._path, limits):
            count = getattr(image, "n_frames", 1)
            kept = _own_pages(image, min(count, _MAX_PAGES)) if count > 1 else [0]
            told = _IMAGEJ.search(str(getattr(image, "tag_v2", {}).get(_TIFF_DESCRIPTION, "")))
        if count > 1:
            check_whole(content, image.format or "", self._path)
        if count > _MAX_PAGES:
            raise ImageSizeError(path, f"has {count} pages, more than {_MAX_PAGES}", "Split it.")
        self.numbers = [index + 1 for index in kept]
        n_images = int(told[1]) if told else count
        self.note = f"the first of {n_images} pictures, which ImageJ has put in one page" if n_images > count else ""

    def decode(self, number: int, *, name: str) -> DecodedImage:
        """Decodes a page; in order that is soonest, since frames of animations build on those before.

        Frames that are passed over on the way are kept for the threads that want them next.

        Raises:
            UnreadableImageError: broken.
            ImageSizeError: beyond the limits.
        """
        with self._lock:
            if number in self._passed:
                return self._passed.pop(number)
            # Going back, or after an error, the decoder could return wrong pixels: it starts anew then.
            image, self._image = self._image, None
            following = 0 if image is None else image.tell() + 2
            if image is None or following > number:
                image, following = self._opened(name), 1
            if image.format in _ANIMATIONS and not self._pass(image, range(following, number)):
                image = self._opened(name)
            with decoder_errors(name, self._limits):
                image.seek(number - 1)
            decoded = from_pillow(image, name=name, limits=self._limits)
            self._image = image
            return decoded

    def _opened(self, name: str) -> Image.Image:
        return open_image(read_content(self._path, name, self._limits), name, self._limits)

    def _pass(self, image: Image.Image, numbers: Iterable[int]) -> bool:
        """Draws frames on the way to another one, and keeps those that there is room for; False if one is broken."""
        for number in numbers:
            try:
                with decoder_errors(self._path, self._limits):
                    image.seek(number - 1)
                frame = from_pillow(image, name=self._path, limits=self._limits)
            except InputError:
                return False
            self._passed[number] = frame
            while len(self._passed) > max(1, min(_MAX_PASSED, _MAX_PASSED_BYTES // frame.pixels.nbytes)):
                del self._passed[next(iter(self._passed))]
        return True


def _own_pages(image: Image.Image, count: int) -> list[int]:
    """Returns the indices of pages that are no other version of one before."""
    if image.format == "TIFF":
        kept = []
        for index in range(count):
            image.seek(index)
            if not image.tag_v2.get(_TIFF_SUBFILE, 0) & _REDUCED_OR_MASK:  # type: ignore[attr-defined]
                kept.append(index)
        return kept or [0]
    if image.format == "MPO":
        kinds = [str(entry["Attribute"]["MPType"]) for entry in image.mpinfo[_MPO_IMAGES]]  # type: ignore[attr-defined]
        return [index for index, kind in enumerate(kinds[:count]) if "Thumbnail" not in kind] or [0]
    return list(range(count))
