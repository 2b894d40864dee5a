"""One slice of a DICOM or NIfTI volume, read only when its pixels are wanted."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from PIL import Image

from brainsift.core.errors import BrainsiftError
from brainsift.core.reasons import Reason, Rejection
from brainsift.core.warned import collected_warnings
from brainsift.images.decode import LIMITS, DecodedImage, Limits, check_size, from_array
from brainsift.volumes.acquisition import UNKNOWN, Acquisition
from brainsift.volumes.windowing import Values

NEARLY_EMPTY = Rejection(Reason.HARDLY_ANY_HEAD, "hardly any of the head is in this slice")
Coarse = npt.NDArray[np.float32]

_CELLS = 32  # along the longer side of the coarse picture, at most
_HEAD_LEVEL = 0.15  # of the way from the background to the bright parts of the volume
_MIN_HEAD = 0.2  # of the largest head area in the volume
_SAME_SPACING = 1.02
_MAX_STRETCH = 20.0  # a greater ratio of spacings is a broken header


@dataclass(frozen=True, eq=False)
class Loaded:
    """What is read of a slice.

    Attributes:
        image: the pixels, as shown.
        coarse: float32 (h, w), means over blocks of the values before any window, so that the slices of a volume can
            be compared; larger is brighter. None for a plain image.
        unwindowed: finds the values before the window of the header; None where there is none.
        note: what was found out about it meanwhile; "" where there is nothing to say.
    """

    image: DecodedImage
    coarse: Coarse | None = None
    unwindowed: Callable[[], Values] | None = None
    note: str = ""

    def values(self) -> Values:
        """Returns the whole range of the slice, with as many pixels as its image."""
        return self.unwindowed() if self.unwindowed else Values(self.image.grey(), self.image.rescale)


@dataclass(frozen=True, eq=False)
class Slice:
    """One image to be judged.

    Attributes:
        name: ``scan.nii.gz#12``, ``file.dcm``, or ``file.dcm#3`` for a frame; slices and frames count from 1.
        volume: path of the NIfTI file or name of the DICOM series; "" for a plain image.
        loader: reads it; `load` also collects what libraries warn of meanwhile.
        rejection: why, by its header, it is no MR of a head; None where nothing speaks against that.
        note: what a reader of the answer should know: only the first volume was read, for instance.
        acquisition: what the header says of how it was made.
    """

    name: str
    volume: str
    loader: Callable[[], Loaded]
    rejection: Rejection | None = None
    note: str = ""
    acquisition: Acquisition = UNKNOWN

    def load(self) -> Loaded:
        """Reads it; raises as `read` does."""
        with collected_warnings() as words:
            loaded = self.loader()
        return replace(loaded, note=joined(loaded.note, *words)) if words else loaded

    def noted(self, *words: str) -> "Slice":
        """Returns the slice with more words in its note."""
        return replace(self, note=joined(self.note, *words)) if any(words) else self

    def read(self) -> DecodedImage:
        """Returns the pixels.

        Raises:
            UnreadableImageError: missing, broken, or compressed in a way that is not read here.
            ImageSizeError: beyond the limits of `image`.
        """
        return self.load().image


def joined(*words: str) -> str:
    """Returns the distinct of some notes as one.

    >>> joined("cut in the coronal plane; code 99 is not valid", "", "code 99 is not valid")
    'cut in the coronal plane; code 99 is not valid'
    """
    return "; ".join(dict.fromkeys(part for note in words if note for part in note.split("; ")))


def broken_slice(name: str, volume: str, error: BrainsiftError) -> Slice:
    """Returns a slice that raises ``error`` when it is read."""
    _forget_frames(error)

    def load() -> Loaded:
        raise error

    return Slice(name, volume, load)


def _forget_frames(error: BaseException | None) -> None:
    """Lets go of the functions that an error came through, and so of what they had read: it may outlive them by far."""
    while error is not None:
        error.__traceback__ = None
        error = error.__cause__ or error.__context__


def slice_of_values(
    values: npt.NDArray[np.generic],
    *,
    name: str,
    spacing: tuple[float, float] = (1.0, 1.0),
    limits: Limits = LIMITS,
) -> DecodedImage:
    """Turns grey values into an image with square pixels.

    Args:
        values: (height, width) of any range.
        name: what errors call it.
        spacing: mm between rows and between columns.
        limits: what is accepted at all; of the image with square pixels.

    Raises:
        ImageSizeError: beyond ``limits``.
    """
    height, width = _square_shape(values.shape, spacing)
    check_size((width, height), name, limits)
    return from_array(squared(values, spacing), name=name, limits=limits)


def squared(values: npt.NDArray[np.generic], spacing: tuple[float, float]) -> npt.NDArray[np.generic]:
    """Stretches values (height, width) to square pixels; returns them as they are where theirs are."""
    height, width = _square_shape(values.shape, spacing)
    if (height, width) == values.shape:
        return values
    return np.asarray(Image.fromarray(values.astype(np.float32)).resize((width, height), Image.Resampling.BILINEAR))


def coarse_of(values: npt.NDArray[np.generic]) -> Coarse:
    """Returns the means of blocks of values (height, width), at most 32 along the longer side."""
    cell = max(1, -(-max(values.shape) // _CELLS))
    rows, columns = (max(side // cell, 1) for side in values.shape)
    with np.errstate(over="ignore"):  # beyond the largest float32 only where the slope of a header is absurd
        whole = values[: rows * cell, : columns * cell].astype(np.float32)
    if min(values.shape) < cell:
        return whole.mean(keepdims=True)
    means: Coarse = whole.reshape(rows, cell, columns, cell).mean(axis=(1, 3))
    return means


def nearly_empty(coarse: Sequence[Coarse | None]) -> list[bool]:
    """Tells which slices at the two ends of a volume hold next to nothing of the head.

    Args:
        coarse: of each slice in order, as `coarse_of` gives it; None where it could not be read.

    Returns:
        True for each slice between an end and the first slice with more than a fifth of the largest head area.
    """
    known = [one for one in coarse if one is not None]
    empty = [False] * len(coarse)
    if len(known) < 2:
        return empty
    low, high = np.percentile(np.concatenate([one.ravel() for one in known]), (2, 98))
    level = low + _HEAD_LEVEL * (high - low)
    areas = [None if one is None else float((one > level).mean()) for one in coarse]
    limit = _MIN_HEAD * max(area for area in areas if area is not None)
    for order in (range(len(areas)), reversed(range(len(areas)))):
        for place in order:
            area = areas[place]
            if area is not None and area > limit:
                break
            empty[place] = area is not None and high > low
    return empty


def _square_shape(shape: tuple[int, ...], spacing: tuple[float, float]) -> tuple[int, int]:
    """Stretches the side with the wider spacing: on oblong pixels a head would look squeezed."""
    height, width = shape
    rows, columns = spacing
    ratio = max(rows, columns) / min(rows, columns) if min(rows, columns) > 0 else 1.0
    if not _SAME_SPACING < ratio <= _MAX_STRETCH:
        return height, width
    return (round(height * ratio), width) if rows > columns else (height, round(width * ratio))
