"""Carrying plans out: in order, up to the first thing that is not simply done."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.announcing import SilentAnnouncer
from tests.support.fake_api import FakeApi, serving

from serin_operator.api.deployment import ModelDeploymentStatus
from serin_operator.apply.keys import KeyRings
from serin_operator.apply.workloads import Applier
from serin_operator.decide.observation import Observation, OperatorFacts
from serin_operator.decide.plan import Action, Apply, ApplyKeys, Delete, Plan, SetWeights
from serin_operator.errors import ConflictError
from serin_operator.runtime.kube import Kube
from serin_operator.runtime.metrics import Metrics
from serin_operator.runtime.outcome import Applied, Failed, Outcome, Waiting

UID = "uid-of-m"


def owner(uid: str = UID, kind: str = "ModelDeployment", name: str = "m") -> dict[str, Any]:
    return {"apiVersion": "v", "kind": kind, "name": name, "uid": uid, "controller": True}


def config(name: str, value: str = "1") -> dict[str, Any]:
    metadata = {"namespace": "default", "name": name, "ownerReferences": [owner()]}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"a": value}}


def route(weights: dict[str, int], cohort: str | None = "m-2.1.x", narrowing: bool = False) -> SetWeights:
    modifier = {"set": [{"name": "x-serin-cohort", "value": cohort}]} if cohort else {"remove": ["x-serin-cohort"]}
    rule = {
        "matches": [{"path": {"type": "PathPrefix", "value": "/v2"}}],
        "filters": [{"type": "RequestHeaderModifier", "requestHeaderModifier": modifier}],
        "backendRefs": [{"name": name, "weight": weight} for name, weight in weights.items()],
    }
    manifest = {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": {"namespace": "default", "name": "m", "ownerReferences": [owner()]},
        "spec": {"rules": [rule]},
    }
    return SetWeights(manifest, weights, cohort, narrowing)


@pytest.fixture
def api() -> FakeApi:
    return FakeApi()


@pytest.fixture
def rings(tmp_path: Path) -> KeyRings:
    (tmp_path / "k1").write_bytes(b"1" * 32)
    return KeyRings(tmp_path)


@pytest.fixture
async def applier(api: FakeApi, rings: KeyRings) -> AsyncIterator[Applier]:
    async def sleep(_: float) -> None:
        return None

    async with serving(api) as client:
        kube = Kube(client(), Metrics(), lambda: 10.0, sleep=sleep)
        yield Applier(kube, rings, SilentAnnouncer())
        await kube.close()


async def carry_out(applier: Applier, *actions: Action, live: dict[str, Any] | None = None) -> Outcome:
    seen = Observation(
        now=0.0,
        namespace="default",
        name="m",
        uid=UID,
        generation=1,
        created_at=0.0,
        spec=None,
        status=ModelDeploymentStatus(),
        operator=OperatorFacts("image:1", "print", False, "0" * 32),
        live=live or {},
    )
    return await applier.apply(seen, Plan(status=seen.status, actions=actions))


async def test_actions_are_carried_out_in_order(api: FakeApi, applier: Applier) -> None:
    actions = [Apply(config("a")), route({"m-1": 95, "m-2": 5}), Apply(config("b"))]
    assert await carry_out(applier, *actions) == Applied()
    assert [seen.name for seen in api.writes()] == ["a", "m", "b"]


async def test_the_first_refusal_ends_the_plan_with_the_servers_sentence(api: FakeApi, applier: Applier) -> None:
    api.fail("PATCH", "configmaps", 403)
    outcome = await carry_out(applier, Apply(config("a")), Apply(config("b")))
    assert outcome == Failed("ApplyFailed", "ConfigMap a was not applied: 403 Injected: an injected fault")
    assert [seen.name for seen in api.writes()] == ["a"]


@pytest.mark.parametrize("status", [429, 500, 503])
async def test_a_server_in_trouble_is_waited_for(api: FakeApi, applier: Applier, status: int) -> None:
    api.fail("PATCH", "configmaps", status, times=99)
    outcome = await carry_out(applier, Apply(config("a")))
    assert isinstance(outcome, Waiting)
    assert outcome.reason == "ApiUnavailable"


@pytest.mark.parametrize(
    ("owners", "outcome"),
    [
        pytest.param([owner()], Applied(), id="ours, whatever its labels"),
        pytest.param(
            [],
            Failed(
                "NotOwned",
                "ConfigMap a exists already and is not controlled by anything; Serin does not touch it. "
                "Delete or rename it, or give the ModelDeployment another name",
            ),
            id="somebody made it by hand",
        ),
        pytest.param(
            [owner("x", "Release", "r")],
            Failed(
                "NotOwned",
                "ConfigMap a exists already and is controlled by Release r; Serin does not touch it. "
                "Delete or rename it, or give the ModelDeployment another name",
            ),
            id="another controller has it",
        ),
        pytest.param(
            [owner("the-uid-before")],
            Waiting(
                "PredecessorGoing",
                "ConfigMap a belongs to an earlier ModelDeployment of this name and is about to be deleted",
                2.0,
            ),
            id="a ModelDeployment of this name was deleted a moment ago",
        ),
    ],
)
async def test_only_our_own_is_touched(
    api: FakeApi, applier: Applier, owners: list[dict[str, Any]], outcome: Outcome
) -> None:
    before = api.put("configmaps", config("a", "old") | {"metadata": {"name": "a", "ownerReferences": owners}})
    assert await carry_out(applier, Apply(config("a"))) == outcome
    changed = api.get("configmaps", "a") != before
    assert changed is isinstance(outcome, Applied)


async def test_an_object_that_was_replaced_since_it_was_seen_is_not_touched(api: FakeApi, applier: Applier) -> None:
    seen = api.put("configmaps", config("a", "old"))
    api.remove("configmaps", "default", "a")
    api.put("configmaps", config("a", "another's"))
    with pytest.raises(ConflictError):
        await carry_out(applier, Apply(config("a")), live={"ConfigMap/a": seen})
    assert (api.get("configmaps", "a") or {})["data"] == {"a": "another's"}


async def test_a_pod_that_is_not_hardened_is_refused_before_anything_is_sent(api: FakeApi, applier: Applier) -> None:
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "namespace": "default"}, "spec": {}}
    outcome = await carry_out(applier, Apply(pod))
    assert isinstance(outcome, Failed)
    assert outcome.reason == "PodNotHardened"
    assert api.requests == []


async def test_weights_are_read_back(api: FakeApi, applier: Applier) -> None:
    assert await carry_out(applier, route({"m-1": 95, "m-2": 5})) == Applied()
    assert [seen.method for seen in api.requests] == ["GET", "PATCH", "GET"]


def service(revision: str | None) -> SetWeights:
    selector = {"serin.dev/deployment": "m"} | ({"serin.dev/revision": revision} if revision else {})
    metadata = {"namespace": "default", "name": "m", "ownerReferences": [owner()]}
    manifest = {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": {"selector": selector}}
    return SetWeights(manifest, {"m-1": 100}, None, narrowing=True)


async def test_a_service_that_splits_is_read_back(api: FakeApi, applier: Applier) -> None:
    assert await carry_out(applier, service("m-1")) == Applied()
    assert await carry_out(applier, service(None)) == Applied()
    assert (api.get("services", "m") or {})["spec"]["selector"] == {"serin.dev/deployment": "m"}


async def test_a_label_that_someone_else_adds_to_the_selector_is_noticed(api: FakeApi, applier: Applier) -> None:
    await carry_out(applier, service(None))
    standing = api.get("services", "m") or {}
    standing["spec"]["selector"]["serin.dev/revision"] = "m-1"
    api.put("services", standing)
    outcome = await carry_out(applier, service(None))
    assert isinstance(outcome, Waiting)
    assert outcome.reason == "WeightsNotHeld"


async def test_weights_that_something_else_changed_are_not_taken_for_set(api: FakeApi, applier: Applier) -> None:
    class Meddler(FakeApi):
        def _existing(self, plural: str, namespace: str, name: str) -> dict[str, Any]:
            item = super()._existing(plural, namespace, name)
            item["spec"]["rules"][0]["backendRefs"][0]["weight"] = 1
            return item

    api.__class__ = Meddler
    outcome = await carry_out(applier, route({"m-1": 95, "m-2": 5}), Apply(config("after")))
    assert isinstance(outcome, Waiting)
    assert outcome.reason == "WeightsNotHeld"
    assert api.get("configmaps", "after") is None


async def test_a_cohort_that_is_not_there_is_not_taken_for_set(api: FakeApi, applier: Applier) -> None:
    action = route({"m-1": 95, "m-2": 5}, cohort=None)
    wanted = SetWeights(action.manifest, action.weights, "m-2.1.x", narrowing=False)
    outcome = await carry_out(applier, wanted)
    assert isinstance(outcome, Waiting)
    assert outcome.reason == "WeightsNotHeld"


async def test_whether_weights_hold_may_not_be_telling(api: FakeApi, applier: Applier) -> None:
    api.put("httproutes", {"metadata": {"name": "m", "ownerReferences": [owner()]}, "kind": "HTTPRoute"})
    live = {"HTTPRoute/m": api.get("httproutes", "m")}
    api.fail("GET", "httproutes", 500, times=99)
    outcome = await carry_out(applier, route({"m-1": 100}), live=live)
    assert isinstance(outcome, Waiting)
    assert outcome.reason == "WeightsUnknown"


async def test_a_narrowing_that_is_refused_says_so(api: FakeApi, applier: Applier) -> None:
    api.fail("PATCH", "httproutes", 422)
    outcome = await carry_out(applier, route({"m-1": 100}, None, narrowing=True))
    assert isinstance(outcome, Failed)
    assert outcome.narrowing


async def test_deleting_needs_the_uid_that_was_seen(api: FakeApi, applier: Applier) -> None:
    uid = api.put("configmaps", config("a"))["metadata"]["uid"]
    with pytest.raises(ConflictError):
        await carry_out(applier, Delete("v1", "ConfigMap", "a", "another"))
    assert await carry_out(applier, Delete("v1", "ConfigMap", "a", uid)) == Applied()
    assert await carry_out(applier, Delete("v1", "ConfigMap", "a", uid)) == Applied()


async def test_the_ring_is_written_and_never_read(api: FakeApi, applier: Applier, rings: KeyRings) -> None:
    assert await carry_out(applier, ApplyKeys("m-keys")) == Applied()
    assert rings.applied(UID)
    assert [seen.method for seen in api.requests] == ["PATCH", "PATCH"]
    assert (api.get("secrets", "m-keys") or {})["data"].keys() == {"keys.json"}


@pytest.mark.parametrize(
    ("secret", "reason"),
    [
        pytest.param({"data": {"password": "eA=="}}, "NotOwned", id="a Secret with data of its own"),
        pytest.param(
            {"metadata": {"name": "m-keys", "ownerReferences": [owner("x", "Release", "r")]}},
            "ApplyFailed",
            id="a Secret that another controller has: the server refuses a second",
        ),
    ],
)
async def test_a_foreign_secret_is_not_touched(
    api: FakeApi, applier: Applier, rings: KeyRings, secret: dict[str, Any], reason: str
) -> None:
    api.put("secrets", {"kind": "Secret", "metadata": {"name": "m-keys"}, **secret})
    before = api.versions()
    outcome = await carry_out(applier, ApplyKeys("m-keys"))
    assert isinstance(outcome, Failed)
    assert outcome.reason == reason
    assert api.versions() == before
    assert not rings.applied(UID)
