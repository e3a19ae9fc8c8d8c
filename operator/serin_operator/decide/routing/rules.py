"""The rules of Serin's own HTTPRoute: which callers each one takes, and what it does with them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from serin_contract import callers, http
from serin_operator.api.deployment import ModelDeploymentSpec, Traffic
from serin_operator.decide.routing.base import Split

COOKIE_HEADER = "Cookie"

Rule = dict[str, Any]


@dataclass(frozen=True)
class Door:
    """What callers ask for inferences by, and the port that answers; nothing else of the server is routed."""

    paths: tuple[Mapping[str, str], ...]
    port: int


HTTP = Door(
    paths=(
        {"type": "PathPrefix", "value": http.INFERENCE_PATH_PREFIX},
        {"type": "Exact", "value": http.PREDICT_PATH},
    ),
    port=http.INFERENCE_PORT,
)
GRPC = Door(paths=({"type": "PathPrefix", "value": f"/{http.GRPC_SERVICE}"},), port=http.GRPC_PORT)


def of(split: Split, cookie: str | None, door: Door = HTTP) -> list[Rule]:
    """The rules in their order; a gateway prefers those that match a header to the one that does not.

    With a cookie, callers who have one go to the arm of their bucket while the traffic is split, and only those
    without one are split by weight. At 0 and at 100 all of them go the same way, so that callers of a candidate
    that was rolled back return to stable with the weights.

    Args:
        split: what is wanted of the callers' requests.
        cookie: name of the cookie by which callers stay with their arm; None splits every request by itself.
        door: by which they come.
    """
    headers = headers_of(split, cookie)
    split_rule = _rule(door, {}, headers, split.weights)
    return [*_probe_rules(split, door), *_bucket_rules(split, cookie, headers, door), split_rule]


def attachment(spec: ModelDeploymentSpec) -> dict[str, Any]:
    """Where a route of Serin's own comes in: the spec's Gateways and host names."""
    traffic = (spec.traffic or Traffic()).model_dump(mode="json", by_alias=True, exclude_none=True)
    hostnames = {"hostnames": traffic["hostnames"]} if traffic.get("hostnames") else {}
    return {"parentRefs": traffic.get("parentRefs", []), **hostnames}


def headers_of(split: Split, cookie: str | None) -> dict[str, str | None]:
    """What the route makes of the request's headers, by name; None takes a header away.

    Where nothing is split the cohort header is taken away, so that no caller can claim a cohort.
    """
    headers: dict[str, str | None] = {http.COHORT_HEADER: split.cohort}
    if cookie is not None:
        headers[http.STICKINESS_HEADER] = callers.header_value(_stickiness(split, cookie))
    return headers


def modifier(headers: Mapping[str, str | None]) -> dict[str, Any]:
    """The RequestHeaderModifier that does so."""
    kept = [{"name": name, "value": value} for name, value in headers.items() if value is not None]
    removed = [name for name, value in headers.items() if value is None]
    return {**({"set": kept} if kept else {}), **({"remove": removed} if removed else {})}


def backends(weights: Mapping[str, int], port: int = http.INFERENCE_PORT) -> list[dict[str, Any]]:
    """The Services of the revisions, in a fixed order."""
    return [{"name": name, "port": port, "weight": weight} for name, weight in sorted(weights.items())]


def cookie_match(cookie: str, buckets: Iterable[int]) -> dict[str, Any]:
    """Matches callers whose cookie has one of the buckets: 64 + 100 · 3 characters at most, 4096 are allowed."""
    pattern = callers.cookie_pattern(cookie, buckets)
    return {"headers": [{"type": "RegularExpression", "name": COOKIE_HEADER, "value": pattern}]}


def is_sticky(route: Mapping[str, Any]) -> bool:
    """Whether a route that stands tells the servers of stickiness."""
    return any(
        header.get("name") == http.STICKINESS_HEADER
        for rule in (route.get("spec") or {}).get("rules") or ()
        for entry in rule.get("filters") or ()
        for header in (entry.get("requestHeaderModifier") or {}).get("set") or ()
    )


def _stickiness(split: Split, cookie: str) -> callers.Stickiness:
    if split.candidate is None:
        return callers.Stickiness(cookie, "", 0, 0)
    return callers.Stickiness(cookie, split.candidate, callers.offset_of(split.candidate), split.weight)


def _bucket_rules(split: Split, cookie: str | None, headers: Mapping[str, str | None], door: Door) -> list[Rule]:
    """Each names one arm alone: a backend of weight 0 beside it would only be one more thing to read wrongly."""
    if cookie is None or split.candidate is None or not 0 < split.weight < 100:
        return []
    mine = callers.audience(callers.offset_of(split.candidate), split.weight)
    others = sorted(set(range(callers.BUCKETS)) - set(mine))
    arms = ((split.candidate, mine), (split.stable, others))
    return [_rule(door, cookie_match(cookie, buckets), headers, {arm: 100}) for arm, buckets in arms]


def _probe_rules(split: Split, door: Door) -> list[Rule]:
    """What leads the operator's own probe to the candidate at any weight, while the trial lasts.

    Nobody else can take it: the value has 128 random bits, and it goes no further than the gateway. A probe sends
    no cookie, so no rule of a bucket competes for it; it is in no cohort, so it counts nowhere.
    """
    if split.probe is None or split.candidate is None:
        return []
    match = {"headers": [{"type": "Exact", "name": http.PROBE_HEADER, "value": split.probe}]}
    headers = {http.COHORT_HEADER: None, http.PROBE_HEADER: None}
    return [_rule(door, match, headers, {split.candidate: 100})]


def _rule(door: Door, match: Mapping[str, Any], headers: Mapping[str, str | None], weights: Mapping[str, int]) -> Rule:
    return {
        "matches": [{"path": dict(path), **match} for path in door.paths],
        "filters": [{"type": "RequestHeaderModifier", "requestHeaderModifier": modifier(headers)}],
        "backendRefs": backends(weights, door.port),
    }
