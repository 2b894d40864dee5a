"""The page of the HTTP API: what the OpenAPI document says, for people; without scripts, and nothing from elsewhere."""

from collections.abc import Iterator
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from brainsift.pages.html import render

_METHODS = ("get", "post", "put", "delete")
Schema = dict[str, Any]


@dataclass(frozen=True)
class _Field:
    """A parameter, or a field of an object."""

    name: str
    schema: Schema
    required: bool
    description: str
    default: Any
    examples: list[Any]


@dataclass(frozen=True)
class _Body:
    """What a request or a reply may hold."""

    media: str
    schema: Schema
    example: Any


@dataclass(frozen=True)
class _Reply:
    status: str
    words: str
    bodies: list[_Body]


@dataclass(frozen=True)
class _Operation:
    """A method of an address."""

    id: str
    method: str
    path: str
    description: list[str]
    parameters: list[_Field]
    body_description: str
    bodies: list[_Body]
    replies: list[_Reply]


@dataclass(frozen=True)
class _Object:
    """A schema with a name."""

    name: str
    description: list[str]
    fields: list[_Field]
    schema: Schema


def api_page(document: dict[str, Any]) -> str:
    """Returns the page of an OpenAPI document.

    Args:
        document: OpenAPI 3.1, as FastAPI makes it.
    """
    schemas = document["components"]["schemas"]
    objects = [_Object(name, _paragraphs(one), _fields(one), one) for name, one in sorted(schemas.items())]
    context = {"info": document["info"], "operations": list(_operations(document)), "objects": objects}
    return render("api.html.j2", context)


def _operations(document: dict[str, Any]) -> Iterator[_Operation]:
    for path, methods in document["paths"].items():
        for method in _METHODS:
            if method not in methods:
                continue
            one = methods[method]
            body = one.get("requestBody", {})
            yield _Operation(
                id=one["operationId"],
                method=method.upper(),
                path=path,
                description=_paragraphs(one),
                parameters=[_parameter(parameter) for parameter in one.get("parameters", [])],
                body_description=body.get("description", ""),
                bodies=_bodies(body, document["components"]["schemas"]),
                replies=[
                    _Reply(status, HTTPStatus(int(status)).phrase, _bodies(reply, {}))
                    for status, reply in sorted(one["responses"].items())
                ],
            )


def _paragraphs(described: dict[str, Any]) -> list[str]:
    return [part.strip() for part in described.get("description", "").split("\n\n") if part.strip()]


def _parameter(parameter: dict[str, Any]) -> _Field:
    schema = parameter["schema"]
    return _field(parameter["name"], schema, parameter.get("required", False), parameter.get("description", ""))


def _fields(schema: Schema) -> list[_Field]:
    required = schema.get("required", [])
    properties = schema.get("properties", {}).items()
    return [_field(name, one, name in required, one.get("description", "")) for name, one in properties]


def _field(name: str, schema: Schema, required: bool, description: str) -> _Field:
    return _Field(name, schema, required, description, schema.get("default"), schema.get("examples", []))


def _bodies(holder: dict[str, Any], schemas: dict[str, Schema]) -> list[_Body]:
    """Returns the kinds of content of a request or a reply, each with its own example or that of its schema."""
    found = []
    for media, content in holder.get("content", {}).items():
        schema = content.get("schema", {})
        named = schemas.get(schema.get("$ref", "").rpartition("/")[2], schema)
        example = content.get("example", next(iter(named.get("examples", [])), None))
        found.append(_Body(media, schema, example))
    return found
