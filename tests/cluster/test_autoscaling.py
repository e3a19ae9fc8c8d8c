"""Who owns the number of pods, on a real API server: it changes hands both ways and never falls on the way."""

from __future__ import annotations

import json
import ssl
import urllib.request
from typing import Any

import pytest
from tests.cluster.test_step import Run, _resolved, kube, run  # noqa: F401 — kube and run are fixtures
from tests.support.api_server import ADMIN_TOKEN

from serin_contract import labels
from serin_operator.apply.workloads import Applier
from serin_operator.decide import manifests
from serin_operator.decide.plan import Apply, HandOver, Plan
from serin_operator.errors import ConflictError
from serin_operator.step import step

pytestmark = pytest.mark.cluster

Json = dict[str, Any]
APPS = "apps/v1"
SCALING = {"autoscaling": {"minReplicas": 2, "maxReplicas": 9}}
CPU = {"resources": {"requests": {"cpu": "100m"}}}


async def serve(run: Run, **serving: Any) -> str:  # noqa: F811
    """The first revision's objects, as far as they come without a kubelet."""
    run.create(serving=serving | CPU)
    for _ in range(4):
        await step(run.parts, run.key)
    _resolved(run)
    await passes(run)
    (revision,) = (await run.seen()).revisions
    return revision.name


async def passes(run: Run) -> None:  # noqa: F811
    for _ in range(6):
        await step(run.parts, run.key)


def scale(run: Run, name: str, replicas: int) -> None:  # noqa: F811
    """As the autoscaler's controller does it."""
    path = run.path("deployments", name, APPS) + "/scale?fieldManager=kube-controller-manager"
    current = run.server.request("GET", path).body
    answer = run.server.request("PUT", path, current | {"spec": {"replicas": replicas}})
    assert answer.ok, answer.message


def numbers(run: Run, name: str, since: str) -> list[int]:  # noqa: F811
    """Every number of pods that the Deployment has asked for since that version, as a watch tells it."""
    query = f"?watch=1&resourceVersion={since}&timeoutSeconds=1&fieldSelector=metadata.name={name}"
    request = urllib.request.Request(run.server.url + run.path("deployments", version=APPS) + query)
    request.add_header("Authorization", f"Bearer {ADMIN_TOKEN}")
    context = ssl.create_default_context(cafile=str(run.server.directory / "apiserver.crt"))
    with urllib.request.urlopen(request, context=context, timeout=20) as response:
        events = [json.loads(line) for line in response.read().splitlines()]
    return [event["object"]["spec"]["replicas"] for event in events]


def version(run: Run, name: str) -> str:  # noqa: F811
    return str(run.get("deployments", name, APPS)["metadata"]["resourceVersion"])


def owners(run: Run, name: str) -> set[str]:  # noqa: F811
    """Who owns the number of pods."""
    fields = run.get("deployments", name, APPS)["metadata"]["managedFields"]
    return {entry["manager"] for entry in fields if "f:replicas" in entry["fieldsV1"].get("f:spec", {})}


async def test_an_autoscaler_takes_the_number_over_without_a_dip(run: Run) -> None:  # noqa: F811
    name = await serve(run, replicas=4)
    since = version(run, name)
    run.create(serving=SCALING | CPU)
    await passes(run)
    assert set(numbers(run, name, since)) == {4}
    assert owners(run, name) == {labels.HANDOVER_FIELD_MANAGER}
    scaler = run.get("horizontalpodautoscalers", name, manifests.AUTOSCALING_API)["spec"]
    assert (scaler["minReplicas"], scaler["maxReplicas"]) == (2, 9)
    assert scaler["metrics"][0]["resource"]["target"] == {"type": "Utilization", "averageUtilization": 70}


async def test_what_the_autoscaler_chose_is_left_alone(run: Run) -> None:  # noqa: F811
    name = await serve(run, replicas=4)
    run.create(serving=SCALING | CPU)
    await passes(run)
    scale(run, name, 7)
    before = run.versions() | {"deployment": version(run, name)}
    await passes(run)
    assert run.versions() | {"deployment": version(run, name)} == before, "nothing is written at rest"
    assert owners(run, name) == {"kube-controller-manager"}
    assert run.get("deployments", name, APPS)["spec"]["replicas"] == 7


@pytest.mark.parametrize("replicas", [6, 7, 9])
async def test_the_number_comes_back_without_a_dip(run: Run, replicas: int) -> None:  # noqa: F811
    name = await serve(run, **SCALING)
    await passes(run)
    scale(run, name, 7)
    since = version(run, name)
    run.create(serving={"replicas": replicas} | CPU)
    await passes(run)
    assert min(numbers(run, name, since), default=replicas) >= min(7, replicas)
    assert run.get("deployments", name, APPS)["spec"]["replicas"] == replicas
    assert "serin" in owners(run, name)
    left = run.server.request("GET", run.path("horizontalpodautoscalers", version=manifests.AUTOSCALING_API)).body
    assert left["items"] == []


async def test_without_the_handover_the_pods_would_be_gone(run: Run) -> None:  # noqa: F811
    """The trap itself: what Serin alone owns and leaves out is removed, and one pod is the default."""
    name = await serve(run, replicas=4)
    run.create(serving=SCALING | CPU)
    seen = await run.seen()
    (record,) = seen.revisions
    bare = manifests.workload(seen, name, record.spec.template, None)
    await run.applier.apply(seen, Plan(status=seen.status, actions=(Apply(bare),)))
    assert run.get("deployments", name, APPS)["spec"]["replicas"] == 1


async def test_a_number_that_has_changed_by_then_is_a_conflict(run: Run) -> None:  # noqa: F811
    name = await serve(run, replicas=4)
    seen = await run.seen()
    uid = seen.live[f"Deployment/{name}"]["metadata"]["uid"]
    scale(run, name, 6)
    applier: Applier = run.applier
    with pytest.raises(ConflictError):
        await applier.apply(seen, Plan(status=seen.status, actions=(HandOver(name, uid, 4),)))
    assert run.get("deployments", name, APPS)["spec"]["replicas"] == 6
