"""Pods and endpoints as the API writes them."""

from __future__ import annotations

from typing import Any

import pytest

from serin_operator.decide.observation import ContainerEnd
from serin_operator.observe.workloads import pods_of, ready_endpoints

ENDED = {"exitCode": 78, "reason": "Error", "message": "{}", "finishedAt": "1970-01-01T00:01:00Z"}
END = ContainerEnd(78, "Error", "{}", 60.0)


def pod(*, owner: dict[str, Any] | None = None, labels: dict[str, str] | None = None, **status: Any) -> dict[str, Any]:
    metadata: dict[str, Any] = {
        "name": "p",
        "uid": "pod-1",
        "creationTimestamp": "1970-01-01T00:00:10Z",
        "labels": {"serin.dev/purpose": "serve", "serin.dev/revision": "m-1"} if labels is None else labels,
    }
    if owner:
        metadata["ownerReferences"] = [owner]
    return {"metadata": metadata, "status": {"phase": "Running", **status}}


def container(**state: Any) -> dict[str, Any]:
    return {"containerStatuses": [{"name": "sidecar", "restartCount": 9}, {"name": "model", **state}]}


def fetch(**state: Any) -> dict[str, Any]:
    """Beside a serving container that waits for it, and an init container that others put there."""
    others = {"name": "mesh", "restartCount": 9, "state": {"terminated": ENDED}}
    return {
        "initContainerStatuses": [others, {"name": "fetch", **state}],
        **container(restartCount=1, state={"waiting": {"reason": "PodInitializing"}}),
    }


@pytest.mark.parametrize(
    ("status", "facts"),
    [
        pytest.param({}, {"ready": False, "restarts": 0, "last_end": None}, id="no container status yet"),
        pytest.param(
            {"conditions": [{"type": "Ready", "status": "True"}]}, {"ready": True}, id="ready by its own condition"
        ),
        pytest.param(container(restartCount=2), {"restarts": 2}, id="a sidecar's restarts are not the model's"),
        pytest.param(container(state={"terminated": ENDED}), {"last_end": END}, id="it has ended"),
        pytest.param(
            container(state={"running": {}}, lastState={"terminated": ENDED}),
            {"last_end": END},
            id="it has ended and was started again",
        ),
        pytest.param(
            container(state={"waiting": {"reason": "ErrImagePull", "message": "no such image"}}),
            {"waiting_reason": "ErrImagePull", "waiting_message": "no such image"},
            id="it waits for its image",
        ),
        pytest.param(
            fetch(restartCount=2, state={"terminated": ENDED}),
            {"last_end": END, "restarts": 2},
            id="its bundle was not fetched",
        ),
        pytest.param(
            fetch(state={"waiting": {"reason": "CrashLoopBackOff"}}, lastState={"terminated": ENDED}),
            {"last_end": END, "waiting_reason": "CrashLoopBackOff"},
            id="its bundle will be fetched again",
        ),
        pytest.param(
            fetch(restartCount=2, state={"terminated": ENDED | {"exitCode": 0}}),
            {"last_end": None, "restarts": 1, "waiting_reason": "PodInitializing"},
            id="its bundle is there: what the fetch went through is past",
        ),
        pytest.param(
            {
                "phase": "Pending",
                "conditions": [
                    {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3 nodes"}
                ],
            },
            {"unschedulable": "0/3 nodes", "phase": "Pending"},
            id="no node takes it",
        ),
        pytest.param(
            {"conditions": [{"type": "PodScheduled", "status": "False", "reason": "SchedulingGated"}]},
            {"unschedulable": None},
            id="the scheduler has not been asked yet",
        ),
    ],
)
def test_the_facts_of_a_pod(status: dict[str, Any], facts: dict[str, Any]) -> None:
    (seen,) = pods_of([pod(**status)], "uid")
    assert {name: getattr(seen.facts, name) for name in facts} == facts
    assert (seen.facts.revision, seen.facts.purpose, seen.facts.created_at) == ("m-1", "serve", 10.0)


@pytest.mark.parametrize(("server", "counts"), [(None, True), ("custom", False), ("another", True)])
def test_a_container_of_the_users_own_counts_nothing(server: str | None, counts: bool) -> None:
    marks = {
        "serin.dev/purpose": "serve",
        "serin.dev/revision": "m-1",
        **({"serin.dev/server": server} if server else {}),
    }
    (seen,) = pods_of([pod(labels=marks)], "uid")
    assert seen.facts.counts is counts


def test_a_pod_under_deletion_is_terminating() -> None:
    item = pod(podIP="10.0.0.7")
    item["metadata"]["deletionTimestamp"] = "1970-01-01T00:00:20Z"
    (seen,) = pods_of([item], "uid")
    assert seen.facts.terminating
    assert seen.address == "10.0.0.7"


OURS = {"kind": "ModelDeployment", "name": "m", "uid": "uid", "controller": True}


@pytest.mark.parametrize(
    ("item", "counts"),
    [
        pytest.param(pod(), True, id="a pod of a ReplicaSet"),
        pytest.param(pod(owner=OURS), True, id="our own pod"),
        pytest.param(pod(owner=OURS | {"uid": "old"}), False, id="a pod of an earlier deployment of this name"),
        pytest.param(pod(labels={"serin.dev/purpose": "else"}), False, id="a purpose that is unknown here"),
        pytest.param(pod(labels={}), False, id="a pod without a purpose"),
    ],
)
def test_which_pods_count(item: dict[str, Any], counts: bool) -> None:
    assert bool(pods_of([item], "uid")) is counts


def endpoint_slice(service: str | None, *endpoints: dict[str, Any]) -> dict[str, Any]:
    marks = {"kubernetes.io/service-name": service} if service else {}
    return {"metadata": {"name": "s", "labels": marks}, "endpoints": list(endpoints)}


def endpoint(uid: str, **conditions: Any) -> dict[str, Any]:
    return {"addresses": ["10.0.0.1"], "targetRef": {"uid": uid}, "conditions": conditions}


@pytest.mark.parametrize(
    ("slices", "ready"),
    [
        pytest.param([], {}, id="no slice"),
        pytest.param([endpoint_slice("m-1")], {"m-1": 0}, id="a slice without endpoints"),
        pytest.param([endpoint_slice("m-1") | {"endpoints": None}], {"m-1": 0}, id="a null list, as Go writes it"),
        pytest.param(
            [endpoint_slice("m-1", endpoint("a", ready=True), endpoint("b", ready=False))], {"m-1": 1}, id="one ready"
        ),
        pytest.param([endpoint_slice("m-1", endpoint("a"))], {"m-1": 1}, id="an absent condition means ready"),
        pytest.param(
            [endpoint_slice("m-1", endpoint("a", ready=True, terminating=True))], {"m-1": 0}, id="it is being stopped"
        ),
        pytest.param(
            [endpoint_slice("m-1", endpoint("a", ready=True)), endpoint_slice("m-1", endpoint("a", ready=True))],
            {"m-1": 1},
            id="one pod with two address families counts once",
        ),
        pytest.param(
            [endpoint_slice("m-1", endpoint("a")), endpoint_slice("m-2", endpoint("b"), endpoint("c"))],
            {"m-1": 1, "m-2": 2},
            id="by service",
        ),
        pytest.param([endpoint_slice(None, endpoint("a"))], {}, id="a slice of no service"),
    ],
)
def test_ready_endpoints(slices: list[dict[str, Any]], ready: dict[str, int]) -> None:
    assert {service: len(found) for service, found in ready_endpoints(slices).items()} == ready
