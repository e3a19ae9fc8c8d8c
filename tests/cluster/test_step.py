"""The step against a real API server: what the small one in the unit tests only claims."""

from __future__ import annotations

import copy
import itertools
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support import api_server as servers
from tests.support.announcing import SilentAnnouncer
from tests.support.api_server import ApiServer
from tests.support.toy_cluster import PROFILE

from serin_cli.cluster.paths import cache_root
from serin_operator.api.deployment import ModelDeploymentStatus
from serin_operator.apply.keys import KeyRings
from serin_operator.apply.workloads import Applier
from serin_operator.decide import manifests
from serin_operator.decide.observation import Observation, PodFacts
from serin_operator.decide.plan import Apply, Delete, Event, Plan, SetWeights
from serin_operator.decide.rollout import decide
from serin_operator.decide.routing import Split
from serin_operator.decide.routing.gateway import GatewayRouting
from serin_operator.errors import ApiError, ConflictError
from serin_operator.observe.cluster import Observer, OwnKeys
from serin_operator.observe.held import HeldEvidence
from serin_operator.observe.workloads import SeenPod
from serin_operator.report import Reporter
from serin_operator.runtime import connect, resources
from serin_operator.runtime.kube import Kube
from serin_operator.runtime.metrics import Metrics
from serin_operator.runtime.outcome import Applied, Failed, Outcome
from serin_operator.runtime.queue import Key
from serin_operator.runtime.record import Recorder
from serin_operator.step import Parts, step

pytestmark = pytest.mark.cluster

Json = dict[str, Any]
DIGEST = "sha256:" + "a" * 64
ROOT = Path(__file__).parents[2]
_numbers = itertools.count()


class NoPods:
    """There are no nodes here, so no pod answers."""

    def located(self, pod: SeenPod) -> PodFacts:
        return pod.facts

    async def stats(self, _: Any) -> tuple[()]:
        return ()

    async def profile(self, _: Any) -> tuple[str | None, str | None]:
        return PROFILE, None


class Run:
    """A namespace of its own and the parts of a step in it."""

    def __init__(self, server: ApiServer, kube: Kube, keys: Path) -> None:
        self.server, self.kube = server, kube
        self.namespace = f"step-{next(_numbers)}"
        self.key = Key(self.namespace, "wine")
        self.metrics = Metrics()
        rings, held = KeyRings(keys), HeldEvidence()
        self.observer = Observer(
            kube,
            NoPods(),
            held,
            "image:1",
            lambda uid: OwnKeys(rings.fingerprint(uid), rings.applied(uid)),  # type: ignore[arg-type]
        )
        self.applier, self.reporter = (
            Applier(kube, rings, SilentAnnouncer()),
            Reporter(kube, self.metrics, "operator-1"),
        )
        self.parts = Parts(self.observer, decide, self.applier, self.reporter, held, Recorder(None))
        namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self.namespace}}
        assert server.apply(f"/api/v1/namespaces/{self.namespace}", namespace).ok

    def path(self, plural: str, name: str = "", version: str = "serin.dev/v1alpha1") -> str:
        root = f"/apis/{version}" if "/" in version else f"/api/{version}"
        return f"{root}/namespaces/{self.namespace}/{plural}" + (f"/{name}" if name else "")

    def create(self, **spec: Any) -> Json:
        item = {
            "apiVersion": "serin.dev/v1alpha1",
            "kind": "ModelDeployment",
            "metadata": {"name": "wine", "namespace": self.namespace},
            "spec": {
                "model": {"uri": "pvc://models/wine/7", "digest": DIGEST},
                "traffic": {"parentRefs": [{"name": "public"}]},
                **spec,
            },
        }
        answer = self.server.apply(self.path("modeldeployments", "wine"), item, manager="user")
        assert answer.ok, answer.message
        return answer.body

    def get(self, plural: str, name: str, version: str = "serin.dev/v1alpha1") -> Json:
        return self.server.request("GET", self.path(plural, name, version)).body

    async def seen(self) -> Observation:
        seen = await self.observer.observe(self.key)
        assert seen is not None
        return seen

    def versions(self) -> dict[str, str]:
        """Of everything in the namespace that the operator could have written."""
        kinds = [
            ("modeldeployments", "serin.dev/v1alpha1"),
            ("modelrevisions", "serin.dev/v1alpha1"),
            ("deployments", "apps/v1"),
            ("services", "v1"),
            ("secrets", "v1"),
            ("configmaps", "v1"),
            ("pods", "v1"),
            ("poddisruptionbudgets", "policy/v1"),
            ("events", "events.k8s.io/v1"),
        ]
        return {
            f"{plural}/{item['metadata']['name']}": item["metadata"]["resourceVersion"]
            for plural, version in kinds
            for item in self.server.request("GET", self.path(plural, version=version)).body["items"]
        }


