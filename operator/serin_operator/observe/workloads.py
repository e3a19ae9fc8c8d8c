"""Pods and endpoints as facts, from the API's JSON."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from serin_contract import labels
from serin_operator.decide import timestamps
from serin_operator.decide.observation import ContainerEnd, PodFacts
from serin_operator.runtime.kube import controller

SERVICE_NAME_LABEL = "kubernetes.io/service-name"


@dataclass(frozen=True)
class SeenPod:
    """A pod's facts and where it can be asked for its stats."""

    facts: PodFacts
    address: str | None


def pods_of(items: Iterable[Mapping[str, Any]], uid: str) -> tuple[SeenPod, ...]:
    """Serin's pods among the items, by name; those that another ModelDeployment controls are left out."""
    pods = (_pod(item) for item in items if _is_ours(item, uid))
    return tuple(sorted((pod for pod in pods if pod is not None), key=lambda pod: pod.facts.name))


def _is_ours(item: Mapping[str, Any], uid: str) -> bool:
    owner = controller(item)
    return owner.get("kind") != "ModelDeployment" or owner.get("uid") == uid


def _pod(item: Mapping[str, Any]) -> SeenPod | None:
    metadata, status = item["metadata"], item.get("status") or {}
    marks = metadata.get("labels") or {}
    purpose = marks.get(labels.PURPOSE_LABEL)
    if purpose not in ("serve", "resolve"):
        return None
    container = _fetching(status) or _container(status)
    waiting = (container.get("state") or {}).get("waiting") or {}
    conditions = {entry["type"]: entry for entry in status.get("conditions") or ()}
    facts = PodFacts(
        name=metadata["name"],
        uid=metadata["uid"],
        revision=marks.get(labels.REVISION_LABEL, ""),
        purpose=purpose,
        phase=status.get("phase", "Unknown"),
        ready=conditions.get("Ready", {}).get("status") == "True",
        terminating="deletionTimestamp" in metadata,
        created_at=timestamps.seconds(metadata["creationTimestamp"]),
        restarts=container.get("restartCount", 0),
        last_end=_end(container),
        waiting_reason=waiting.get("reason"),
        waiting_message=waiting.get("message"),
        unschedulable=_unschedulable(conditions.get("PodScheduled", {})),
        counts=marks.get(labels.SERVER_LABEL) != labels.CUSTOM_SERVER,
    )
    return SeenPod(facts, status.get("podIP"))


def _fetching(status: Mapping[str, Any]) -> Mapping[str, Any]:
    """The status of the container that fetches the bundle, until it has ended well; nothing where there is none."""
    for container in status.get("initContainerStatuses") or ():
        ended = (container.get("state") or {}).get("terminated") or {}
        if container["name"] == labels.FETCH_CONTAINER and ended.get("exitCode") != 0:
            found: Mapping[str, Any] = container
            return found
    return {}


def _container(status: Mapping[str, Any]) -> Mapping[str, Any]:
    """The status of the serving container; sidecars that others inject say nothing of the model."""
    for container in status.get("containerStatuses") or ():
        if container["name"] == labels.SERVING_CONTAINER:
            found: Mapping[str, Any] = container
            return found
    return {}


def _end(container: Mapping[str, Any]) -> ContainerEnd | None:
    """How it ended: the end it stands at now, else the one before its present start."""
    now = (container.get("state") or {}).get("terminated")
    ended = now or (container.get("lastState") or {}).get("terminated")
    if not ended:
        return None
    finished = ended.get("finishedAt")
    return ContainerEnd(
        exit_code=ended.get("exitCode", -1),
        reason=ended.get("reason", ""),
        message=ended.get("message", ""),
        finished_at=timestamps.seconds(finished) if finished else 0.0,
    )


def _unschedulable(condition: Mapping[str, Any]) -> str | None:
    if condition.get("status") == "False" and condition.get("reason") == "Unschedulable":
        return str(condition.get("message") or "no node takes the pod")
    return None


def ready_endpoints(slices: Iterable[Mapping[str, Any]]) -> dict[str, tuple[str, ...]]:
    """Ready, non-terminating endpoints by Service name, as their pods' UIDs, sorted.

    A pod in an IPv4 and an IPv6 slice stands once; an endpoint without a pod is told by its addresses.
    """
    ready: dict[str, set[str]] = {}
    for item in slices:
        service = (item["metadata"].get("labels") or {}).get(SERVICE_NAME_LABEL)
        if service is None:
            continue
        found = ready.setdefault(service, set())
        for endpoint in item.get("endpoints") or ():
            if _takes_requests(endpoint.get("conditions") or {}):
                target = endpoint.get("targetRef") or {}
                found.add(target.get("uid") or "".join(endpoint.get("addresses") or ()))
    return {service: tuple(sorted(found)) for service, found in ready.items()}


def _takes_requests(conditions: Mapping[str, Any]) -> bool:
    # The API says that an absent `ready` is to be read as true, and an absent `terminating` as false.
    return conditions.get("ready") is not False and conditions.get("terminating") is not True
