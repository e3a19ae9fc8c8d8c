"""Who splits the traffic of a deployment, and how."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from serin_operator.api.deployment import ModelDeploymentSpec
from serin_operator.decide import manifests
from serin_operator.decide.observation import Observation
from serin_operator.decide.routing import grpc
from serin_operator.decide.routing.base import Routing, Split
from serin_operator.decide.routing.gateway import GatewayRouting
from serin_operator.decide.routing.referred import ReferredRouting
from serin_operator.decide.routing.replicas import ReplicasRouting

__all__ = ["ReplicasRouting", "Routing", "Split", "noun", "of", "strays"]


def of(seen: Observation, spec: ModelDeploymentSpec) -> Routing:
    """The way that the spec asks for."""
    if spec.traffic is None:
        return ReplicasRouting(seen, spec)
    if spec.traffic.route_ref is not None:
        return ReferredRouting(seen, spec)
    return GatewayRouting(seen, spec)


def noun(routing: Routing) -> str:
    """What splits, for a sentence."""
    return "the route" if routing.mode == "Gateway" else "the Service"


def strays(seen: Observation, routing: Routing, stable: str | None = None) -> tuple[Mapping[str, Any], ...]:
    """Serin's own routes that this way to split does not use, with that revision as stable.

    The one that used to split goes only when another way has been taken: until then it still serves callers.
    """
    used = {manifests.key(companion) for companion in routing.companions()}
    if stable is not None and isinstance(routing, GatewayRouting) and grpc.spoken(seen, stable):
        used.add(grpc.key(seen.name))
    splitting = f"HTTPRoute/{seen.name}"
    if isinstance(routing, GatewayRouting) or routing.taken is not True or not routing.weights:
        used.add(splitting)
    return tuple(item for name, item in seen.live.items() if name.startswith("HTTPRoute/") and name not in used)
