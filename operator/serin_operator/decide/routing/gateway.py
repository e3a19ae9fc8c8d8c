"""The split by an HTTPRoute of Serin's own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from serin_operator.decide import manifests
from serin_operator.decide.plan import SetWeights, Splitting
from serin_operator.decide.routing import grpc, parents, rehearsal, rules
from serin_operator.decide.routing.base import Split
from serin_operator.decide.routing.route import RouteRouting


@dataclass(frozen=True)
class GatewayRouting(RouteRouting):
    """Weights and cohort in one object, written in one apply."""

    probes: bool = True

    @property
    def weights(self) -> Mapping[str, int]:
        """The route's weights as they stand."""
        return self.seen.route.weights if self.seen.route is not None else {}

    @property
    def available(self) -> bool:
        """Whether the API server knows HTTPRoutes."""
        return self.seen.gateway_api

    def stands(self, split: Split) -> bool:
        """Whether the route is there with exactly this split and the spec's parents."""
        return manifests.stands(self.seen.live, self.manifest(split))

    def set(self, split: Split, *, narrowing: bool) -> SetWeights:
        """The route in one apply; a widening one only over the route that was seen."""
        cohort = self._countable(split).cohort
        return manifests.set_weights(self.seen, self.manifest(split), split.weights, cohort, narrowing=narrowing)

    @property
    def cookie(self) -> str | None:
        """By which callers stay with their arm: only where the gateway is known to match headers by pattern.

        Until it has answered for a rehearsal that has changed, what stands is left as it is.
        """
        wanted = rehearsal.cookie(self.spec)
        answer = rehearsal.answer(self.seen)
        if wanted is None or answer is False or (answer is None and not rules.is_sticky(self._standing)):
            return None
        return wanted

    def companions(self) -> tuple[Mapping[str, Any], ...]:
        """The rehearsal of the rules that keep callers with their arm, where they are asked for."""
        return (rehearsal.manifest(self.seen, self.spec),) if rehearsal.cookie(self.spec) is not None else ()

    def follower(self, stable: str, planned: Splitting | None) -> Mapping[str, Any] | None:
        """The route of callers by gRPC. What takes traffic back is followed at once, what gives it once it stands."""
        narrows = planned is not None and planned.narrowing
        standing = planned if planned is not None and narrows else self.seen.route
        if standing is None or not standing.weights:
            return None
        split = grpc.split_of(self.seen, stable, standing.weights, standing.cohort)
        if split is None:
            return None
        return grpc.manifest(self.seen, self.spec, self._countable(split), self.cookie, narrowing=narrows)

    def shortfall(self) -> tuple[str, str] | None:
        """The gateway does not match headers by pattern, or has not said whether it does."""
        return rehearsal.shortfall(self.seen, self.spec)

    def trouble(self) -> tuple[str, str] | None:
        """The Gateway API, the Gateway or its controller stands in the way."""
        if not self.seen.gateway_api:
            return parents.GATEWAY_API_MISSING
        return parents.trouble(self.seen, "spec.traffic.parentRefs")

    def manifest(self, split: Split) -> dict[str, Any]:
        """The owned HTTPRoute, inference paths only."""
        return manifests.owned(
            self.seen,
            {
                "apiVersion": manifests.GATEWAY_API,
                "kind": "HTTPRoute",
                "metadata": {"name": self.seen.name},
                "spec": {**rules.attachment(self.spec), "rules": rules.of(self._countable(split), self.cookie)},
            },
        )

    def _countable(self, split: Split) -> Split:
        """Without its cohort where stickiness is asked for and cannot be had: each caller would count many times."""
        return split if self.cookie == rehearsal.cookie(self.spec) else replace(split, cohort=None)

    @property
    def _standing(self) -> Mapping[str, Any]:
        return self.seen.live.get(f"HTTPRoute/{self.seen.name}", {})
