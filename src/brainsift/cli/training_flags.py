"""What `train` and `tune` share: a manifest that is split, or gets split now."""

import argparse
from pathlib import Path
from typing import Any

import pandas as pd

from brainsift.cli.flags import add_flags, given, make
from brainsift.core.errors import ManifestError, UsageError
from brainsift.datasets.manifest import read_manifest
from brainsift.datasets.split import SplitConfig, check, split
from brainsift.training.recipes import TrainConfig, make_config

_NEEDED = ("status", "sha256", "pixels_sha256", "group")
_NOTE = "The defaults shown are those of `compact`; every network and recipe has its own."


def add_train_flags(parser: argparse.ArgumentParser, *, leave_out: tuple[str, ...] = ()) -> None:
    """Adds the flags of training and of the split; the one seed is for both."""
    add_flags(parser, TrainConfig, leave_out=leave_out, defaults=make_config("compact"), note=_NOTE)
    add_flags(parser, SplitConfig, leave_out=("seed",), note="For a manifest that is not split yet.")


def read_parts(arguments: argparse.Namespace) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Reads the manifest and splits it unless it is split.

    Returns:
        The manifest with `part`, and how it was split: protocol and fold, both None where the file says only the parts.

    Raises:
        ManifestError: it was not audited.
        UsageError: it is split, and flags say how to split it.
    """
    path: Path = arguments.manifest
    table = read_manifest(path)
    missing = [column for column in _NEEDED if column not in table]
    if missing:
        raise ManifestError(path, f"lacks the columns {missing}", "Audit it first: brainsift audit DATA... -o DIR.")
    if "part" not in table:
        plan = make(arguments, SplitConfig)
        table = split(table, plan)
        check(table, plan.protocol)
        return table, {"protocol": plan.protocol, "fold": plan.fold}
    useless = sorted(set(given(arguments, SplitConfig)) - {"seed"})
    if useless:
        raise UsageError(
            ", ".join(useless), f"{path} is split already", "Leave it out, or give the manifest of `audit`."
        )
    return table, {"protocol": None, "fold": None}
