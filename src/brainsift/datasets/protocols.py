"""How to split a manifest: the protocols and their settings.

`grouped`, the default, keeps near-duplicates and patients in one subset and takes every distinct image once.
`source-out` does the same, and tests on collections that nothing was trained on. `random` is the split of the baseline
study: it is leaky, and exists to show what leakage does.
"""

import re
from dataclasses import dataclass
from typing import Literal, get_args

from brainsift.core.errors import UsageError
from brainsift.core.shares import check_share

Protocol = Literal["grouped", "random", "source-out"]
LEAKY: frozenset[str] = frozenset({"random"})


def is_leaky(protocol: str | None) -> bool:
    """Tells whether a protocol may put copies of test images into the training set: the one place that decides it."""
    return protocol in LEAKY


@dataclass(frozen=True)
class SplitConfig:
    """How to split.

    Attributes:
        protocol: `grouped`, `random` (leaky) or `source-out`.
        folds: number of folds of `grouped`.
        fold: the fold that becomes the test set, 0 to folds - 1.
        validation_share: share of the images outside the test set that become the validation set.
        seed: another seed, another split.
        hold_out: the sources that become the test set of `source-out`.
        sources: the sources to take images from; empty: all.
        test_patients: SOURCE=N: move more patients of a source to the test set of `grouped`, until it has N of them.

    Raises:
        UsageError: a value out of its range.
    """

    protocol: Protocol = "grouped"
    folds: int = 5
    fold: int = 0
    validation_share: float = 0.15
    seed: int = 0
    hold_out: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    test_patients: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in ("hold_out", "sources", "test_patients"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        if self.protocol not in get_args(Protocol):
            rule = f"must be one of {', '.join(get_args(Protocol))}, not {self.protocol!r}"
            raise UsageError("protocol", rule, "Choose one of them.")
        if self.folds < 2:
            raise UsageError("folds", f"must be 2 or more, not {self.folds}", "One fold is the test set.")
        if not 0 <= self.fold < self.folds:
            raise UsageError("fold", f"must be 0 to {self.folds - 1}, not {self.fold}", "Folds are counted from 0.")
        if not 0.0 < check_share("validation_share", self.validation_share) < 1.0:
            rule = f"must lie between 0 and 1, not {self.validation_share:g}"
            raise UsageError("validation_share", rule, "Training and validation both need images: write 0.15.")
        if not 0 <= self.seed < 2**32:
            raise UsageError("seed", f"must be 0 to {2**32 - 1}, not {self.seed}", "Choose a number in this range.")
        if bool(self.hold_out) != (self.protocol == "source-out"):
            rule = f"must name a source with the protocol source-out, and none with others; it is {self.hold_out!r}"
            raise UsageError("hold_out", rule, "Write --protocol source-out --hold-out NAME.")
        if not all(re.fullmatch(r".+=\d+", entry) for entry in self.test_patients):
            rule = f"must be SOURCE=N, not {self.test_patients!r}"
            raise UsageError("test_patients", rule, "Write for example cheng=40.")
        if self.test_patients and self.protocol != "grouped":
            rule = f"has no meaning with the protocol {self.protocol}"
            raise UsageError("test_patients", rule, "Leave it out, or use the protocol grouped.")

    @property
    def leaky(self) -> bool:
        """Whether copies of one image may stand on both sides."""
        return is_leaky(self.protocol)
