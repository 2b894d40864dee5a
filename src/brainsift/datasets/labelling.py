"""From the name of a folder, a file or a cell to a label: the user's own rules, then the names that brainsift knows."""

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Literal

from brainsift.core.errors import ManifestError, UsageError
from brainsift.core.labels import NO_TUMOR, TUMOR, UNKNOWN, label_from_name

Ruling = Literal[0, 1, "skip"]
RULINGS: tuple[Ruling, ...] = (NO_TUMOR, TUMOR, "skip")


def parse_rules(entries: Sequence[str]) -> dict[str, Ruling]:
    """Reads the rules of ``--map``.

    Args:
        entries: ``NAME=1`` (tumor), ``NAME=0`` (no tumor) or ``NAME=skip`` (left out).

    Raises:
        UsageError: an entry is none of these, or two contradict each other.

    >>> parse_rules(["Grad 4=1", "yes_*=1", "pred=skip"])
    {'Grad 4': 1, 'yes_*': 1, 'pred': 'skip'}
    """
    rules: dict[str, Ruling] = {}
    for entry in entries:
        name, _, word = entry.rpartition("=")
        name, ruling = name.strip(), {str(ruling): ruling for ruling in RULINGS}.get(word.strip().casefold())
        if not name or ruling is None:
            rule = "is none of NAME=1, NAME=0 and NAME=skip"
            raise UsageError(f"--map {entry}", rule, "Write for example --map sain=0 for a folder `sain`.")
        if rules.setdefault(name, ruling) != ruling:
            raise UsageError(f"--map {entry}", f"contradicts --map {name}={rules[name]}", "Keep one of them.")
    return rules


@dataclass
class Labelling:
    """The user's rules, and which of them matched something.

    Attributes:
        rules: name -> 1 (tumor), 0 (no tumor) or "skip". A name with a wildcard (``yes_*``) stands for names of files,
            with a slash too (``glioma/*``) for their paths below the collection. Any other name stands for a folder
            (``sain``, ``train/sain``) or a cell of the column `label`. Case does not matter.
        used: the names of the rules that matched.

    Raises:
        UsageError: a name is mapped to something else.
    """

    rules: Mapping[str, Ruling] = field(default_factory=dict)
    used: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        for name, ruling in self.rules.items():
            if ruling not in RULINGS:
                remedy = 'Map it to 1 (tumor), 0 (no tumor) or "skip" (left out).'
                raise UsageError(name, f"is mapped to {ruling!r}, which is not a label", remedy)

    def of_file(self, path: Path, root: Path) -> Ruling | None:
        """Returns what the rules say of a file of the collection ``root``; one with a wildcard goes first.

        Raises:
            UsageError: two rules contradict each other.
        """
        relative = Path(os.path.relpath(path, root))
        place, name = relative.as_posix().casefold(), path.name.casefold()
        folder = (relative.parent.as_posix().casefold(), path.parent.name.casefold())
        wild = [rule for rule in self.rules if set(rule) & set("*?[")]
        fits = [rule for rule in wild if fnmatchcase(place if "/" in rule else name, rule.casefold())]
        return self._agreed(fits or [rule for rule in self.rules if rule.casefold() in folder], path)

    def of_cells(self, cells: Sequence[str], origin: object) -> list[float]:
        """Reads the column `label` of a table.

        Args:
            cells: each the name of a rule, a name that is known here, 1, 0, or empty (unknown).
            origin: the file, for errors.

        Returns:
            1.0, 0.0 or NaN (unknown, or "skip") for each cell.

        Raises:
            ManifestError: a cell is none of these.
        """
        values: dict[str, float] = {}
        for cell in dict.fromkeys(cells):
            ruling = self._agreed([rule for rule in self.rules if rule.casefold() == cell.casefold()], cell)
            value = UNKNOWN if ruling == "skip" or not cell else _number(cell) if ruling is None else float(ruling)
            if value not in (NO_TUMOR, TUMOR) and not math.isnan(value):
                remedy = f"A label is 1 (tumor), 0 (no tumor) or empty. Or say what it means: --map '{cell}=1'."
                raise ManifestError(origin, f"holds the label {cell!r}, which is not known", remedy)
            values[cell] = value
        return [values[cell] for cell in cells]

    def refuse_unused(self) -> None:
        """Refuses rules that matched nothing.

        Raises:
            UsageError: there is one.
        """
        unused = [name for name in self.rules if name not in self.used]
        if unused:
            rule = "matches no folder, no file and no label of the images"
            raise UsageError(f"--map {unused[0]}", rule, "Check its spelling, or leave it out.")

    def _agreed(self, fits: Sequence[str], subject: object) -> Ruling | None:
        self.used.update(fits)
        rulings = {self.rules[name] for name in fits}
        if len(rulings) > 1:
            raise UsageError(subject, f"is mapped in two ways, by {' and by '.join(fits)}", "Keep one of these rules.")
        return next(iter(rulings), None)


def _number(cell: str) -> float:
    """Returns the label that a cell means, infinity where it means none."""
    known = label_from_name(cell)
    try:
        return float(cell.replace(",", ".") if known is None else known)
    except ValueError:
        return math.inf
