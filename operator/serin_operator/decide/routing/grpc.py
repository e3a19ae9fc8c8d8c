"""The HTTPRoute of callers by gRPC: it follows the one that splits, and harms nobody else where a gateway refuses it.

A route of its own, because a gateway that does not speak HTTP/2 to a Service may refuse the whole route over it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from serin_operator.api.deployment import ModelDeploymentSpec
from serin_operator.decide import manifests, templates
from serin_operator.decide.observation import Observation
from serin_operator.decide.routing import rules
from serin_operator.decide.routing.base import Split


def route_name(deployment: str) -> str:
    """With a dot in it, which no ModelDeployment's name has and so no other deployment's route."""
    return f"{deployment}.grpc"


def key(deployment: str) -> str:
    """Of the route among the objects that stand."""
    return f"HTTPRoute/{route_name(deployment)}"


def spoken(seen: Observation, revision: str) -> bool:
    """Whether the pods of a revision speak gRPC."""
    record = seen.revision(revision)
    return record is not None and templates.speaks_grpc(record.spec.template)


def split_of(seen: Observation, stable: str, weights: Mapping[str, int], cohort: str | None) -> Split | None:
    """What callers by gRPC get of such weights; None where the stable revision does not speak it.

    Where the candidate does not, they all stay with stable and count in no cohort: its split is not theirs.
    """
    if not spoken(seen, stable):
        return None
    candidate = next((name for name in sorted(weights) if name != stable), None)
    if candidate is None or not spoken(seen, candidate):
        return Split(stable)
    return Split(stable, candidate, weights[candidate], cohort)


def manifest(
    seen: Observation, spec: ModelDeploymentSpec, split: Split, cookie: str | None, *, narrowing: bool
) -> dict[str, Any]:
    """The owned HTTPRoute; one that may widen holds only for the route that was seen."""
    owned = manifests.owned(
        seen,
        {
            "apiVersion": manifests.GATEWAY_API,
            "kind": "HTTPRoute",
            "metadata": {"name": route_name(seen.name)},
            "spec": {**rules.attachment(spec), "rules": rules.of(split, cookie, rules.GRPC)},
        },
    )
    return owned if narrowing else manifests.for_seen(seen, owned)
