"""Numbers, names and tables as text for people."""

import math
from collections.abc import Sequence

SHARES = ("accuracy", "balanced_accuracy", "precision", "sensitivity", "specificity")
"""Metrics that are written in percent."""
Bounds = tuple[float, float, float]
"""A value and the bounds of its interval, such as `stats.intervals.Interval`; NaN where one is unknown."""
_NAMES = {
    "roc auc": "ROC AUC",
    "pr auc": "PR AUC",
    "f1": "F1",
    "mcc": "MCC",
    "brier loss": "Brier loss",
    "sha256": "SHA-256",
}
_MINUS = "\u2212"
_THIN_SPACE = "\u202f"


def shown(value: float | None, percent: bool = True, unit: bool = True) -> str:
    """Writes a score.

    >>> shown(0.9471), shown(0.9471, unit=False), shown(0.9471, percent=False), shown(None)
    ('94.7 %', '94.7', '0.947', '–')
    """
    if value is None or not math.isfinite(value):
        return "–"
    words = f"{100 * value:.1f}{' %' * unit}" if percent else f"{value:.3f}"
    return words.replace("-", _MINUS)


def span(score: Bounds | None, percent: bool = True) -> str:
    """Writes the bounds of an interval, "" where they are unknown.

    >>> span((0.947, 0.931, 0.9602)), span((0.1, -0.05, 0.2), percent=False), span((0.5, math.nan, math.nan))
    ('93.1–96.0', '−0.050 to 0.200', '')
    """
    if score is None or not all(math.isfinite(bound) for bound in score[1:]):
        return ""
    low, high = (shown(bound, percent, unit=False) for bound in score[1:])
    return f"{low} to {high}" if low.startswith(_MINUS) else f"{low}–{high}"


def interval(score: Bounds | None, percent: bool = True, unit: bool = True) -> str:
    """Writes a score with its interval: the one form for it in tables, pages and on the screen.

    >>> interval((0.947, 0.931, 0.9602)), interval((0.947, 0.931, 0.9602), percent=False)
    ('94.7 % (93.1–96.0)', '0.947 (0.931–0.960)')
    >>> interval((0.5, math.nan, math.nan), unit=False), interval((math.nan, math.nan, math.nan)), interval(None)
    ('50.0 (–)', '–', '–')
    """
    if score is None or not math.isfinite(score[0]):
        return "–"
    return f"{shown(score[0], percent, unit)} ({span(score, percent) or '–'})"


def cell(metric: str, score: Bounds | None) -> str:
    """Writes a score with its interval for a table whose head has the unit.

    >>> cell("accuracy", (0.947, 0.931, 0.9602)), cell("roc_auc", (0.947, 0.931, 0.9602))
    ('94.7 (93.1–96.0)', '0.947 (0.931–0.960)')
    """
    return interval(score, percent=metric in SHARES, unit=False)


def difference(score: Bounds, digits: int = 3) -> str:
    """Writes a difference with its interval, all with their signs.

    >>> difference((0.0471, -0.01, 0.09)), difference((0.0471, math.nan, math.nan))
    ('+0.047 (−0.010 to +0.090)', '+0.047 (– to –)')
    """
    value, low, high = (f"{bound:+.{digits}f}".replace("-", _MINUS) if math.isfinite(bound) else "–" for bound in score)
    return f"{value} ({low} to {high})"


def words(name: object) -> str:
    """Writes a name from the code for people.

    >>> words("balanced_accuracy"), words("roc_auc")
    ('balanced accuracy', 'ROC AUC')
    """
    plain = str(name).replace("_", " ")
    return _NAMES.get(plain, plain)


def p_value(value: float | None) -> str:
    """Writes a p-value.

    >>> p_value(0.00002), p_value(0.0312), p_value(None)
    ('< 0.001', '0.031', '–')
    """
    if value is None or not math.isfinite(value):
        return "–"
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def thousands(value: float | None) -> str:
    """Writes a count, with a space between the thousands.

    >>> thousands(4210) == "4\u202f210"
    True
    """
    return "–" if value is None else f"{value:,.0f}".replace(",", _THIN_SPACE)


def counted(count: int, noun: str) -> str:
    """Writes a count with its noun.

    >>> counted(1, "file"), counted(2, "file")
    ('1 file', '2 files')
    """
    return f"{thousands(count)} {noun}{'s' * (count != 1)}"


def duration(seconds: float | None) -> str:
    """Writes a time.

    >>> duration(42.3), duration(95), duration(7300)
    ('42 s', '1 min 35 s', '2 h 1 min')
    """
    if seconds is None:
        return "–"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def markdown_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Returns a table; the first column is text, the others numbers.

    >>> print(markdown_table(("network", "n"), [("compact", "5")]))
    | network | n |
    |---|---:|
    | compact | 5 |
    """
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join(f"|{'|'.join(line)}|" if line[0] == "---" else f"| {' | '.join(line)} |" for line in lines)
