"""What a search for settings found, as a typed record: tuning.json."""

from dataclasses import dataclass, field
from typing import ClassVar

from brainsift.core.records import REMAINING, Record


@dataclass(frozen=True)
class Trial(Record):
    """One trial of a search.

    Attributes:
        number: counted from 0.
        value: smallest validation loss; NaN where there is none.
        state: "complete", "pruned" (stopped early) or "failed".
        settings: what was tried, by name; in JSON they stand beside the other fields.
    """

    number: int
    value: float
    state: str
    settings: dict[str, float] = field(default_factory=dict, metadata=REMAINING)


@dataclass(frozen=True)
class Search(Record):
    """A search of one network's settings on validation data.

    Attributes:
        model: the network.
        recipe: how it was trained.
        epochs: of each trial.
        seed: of the search and of each trial.
        trials: all finished and pruned ones.
        best: of the best trial, ``value`` (its validation loss) and each setting.
        importance: share of the variance of the validation loss that each setting explains (fANOVA); empty where
            there were too few trials.
    """

    SCHEMA: ClassVar[int] = 1
    model: str
    recipe: str
    epochs: int
    seed: int
    trials: tuple[Trial, ...]
    best: dict[str, float]
    importance: dict[str, float]

    @property
    def settings(self) -> dict[str, float]:
        """The best settings, without the loss."""
        return {name: value for name, value in self.best.items() if name != "value"}
