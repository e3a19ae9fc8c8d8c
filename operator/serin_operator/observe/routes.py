"""The HTTPRoute that splits and its Gateways as facts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from serin_contract import http
from serin_operator.decide.observation import ParentFacts, RouteFacts
from serin_operator.runtime import httproute

Gateways = tuple[tuple[str, str], ...]
"""Namespace and name of each."""

_GATEWAY_GROUP = "gateway.networking.k8s.io"


def route_of(item: Mapping[str, Any], rule_name: str | None = None) -> RouteFacts:
    """What the route does, or its rule of that name, and what each of its parents says of this generation of it."""
    split = httproute.split(item, rule_name) or httproute.Split({}, None)
    parents = (item.get("spec") or {}).get("parentRefs") or ()
    return RouteFacts(
        weights=split.weights, cohort=split.cohort, parents=tuple(_parent(item, parent) for parent in parents)
    )


def gateways_of(item: Mapping[str, Any], namespace: str, referred: Mapping[str, Any] | None = None) -> Gateways:
    """Every Gateway that the ModelDeployment attaches to, or the route that it refers to, sorted."""
    attached = _traffic(item) if referred is None else referred.get("spec") or {}
    named = {
        (str(parent.get("namespace") or namespace), str(parent["name"]))
        for parent in attached.get("parentRefs") or ()
        if isinstance(parent, Mapping) and parent.get("name") and parent.get("kind", "Gateway") == "Gateway"
    }
    return tuple(sorted(named))


def reference_of(item: Mapping[str, Any]) -> tuple[str, str] | None:
    """Name of the route that the ModelDeployment refers to, and of the rule in it."""
    reference = _traffic(item).get("routeRef")
    if not isinstance(reference, Mapping) or not reference.get("name") or not reference.get("rule"):
        return None
    return str(reference["name"]), str(reference["rule"])


def backends_of(route: Mapping[str, Any], rule_name: str) -> tuple[str, ...]:
    """Names of the Services of this namespace that the rule sends requests to, sorted."""
    namespace = route["metadata"]["namespace"]
    named = {
        str(backend["name"])
        for rule in (route.get("spec") or {}).get("rules") or ()
        if rule.get("name") == rule_name
        for backend in rule.get("backendRefs") or ()
        if backend.get("kind", "Service") == "Service" and backend.get("namespace", namespace) == namespace
    }
    return tuple(sorted(named))


def leads_probe(route: Mapping[str, Any], value: str) -> bool:
    """Whether a rule of the route matches the probe header with that value."""
    return any(
        str(header.get("name", "")).lower() == http.PROBE_HEADER and header.get("value") == value
        for rule in (route.get("spec") or {}).get("rules") or ()
        for match in rule.get("matches") or ()
        for header in match.get("headers") or ()
    )


def _traffic(item: Mapping[str, Any]) -> Mapping[str, Any]:
    return (item.get("spec") or {}).get("traffic") or {}


def _parent(route: Mapping[str, Any], parent: Mapping[str, Any]) -> ParentFacts:
    metadata = route["metadata"]
    wanted = _identity(parent, metadata["namespace"])
    heard = [
        entry
        for entry in (route.get("status") or {}).get("parents") or ()
        if _identity(entry.get("parentRef") or {}, metadata["namespace"]) == wanted
    ]
    conditions = [condition for entry in heard for condition in entry.get("conditions") or ()]
    generation = metadata.get("generation")
    said = [
        condition
        for condition in conditions
        if condition.get("type") in ("Accepted", "ResolvedRefs") and condition.get("observedGeneration") == generation
    ]
    return ParentFacts(
        name=str(parent["name"]),
        namespace=parent.get("namespace"),
        accepted=_answer(said, "Accepted"),
        resolved_refs=_answer(said, "ResolvedRefs"),
        message="; ".join(
            f"{condition.get('reason', '')}: {condition.get('message', '')}"
            for condition in said
            if condition.get("status") == "False"
        ),
    )


def _identity(parent: Mapping[str, Any], route_namespace: str) -> tuple[object, ...]:
    """What tells two parents of one route apart, the API's defaults filled in."""
    return (
        parent.get("group", _GATEWAY_GROUP),
        parent.get("kind", "Gateway"),
        parent.get("namespace") or route_namespace,
        parent.get("name"),
        parent.get("sectionName"),
        parent.get("port"),
    )


def _answer(said: list[Mapping[str, Any]], kind: str) -> bool | None:
    """Two controllers may speak of one parent: a refusal outweighs a consent, and silence is no consent."""
    answers = [condition.get("status") for condition in said if condition["type"] == kind]
    if "False" in answers:
        return False
    return True if answers and all(answer == "True" for answer in answers) else None