@pytest.fixture
async def kube(served: ApiServer) -> AsyncIterator[Kube]:
    made = Kube(connect.client(await connect.configuration(served.kubeconfig)), Metrics(), lambda: 10.0)
    yield made
    await made.close()


@pytest.fixture
def run(served: ApiServer, kube: Kube, tmp_path: Path) -> Run:
    (tmp_path / "k1").write_bytes(b"1" * 32)
    return Run(served, kube, tmp_path)


async def test_the_step_reaches_a_point_where_it_writes_nothing(run: Run) -> None:
    run.create()
    for _ in range(8):
        await step(run.parts, run.key)
    before = run.versions()
    for _ in range(5):
        await step(run.parts, run.key)
    assert run.versions() == before
    assert run.get("modeldeployments", "wine")["status"]["phase"] == "Pending"


async def test_pods_lead_to_a_revision_with_its_workload(run: Run) -> None:
    run.create()
    for _ in range(4):
        await step(run.parts, run.key)
    _resolved(run)
    for _ in range(6):
        await step(run.parts, run.key)
    seen = await run.seen()
    (revision,) = seen.revisions
    assert revision.spec.model.digest == DIGEST
    kinds = {name.partition("/")[0] for name in seen.live}
    assert {"Deployment", "Service"} <= kinds
    secret = run.get("secrets", "wine-keys", "v1")
    assert set(secret["data"]) == {"keys.json"}
    managers = {entry["manager"] for entry in secret["metadata"]["managedFields"]}
    assert managers == {"serin"}
    before = run.versions()
    for _ in range(5):
        await step(run.parts, run.key)
    assert run.versions() == before


def _resolved(run: Run) -> None:
    """What the kubelet would report of the pod that resolves the digest, where there is one."""
    for item in run.server.request("GET", run.path("pods", version="v1")).body["items"]:
        ended = {"exitCode": 0, "message": f'{{"digest":"{DIGEST}"}}', "finishedAt": "2026-11-01T00:00:01Z"}
        status = {
            "phase": "Succeeded",
            "containerStatuses": [
                {
                    "name": "model", "image": "i", "imageID": "i", "ready": False, "restartCount": 0,
                    "state": {"terminated": ended},
                }
            ],
        }  # fmt: skip
        patch = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": item["metadata"]["name"]}, "status": status}
        answer = run.server.apply(
            run.path("pods", item["metadata"]["name"], "v1") + "/status", patch, manager="kubelet"
        )
        assert answer.ok, answer.message


def a_status(**change: Any) -> ModelDeploymentStatus:
    condition = {
        "type": "Ready", "status": "False", "reason": "Starting", "message": "m",
        "lastTransitionTime": "2026-11-01T00:00:00Z",
    }  # fmt: skip
    gate = {"name": "accuracy", "mode": "Enforce", "verdict": "NotYet", "reason": "R", "message": "m", "value": 0.5}
    fields = {"phase": "Pending", "message": "one", "conditions": [condition], "gates": [gate], **change}
    return ModelDeploymentStatus.model_validate(fields)


async def report(run: Run, seen: Observation, status: ModelDeploymentStatus, *events: Event) -> bool:
    return await run.reporter.report(seen, Plan(status=status, events=events), Applied())


