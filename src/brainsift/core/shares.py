"""Shares between 0 and 1, and what to do about one that was written in percent."""

from brainsift.core.errors import UsageError


def check_share(argument: str, value: float, *, low: float = 0.0, high: float = 1.0) -> float:
    """Returns a share as it is.

    Args:
        argument: its name, for the error.
        value: the share.
        low: the smallest one that is allowed.
        high: the largest one.

    Raises:
        UsageError: it lies outside of these bounds.

    >>> check_share("--sensitivity", 97)
    Traceback (most recent call last):
    ...
    brainsift.core.errors.UsageError: --sensitivity: must be a share from 0 to 1, not 97. Write 0.97, not 97.
    """
    if low <= value <= high:
        return value
    percent = 1 < value <= 100 and low <= value / 100 <= high
    remedy = f"Write {value / 100:g}, not {value:g}." if percent else "Choose a number in this range."
    raise UsageError(argument, f"must be a share from {low:g} to {high:g}, not {value:g}", remedy)
