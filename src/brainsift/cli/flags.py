"""Flags of the commands: a stage's dataclass as flags, with help from its docstring, and flags that commands share."""

import argparse
import dataclasses
import inspect
import re
import types
import typing
from collections.abc import Container
from pathlib import Path
from typing import Any, TypeVar

Config = TypeVar("Config")
DATA_HELP = "NAME=PATH of a known collection, a folder with one folder per class, or a CSV file"


def add_flags(
    parser: argparse.ArgumentParser,
    stage: type[Config],
    *,
    leave_out: Container[str] = (),
    defaults: Config | None = None,
    note: str | None = None,
) -> None:
    """Adds one flag for each field of a stage's dataclass.

    The parsed arguments hold only flags that were given, so that a recipe keeps its own values for the others.

    Args:
        parser: gets the flags.
        stage: the dataclass; the section "Attributes" of its docstring is the help.
        leave_out: fields without a flag.
        defaults: the values that the help shows as defaults; None for those of the dataclass.
        note: shown above the flags.
    """
    group = parser.add_argument_group(stage.__name__.removesuffix("Config").lower() + " settings", note)
    helps, hints = _field_helps(stage), typing.get_type_hints(stage)
    for field in dataclasses.fields(stage):  # type: ignore[arg-type]
        if field.name in leave_out:
            continue
        default = field.default if defaults is None else getattr(defaults, field.name)
        options = _type_options(hints[field.name])
        group.add_argument(
            "--" + field.name.replace("_", "-"),
            default=argparse.SUPPRESS,
            help=f"{helps[field.name]} (default: {_shown(default)})".replace("%", "%%"),
            **options,
        )


def add_output(parser: argparse.ArgumentParser, what: str) -> None:
    """Adds ``-o DIR``."""
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="DIR", help=what)


def add_map(parser: argparse.ArgumentParser) -> None:
    """Adds ``--map NAME=LABEL`` and ``--corrections CSV``, which `labelling.parse_rules` reads."""
    parser.add_argument(
        "--map",
        action="append",
        default=[],
        metavar="NAME=LABEL",
        help="label of a folder, of files or of a word in the column `label`: 1 (tumor), 0 (no tumor) or skip (left "
        "out), such as --map sain=0 --map 'yes_*=1' --map 'glioma/*=1'; may be repeated",
    )
    parser.add_argument(
        "--corrections",
        type=Path,
        metavar="CSV",
        help="labels of single images that a person corrected: a table of `brainsift review`, its column `verdict` "
        "filled with 1, 0 or skip",
    )


def given(arguments: argparse.Namespace, stage: type[Any]) -> dict[str, Any]:
    """Returns the fields of a stage that were given as flags."""
    names = {field.name for field in dataclasses.fields(stage)}
    values = {name: value for name, value in vars(arguments).items() if name in names}
    return {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}


def make(arguments: argparse.Namespace, stage: type[Config]) -> Config:
    """Builds a stage's dataclass from the flags given."""
    return stage(**given(arguments, stage))


def _type_options(hint: Any) -> dict[str, Any]:
    if hint is bool:
        return {"action": argparse.BooleanOptionalAction}
    if typing.get_origin(hint) is tuple:
        return {"nargs": "*", "type": typing.get_args(hint)[0], "metavar": "NAME"}
    if typing.get_origin(hint) is typing.Literal:
        return {"choices": typing.get_args(hint)}
    if isinstance(hint, types.UnionType):
        hint = next(part for part in typing.get_args(hint) if part is not type(None))
    return {"type": hint, "metavar": {int: "N", float: "X", str: "NAME", Path: "FOLDER"}.get(hint, "VALUE")}


def _shown(default: Any) -> str:
    if isinstance(default, tuple):
        return " ".join(default) or "none"
    return "none" if default is None else str(default)


def _field_helps(stage: type[Any]) -> dict[str, str]:
    """Reads the section "Attributes" of a Google-style docstring."""
    section = re.search(r"Attributes:\n(.*?)(?:\n\n|\Z)", inspect.getdoc(stage) or "", re.DOTALL)
    text = re.sub(r"\n {8,}", " ", section[1]) if section else ""
    return {name: words.rstrip(".") for name, words in re.findall(r"^ {4}(\w+): (.*)$", text, re.MULTILINE)}
