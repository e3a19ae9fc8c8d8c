"""What becomes of a model when it is turned into a structural schema."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import Field

from serin_operator.api.base import ApiModel, Timestamp
from serin_operator.api.fields import Quantity
from serin_operator.api.markers import Rule, Schema
from serin_operator.api.structural import structural


class Colour(StrEnum):
    """A colour."""

    Red = "Red"
    White = "White"


class Grape(ApiModel):
    """A kind of grape."""

    name: Annotated[str, Field(max_length=8, description="Its name.")]


Short = Annotated[str, Field(max_length=8), Schema(rules=(Rule("self != 'a'", "not a"),))]


class Wine(ApiModel):
    """A wine."""

    title: Annotated[str, Field(max_length=8, description="A field called like a keyword.")]
    colour: Annotated[Colour | None, Field(description="Which colour.")] = None
    only: Annotated[Literal["Wine"], Field(description="Nothing else.")] = "Wine"
    share: Annotated[float | None, Field(gt=0, lt=1, description="A share.")] = None
    grapes: Annotated[
        tuple[Grape, ...], Field(max_length=4, description="What it is made of."), Schema(list_type="atomic")
    ] = ()
    best_grape: Annotated[Grape | None, Field(description="The best of them.")] = None
    plain_grape: Grape | None = None
    amounts: Annotated[dict[str, Quantity] | None, Field(max_length=2, description="Amounts.")] = None
    rest: Annotated[dict[str, Any] | None, Field(description="The rest."), Schema(preserve_unknown=True)] = None
    bottled_at: Annotated[Timestamp | None, Field(description="When.")] = None
    word: Annotated[Short, Field(description="A word."), Schema(rules=(Rule("self != 'b'", "not b"),))]


SCHEMA = structural(Wine)
FIELDS = SCHEMA["properties"]


def test_a_keyword_is_a_field_name_like_any_other():
    assert FIELDS["title"] == {
        "description": "A field called like a keyword.",
        "type": "string",
        "maxLength": 8,
    }


def test_fields_are_camel_case_and_only_those_without_default_are_required():
    assert SCHEMA["required"] == ["title", "word"]
    assert list(FIELDS)[5:7] == ["bestGrape", "plainGrape"]


def test_optional_is_just_the_type_and_an_enum_is_inlined():
    assert FIELDS["colour"] == {"description": "Which colour.", "type": "string", "enum": ["Red", "White"]}


def test_a_constant_is_an_enum_of_one_and_keeps_no_default():
    assert FIELDS["only"] == {"description": "Nothing else.", "type": "string", "enum": ["Wine"]}


def test_exclusive_bounds_are_flags():
    assert FIELDS["share"] == {
        "description": "A share.",
        "type": "number",
        "minimum": 0,
        "exclusiveMinimum": True,
        "maximum": 1,
        "exclusiveMaximum": True,
    }


def test_a_field_speaks_for_itself_and_else_its_type_does():
    assert FIELDS["bestGrape"]["description"] == "The best of them."
    assert FIELDS["plainGrape"]["description"] == "A kind of grape."


def test_lists_carry_their_type_and_inlined_items():
    assert FIELDS["grapes"]["x-kubernetes-list-type"] == "atomic"
    assert FIELDS["grapes"]["items"]["properties"]["name"]["type"] == "string"


def test_an_integer_or_string_names_no_type():
    value = FIELDS["amounts"]["additionalProperties"]
    assert value["x-kubernetes-int-or-string"] is True
    assert value.keys() == {"x-kubernetes-int-or-string", "pattern", "maxLength"}


def test_unknown_fields_are_kept_without_a_schema_of_their_values():
    assert FIELDS["rest"] == {
        "description": "The rest.",
        "type": "object",
        "x-kubernetes-preserve-unknown-fields": True,
    }


def test_a_time_has_its_format():
    assert FIELDS["bottledAt"]["format"] == "date-time"


def test_rules_of_a_type_and_of_its_field_add_up():
    assert FIELDS["word"]["x-kubernetes-validations"] == [
        {"rule": "self != 'a'", "message": "not a"},
        {"rule": "self != 'b'", "message": "not b"},
    ]
