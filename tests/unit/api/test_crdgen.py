"""The two CRDs as a whole."""

from __future__ import annotations

import ast
import inspect

import pytest
from tests.support.schemas import rules_of, schema_of

from serin_operator.api import rules
from serin_operator.api.crdgen import KINDS, Kind, crd

IDS = [kind.name for kind in KINDS]


@pytest.fixture(params=KINDS, ids=IDS)
def kind(request: pytest.FixtureRequest) -> Kind:
    found: Kind = request.param
    return found


def resolve(schema: dict, path: str) -> dict:
    """The schema of a field that a JSON path names; metadata is Kubernetes' own."""
    for name in path.lstrip(".").split("."):
        schema = schema["properties"][name]
        if name == "metadata":
            return {}
    return schema


def test_is_named_after_its_plural_and_group(kind: Kind) -> None:
    definition = crd(kind)
    assert definition["metadata"]["name"] == f"{kind.plural}.serin.dev"
    assert definition["spec"]["names"]["categories"] == ["serin"]
    assert definition["spec"]["scope"] == "Namespaced"


def test_serves_and_stores_one_version_with_status_apart(kind: Kind) -> None:
    (version,) = crd(kind)["spec"]["versions"]
    assert (version["name"], version["served"], version["storage"]) == ("v1alpha1", True, True)
    assert version["subresources"] == {"status": {}}


def test_every_column_shows_a_field_of_its_type(kind: Kind) -> None:
    schema = schema_of(kind)
    for column in kind.columns:
        field = resolve(schema, column.json_path)
        assert column.type == field.get("type", "date"), column.name


def test_short_names_differ() -> None:
    assert len({kind.short_name for kind in KINDS}) == len(KINDS)


def test_every_rule_ends_in_a_sentence_for_people(kind: Kind) -> None:
    found = list(rules_of(schema_of(kind)))
    assert found
    for rule in found:
        assert len(rule["message"]) > 20, rule["rule"]
        assert "\n" not in rule["message"]


def test_no_set_of_rules_hides_another_of_its_name() -> None:
    names = [
        target.id
        for statement in ast.parse(inspect.getsource(rules)).body
        if isinstance(statement, ast.Assign)
        for target in statement.targets
        if isinstance(target, ast.Name)
    ]
    assert sorted(names) == sorted(set(names))
