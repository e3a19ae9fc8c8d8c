"""The owned HTTPRoute and its Gateways as facts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from serin_operator.decide.observation import ParentFacts, RouteFacts
from serin_operator.runtime import httproute

_GATEWAY_GROUP = "gateway.networking.k8s.io"


def route_of(item: Mapping[str, Any]) -> RouteFacts:
    """What the route does, and what each of its parents says of this generation of it."""
    split = httproute.split(item) or httproute.Split({}, None)
    parents = (item.get("spec") or {}).get("parentRefs") or ()
    return RouteFacts(
        weights=split.weights, cohort=split.cohort, parents=tuple(_parent(item, parent) for parent in parents)
    )


def gateways_of(item: Mapping[str, Any], namespace: str) -> tuple[tuple[str, str], ...]:
    """Namespace and name of every Gateway that the ModelDeployment attaches to, sorted."""
    traffic = (item.get("spec") or {}).get("traffic") or {}
    parents = traffic.get("parentRefs") or ()
    named = {
        (str(parent.get("namespace") or namespace), str(parent["name"]))
        for parent in parents
        if isinstance(parent, Mapping) and parent.get("name")
    }
    return tuple(sorted(named))


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
