"""The tumor maps of a batch as files: one overlay per image, one montage per volume."""

import os
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from brainsift.core.files import replacing
from brainsift.inference.decision import Prediction
from brainsift.inference.overlay import overlay
from brainsift.inference.volume_decision import VolumePrediction
from brainsift.volumes.reader import read_slice

_TILE = 384
_LONGEST_STEM = 180  # bytes; file systems take names of 255, and a temporary name is longer


class Heatmaps:
    """Writes the tumor maps of a batch as its predictions come.

    Args:
        folder: where to; made where it is missing.
        size: side of the network's input, pixels.
    """

    def __init__(self, folder: Path, *, size: int) -> None:
        self._folder, self._size = folder, size
        self._count = 0
        self._of_volumes: dict[str, Path] = {}

    def add(self, prediction: Prediction) -> None:
        """Writes the overlay of the next prediction, if it has a tumor map.

        Raises:
            UnreadableImageError: the image is gone.
        """
        number = self._count
        self._count += 1
        if prediction.tumor_map is not None:
            stem = Path(prediction.path).stem
            if len(os.fsencode(stem)) > _LONGEST_STEM:
                stem = os.fsencode(stem)[:_LONGEST_STEM].decode("utf-8", "ignore")
            path = self._folder / f"{number:05d}-{stem}.png"  # the number keeps images of one name apart
            picture = overlay(read_slice(prediction.path).grey(), prediction.tumor_map, size=self._size)
            with replacing(path) as temporary:
                picture.save(temporary)
            if prediction.volume:
                self._of_volumes[prediction.path] = path

    def write_montages(self, volumes: Sequence[VolumePrediction]) -> None:
        """Writes one montage per volume, of the overlays of its most suspicious slices."""
        for number, volume in enumerate(volumes):
            pictures = [self._of_volumes[name] for name in volume.suspicious if name in self._of_volumes]
            if pictures:
                write_montage(pictures, self._folder / f"volume-{number:05d}.png")


def write_montage(pictures: Sequence[Path], path: Path) -> None:
    """Writes pictures side by side, each scaled to fit a square of 384 pixels, as PNG.

    Args:
        pictures: one or more picture files.
        path: of the PNG.
    """
    sheet = Image.new("RGB", (_TILE * len(pictures), _TILE))
    for place, picture in enumerate(pictures):
        with Image.open(picture) as image:
            scale = _TILE / max(image.size)
            tile = image.convert("RGB").resize([max(1, round(side * scale)) for side in image.size])
        sheet.paste(tile, (place * _TILE + (_TILE - tile.width) // 2, (_TILE - tile.height) // 2))
    with replacing(path) as temporary:
        sheet.save(temporary)
