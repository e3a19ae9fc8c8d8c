"""Who splits the traffic of a deployment, and how."""

from __future__ import annotations

from serin_operator.api.deployment import ModelDeploymentSpec
from serin_operator.decide.observation import Observation
from serin_operator.decide.routing.base import Routing, Split
from serin_operator.decide.routing.gateway import GatewayRouting

__all__ = ["Routing", "Split", "of"]


def of(seen: Observation, spec: ModelDeploymentSpec) -> Routing:
    """The way that the spec asks for."""
    return GatewayRouting(seen, spec)
