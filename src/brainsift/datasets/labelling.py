"""From the name of a folder, a file or a cell to a label: the user's own rules, then the names that brainsift knows.

A person's verdicts on single images are rules too, each named by the absolute path of its image.
"""

import logging
import math
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Literal

import pandas as pd

from brainsift.core.errors import ManifestError, UsageError
from brainsift.core.labels import NO_TUMOR, TUMOR, UNKNOWN, label_from_name
from brainsift.datasets.csv_table import read_table

_log = logging.getLogger(__name__)

Ruling = Literal[0, 1, "skip"]
RULINGS: tuple[Ruling, ...] = (NO_TUMOR, TUMOR, "skip")
# "yes" and "no" are none of them: beside a label they may mean that it is right or wrong.
_VERDICTS: dict[str, Ruling] = {"1": 1, "0": 0, "tumor": 1, "no tumor": 0, "no_tumor": 0, "skip": "skip"}


def parse_rules(entries: Sequence[str], corrections: Path | None = None) -> dict[str, Ruling]:
    """Reads the rules of ``--map`` and ``--corrections``.

    Args:
        entries: ``NAME=1`` (tumor), ``NAME=0`` (no tumor) or ``NAME=skip`` (left out).
        corrections: CSV file with the columns path and verdict, see `read_verdicts`.

    Raises:
        UsageError: an entry is none of these, or two contradict each other.
        ManifestError: see `read_verdicts`.

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
    return rules if corrections is None else {**rules, **read_verdicts(corrections)}


def read_verdicts(path: Path) -> dict[str, Ruling]:
    """Reads what a person entered into the table that `brainsift review` writes.

    Args:
        path: CSV file with the columns path and verdict. A verdict is 1 or "tumor", 0 or "no tumor", "skip"
            (unlabelled from now on), or empty (the label stays). It counts for all channels of a file.

    Returns:
        The verdict by the absolute path of the image.

    Raises:
        ManifestError: a verdict is none of these, an image has two, or there is none at all.
    """
    table = read_table(path, ("path", "verdict"), required=("path", "verdict"))
    verdicts: dict[str, Ruling] = {}
    for image, cell in zip(table["path"], table["verdict"], strict=True):
        if not cell:
            continue
        known = _VERDICTS.get(re.sub(r"[.,]0+$", "", cell.casefold()))  # spreadsheets write 1 as 1.0
        if known is None:
            remedy = "Write 1 (tumor), 0 (no tumor) or skip, or leave the cell empty."
            raise ManifestError(path, f"holds the verdict {cell!r} on {image}, which is none", remedy)
        if verdicts.setdefault(image, known) != known:
            rule = f"holds the verdicts {verdicts[image]} and {known} on {image}"
            raise ManifestError(path, rule, "Keep one of them: a verdict counts for all channels of a file.")
    if not verdicts:
        raise ManifestError(path, "holds no verdict", "Enter 1, 0 or skip into the column `verdict`.")
    return verdicts


@dataclass
class Labelling:
    """The user's rules, and which of them matched something.

    Attributes:
        rules: name -> 1 (tumor), 0 (no tumor) or "skip". A name with a wildcard (``yes_*``) stands for names of files,
            with a slash too (``glioma/*``) for their paths below the collection. Any other name stands for a folder
            (``sain``, ``train/sain``) or a cell of the column `label`; case does not matter there. An absolute path
            stands for one image, whatever its collection says of it.
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
        self._images = {name for name in self.rules if Path(name).is_absolute()}
        self._names = [name for name in self.rules if name not in self._images]

    def correct(self, table: pd.DataFrame) -> None:
        """Replaces the labels of the images that a rule names by their path; "skip" makes them unknown.

        What is called free of tumor loses its mask and the kind of its tumor.

        Args:
            table: with absolute paths and labels; changed in place.
        """
        chosen = table["path"].isin(self._images)
        if not chosen.any():
            return
        before, named = table.loc[chosen, "label"].astype(float), table.loc[chosen, "path"]
        after = named.map({name: UNKNOWN if self.rules[name] == "skip" else self.rules[name] for name in self._images})
        table.loc[chosen, "label"] = after.astype(float)
        free = after.index[after == NO_TUMOR]
        for column in {"mask", "kind"} & set(table):
            table.loc[free, column] = ""
        self.used.update(named)
        changed = int((before.fillna(-1) != after.fillna(-1)).sum())
        _log.warning("%d labels changed by verdicts on images, %d confirmed", changed, len(named) - changed)

    def of_file(self, path: Path, root: Path) -> Ruling | None:
        """Returns what the rules say of a file of the collection ``root``; one with a wildcard goes first.

        Raises:
            UsageError: two rules contradict each other.
        """
        relative = Path(os.path.relpath(path, root))
        place, name = relative.as_posix().casefold(), path.name.casefold()
        folder = (relative.parent.as_posix().casefold(), path.parent.name.casefold())
        wild = [rule for rule in self._names if set(rule) & set("*?[")]
        fits = [rule for rule in wild if fnmatchcase(place if "/" in rule else name, rule.casefold())]
        return self._agreed(fits or [rule for rule in self._names if rule.casefold() in folder], path)

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
            ruling = self._agreed([rule for rule in self._names if rule.casefold() == cell.casefold()], cell)
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
        if unused and unused[0] in self._images:
            more = f", nor are {len(unused) - 1} more" if len(unused) > 1 else ""
            rule = f"has a verdict in --corrections, but is not among the images{more}"
            remedy = "Relative paths count from that table. Name all collections, or empty the cell of its verdict."
            raise UsageError(unused[0], rule, remedy)
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
