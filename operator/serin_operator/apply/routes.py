"""Setting weights, and seeing that they hold: true, false or cannot tell."""

from __future__ import annotations

from typing import Any

from serin_operator.decide import manifests
from serin_operator.decide.plan import EditRule, SetWeights, Splitting
from serin_operator.decide.routing import referred
from serin_operator.errors import ApiError, ConflictError
from serin_operator.runtime import httproute, resources
from serin_operator.runtime.kube import Json, Kube
from serin_operator.runtime.outcome import Applied, Failed, Outcome

VERIFY_AGAIN_SECONDS = 1.0
NARROWING_ATTEMPTS = 5
"""How often a narrowing edit is tried against others who write the same route."""


async def holds(kube: Kube, action: Splitting) -> bool | None:
    """Whether what splits stands as it was written; None where it cannot be read."""
    metadata, rule_name = _place(action)
    try:
        if isinstance(action, SetWeights) and action.manifest["kind"] == resources.SERVICE.kind:
            return _selects(await kube.get(resources.SERVICE, metadata["namespace"], metadata["name"]), action)
        route = await kube.get(resources.HTTP_ROUTE, metadata["namespace"], metadata["name"])
    except ApiError:
        return None
    split = httproute.split(route, rule_name) if route is not None else None
    return split is not None and split == httproute.Split(dict(action.weights), action.cohort)


def _selects(service: Json | None, action: SetWeights) -> bool:
    """Whether the Service stands with exactly the selector that was written: one label more selects others."""
    wanted = action.manifest["spec"]
    return (
        service is not None
        and service["spec"].get("selector") == wanted["selector"]
        and manifests.contains(service["spec"], wanted)
    )


async def edit(kube: Kube, action: EditRule) -> Outcome:
    """Write the rule. One that narrows is repeated on what is read anew, as long as it has anything to narrow.

    Raises:
        ConflictError: the route is no longer the one that was decided on.
    """
    route: Json | None = dict(action.route)
    for _ in range(NARROWING_ATTEMPTS if action.narrowing else 1):
        if route is None or (operations := referred.patch(route, action)) is None:
            return Failed("RuleMissing", f"the rule {action.rule} is no longer there, so nothing was written")
        try:
            await _patch(kube, route, operations)
        except ConflictError:
            route = await kube.get(resources.HTTP_ROUTE, route["metadata"]["namespace"], route["metadata"]["name"])
            if route is not None and not _names_any(route, action):
                raise
            continue
        return Applied()
    raise ConflictError(f"others keep writing the route of rule {action.rule}")


async def _patch(kube: Kube, route: Json, operations: list[dict[str, Any]]) -> None:
    """Write; also a patch that no longer fits what stands is a conflict, and not a mistake in the patch."""
    metadata = route["metadata"]
    try:
        await kube.patch(resources.HTTP_ROUTE, metadata["namespace"], metadata["name"], operations)
    except ApiError as error:
        if error.status not in (404, 422):
            raise
        stands = await kube.get(resources.HTTP_ROUTE, metadata["namespace"], metadata["name"])
        if stands is not None and stands["metadata"]["resourceVersion"] == metadata["resourceVersion"]:
            raise
        raise ConflictError(f"HTTPRoute {metadata['name']} is no longer the one that was read") from error


def _names_any(route: Json, action: EditRule) -> bool:
    """Whether the rule still sends requests to what the edit weighs: if not, someone has taken it away."""
    split = httproute.split(route, action.rule)
    return split is None or bool(set(split.weights) & set(action.weights))


def _place(action: Splitting) -> tuple[Any, str | None]:
    match action:
        case SetWeights(manifest=manifest):
            return manifest["metadata"], None
        case EditRule(route=route, rule=rule):
            return route["metadata"], rule
