"""Setting weights, and seeing that they hold: true, false or cannot tell."""

from __future__ import annotations

from serin_operator.decide.plan import SetWeights
from serin_operator.errors import ApiError
from serin_operator.runtime import httproute, resources
from serin_operator.runtime.kube import Kube

VERIFY_AGAIN_SECONDS = 1.0


async def holds(kube: Kube, action: SetWeights) -> bool | None:
    """Whether the route stands with these weights and this cohort; None where it cannot be read."""
    metadata = action.manifest["metadata"]
    try:
        route = await kube.get(resources.HTTP_ROUTE, metadata["namespace"], metadata["name"])
    except ApiError:
        return None
    split = httproute.split(route) if route is not None else None
    return split is not None and split == httproute.Split(dict(action.weights), action.cohort)
