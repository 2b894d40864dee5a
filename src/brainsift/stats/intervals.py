"""A score with the bounds of its interval: the one type for it in the whole project. Needs no package of `[train]`."""

import math
from collections.abc import Mapping
from typing import NamedTuple, Self

from brainsift.core.errors import InputError


class Interval(NamedTuple):
    """A value and the bounds of its interval, 95 % unless said otherwise; NaN where one is not defined.

    `core.text.interval` writes it for people.
    """

    value: float
    low: float = math.nan
    high: float = math.nan

    @property
    def known(self) -> bool:
        """Whether there is a value at all; its bounds may still be unknown."""
        return math.isfinite(self.value)

    def to_json(self) -> dict[str, float | None]:
        """Returns ``{"value", "low", "high"}``, null for NaN.

        >>> Interval(0.5).to_json()
        {'value': 0.5, 'low': None, 'high': None}
        """
        return {name: float(bound) if math.isfinite(bound) else None for name, bound in self._asdict().items()}

    @classmethod
    def from_json(cls, values: object, subject: object = "interval") -> Self:
        """Reads what `to_json` wrote; null, or a bound that is missing, is NaN.

        Raises:
            InputError: it is no interval.
        """
        found = {} if values is None else values
        if not isinstance(found, Mapping):
            raise InputError(subject, f"must be an object with value, low and high, not {values!r}", "Make it again.")
        bounds = [found.get(name) for name in cls._fields]
        if not all(bound is None or isinstance(bound, int | float) for bound in bounds):
            raise InputError(subject, f"must hold numbers, not {bounds}", "Make it again.")
        return cls(*(math.nan if bound is None else float(bound) for bound in bounds))
