"""What a route's parents say, and of which generation."""

from __future__ import annotations

from typing import Any

import pytest

from serin_operator.observe.routes import backends_of, gateways_of, reference_of, route_of

PARENT = {"name": "public", "namespace": "infra"}


def said(kind: str, status: str, generation: int = 3, **more: Any) -> dict[str, Any]:
    return {"type": kind, "status": status, "observedGeneration": generation, **more}


def entry(parent: dict[str, Any], *conditions: dict[str, Any]) -> dict[str, Any]:
    return {"parentRef": parent, "controllerName": "c", "conditions": list(conditions)}


FULL = {**PARENT, "group": "gateway.networking.k8s.io", "kind": "Gateway"}
BOTH = (said("Accepted", "True"), said("ResolvedRefs", "True"))


@pytest.mark.parametrize(
    ("heard", "accepted", "resolved", "programmed"),
    [
        pytest.param([], None, None, None, id="silence"),
        pytest.param([entry(FULL, *BOTH)], True, True, True, id="both true at this generation"),
        pytest.param([entry(PARENT, *BOTH)], True, True, True, id="the defaults of group and kind left out"),
        pytest.param(
            [entry(FULL, said("Accepted", "True", 2), said("ResolvedRefs", "True"))],
            None,
            True,
            None,
            id="spoken of an older generation",
        ),
        pytest.param(
            [entry(FULL, said("Accepted", "False"), said("ResolvedRefs", "True"))], False, True, False, id="refused"
        ),
        pytest.param([entry(FULL, said("Accepted", "Unknown"))], None, None, None, id="it cannot be told"),
        pytest.param([entry({**FULL, "namespace": "else"}, *BOTH)], None, None, None, id="another Gateway's answer"),
        pytest.param([entry({**FULL, "sectionName": "s"}, *BOTH)], None, None, None, id="another listener's answer"),
        pytest.param(
            [entry(FULL, *BOTH), entry(FULL, said("Accepted", "False"))],
            False,
            True,
            False,
            id="of two controllers one refuses",
        ),
    ],
)
def test_parents(
    heard: list[dict[str, Any]], accepted: bool | None, resolved: bool | None, programmed: bool | None
) -> None:
    route = {
        "metadata": {"name": "m", "namespace": "default", "generation": 3},
        "spec": {"parentRefs": [FULL], "rules": []},
        "status": {"parents": heard},
    }
    facts = route_of(route)
    assert [(parent.accepted, parent.resolved_refs) for parent in facts.parents] == [(accepted, resolved)]
    assert facts.programmed is programmed


def test_a_refusal_is_told_in_its_words() -> None:
    refused = said("Accepted", "False", reason="NotAllowedByListeners", message="no listener allows it")
    route = {
        "metadata": {"name": "m", "namespace": "default", "generation": 3},
        "spec": {"parentRefs": [FULL]},
        "status": {"parents": [entry(FULL, refused)]},
    }
    assert route_of(route).parents[0].message == "NotAllowedByListeners: no listener allows it"


@pytest.mark.parametrize(
    ("spec", "gateways"),
    [
        ({"traffic": {"parentRefs": [{"name": "b"}, {"name": "a", "namespace": "x"}]}}, (("default", "b"), ("x", "a"))),
        ({"traffic": {"parentRefs": [{"name": "b"}, {"name": "b", "sectionName": "s"}]}}, (("default", "b"),)),
        ({"traffic": {"parentRefs": None}}, ()),
        ({}, ()),
    ],
)
def test_gateways(spec: dict[str, Any], gateways: tuple[tuple[str, str], ...]) -> None:
    assert gateways_of({"spec": spec}, "default") == gateways


def test_the_gateways_of_a_route_that_is_referred_to_are_its_own() -> None:
    spec = {"traffic": {"routeRef": {"name": "shop", "rule": "wine"}}}
    parents = [{"name": "b"}, {"name": "a", "namespace": "x"}, {"name": "mesh", "kind": "Service"}]
    referred = {"spec": {"parentRefs": parents}}
    assert gateways_of({"spec": spec}, "default", referred) == (("default", "b"), ("x", "a"))


@pytest.mark.parametrize(
    ("traffic", "reference"),
    [
        ({"routeRef": {"name": "shop", "rule": "wine"}}, ("shop", "wine")),
        ({"routeRef": {"name": "shop"}}, None),
        ({"routeRef": "shop"}, None),
        ({"parentRefs": [{"name": "public"}]}, None),
        (None, None),
    ],
)
def test_the_rule_that_is_referred_to(traffic: Any, reference: tuple[str, str] | None) -> None:
    assert reference_of({"spec": {"traffic": traffic}}) == reference


def test_the_backends_of_a_rule_are_the_services_of_its_namespace() -> None:
    backends = [
        {"name": "b"},
        {"name": "a", "kind": "Service", "namespace": "default"},
        {"name": "elsewhere", "namespace": "x"},
        {"name": "bucket", "kind": "Bucket"},
    ]
    rules = [{"name": "wine", "backendRefs": backends}, {"name": "pages", "backendRefs": [{"name": "pages"}]}]
    route = {"metadata": {"namespace": "default"}, "spec": {"rules": rules}}
    assert backends_of(route, "wine") == ("a", "b")
