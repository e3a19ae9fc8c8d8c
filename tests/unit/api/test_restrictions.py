"""Which models cannot become a CRD, and what is said of them."""

from __future__ import annotations

from typing import Annotated, Any

import pytest
from pydantic import Field, create_model

from serin_operator.api.base import ApiModel
from serin_operator.api.markers import Schema
from serin_operator.api.restrictions import SchemaError, check
from serin_operator.api.structural import structural


class Item(ApiModel):
    """An item."""

    name: Annotated[str | None, Field(max_length=8, description="Its name.")] = None
    rank: Annotated[float, Field(description="Its rank.")]


Text = Annotated[str, Field(max_length=8)]
WORDS = Field(description="Words.")

BAD_FIELDS: dict[str, tuple[Any, str]] = {
    "a field without words": (Text, ".field: has no description"),
    "a string without end": (Annotated[str, WORDS], ".field: a string needs maxLength"),
    "a list without end": (
        Annotated[tuple[Text, ...], WORDS, Schema(list_type="atomic")],
        ".field: a list needs maxItems",
    ),
    "a list without type": (
        Annotated[tuple[Text, ...], Field(max_length=4, description="Words.")],
        ".field: a list needs a list type",
    ),
    "a list of anything": (
        Annotated[tuple[Any, ...], Field(max_length=4, description="Words."), Schema(list_type="atomic")],
        ".field: a list needs the schema of its items",
    ),
    "a map without end": (Annotated[dict[str, Text], WORDS], ".field: a map needs maxProperties"),
    "a map to anything": (
        Annotated[dict[str, Any], Field(max_length=4, description="Words.")],
        ".field: an object needs either properties or the schema of its values",
    ),
    "a union": (Annotated[Text | float, WORDS], ".field: 'anyOf' has no place in a structural schema"),
    "a fixed-length tuple": (Annotated[tuple[int, int], WORDS], ".field: 'prefixItems' has no place"),
    "a set of objects": (
        Annotated[tuple[Item, ...], Field(max_length=4, description="Words."), Schema(list_type="set")],
        ".field: the items of a set must be scalars",
    ),
    "a list map without keys": (
        Annotated[tuple[Item, ...], Field(max_length=4, description="Words."), Schema(list_type="map")],
        ".field: a list of type map needs its keys",
    ),
    "a list map by a field that may be absent": (
        Annotated[
            tuple[Item, ...],
            Field(max_length=4, description="Words."),
            Schema(list_type="map", list_map_keys=("name",)),
        ],
        ".field: list-map key 'name' must be a required field",
    ),
    "a string without end in a list": (
        Annotated[tuple[str, ...], Field(max_length=4, description="Words."), Schema(list_type="set")],
        ".field[]: a string needs maxLength",
    ),
}


@pytest.mark.parametrize(("annotation", "words"), BAD_FIELDS.values(), ids=BAD_FIELDS)
def test_refuses(annotation: Any, words: str) -> None:
    model = create_model("Bad", __base__=ApiModel, field=(annotation, ...))
    with pytest.raises(SchemaError) as refused:
        check(structural(model))
    assert words in str(refused.value)


BAD_SCHEMAS = {
    "a default": ({"type": "integer", "default": 1}, ".f: 'default' has no place"),
    "a title": ({"type": "integer", "title": "F"}, ".f: 'title' has no place"),
    "a reference": ({"type": "integer", "$ref": "#/$defs/F"}, ".f: '$ref' has no place"),
    "null": ({"type": "integer", "nullable": True}, ".f: 'nullable' has no place"),
    "no type": ({}, ".f: type None is not one of array, boolean"),
    "a type and two forms": (
        {"type": "integer", "x-kubernetes-int-or-string": True, "maxLength": 4},
        ".f: an int-or-string must not name a type",
    ),
    "a required field that is not there": (
        {"type": "object", "properties": {}, "required": ["g"]},
        ".f: required field 'g' does not exist",
    ),
    "unknown fields beside known ones": (
        {"type": "object", "properties": {}, "x-kubernetes-preserve-unknown-fields": True},
        ".f: an object of unknown fields must not list any",
    ),
}


@pytest.mark.parametrize(("field", "words"), BAD_SCHEMAS.values(), ids=BAD_SCHEMAS)
def test_refuses_the_schema(field: dict[str, Any], words: str) -> None:
    with pytest.raises(SchemaError) as refused:
        check({"type": "object", "properties": {"f": {"description": "Words.", **field}}})
    assert words in str(refused.value)


def test_names_every_problem_at_once():
    model = create_model("Bad", __base__=ApiModel, one=(str, ...), two=(Text, ...))
    with pytest.raises(SchemaError) as refused:
        check(structural(model))
    assert str(refused.value).splitlines() == [
        ".one: has no description",
        ".one: a string needs maxLength",
        ".two: has no description",
    ]


def test_accepts_a_model_that_keeps_to_it():
    model = create_model("Good", __base__=ApiModel, text=(Annotated[Text, WORDS], ...))
    check(structural(model))
