"""Whether a gateway matches headers by pattern, tried on a route that no caller's request takes.

The Gateway API leaves it to implementations to know `RegularExpression`, has no name for it among their supported
features, and lets them refuse the whole route over it. So the pattern is shown to the gateway on a route of its own
first, as soon as stickiness is asked for: what it says there costs neither stable nor a candidate one request.
"""

from __future__ import annotations

from typing import Any

from serin_contract import http
from serin_operator.api.deployment import ModelDeploymentSpec
from serin_operator.decide import manifests
from serin_operator.decide.observation import Observation
from serin_operator.decide.routing import rules

PATH = f"{http.INFERENCE_PATH_PREFIX}/.serin/rehearsal"
"""Nothing is served there."""


def route_name(deployment: str) -> str:
    """With a dot in it, which no ModelDeployment's name has and so no other deployment's route."""
    return f"{deployment}.rehearsal"


def cookie(spec: ModelDeploymentSpec) -> str | None:
    """Name of the cookie that the spec asks for."""
    stickiness = spec.traffic.stickiness if spec.traffic is not None else None
    return stickiness.cookie if stickiness is not None else None


def answer(seen: Observation) -> bool | None:
    """Whether every parent takes such a rule: true, false, or not said yet."""
    return seen.rehearsal.programmed if seen.rehearsal is not None else None


def shortfall(seen: Observation, spec: ModelDeploymentSpec) -> tuple[str, str] | None:
    """Reason and sentence of why callers cannot be kept with their arm, where they are to be."""
    if cookie(spec) is None or answer(seen) is True:
        return None
    if seen.rehearsal is None or answer(seen) is None:
        return (
            "StickinessUnconfirmed",
            f"waiting for the gateway to say, of HTTPRoute {route_name(seen.name)}, if it matches headers by pattern",
        )
    said = "; ".join(parent.message for parent in seen.rehearsal.parents if parent.message) or "it gives no reason"
    return (
        "StickinessUnsupported",
        "this gateway does not match headers by pattern, so callers cannot be kept with their arm here "
        f"({said}); remove spec.traffic.stickiness or use a gateway that does",
    )


def manifest(seen: Observation, spec: ModelDeploymentSpec) -> dict[str, Any]:
    """The owned HTTPRoute: the spec's parents and a rule of the same kind, on a path where nothing is served."""
    match = rules.cookie_match(cookie(spec) or "", (0,))
    rule = {
        "matches": [{"path": {"type": "Exact", "value": PATH}, **match}],
        "backendRefs": rules.backends({seen.name: 100}),
    }
    return manifests.owned(
        seen,
        {
            "apiVersion": manifests.GATEWAY_API,
            "kind": "HTTPRoute",
            "metadata": {"name": route_name(seen.name)},
            "spec": {**rules.attachment(spec), "rules": [rule]},
        },
    )