async def test_a_status_decided_on_an_older_object_is_refused(run: Run) -> None:
    run.create()
    stale = await run.seen()
    run.create(paused=True)
    with pytest.raises(ConflictError):
        await report(run, stale, a_status())
    assert "status" not in run.get("modeldeployments", "wine")
    assert await report(run, await run.seen(), a_status())


async def test_what_the_status_no_longer_says_is_removed(run: Run) -> None:
    run.create()
    full = a_status(candidate={"revision": "wine-1", "shares": {"accuracy": 0.05}}, samples=7)
    await report(run, await run.seen(), full)
    seen = await run.seen()
    assert seen.status == full
    await report(run, seen, a_status(message="two", conditions=[], gates=[]))
    status = run.get("modeldeployments", "wine")["status"]
    assert "candidate" not in status
    assert "samples" not in status
    assert "conditions" not in status
    assert not await report(run, await run.seen(), a_status(message="two", conditions=[], gates=[]))


async def test_the_same_status_is_not_written_again(run: Run) -> None:
    run.create()
    assert await report(run, await run.seen(), a_status())
    assert not await report(run, await run.seen(), a_status())


async def test_the_order_of_conditions_is_no_reason_to_write(run: Run) -> None:
    run.create()
    one = a_status().conditions[0]
    two = one.model_copy(update={"type": "Promoted"})
    assert await report(run, await run.seen(), a_status(conditions=[one, two]))
    assert not await report(run, await run.seen(), a_status(conditions=[two, one]))


async def test_an_object_of_another_uid_is_not_applied_to(run: Run) -> None:
    uid = run.create()["metadata"]["uid"]
    manifest = owned_config(run, uid)
    await run.kube.apply(manifest)
    elsewhere = copy.deepcopy(manifest)
    elsewhere["metadata"]["uid"] = "00000000-0000-0000-0000-000000000000"
    with pytest.raises(ConflictError):
        await run.kube.apply(elsewhere)
    run.server.request("DELETE", run.path("configmaps", "c", "v1"))
    with pytest.raises(ConflictError):
        await run.kube.apply(elsewhere)


def owned_config(run: Run, uid: str, controller: bool = True) -> Json:
    owner = {"apiVersion": "serin.dev/v1alpha1", "kind": "ModelDeployment", "name": "wine", "uid": uid}
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "namespace": run.namespace,
            "name": "c",
            "labels": {"serin.dev/deployment": "wine"},
            "ownerReferences": [{**owner, "controller": controller, "blockOwnerDeletion": True}],
        },
        "data": {"a": "1"},
    }


async def test_objects_of_others_are_not_touched(run: Run) -> None:
    uid = run.create()["metadata"]["uid"]
    foreign = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": {"mine": "x"}}
    assert run.server.apply(run.path("configmaps", "c", "v1"), foreign, manager="user").ok
    plan = Plan(status=ModelDeploymentStatus(), actions=(Apply(owned_config(run, uid)),))
    outcome = await run.applier.apply(await run.seen(), plan)
    assert isinstance(outcome, Failed)
    assert outcome.reason == "NotOwned"
    assert run.get("configmaps", "c", "v1")["data"] == {"mine": "x"}


async def test_a_foreign_secret_of_the_rings_name_is_not_touched(run: Run) -> None:
    run.create()
    foreign = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "wine-keys"}, "data": {"mine": "eA=="}}
    assert run.server.apply(run.path("secrets", "wine-keys", "v1"), foreign, manager="user").ok
    await step(run.parts, run.key)
    status = run.get("modeldeployments", "wine")["status"]
    assert "Secret wine-keys exists already" in status["message"]
    assert set(run.get("secrets", "wine-keys", "v1")["data"]) == {"mine"}


async def test_deleting_needs_the_uid(run: Run) -> None:
    uid = run.create()["metadata"]["uid"]
    standing = await run.kube.apply(owned_config(run, uid))
    seen = await run.seen()

    async def delete(uid_seen: str) -> Any:
        action = Delete("v1", "ConfigMap", "c", uid_seen)
        return await run.applier.apply(seen, Plan(status=seen.status, actions=(action,)))

    with pytest.raises(ConflictError):
        await delete("00000000-0000-0000-0000-000000000000")
    assert await delete(standing["metadata"]["uid"]) == Applied()
    assert await delete(standing["metadata"]["uid"]) == Applied()


