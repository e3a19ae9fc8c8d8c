"""What stands between the route and its callers: the Gateway API, the Gateway, its controller."""

from __future__ import annotations

from serin_operator.decide.draft import Situation


def trouble(situation: Situation) -> tuple[str, str] | None:
    """Reason and sentence of what keeps a route from working at all, or None."""
    seen = situation.seen
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


def silence(situation: Situation) -> str | None:
    """The sentence for a route that no controller has spoken of, or None."""
    route = situation.seen.route
    if route is None or route.programmed is not None:
        return None
    quiet = [parent.name for parent in route.parents if parent.accepted is None or parent.resolved_refs is None]
    return f"the controller of Gateway {', '.join(quiet) or 'unknown'} has not answered for the route's latest state"
