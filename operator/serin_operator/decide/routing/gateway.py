"""The split by an HTTPRoute of Serin's own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from serin_contract import http
from serin_operator.api.deployment import ModelDeploymentSpec, Traffic
from serin_operator.decide import manifests
from serin_operator.decide.observation import Observation
from serin_operator.decide.plan import SetWeights
from serin_operator.decide.routing.base import Mode, Split


@dataclass(frozen=True)
class GatewayRouting:
    """Weights and cohort in one object, written in one apply."""

    seen: Observation
    spec: ModelDeploymentSpec

    mode: Mode = "Gateway"

    @property
    def weights(self) -> Mapping[str, int]:
        """The route's weights as they stand."""
        return self.seen.route.weights if self.seen.route is not None else {}

    @property
    def available(self) -> bool:
        """Whether the API server knows HTTPRoutes."""
        return self.seen.gateway_api

    @property
    def taken(self) -> bool | None:
        """Whether every parent took this generation of the route."""
        return self.seen.route.programmed if self.seen.route is not None else None

    def stands(self, split: Split) -> bool:
        """Whether the route is there with exactly this split and the spec's parents."""
        return manifests.stands(self.seen.live, self.manifest(split))

    def set(self, split: Split, *, narrowing: bool) -> SetWeights:
        """The route in one apply; a widening one only over the route that was seen."""
        manifest = self.manifest(split)
        version = self.seen.live.get(manifests.key(manifest), {}).get("metadata", {}).get("resourceVersion")
        if version and not narrowing:
            manifest["metadata"]["resourceVersion"] = version
        return SetWeights(manifest, split.weights, split.cohort, narrowing)

    def apex(self, stable: str) -> Mapping[str, Any]:
        """Stable only, since the gateway does the splitting."""
        return manifests.apex_service(self.seen, stable)

    def trouble(self) -> tuple[str, str] | None:
        """The Gateway API, the Gateway or its controller stands in the way."""
        seen = self.seen
        if not seen.gateway_api:
            return (
                "GatewayApiMissing",
                "this cluster does not know HTTPRoute; install the standard channel of the Gateway API",
            )
        if seen.missing_gateways:
            names = ", ".join(seen.missing_gateways)
            return (
                "GatewayMissing",
                f"Gateway {names} does not exist; create it or correct spec.traffic.parentRefs",
            )
        if seen.route is not None and seen.route.programmed is False:
            said = "; ".join(parent.message for parent in seen.route.parents if parent.message) or "no reason is given"
            return "RouteRefused", f"the gateway refuses the route: {said}. Correct spec.traffic or the Gateway"
        return None

    def silence(self) -> str | None:
        """No controller has spoken of the route's latest state."""
        route = self.seen.route
        if route is None or route.programmed is not None:
            return None
        quiet = [parent.name for parent in route.parents if parent.accepted is None or parent.resolved_refs is None]
        return (
            f"the controller of Gateway {', '.join(quiet) or 'unknown'} has not answered for the route's latest state"
        )

    def manifest(self, split: Split) -> dict[str, Any]:
        """The owned HTTPRoute, inference paths only."""
        traffic = (self.spec.traffic or Traffic()).model_dump(mode="json", by_alias=True, exclude_none=True)
        return manifests.owned(
            self.seen,
            {
                "apiVersion": manifests.GATEWAY_API,
                "kind": "HTTPRoute",
                "metadata": {"name": self.seen.name},
                "spec": {
                    "parentRefs": traffic.get("parentRefs", []),
                    **({"hostnames": traffic["hostnames"]} if traffic.get("hostnames") else {}),
                    "rules": [_split_rule(split)],
                },
            },
        )


def _split_rule(split: Split) -> dict[str, Any]:
    """Where nothing is split the cohort header is removed, so that no caller can claim a cohort."""
    modifier: dict[str, Any] = (
        {"set": [{"name": http.COHORT_HEADER, "value": split.cohort}]}
        if split.cohort
        else {"remove": [http.COHORT_HEADER]}
    )
    return {
        "matches": [{"path": {"type": "PathPrefix", "value": http.INFERENCE_PATH_PREFIX}}],
        "filters": [{"type": "RequestHeaderModifier", "requestHeaderModifier": modifier}],
        "backendRefs": [
            {"name": name, "port": http.INFERENCE_PORT, "weight": weight}
            for name, weight in sorted(split.weights.items())
        ],
    }
