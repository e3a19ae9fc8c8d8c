"""The split by one rule of an HTTPRoute that someone else owns.

Serin writes that rule's backendRefs and, among its filters, its own headers in the RequestHeaderModifier. All the
rest of the route is its owner's. The rules of a route are one list to the API server, which nobody can own in part:
so what is written is what was read with that one rule changed, and it holds only for the version that was read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from serin_operator.api.traffic import RouteReference
from serin_operator.decide import manifests
from serin_operator.decide.plan import EditRule, SetWeights, Splitting
from serin_operator.decide.routing import parents, rules
from serin_operator.decide.routing.base import Split
from serin_operator.decide.routing.route import RouteRouting

_MODIFIER = "RequestHeaderModifier"


@dataclass(frozen=True)
class ReferredRouting(RouteRouting):
    """Weights and cohort in one rule, written in one patch."""

    probes: bool = False

    @property
    def weights(self) -> Mapping[str, int]:
        """The rule's weights as they stand; before the first write they are those of its owner's backends.

        A route of Serin's own that is left from before counts where it gives a candidate more.
        """
        own = self.seen.route.weights if self.seen.route is not None else {}
        left, candidate = self._left_weights, self.seen.status.candidate
        if candidate is None or left.get(candidate.revision, -1) <= own.get(candidate.revision, -1):
            return own
        return left

    @property
    def available(self) -> bool:
        """Whether the rule is there, and nobody else's; or a route is left that still leads to a candidate."""
        return self._trouble() is None or self._is_left(None)

    def stands(self, split: Split) -> bool:
        """Whether the rule sends requests as the split says, with the headers that it says."""
        rule = self._rule
        return rule is not None and edited(rule, self._edit(split, narrowing=True)) == rule

    def set(self, split: Split, *, narrowing: bool) -> Splitting:
        """The rule in one patch. One that narrows is repeated on what is read anew where the route has changed.

        What takes traffic back does so first on a route that is left from before, for that one still serves callers
        until the rule does.
        """
        weight = split.weight if split.candidate is not None else None
        if narrowing and self._is_left(weight):
            return SetWeights(self._left_manifest(split), split.weights, split.cohort, narrowing)
        return self._edit(split, narrowing=narrowing)

    def _edit(self, split: Split, *, narrowing: bool) -> EditRule:
        return EditRule(
            route=self.seen.referred.item if self.seen.referred is not None else {},
            rule=self._reference.rule,
            backends=tuple({"group": "", "kind": "Service", **backend} for backend in rules.backends(split.weights)),
            headers=rules.headers_of(split, None),
            weights=split.weights,
            cohort=split.cohort,
            narrowing=narrowing,
        )

    def companions(self) -> tuple[Mapping[str, Any], ...]:
        """None: the route is its owner's."""
        return ()

    def follower(self, _stable: str, _planned: Splitting | None) -> Mapping[str, Any] | None:
        """The rule is its owner's, and so is what callers by gRPC get."""
        return None

    def trouble(self) -> tuple[str, str] | None:
        """The rule cannot be used, or its Gateways stand in the way."""
        if self._awaits_backends:
            return self._trouble()
        return self._trouble() or parents.trouble(self.seen, f"parentRefs of HTTPRoute {self._reference.name}")

    def shortfall(self) -> None:
        """Stickiness needs rules of its own, and the API refuses it together with routeRef."""

    def _trouble(self) -> tuple[str, str] | None:
        named, referred = self._reference, self.seen.referred
        if not self.seen.gateway_api:
            return parents.GATEWAY_API_MISSING
        if referred is None:
            message = f"HTTPRoute {named.name} does not exist; create it or correct spec.traffic.routeRef"
            return "RouteMissing", message
        if self._rule is None:
            return (
                "RuleMissing",
                f"HTTPRoute {named.name} has no rule whose name is {named.rule}; name one of its rules so or correct "
                "spec.traffic.routeRef",
            )
        if referred.others:
            others = ", ".join(referred.others)
            return (
                "RuleTaken",
                f"rule {named.rule} of HTTPRoute {named.name} sends requests to ModelDeployment {others}; name another "
                "rule in spec.traffic.routeRef, or remove its backendRefs to hand it over",
            )
        return None

    @property
    def _awaits_backends(self) -> bool:
        """Whether a refusal may be for backends that stand there only until Serin's first write."""
        route = self.seen.route
        ours = {revision.name for revision in self.seen.revisions}
        if route is None or self.seen.missing_gateways or ours & set(route.weights):
            return False
        return all(parent.accepted is not False for parent in route.parents)

    @property
    def _left(self) -> Mapping[str, Any]:
        """The route of Serin's own that split before the spec referred to a rule; it goes when that one is taken."""
        return self.seen.live.get(f"HTTPRoute/{self.seen.name}", {})

    @property
    def _left_weights(self) -> Mapping[str, int]:
        """Of its last rule, which takes callers without a cookie."""
        found: Sequence[Mapping[str, Any]] = (self._left.get("spec") or {}).get("rules") or ({},)
        return {str(backend["name"]): int(backend.get("weight", 1)) for backend in found[-1].get("backendRefs") or ()}

    def _is_left(self, weight: int | None) -> bool:
        """Whether it gives the candidate more than that; for None, whether it names the candidate at all."""
        candidate = self.seen.status.candidate
        given = self._left_weights.get(candidate.revision) if candidate is not None else None
        return given is not None and (weight is None or given > weight)

    def _left_manifest(self, split: Split) -> dict[str, Any]:
        """That route with another split, at the Gateways where it is."""
        kept = {
            field: self._left["spec"][field] for field in ("parentRefs", "hostnames") if field in self._left["spec"]
        }
        return manifests.owned(
            self.seen,
            {
                "apiVersion": manifests.GATEWAY_API,
                "kind": "HTTPRoute",
                "metadata": {"name": self.seen.name},
                "spec": {**kept, "rules": rules.of(split, None)},
            },
        )

    @property
    def _reference(self) -> RouteReference:
        reference = self.spec.traffic.route_ref if self.spec.traffic is not None else None
        assert reference is not None, "the spec refers to a rule"
        return reference

    @property
    def _rule(self) -> Mapping[str, Any] | None:
        if self.seen.referred is None:
            return None
        place = place_of(self.seen.referred.item, self._reference.rule)
        return None if place is None else self.seen.referred.item["spec"]["rules"][place]


