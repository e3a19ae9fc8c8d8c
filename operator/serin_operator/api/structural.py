"""Pydantic models as structural schemas: the part of OpenAPI that a CRD may hold."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

Json = dict[str, Any]

KEY_ORDER = (
    "description", "type", "format", "enum", "pattern", "minLength", "maxLength", "minimum",
    "exclusiveMinimum", "maximum", "exclusiveMaximum", "minItems", "maxItems", "minProperties",
    "maxProperties", "x-kubernetes-int-or-string", "x-kubernetes-preserve-unknown-fields",
    "x-kubernetes-list-type", "x-kubernetes-list-map-keys", "x-kubernetes-map-type",
    "x-kubernetes-validations", "required", "properties", "additionalProperties", "items",
)  # fmt: skip
"""What a person reads first comes first; a key that is not listed comes last, for the check to find."""


class _Generator(GenerateJsonSchema):
    """Pydantic's generator without what Kubernetes would show as drift: null as a value, and defaults."""

    def nullable_schema(self, schema: core_schema.NullableSchema) -> JsonSchemaValue:
        return self.generate_inner(schema["schema"])

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        return self.generate_inner(schema["schema"])


def structural(model: type[BaseModel]) -> Json:
    """The structural schema of a model, every reference inlined."""
    schema = model.model_json_schema(by_alias=True, schema_generator=_Generator)
    return _convert(schema, schema.get("$defs", {}))


def _convert(schema: Json, definitions: Json) -> Json:
    """One node. A field's own words win over those of the type it refers to."""
    node = {key: value for key, value in _inlined(schema, definitions).items() if key not in ("title", "$defs")}
    _translate_constant(node)
    _translate_exclusive_bounds(node)
    if node.pop("x-kubernetes-int-or-string", False):
        node = _int_or_string(node)
    if node.get("x-kubernetes-preserve-unknown-fields"):
        node.pop("additionalProperties", None)
    if "x-kubernetes-validations" in node:
        node["x-kubernetes-validations"] = [
            {"rule": entry["rule"], **entry} for entry in node["x-kubernetes-validations"]
        ]
    if "properties" in node:
        node["properties"] = {name: _convert(sub, definitions) for name, sub in node["properties"].items()}
    for key in ("items", "additionalProperties"):
        if isinstance(node.get(key), dict):
            node[key] = _convert(node[key], definitions)
    return dict(sorted(node.items(), key=lambda item: _rank(item[0])))


def _inlined(schema: Json, definitions: Json) -> Json:
    if "$ref" not in schema:
        return schema
    target = _inlined(definitions[schema["$ref"].removeprefix("#/$defs/")], definitions)
    return {**target, **{key: value for key, value in schema.items() if key != "$ref"}}


def _translate_constant(node: Json) -> None:
    if "const" in node:
        node["enum"] = [node.pop("const")]


def _translate_exclusive_bounds(node: Json) -> None:
    """OpenAPI 3.0 says exclusiveness by a flag beside the bound."""
    for flag, bound in (("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")):
        if flag in node:
            node[bound] = node[flag]
            node[flag] = True


def _int_or_string(node: Json) -> Json:
    """Kubernetes knows this union by its mark; what bounds the string branch stands beside it."""
    text = next(branch for branch in node.pop("anyOf") if branch.get("type") == "string")
    limits = {key: value for key, value in text.items() if key not in ("type", "title")}
    return {**node, **limits, "x-kubernetes-int-or-string": True}


def _rank(key: str) -> int:
    return KEY_ORDER.index(key) if key in KEY_ORDER else len(KEY_ORDER)