async def test_a_field_that_is_unknown_is_refused_with_a_sentence(run: Run) -> None:
    uid = run.create()["metadata"]["uid"]
    manifest = owned_config(run, uid) | {"unknownField": 1}
    outcome = await run.applier.apply(await run.seen(), Plan(status=a_status(), actions=(Apply(manifest),)))
    assert isinstance(outcome, Failed)
    assert "unknownField" in outcome.message
    assert await run.reporter.report(await run.seen(), Plan(status=a_status()), outcome)
    assert "unknownField" in run.get("modeldeployments", "wine")["status"]["message"]


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("Grüße 日本語", id="letters"),
        pytest.param("emoji 🐤 beyond the basic plane", id="what JSON escapes as a pair and YAML refuses so"),
        pytest.param('quotes " and \\ and \\ud83d\\udc24 and \t\n\x01\x1f', id="what must be escaped"),
        pytest.param("\x7f\x80\x9f\u2028\u2029\ufeff\uffff", id="what YAML does not print"),
        pytest.param("- a: {b}\n# c & *d !e %f @g `h` 'i' |\n", id="what means something to YAML"),
    ],
)
async def test_any_text_survives_server_side_apply(run: Run, text: str) -> None:
    run.create()
    await report(run, await run.seen(), a_status(message=text))
    assert (await run.seen()).status.message == text


async def test_events_are_posted_once(run: Run) -> None:
    run.create()
    event = Event("Warning", "GateFailed", "accuracy 0.8 is below 0.9 🐤" * 80, "Judge")
    seen = await run.seen()
    await report(run, seen, a_status(), event)
    await report(run, await run.seen(), a_status(message="two"), event)
    # Another process, which remembers nothing, posts the same name within the same ten minutes.
    await Reporter(run.kube, run.metrics, "operator-2").report(
        seen, Plan(status=seen.status, events=(event,)), Applied()
    )
    (posted,) = run.server.request("GET", run.path("events", version="events.k8s.io/v1")).body["items"]
    assert (posted["reason"], posted["type"], posted["regarding"]["name"]) == ("GateFailed", "Warning", "wine")
    assert len(posted["note"].encode()) <= 1024


