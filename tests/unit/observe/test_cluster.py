"""One Observation from an API server: everything that is ours, and nothing that is not."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from tests.support.fake_api import FakeApi, serving

from serin_operator.decide.judge import saved
from serin_operator.decide.judge.evidence import Evidence
from serin_operator.decide.observation import Observation
from serin_operator.errors import ApiError
from serin_operator.observe.cluster import Observer, OwnKeys
from serin_operator.observe.custom import Addresses, CustomSources
from serin_operator.observe.held import HeldEvidence
from serin_operator.observe.pods import Poller
from serin_operator.runtime.kube import Kube
from serin_operator.runtime.metrics import Metrics
from serin_operator.runtime.queue import Key

KEY = Key("default", "m")
SPEC: dict[str, Any] = {"model": {"uri": "pvc://models/wine/7"}, "traffic": {"parentRefs": [{"name": "public"}]}}
DIGEST = "sha256:" + "a" * 64


@pytest.fixture
def api() -> FakeApi:
    return FakeApi()


@pytest.fixture
def held() -> HeldEvidence:
    return HeldEvidence()


@pytest.fixture
async def observer(api: FakeApi, held: HeldEvidence) -> AsyncIterator[Observer]:
    metrics = Metrics()

    async def sleep(_: float) -> None:
        return None

    async with serving(api) as client, aiohttp.ClientSession() as session:
        kube = Kube(client(), metrics, lambda: 10.0, sleep=sleep)
        poller = Poller(session, metrics.poll_errors, lambda _: "http://127.0.0.1:9")
        yield Observer(kube, poller, held, "image:1", lambda uid: OwnKeys(f"print-{uid}", True), lambda: 50.0)
        await kube.close()


def deployment(api: FakeApi, **status: Any) -> str:
    item = {"apiVersion": "serin.dev/v1alpha1", "kind": "ModelDeployment", "metadata": {"name": "m"}, "spec": SPEC}
    return str(api.put("modeldeployments", {**item, "status": status})["metadata"]["uid"])


def owned(api: FakeApi, plural: str, name: str, uid: str, labels: dict[str, str] | None = None, **more: Any) -> None:
    owner = {"kind": "ModelDeployment", "name": "m", "uid": uid, "controller": True}
    metadata = {
        "name": name,
        "labels": {"serin.dev/deployment": "m", **(labels or {})},
        "ownerReferences": [owner],
        "managedFields": [{"manager": "serin"}],
    }
    api.put(plural, {"apiVersion": "v1", "kind": "K", "metadata": metadata, **more})


async def seen_by(observer: Observer) -> Observation:
    seen = await observer.observe(KEY)
    assert seen is not None
    return seen


async def test_a_deployment_that_is_gone_or_going_is_none(api: FakeApi, observer: Observer) -> None:
    assert await observer.observe(KEY) is None
    deployment(api)
    item = api.get("modeldeployments", "m") or {}
    item["metadata"]["deletionTimestamp"] = "2026-11-01T00:00:00Z"
    assert await observer.observe(KEY) is None


async def test_a_new_deployment(api: FakeApi, observer: Observer) -> None:
    uid = deployment(api)
    seen = await seen_by(observer)
    assert (seen.uid, seen.now, seen.generation, seen.spec_error) == (uid, 50.0, 1, None)
    assert seen.spec is not None
    assert seen.resource_version == (api.get("modeldeployments", "m") or {})["metadata"]["resourceVersion"]
    assert seen.operator.keys_fingerprint == f"print-{uid}"
    assert len(seen.operator.nonce) == 32
    assert seen.operator.nonce != (await seen_by(observer)).operator.nonce
    assert (seen.live, seen.pods, seen.route, seen.stats) == ({}, (), None, ())


async def test_only_what_the_deployment_controls_is_live(api: FakeApi, observer: Observer) -> None:
    uid = deployment(api)
    owned(api, "deployments", "m-1", uid)
    owned(api, "services", "m-1", uid)
    owned(api, "services", "m-0", "an-earlier-uid")
    api.put("configmaps", {"metadata": {"name": "stray", "labels": {"serin.dev/deployment": "m"}}})
    owned(api, "configmaps", "m-1-stable-profile", uid, data={"profile.json": "{}"})
    live = (await seen_by(observer)).live
    assert set(live) == {"Deployment/m-1", "Service/m-1", "ConfigMap/m-1-stable-profile"}
    assert live["Deployment/m-1"]["kind"] == "Deployment"
    assert "managedFields" not in live["Deployment/m-1"]["metadata"]
    assert live["ConfigMap/m-1-stable-profile"]["data"] == {"profile.json": "{}"}


async def test_a_spec_that_cannot_be_read(api: FakeApi, observer: Observer) -> None:
    deployment(api)
    (api.get("modeldeployments", "m") or {})["spec"] = {"traffic": {}}
    seen = await seen_by(observer)
    assert (seen.spec, seen.spec_error) == (None, "spec.model: Field required")


async def test_a_revision_that_cannot_be_read_stops_decisions(api: FakeApi, observer: Observer) -> None:
    owned(api, "modelrevisions", "m-1", deployment(api), spec={})
    seen = await seen_by(observer)
    assert seen.spec is None
    assert "ModelRevision m-1 cannot be read" in (seen.spec_error or "")


async def test_the_route(api: FakeApi, observer: Observer) -> None:
    uid = deployment(api)
    rules = [{"matches": [{"path": {"value": "/v2"}}], "backendRefs": [{"name": "m-1", "weight": 100}]}]
    owned(api, "httproutes", "m", uid, spec={"parentRefs": [{"name": "public"}], "rules": rules})
    seen = await seen_by(observer)
    assert seen.route is not None
    assert seen.route.weights == {"m-1": 100}
    assert seen.route.programmed is None


async def test_gateways_that_are_missing_are_named(api: FakeApi, observer: Observer) -> None:
    deployment(api)
    assert (await seen_by(observer)).missing_gateways == ("default/public",)
    api.put("gateways", {"metadata": {"name": "public"}})
    assert (await seen_by(observer)).missing_gateways == ()


async def test_a_gateway_that_may_not_be_read_is_not_called_missing(api: FakeApi, observer: Observer) -> None:
    deployment(api)
    api.fail("GET", "gateways", 403)
    assert (await seen_by(observer)).missing_gateways == ()


async def test_without_the_gateway_api_all_else_is_seen_and_its_coming_is_noticed(
    api: FakeApi, observer: Observer
) -> None:
    deployment(api)
    api.unserved = {"httproutes", "gateways"}
    seen = await seen_by(observer)
    assert (seen.gateway_api, seen.missing_gateways, seen.spec_error) == (False, (), None)
    api.unserved = set()
    assert (await seen_by(observer)).gateway_api


@pytest.mark.parametrize("plural", ["modeldeployments", "pods", "endpointslices", "modelrevisions", "httproutes"])
async def test_half_a_world_is_no_world(api: FakeApi, observer: Observer, plural: str) -> None:
    deployment(api)
    api.fail("GET", plural, 500, times=99)
    with pytest.raises(ApiError):
        await observer.observe(KEY)


async def test_pods_are_polled_while_a_cohort_is_open_and_while_they_are_on_their_way_out(
    api: FakeApi, observer: Observer
) -> None:
    arms = {"stable": {"revision": "m-1"}, "candidate": {"revision": "m-2"}}
    arms |= {"previous": {"revision": "m-3", "warmUntil": "2027-01-15T08:00:00Z"}}
    uid = deployment(api, **arms)
    for revision in ("m-1", "m-2", "m-3"):
        marks = {"serin.dev/purpose": "serve", "serin.dev/revision": revision}
        owned(api, "pods", f"{revision}-x", uid, marks, status={"phase": "Running", "podIP": "10.0.0.1"})
    assert (await seen_by(observer)).stats == (), "at rest nobody is asked"
    marks = {"serin.dev/purpose": "serve", "serin.dev/revision": "m-9"}
    owned(api, "pods", "m-9-x", uid, marks, status={"phase": "Running", "podIP": "10.0.0.1"})
    (api.get("pods", "m-9-x") or {})["metadata"]["deletionTimestamp"] = "2027-01-15T08:00:00Z"
    assert (await seen_by(observer)).stats == (), "nor who is ending"
    marks = {"serin.dev/purpose": "serve", "serin.dev/revision": "m-0"}
    owned(api, "pods", "m-0-x", uid, marks, status={"phase": "Running", "podIP": "10.0.0.1"})
    assert {answer.revision for answer in (await seen_by(observer)).stats} == {"m-0"}
    (api.get("modeldeployments", "m") or {})["status"]["candidate"]["cohort"] = "m-2.1.x"
    answers = (await seen_by(observer)).stats
    assert {answer.revision for answer in answers} == {"m-0", "m-1", "m-2"}
    assert all("cannot be reached" in (answer.error or "") for answer in answers)


@pytest.mark.parametrize(
    ("sentence", "candidate", "asked"),
    [
        ("a candidate that warms up takes no connection", {"step": -1}, False),
        ("one that has begun: its pods are told the cohort, and its end", {"step": 0}, True),
        ("one whose trial has ended: its callers are sent away", {"step": -1, "outcome": "Aborted"}, True),
        ("none", None, False),
    ],
)
async def test_without_a_gateway_pods_are_asked_as_long_as_they_must_be_told_something(
    api: FakeApi, observer: Observer, sentence: str, candidate: dict[str, Any] | None, asked: bool
) -> None:
    arms: dict[str, Any] = {"stable": {"revision": "m-1", "runtime": "onnx"}}
    uid = deployment(api, **arms, **({"candidate": {"revision": "m-2"} | candidate} if candidate else {}))
    (api.get("modeldeployments", "m") or {})["spec"].pop("traffic", None)
    for revision in ("m-1", "m-2") if candidate else ("m-1",):
        marks = {"serin.dev/purpose": "serve", "serin.dev/revision": revision}
        owned(api, "pods", f"{revision}-x", uid, marks, status={"phase": "Running", "podIP": "10.0.0.1"})
    assert bool((await seen_by(observer)).stats) is asked, sentence


async def test_a_stable_revision_is_asked_until_it_has_told_what_runs_its_model(
    api: FakeApi, observer: Observer
) -> None:
    uid = deployment(api, stable={"revision": "m-1"})
    marks = {"serin.dev/purpose": "serve", "serin.dev/revision": "m-1"}
    owned(api, "pods", "m-1-x", uid, marks, status={"phase": "Running", "podIP": "10.0.0.1"})
    assert len((await seen_by(observer)).stats) == 1
    (api.get("modeldeployments", "m") or {})["status"]["stable"]["runtime"] = "skops"
    assert (await seen_by(observer)).stats == ()


async def test_the_endpoints_of_the_service_that_splits_are_told_by_pod(api: FakeApi, observer: Observer) -> None:
    deployment(api)
    labels = {"serin.dev/deployment": "m", "kubernetes.io/service-name": "m"}
    ready = [{"addresses": [f"10.0.0.{n}"], "targetRef": {"uid": f"pod-{n}"}, "conditions": {}} for n in (2, 1)]
    ending = {"addresses": ["10.0.0.3"], "targetRef": {"uid": "pod-3"}, "conditions": {"terminating": True}}
    api.put("endpointslices", {"metadata": {"name": "m-x", "labels": labels}, "endpoints": [*ready, ending]})
    assert (await seen_by(observer)).apex_endpoints == ("pod-1", "pod-2")


async def test_stables_profile_is_asked_for_until_the_candidate_has_it(api: FakeApi, observer: Observer) -> None:
    uid = deployment(api, stable={"revision": "m-1"}, candidate={"revision": "m-2"})
    assert (await seen_by(observer)).stable_profile_error == "no pod of the stable revision is ready"
    owned(api, "configmaps", "m-2-stable-profile", uid)
    assert (await seen_by(observer)).stable_profile_error is None


def evidence(candidate: str, stable: str) -> Evidence:
    return Evidence(candidate=candidate, stable=stable)


async def test_evidence_is_what_is_held_for_this_pair(api: FakeApi, observer: Observer, held: HeldEvidence) -> None:
    uid = deployment(api, stable={"revision": "m-1"}, candidate={"revision": "m-2"})
    spec = {"deployment": "m", "identity": "2", "model": {"uri": "u", "digest": DIGEST}, "template": {}}
    owned(api, "modelrevisions", "m-2", uid, spec=spec)
    assert (await seen_by(observer)).evidence is None
    held.keep(uid, evidence("m-2", "m-1"))
    assert (await seen_by(observer)).evidence == evidence("m-2", "m-1")
    held.keep(uid, evidence("m-3", "m-1"))
    assert (await seen_by(observer)).evidence is None, "another candidate's evidence is not this one's"


async def test_evidence_is_restored_from_the_revision(api: FakeApi, observer: Observer, held: HeldEvidence) -> None:
    uid = deployment(api, stable={"revision": "m-1"}, candidate={"revision": "m-2"})
    spec = {"deployment": "m", "identity": "2", "model": {"uri": "u", "digest": DIGEST}, "template": {}}
    written = saved.dump(evidence("m-2", "m-1"))
    owned(api, "modelrevisions", "m-2", uid, spec=spec, status={"evidence": written})
    restored = (await seen_by(observer)).evidence
    assert restored is not None
    assert (restored.candidate, restored.stable) == ("m-2", "m-1")
    held.keep_only([])


async def test_the_sources_of_custom_gates_are_asked_in_the_background_while_a_step_runs(
    api: FakeApi, held: HeldEvidence
) -> None:
    metrics, sources = Metrics(), CustomSources(Addresses(), now=lambda: 40.0)
    spec = SPEC | {"gates": {"custom": [{"name": "rate", "query": "vector(1)", "min": 1}]}}
    candidate = {"revision": "m-2", "trialStartedAt": "2026-11-01T00:00:00Z", "cohort": "m-2.1.x"}
    item = {"apiVersion": "serin.dev/v1alpha1", "kind": "ModelDeployment", "metadata": {"name": "m"}, "spec": spec}
    async with serving(api) as client, aiohttp.ClientSession() as session:
        kube = Kube(client(), metrics, lambda: 10.0)
        poller = Poller(session, metrics.poll_errors, lambda _: "http://127.0.0.1:9")
        asking = Observer(kube, poller, held, "image:1", lambda uid: OwnKeys(uid, True), lambda: 50.0, sources=sources)
        for started, asked in (({}, False), ({"stepStartedAt": "2026-11-01T00:00:10Z"}, True)):
            status = {"stable": {"revision": "m-1"}, "candidate": candidate | started}
            api.put("modeldeployments", {**item, "status": status})
            assert (await seen_by(asking)).custom == (), "the first answer is not waited for"
            answers = (await seen_by(asking)).custom
            assert [(answer.gate, answer.asked_at, answer.value) for answer in answers] == (
                [("custom/rate", 40.0, None)] if asked else []
            )
        await kube.close()
    await sources.close()