def place_of(route: Mapping[str, Any], rule_name: str) -> int | None:
    """Where in the route's list the rule of that name stands, or None where none does."""
    named = enumerate((route.get("spec") or {}).get("rules") or ())
    return next((place for place, rule in named if rule.get("name") == rule_name), None)


def patch(route: Mapping[str, Any], edit: EditRule) -> list[dict[str, Any]] | None:
    """The edit as a JSON patch (RFC 6902) of the route as it was read, or None where the rule is gone.

    It names the version that was read: on any other one the API server answers with a conflict.
    """
    place = place_of(route, edit.rule)
    if place is None:
        return None
    rule = edited(route["spec"]["rules"][place], edit)
    return [
        {"op": "replace", "path": "/metadata/resourceVersion", "value": route["metadata"]["resourceVersion"]},
        *(
            {"op": "add", "path": f"/spec/rules/{place}/{own}", "value": rule[own]}
            for own in ("backendRefs", "filters")
        ),
    ]


def edited(rule: Mapping[str, Any], edit: EditRule) -> dict[str, Any]:
    """The rule with the edit's backends and headers, and with all else as it is."""
    filters = list(rule.get("filters") or ())
    place = next((place for place, entry in enumerate(filters) if entry.get("type") == _MODIFIER), len(filters))
    known = filters[place].get("requestHeaderModifier") or {} if place < len(filters) else {}
    filters[place : place + 1] = [{"type": _MODIFIER, "requestHeaderModifier": _merged(known, edit.headers)}]
    return {**rule, "backendRefs": [dict(backend) for backend in edit.backends], "filters": filters}


def _merged(known: Mapping[str, Any], headers: Mapping[str, str | None]) -> dict[str, Any]:
    """Its owner's headers as they are, and ours after them. Names of headers are the same in any case."""
    ours = rules.modifier(headers)
    names = {name.lower() for name in headers}
    merged = dict(known)
    for operation in ("set", "add", "remove"):
        theirs = [entry for entry in known.get(operation) or () if _name(entry).lower() not in names]
        entries = [*theirs, *ours.get(operation, ())]
        if entries:
            merged[operation] = entries
        else:
            merged.pop(operation, None)
    return merged


def _name(entry: Any) -> str:
    """Of a header to set or add, or to remove."""
    return str(entry.get("name", "")) if isinstance(entry, Mapping) else str(entry)
