"""Answers for slices to one answer for each volume."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image

from brainsift.core.files import replacing, write_csv
from brainsift.inference.predictor import REFER, Prediction, Rule

VOLUME_COLUMNS = ("volume", "n_slices", "probability", "decision", "threshold", "suspicious")
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
        threshold: that it was decided at.
        suspicious: names of the five slices with the largest probability, the largest first.
    """

    volume: str
    n_slices: int
    probability: float | None
    decision: str
    threshold: float
    suspicious: tuple[str, ...]

    def to_dict(self) -> dict[str, str | int | float | None]:
        """Returns a row of a table; the names of the slices are joined by semicolons."""
        row = {name: getattr(self, name) for name in VOLUME_COLUMNS}
        return {**row, "suspicious": "; ".join(self.suspicious)}


def summarise_volumes(predictions: Iterable[Prediction], rule: Rule) -> list[VolumeAnswer]:
    """Answers for each volume.

    The probability is the mean of the calibrated probabilities over three adjacent slices, where that mean is largest.
    A tumor shows in several neighbouring slices, whereas the largest single probability of a hundred slices is mostly
    a false alarm: with a specificity of 95 % a slice, nearly every healthy volume would have one. This is a rule, it
    is not calibrated. Adjacent are slices that follow each other among those that were scored: what is unreadable,
    or no brain MRI, is left out.

    Args:
        predictions: in the order of the slices, as `Predictor.predict` yields them; plain images are left out.
        rule: as `Predictor.rule`, of which `Rule.of_volumes` decides; a volume of one slice is decided as an image is.
            With a margin no share of errors is promised.
    """
    found = VolumeAnswers(rule)
    for one in predictions:
        found.add(one)
    return found.finish()


class VolumeAnswers:
    """The answers for volumes as those for their slices come; of a volume that is complete, only its answer is kept.

    Args:
        rule: see `summarise_volumes`.
    """

    def __init__(self, rule: Rule) -> None:
        self._rule = rule
        self._slices: list[Prediction] = []
        self._answers: list[VolumeAnswer] = []

    def add(self, slice_: Prediction) -> None:
        """Takes the next answer; another volume, or a plain image, ends the one before."""
        if self._slices and slice_.volume != self._slices[0].volume:
            self._close()
        if slice_.volume:
            self._slices.append(replace(slice_, tumor_map=None))

    def finish(self) -> list[VolumeAnswer]:
        """Returns the answers, in the order of the volumes."""
        self._close()
        return self._answers

    def _close(self) -> None:
        if self._slices:
            volume = self._slices[0].volume
            self._answers.append(_summary(volume, self._slices, self._rule))
            self._slices = []


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


def _summary(volume: str, slices: list[Prediction], rule: Rule) -> VolumeAnswer:
    own = rule.of_volumes if len(slices) > 1 else rule
    scored = [(one.probability, one.path) for one in slices if one.status == "ok" and one.probability is not None]
    if not scored:
        return VolumeAnswer(volume, 0, None, REFER, own.threshold, ())
    probabilities = np.array([probability for probability, _ in scored])
    width = min(_ADJACENT, len(scored))
    probability = float(np.convolve(probabilities, np.full(width, 1 / width), mode="valid").max())
    suspicious = tuple(path for _, path in sorted(scored, key=lambda one: -one[0])[:_SHOWN])
    return VolumeAnswer(volume, len(scored), round(probability, 6), own.decide(probability), own.threshold, suspicious)
