"""What a schema of Serin keeps to: the structural subset of OpenAPI, words for every field, bounds."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from serin_operator.api.structural import KEY_ORDER, Json

ALLOWED_KEYS = frozenset(KEY_ORDER)
"""No `default` (it would show as drift in Argo CD), no `title`, no `$ref`, no unions, no `nullable`."""

TYPES = frozenset({"object", "array", "string", "integer", "number", "boolean"})
SCALARS = TYPES - {"object", "array"}


class SchemaError(ValueError):
    """A model asks for something that its CRD cannot or must not say."""


def check(schema: Json) -> None:
    """Refuse a schema that is not structural, leaves a field unexplained or a value unbounded.

    Raises:
        SchemaError: every problem, one per line, with the path of the field.
    """
    found = [f"{path or '.'}: {problem}" for path, problem in _problems(schema, "")]
    if found:
        raise SchemaError("\n".join(found))


def _problems(node: Json, path: str) -> Iterator[tuple[str, str]]:
    for key in node.keys() - ALLOWED_KEYS:
        yield path, f"{key!r} has no place in a structural schema"
    yield from ((path, problem) for problem in _of_type(node))
    for name, field in node.get("properties", {}).items():
        if not field.get("description"):
            yield f"{path}.{name}", "has no description"
        yield from _problems(field, f"{path}.{name}")
    for key, suffix in (("items", "[]"), ("additionalProperties", "{}")):
        if isinstance(node.get(key), dict):
            yield from _problems(node[key], path + suffix)


def _of_type(node: Json) -> Iterator[str]:
    kind = node.get("type")
    if node.get("x-kubernetes-int-or-string"):
        yield from () if kind is None else ("an int-or-string must not name a type",)
        yield from _of_string(node)
    elif kind not in TYPES:
        yield f"type {kind!r} is not one of {', '.join(sorted(TYPES))}"
    elif kind == "array":
        yield from _of_list(node)
    elif kind == "object":
        yield from _of_object(node)
    elif kind == "string":
        yield from _of_string(node)


def _of_string(node: Json) -> Iterator[str]:
    if "enum" not in node and "maxLength" not in node:
        yield "a string needs maxLength"


def _of_object(node: Json) -> Iterator[str]:
    forms = [key for key in ("properties", "additionalProperties") if key in node]
    if node.get("x-kubernetes-preserve-unknown-fields"):
        yield from () if not forms else ("an object of unknown fields must not list any",)
    elif len(forms) != 1 or not isinstance(node[forms[0]], dict):
        yield "an object needs either properties or the schema of its values"
    elif forms == ["additionalProperties"] and "maxProperties" not in node:
        yield "a map needs maxProperties"
    for name in set(node.get("required", ())) - node.get("properties", {}).keys():
        yield f"required field {name!r} does not exist"


def _of_list(node: Json) -> Iterator[str]:
    items = node.get("items", {})
    kind = node.get("x-kubernetes-list-type")
    if "maxItems" not in node:
        yield "a list needs maxItems"
    if not items:
        yield "a list needs the schema of its items"
    elif kind == "map":
        yield from _of_map_keys(node.get("x-kubernetes-list-map-keys", ()), items)
    elif kind == "set" and items.get("type") not in SCALARS:
        yield "the items of a set must be scalars"
    elif kind is None:
        yield "a list needs a list type, so that several writers merge as meant"


def _of_map_keys(keys: Any, items: Json) -> Iterator[str]:
    if not keys:
        yield "a list of type map needs its keys"
    for key in keys:
        if key not in items.get("required", ()):
            yield f"list-map key {key!r} must be a required field"
        elif items["properties"][key].get("type") not in SCALARS:
            yield f"list-map key {key!r} must be a scalar"
