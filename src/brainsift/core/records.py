"""Results as typed records, written to JSON and read back.

A result is a frozen dataclass that derives from `Record`; its type hints say what the JSON must hold. A record that is
a file of its own has a schema version, the entry ``schema`` of the JSON. NaN is written as null, and null is
read as NaN where a number is expected.
"""

import math
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import MISSING, fields
from enum import Enum
from functools import cache
from numbers import Integral, Real
from pathlib import Path
from types import UnionType
from typing import Any, ClassVar, Literal, Self, Union, get_args, get_origin, get_type_hints

from brainsift.core.errors import InputError
from brainsift.core.files import read_json, write_json

JsonObject = dict[str, Any]
"""What `json.loads` returns for an object: the one place where a result has no type yet."""
_REMEDY = "Make the file again with this version of brainsift."


OMITTED = {"omitted": True}
"""Metadata of a field that is left out of the JSON while it is None or empty."""
REMAINING = {"remaining": True}
"""Metadata of a dictionary whose entries are written beside the other fields, not under a name of their own."""
UNWRITTEN = {"unwritten": True}
"""Metadata of a field with a default that the JSON never holds, such as an array."""


class Record:
    """Base of the frozen dataclasses that are written to JSON.

    Attributes:
        SCHEMA: version of the JSON; 0 for a record that is a piece of another one.
    """

    SCHEMA: ClassVar[int] = 0

    def to_json(self) -> JsonObject:
        """Returns what `json.dumps` can write, with ``schema`` first where the record has one."""
        values: JsonObject = {"schema": self.SCHEMA} if self.SCHEMA else {}
        for one in fields(self):  # type: ignore[arg-type]
            value = getattr(self, one.name)
            if one.metadata.get("unwritten"):
                continue
            if one.metadata.get("remaining"):
                values |= _plain(value)
            elif value or not one.metadata.get("omitted"):
                values[one.name] = _plain(value)
        return values

    @classmethod
    def from_json(cls, values: object, subject: object = "JSON") -> Self:
        """Builds the record from what `json.loads` returned; entries that it does not know are passed over.

        Args:
            values: a JSON object; one without ``schema`` is taken as version 1.
            subject: what errors name: the file, and the place in it.

        Raises:
            InputError: another schema, a field that is missing, or one of the wrong type.
        """
        if not isinstance(values, Mapping):
            raise InputError(subject, f"must be a JSON object, not {type(values).__name__}", _REMEDY)
        found = values.get("schema", 1)
        if cls.SCHEMA and found != cls.SCHEMA:
            raise InputError(subject, f"has schema {found!r}; this version reads schema {cls.SCHEMA}", _REMEDY)
        hints, known = _hints(cls), {one.name for one in fields(cls)}  # type: ignore[arg-type]
        arguments = {}
        for one in fields(cls):  # type: ignore[arg-type]
            place = f"{subject}, {one.name}"
            if one.metadata.get("unwritten"):
                continue
            if one.metadata.get("remaining"):
                rest = {name: value for name, value in values.items() if name not in known | {"schema"}}
                arguments[one.name] = _typed(hints[one.name], rest, place)
            elif one.name in values:
                arguments[one.name] = _typed(hints[one.name], values[one.name], place)
            elif one.default is MISSING and one.default_factory is MISSING:
                raise InputError(subject, f"lacks `{one.name}`", _REMEDY)
        return cls(**arguments)

    def write(self, path: Path) -> None:
        """Writes the JSON file, whole or not at all."""
        write_json(path, self.to_json())

    @classmethod
    def read(cls, path: Path) -> Self:
        """Reads a JSON file.

        Raises:
            InputError: it is no JSON, or not one of this record; see `from_json`.
        """
        return cls.from_json(read_json(path), path)


@cache
def _hints(record: type) -> dict[str, Any]:
    return get_type_hints(record)


def _plain(value: Any) -> Any:
    """Turns values of records into what JSON knows."""
    if hasattr(value, "to_json"):
        return value.to_json()
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, Path | Enum):
        return str(value)
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, Real) and not isinstance(value, Integral):
        return float(value) if math.isfinite(value) else None
    return int(value) if isinstance(value, Integral) and not isinstance(value, bool) else value


def _typed(hint: Any, value: Any, place: str) -> Any:  # noqa: PLR0911
    """Turns what JSON holds into the type of a hint.

    Raises:
        InputError: it is not of that type.
    """
    origin, inner = get_origin(hint), get_args(hint)
    if origin in (UnionType, Union):
        if value is None and type(None) in inner:
            return None
        *first, last = (one for one in inner if one is not type(None))
        for one in first:
            with suppress(InputError):
                return _typed(one, value, place)
        return _typed(last, value, place)
    if hasattr(hint, "from_json"):
        return hint.from_json(value, place)
    if origin is dict and isinstance(value, Mapping):
        return {str(key): _typed(inner[1], item, f"{place}, {key}") for key, item in value.items()}
    if origin in (list, tuple) and isinstance(value, list | tuple):
        return origin(_typed(inner[0], item, f"{place}, {number}") for number, item in enumerate(value))
    if origin is Literal and value in inner:
        return value
    if isinstance(hint, type) and issubclass(hint, Path | Enum) and isinstance(value, str):
        with suppress(ValueError):
            return hint(value)
    if hint is float and (value is None or (isinstance(value, int | float) and not isinstance(value, bool))):
        return math.nan if value is None else float(value)
    if hint is Any or (
        hint in (str, int, bool) and isinstance(value, hint) and isinstance(value, bool) == (hint is bool)
    ):
        return value
    raise InputError(place, f"must be {getattr(hint, '__name__', hint)}, not {value!r}", _REMEDY)
