"""Reading weights and cohort off an HTTPRoute; observing and verifying must not read them differently."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from serin_contract import http


@dataclass(frozen=True)
class Split:
    """What the rule of the inference path does."""

    weights: Mapping[str, int]
    """By name of the backend Service; Gateway API's default of 1 where none is written."""
    cohort: str | None


def split(route: Mapping[str, Any], rule_name: str | None = None) -> Split | None:
    """The split of the route's inference rule, or of the rule of that name; None where the route has no such rule."""
    for rule in (route.get("spec") or {}).get("rules") or ():
        if _is_split(rule) if rule_name is None else rule.get("name") == rule_name:
            backends = rule.get("backendRefs") or ()
            weights = {str(backend["name"]): int(backend.get("weight", 1)) for backend in backends}
            return Split(weights, _cohort(rule))
    return None


def _is_split(rule: Mapping[str, Any]) -> bool:
    return any(_is_inference(match) for match in rule.get("matches") or ())


def _is_inference(match: Mapping[str, Any]) -> bool:
    """A match of the path alone: one with a header besides serves the probe, not the callers."""
    path = (match.get("path") or {}).get("value")
    return path == http.INFERENCE_PATH_PREFIX and not match.get("headers")


def _cohort(rule: Mapping[str, Any]) -> str | None:
    for entry in rule.get("filters") or ():
        if entry.get("type") == "RequestHeaderModifier":
            for header in (entry.get("requestHeaderModifier") or {}).get("set") or ():
                if str(header.get("name", "")).lower() == http.COHORT_HEADER:
                    return str(header.get("value"))
    return None
