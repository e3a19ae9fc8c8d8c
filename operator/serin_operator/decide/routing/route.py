"""What the splits by an HTTPRoute have in common, whosever route it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from serin_operator.api.deployment import ModelDeploymentSpec
from serin_operator.decide import manifests
from serin_operator.decide.observation import Observation
from serin_operator.decide.routing import parents
from serin_operator.decide.routing.base import Mode


@dataclass(frozen=True)
class RouteRouting:
    """A gateway splits, request by request."""

    seen: Observation
    spec: ModelDeploymentSpec

    mode: Mode = "Gateway"

    @property
    def taken(self) -> bool | None:
        """Whether every parent took this generation of the route."""
        return self.seen.route.programmed if self.seen.route is not None else None

    @property
    def share(self) -> float:
        """The weight: a gateway splits every request by itself."""
        return self.seen.status.candidate.weight / 100 if self.seen.status.candidate is not None else 0.0

    def apex(self, stable: str) -> Mapping[str, Any]:
        """Stable only, since the gateway does the splitting."""
        return manifests.apex_service(self.seen, stable)

    def silence(self) -> str | None:
        """No controller has spoken of the route's latest state."""
        return parents.silence(self.seen)
