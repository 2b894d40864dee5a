"""From the logits of a volume's slices to one calibrated probability.

A tumor shows in several neighbouring slices, whereas the largest single logit of a hundred slices is mostly a false
alarm. So the mean over three adjacent slices counts, where it is largest: of logits, not of probabilities, because
there a bright slice between two that are surely free of tumor weighs less. Slope and intercept turn it into the
log-odds of a tumor in the volume; `deployment.volume_fit` fits them to series of patients that the network was not
trained on.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from brainsift.core.errors import InputError
from brainsift.core.records import Record

ADJACENT = 3
"""Slices whose mean decides; a longer series needs at least as many that could be scored."""


@dataclass(frozen=True)
class VolumeModel(Record):
    """What turns the largest mean logit over three adjacent slices into the log-odds of a tumor in the volume.

    Attributes:
        slope: over 0, of the mean logit.
        intercept: of the log-odds.
        thresholds: on the probability of a volume, by name.
        suspicion: the probability from which on a volume is suspicious, where it is no tumor.
        sensitivities: pairs of a sensitivity and the largest threshold that reached it on validation series.
        stretch: what the logits of the slices are multiplied by first: 1, or the change of the temperature in a bundle
            that was adapted to a site, whose slices say nothing about whole volumes. So its volumes keep their result.
    """

    slope: float
    intercept: float
    thresholds: dict[str, float]
    suspicion: float
    sensitivities: list[list[float]] = field(default_factory=list)
    stretch: float = 1.0

    @classmethod
    def from_json(cls, values: object, subject: object = "JSON") -> "VolumeModel":
        """Reads it as `Record.from_json` does.

        Raises:
            InputError: as there, or numbers that would decide nothing rightly.
        """
        found = super().from_json(values, subject)
        numbers = (found.slope, found.intercept, found.suspicion, found.stretch, *found.thresholds.values())
        if not all(map(math.isfinite, numbers)) or min(found.slope, found.stretch) <= 0:
            rule = "must hold finite numbers, with a slope and a stretch over 0"
            raise InputError(subject, rule, "Make the file again with this version of brainsift.")
        return found

    def log_odds(self, mean: float) -> float:
        """Returns the log-odds of a tumor in the volume, from the largest mean logit over adjacent slices."""
        return self.slope * (self.stretch * mean) + self.intercept


def largest_mean(values: Sequence[float]) -> tuple[float, int]:
    """Finds the largest mean over three adjacent values, or over all where they are fewer.

    Args:
        values: at least one; of the slices that were scored, in order.

    Returns:
        The mean, and the place of the first of its values. Of alike values it is exactly that value.

    >>> largest_mean([0.0, 3.0, 3.0, 3.0, 0.0])
    (3.0, 1)
    """
    windows = np.lib.stride_tricks.sliding_window_view(np.asarray(values, dtype=np.float64), min(ADJACENT, len(values)))
    first = windows[:, :1]
    means = first[:, 0] + (windows - first).mean(axis=1)
    place = int(means.argmax())
    return float(means[place]), place
