"""Numbers, names and tables as text for people."""

import math
from collections.abc import Mapping, Sequence

_SHARES = ("accuracy", "balanced_accuracy", "sensitivity", "specificity")
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


def signed(value: float | None, digits: int = 3) -> str:
    """Writes a difference with its sign.

    >>> signed(0.0471), signed(-0.5, digits=1), signed(None)
    ('+0.047', '-0.5', '–')
    """
    return "–" if value is None or not math.isfinite(value) else f"{value:+.{digits}f}"


def words(name: object) -> str:
    """Writes a name of the code for people.

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
    """Writes a count, thousands apart.

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


def cell(metric: str, score: Mapping[str, float | None] | None) -> str:
    """Writes a score with its interval, shares in percent; a dash where there is none."""
    if not score or score["value"] is None:
        return "–"
    factor, digits = (100, 1) if metric in _SHARES else (1, 3)
    known = (score[key] for key in ("value", "low", "high"))
    value, *bounds = (f"{number * factor:.{digits}f}" for number in known if number is not None)
    return f"{value} ({'–'.join(bounds) or '–'})"
