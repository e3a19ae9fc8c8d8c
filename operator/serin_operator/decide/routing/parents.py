"""What stands in the way of a route at its Gateways, in words."""

from __future__ import annotations

from typing import Final

from serin_operator.decide.observation import Observation

GATEWAY_API_MISSING: Final = (
    "GatewayApiMissing",
    "this cluster does not know HTTPRoute; install the standard channel of the Gateway API",
)


def trouble(seen: Observation, named_in: str) -> tuple[str, str] | None:
    """Reason and sentence: a Gateway is missing, or refuses the route as it stands.

    Args:
        seen: with the route that splits.
        named_in: where its Gateways are named, for whoever has to correct it.
    """
    if seen.missing_gateways:
        names = ", ".join(seen.missing_gateways)
        return "GatewayMissing", f"Gateway {names} does not exist; create it or correct {named_in}"
    if seen.route is not None and seen.route.programmed is False:
        said = "; ".join(parent.message for parent in seen.route.parents if parent.message) or "no reason is given"
        return "RouteRefused", f"the gateway refuses the route: {said}. Correct spec.traffic or the Gateway"
    return None


def silence(seen: Observation) -> str | None:
    """The sentence where no controller has spoken of the route's latest state, or None."""
    route = seen.route
    if route is None or route.programmed is not None:
        return None
    quiet = [parent.name for parent in route.parents if parent.accepted is None or parent.resolved_refs is None]
    return f"the controller of Gateway {', '.join(quiet) or 'unknown'} has not answered for the route's latest state"
