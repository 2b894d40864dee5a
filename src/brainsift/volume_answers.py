"""Answers for slices to one answer for each volume."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from brainsift.files import replacing, write_csv
from brainsift.predict import REFER, Prediction, Rule

VOLUME_COLUMNS = ("volume", "n_slices", "probability", "decision", "suspicious")
_ADJACENT = 3
_SHOWN = 5
_TILE = 384


@dataclass(frozen=True)
class VolumeAnswer:
    """The answer for a volume.

    Attributes:
        volume: path of the NIfTI file or name of the DICOM series.
        n_slices: number of slices that were scored.
        probability: the largest mean over three adjacent slices; None where no slice could be scored.
        decision: "tumor", "no_tumor", or "refer" where no slice could be scored or the answer is not sure enough.
        suspicious: names of the five slices with the largest probability, the largest first.
    """

    volume: str
    n_slices: int
    probability: float | None
    decision: str
    suspicious: tuple[str, ...]

    def to_dict(self) -> dict[str, str | int | float | None]:
        """Returns a row of a table; the names of the slices are joined by semicolons."""
        row = {name: getattr(self, name) for name in VOLUME_COLUMNS}
        return {**row, "suspicious": "; ".join(self.suspicious)}


def summarise_volumes(
    predictions: Iterable[Prediction], *, threshold: float, margin: float = 0.0
) -> list[VolumeAnswer]:
    """Answers for each volume.

    The probability is the mean of the calibrated probabilities over three adjacent slices, where that mean is largest.
    A tumor shows in several neighbouring slices, whereas the largest single probability of a hundred slices is mostly
    a false alarm: with a specificity of 95 % a slice, nearly every healthy volume would have one. This is a rule, it
    is not calibrated. Adjacent are slices that follow each other among those that were scored: what is unreadable,
    or no brain MRI, is left out.

    Args:
        predictions: in the order of the slices, as `Predictor.predict` yields them; plain images are left out.
        threshold: from which on the decision is "tumor", as `Predictor.threshold`.
        margin: as `Predictor.margin`; nearer to 0 in logits, the volume is referred. No share of errors is promised.
    """
    volumes: dict[str, list[Prediction]] = {}
    for one in predictions:
        if one.volume:
            volumes.setdefault(one.volume, []).append(one)
    return [_summary(volume, slices, threshold, margin) for volume, slices in volumes.items()]


def write_volumes(answers: Iterable[VolumeAnswer], path: Path) -> None:
    """Writes a table, whole or not at all."""
    write_csv(path, VOLUME_COLUMNS, (answer.to_dict() for answer in answers))


def write_montage(pictures: Sequence[Path], path: Path) -> None:
    """Writes pictures side by side, each scaled to fit a square of 384 pixels, as PNG.

    Args:
        pictures: one or more files, as `overlay.write_overlay` writes them.
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


def _summary(volume: str, slices: list[Prediction], threshold: float, margin: float) -> VolumeAnswer:
    scored = [(one.probability, one.path) for one in slices if one.status == "ok" and one.probability is not None]
    if not scored:
        return VolumeAnswer(volume, 0, None, REFER, ())
    probabilities = np.array([probability for probability, _ in scored])
    width = min(_ADJACENT, len(scored))
    probability = float(np.convolve(probabilities, np.full(width, 1 / width), mode="valid").max())
    suspicious = tuple(path for _, path in sorted(scored, key=lambda one: -one[0])[:_SHOWN])
    decision = Rule(threshold, margin).decide(probability)
    return VolumeAnswer(volume, len(scored), round(probability, 6), decision, suspicious)