async def test_lists_come_in_pages_and_as_metadata(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("serin_operator.runtime.kube.PAGE_OBJECTS", 3)
    for number in range(7):
        item = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": f"c{number}", "labels": {"l": "x"}}}
        assert run.server.apply(run.path("configmaps", f"c{number}", "v1"), item).ok
    assert len(await run.kube.list_all(resources.CONFIG_MAP, run.namespace, "l=x")) == 7
    run.create()
    listed = await run.kube.list_metadata(resources.MODEL_DEPLOYMENT)
    ours = [item for item in listed if item["metadata"]["namespace"] == run.namespace]
    assert [item["metadata"]["name"] for item in ours] == ["wine"]
    assert "spec" not in ours[0]


async def test_without_the_gateway_api_this_is_seen_and_told(run: Run) -> None:
    run.create()
    seen = await run.seen()
    assert not seen.gateway_api
    with pytest.raises(ApiError):
        await run.kube.list_all(resources.HTTP_ROUTE, run.namespace)


@pytest.fixture(scope="module")
def gateway_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    """A server that knows the Gateway API besides; its own, so that others can tell of its absence."""
    missing, definitions = servers.missing_programs(), sorted((cache_root() / "gateway-api").glob("*/*routes.yaml"))
    if missing or not definitions:
        pytest.skip("the programs or the Gateway API's definitions are not there; `serin cluster up` makes them")
    with servers.running(tmp_path_factory.mktemp("gateway-server")) as server:
        for path in (*sorted((ROOT / "crds").glob("*.yaml")), *definitions):
            server.kubectl("apply", "--server-side", "-f", str(path))
        for kind in ("modeldeployments.serin.dev", "httproutes.gateway.networking.k8s.io"):
            server.kubectl("wait", "--for=condition=Established", "--timeout=30s", f"crd/{kind}")
        yield server


@pytest.fixture
async def routed(gateway_server: ApiServer, tmp_path: Path) -> AsyncIterator[Run]:
    (tmp_path / "k1").write_bytes(b"1" * 32)
    configuration = await connect.configuration(gateway_server.kubeconfig)
    kube = Kube(connect.client(configuration), Metrics(), lambda: 10.0)
    yield Run(gateway_server, kube, tmp_path)
    await kube.close()


def _routing(seen: Observation) -> GatewayRouting:
    assert seen.spec is not None
    return GatewayRouting(seen, seen.spec)


def _split(weights: dict[str, int], cohort: str | None) -> Split:
    """The first of two revisions is the candidate."""
    candidate, stable = next(iter(weights)), list(weights)[-1]
    if candidate == stable:
        return Split(stable)
    return Split(stable, candidate, weights[candidate], cohort)


async def set_weights(run: Run, weights: dict[str, int], cohort: str | None) -> Outcome:
    seen = await run.seen()
    assert seen.spec is not None
    action = SetWeights(_routing(seen).manifest(_split(weights, cohort)), weights, cohort, narrowing=False)
    return await run.applier.apply(seen, Plan(status=seen.status, actions=(action,)))


async def test_weights_and_cohort_go_together_and_are_read_back(routed: Run) -> None:
    routed.create()
    assert await set_weights(routed, {"wine-1": 95, "wine-2": 5}, "wine-2.1.ab") == Applied()
    route = (await routed.seen()).route
    assert route is not None
    assert (dict(route.weights), route.cohort) == ({"wine-1": 95, "wine-2": 5}, "wine-2.1.ab")
    assert await set_weights(routed, {"wine-1": 100}, None) == Applied()
    route = (await routed.seen()).route
    assert route is not None
    assert (dict(route.weights), route.cohort) == ({"wine-1": 100}, None)


async def test_a_route_is_programmed_only_at_its_own_generation(routed: Run) -> None:
    routed.create()
    await set_weights(routed, {"wine-1": 100}, None)
    path = routed.path("httproutes", "wine", "gateway.networking.k8s.io/v1")
    item = routed.server.request("GET", path).body
    said = [
        {
            "type": kind, "status": "True", "reason": kind, "message": "",
            "observedGeneration": item["metadata"]["generation"], "lastTransitionTime": "2026-11-01T00:00:00Z",
        }
        for kind in ("Accepted", "ResolvedRefs")
    ]  # fmt: skip
    entry = {"parentRef": item["spec"]["parentRefs"][0], "controllerName": "example.com/c", "conditions": said}
    patch = {key: item[key] for key in ("apiVersion", "kind")} | {
        "metadata": {"name": "wine"},
        "status": {"parents": [entry]},
    }
    answer = routed.server.apply(f"{path}/status", patch, manager="gateway")
    assert answer.ok, answer.message
    seen = await routed.seen()
    assert seen.route is not None
    assert seen.route.programmed is True
    await set_weights(routed, {"wine-1": 95, "wine-2": 5}, "wine-2.1.ab")
    seen = await routed.seen()
    assert seen.route is not None
    assert seen.route.programmed is None


async def test_the_same_weights_again_change_nothing(routed: Run) -> None:
    routed.create()
    await set_weights(routed, {"wine-1": 100}, None)
    path = routed.path("httproutes", "wine", "gateway.networking.k8s.io/v1")
    before = routed.server.request("GET", path).body["metadata"]["resourceVersion"]
    await set_weights(routed, {"wine-1": 100}, None)
    assert routed.server.request("GET", path).body["metadata"]["resourceVersion"] == before
    seen = await routed.seen()
    assert seen.spec is not None
    assert manifests.stands(seen.live, _routing(seen).manifest(Split("wine-1")))
