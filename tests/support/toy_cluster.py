"""Controllers, kubelet and traffic in a few lines, over the small API server: enough for a whole roll-out."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from serin_contract import profile, startup
from serin_contract.announcements import Announced, Announcement
from serin_contract.profile import PredictionBins, Profile
from serin_contract.stats import CohortStats, LabelCounts, PodStats
from serin_operator.decide.observation import PodFacts, StatsAnswer
from serin_operator.observe.workloads import SeenPod
from serin_operator.runtime import httproute
from tests.support.fake_api import FakeApi

Json = dict[str, Any]
PROFILE = profile.encode(Profile([], PredictionBins("classification", ["a"], [], [1.0]), 1)).decode()


@dataclass
class Counter:
    """What one pod has counted in one cohort."""

    requests: int = 0
    failed: int = 0
    connections: int = 0
    labels: dict[str, list[float]] = field(default_factory=lambda: defaultdict(lambda: [0.0, 0.0]))


class ToyCluster:
    """What stands around the operator. Nothing happens but in `tick` and `traffic`."""

    def __init__(self, api: FakeApi, seed: int = 1) -> None:
        self.api = api
        self.accuracy: dict[str, float] = defaultdict(lambda: 0.95)
        """By the bundle's URI."""
        self.broken: set[str] = set()
        """URIs whose pods never get ready."""
        self.told: dict[str, Announcement] = {}
        """What each pod holds, by its UID."""
        self._random = random.Random(seed)
        self._counted: dict[str, dict[str, Counter]] = defaultdict(lambda: defaultdict(Counter))

    def tick(self) -> None:
        """Every controller does what it has to do."""
        for item in self._all("pods"):
            self._resolve(item)
        for item in self._all("deployments"):
            self._scale(item)
        self._collect()
        for item in self._all("services"):
            self._endpoints(item)
        for item in self._all("httproutes"):
            self._accept(item)

    def traffic(self, requests: int) -> None:
        """So many requests through the route, each answered and labelled."""
        for route in self._all("httproutes"):
            split = httproute.split(route)
            assert split is not None
            arms = {name: self._ready_pods(name) for name, weight in split.weights.items() if weight > 0}
            assert all(arms.values()), f"a backend with weight has no ready pod: {split.weights}"
            stable = max(arms, key=lambda name: split.weights[name])
            right = {name: self.accuracy[self.uri(name)] for name in arms}
            if split.cohort is not None:
                weights = [split.weights[name] for name in arms]
                for name in self._random.choices(list(arms), weights, k=requests):
                    self._serve(name, split.cohort, arms, stable, right[name])

    def tell(self, announcement: Announcement) -> None:
        """A pod takes only what is later than what it holds."""
        held = self.told.get(announcement.pod_uid)
        if held is None or held.sequence < announcement.sequence:
            self.told[announcement.pod_uid] = announcement

    def connections(self, requests: int) -> None:
        """So many requests through each deployment's own Service, each on a connection of its own, and labelled."""
        for service in self._all("services"):
            metadata, selector = service["metadata"], service["spec"]["selector"]
            if "serin.dev/revision" in metadata["labels"] or self.api.get("httproutes", metadata["name"]) is not None:
                continue
            pods = [pod for pod in self._running() if selector.items() <= pod["metadata"]["labels"].items()]
            assert pods or not requests, f"the Service {metadata['name']} leads to no ready pod"
            for pod in self._random.choices(pods, k=requests) if requests else ():
                self._connect(pod, self._random.choice(pods))

    def _connect(self, pod: Json, feedback: Json) -> None:
        """One request, and its label at a pod of either arm."""
        arm, told = pod["metadata"]["labels"]["serin.dev/revision"], self.told.get(pod["metadata"]["uid"])
        if told is None or not told.cohort:
            return
        counter = self._counted[pod["metadata"]["uid"]][told.cohort]
        counter.requests += 1
        counter.connections += 1
        counts = self._counted[feedback["metadata"]["uid"]][told.cohort].labels[arm]
        counts[0] += 1.0
        counts[1] += float(self._random.random() < self.accuracy[self.uri(arm)])

    def _running(self) -> list[Json]:
        return [
            item
            for item in self._all("pods")
            if item["metadata"]["labels"].get("serin.dev/purpose") == "serve"
            and item["status"]["conditions"][0]["status"] == "True"
        ]

    def _serve(self, arm: str, cohort: str, arms: dict[str, list[Json]], stable: str, right: float) -> None:
        """One request, and its label at one of stable's pods."""
        self._counted[self._random.choice(arms[arm])["metadata"]["uid"]][cohort].requests += 1
        feedback = self._random.choice(arms[stable])["metadata"]["uid"]
        counts = self._counted[feedback][cohort].labels[arm]
        counts[0] += 1.0
        counts[1] += float(self._random.random() < right)

    def uri(self, revision: str) -> str:
        item = self.api.get("modelrevisions", revision)
        return str(item["spec"]["model"]["uri"]) if item else ""

    def stats(self, uid: str, revision: str) -> PodStats:
        cohorts = {
            cohort: CohortStats(
                requests=counter.requests,
                predictions=float(counter.requests),
                rows=counter.requests,
                connections=counter.connections,
                labels={arm: LabelCounts(*counts) for arm, counts in counter.labels.items()},
            )
            for cohort, counter in self._counted[uid].items()
        }
        told = self.told.get(uid)
        held = Announced(told.sequence, told.cohort, told.refuse_connections) if told is not None else None
        # Only revisions that no route names any more are asked for their calm, and here nobody goes past the route.
        return PodStats(revision, uid, "start-1", cohorts=cohorts, idle_seconds=60.0, announced=held)

    def _all(self, plural: str) -> list[Json]:
        return [item for (kind, _, _), item in list(self.api.objects.items()) if kind == plural]

    def _ready_pods(self, revision: str) -> list[Json]:
        return [
            item
            for item in self._all("pods")
            if item["metadata"]["labels"].get("serin.dev/revision") == revision
            and item["metadata"]["labels"].get("serin.dev/purpose") == "serve"
            and item["status"]["conditions"][0]["status"] == "True"
        ]

    def _resolve(self, item: Json) -> None:
        if item["metadata"]["labels"].get("serin.dev/purpose") != "resolve" or item.get("status"):
            return
        digest = f"sha256:{self._random.getrandbits(256):064x}"
        message = startup.encode(startup.ResolvedDigest(digest)).decode()
        ended = {"exitCode": 0, "reason": "Completed", "message": message, "finishedAt": "2026-11-01T00:00:01Z"}
        item["status"] = {
            "phase": "Succeeded",
            "containerStatuses": [{"name": "model", "state": {"terminated": ended}}],
        }
        self.api.put("pods", item)

    def _scale(self, item: Json) -> None:
        name, wanted = item["metadata"]["name"], item["spec"]["replicas"]
        for number in range(wanted):
            if self.api.get("pods", f"{name}-{number}") is None:
                self._start(item, f"{name}-{number}")
        extra = wanted
        while self.api.get("pods", f"{name}-{extra}") is not None:
            self.api.remove("pods", "default", f"{name}-{extra}")
            extra += 1
        ready = len(self._ready_pods(name))
        status = {
            "observedGeneration": item["metadata"]["generation"],
            "replicas": wanted,
            "updatedReplicas": wanted,
            "readyReplicas": ready,
            "availableReplicas": ready,
        }
        if item.get("status") != status:
            self.api.put("deployments", item | {"status": status})

    def _start(self, workload: Json, name: str) -> None:
        template = workload["spec"]["template"]
        owner = {"kind": "Deployment", "name": workload["metadata"]["name"], "uid": workload["metadata"]["uid"]}
        ready = self.uri(workload["metadata"]["name"]) not in self.broken
        self.api.put(
            "pods",
            {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {
                    "name": name,
                    "labels": template["metadata"]["labels"],
                    "ownerReferences": [{**owner, "controller": True}],
                },
                "status": {
                    "phase": "Running",
                    "podIP": "10.0.0.1",
                    "conditions": [{"type": "Ready", "status": str(ready)}],
                    "containerStatuses": [{"name": "model", "state": {"running": {}}, "restartCount": 0}],
                },
            },
        )

    def _collect(self) -> None:
        """Pods go with their Deployment."""
        workloads = {item["metadata"]["uid"] for item in self._all("deployments")}
        for item in self._all("pods"):
            owners = item["metadata"].get("ownerReferences") or ()
            if any(owner["kind"] == "Deployment" and owner["uid"] not in workloads for owner in owners):
                self.api.remove("pods", "default", item["metadata"]["name"])

    def _endpoints(self, item: Json) -> None:
        metadata, selector = item["metadata"], item["spec"]["selector"]
        pods = [pod for pod in self._all("pods") if selector.items() <= pod["metadata"]["labels"].items()]
        wanted = {
            "metadata": {
                "name": f"{metadata['name']}-slice",
                "labels": {**metadata["labels"], "kubernetes.io/service-name": metadata["name"]},
                "ownerReferences": [{"kind": "Service", "name": metadata["name"], "uid": metadata["uid"]}],
            },
            "endpoints": [
                {
                    "addresses": ["10.0.0.1"],
                    "targetRef": {"uid": pod["metadata"]["uid"]},
                    "conditions": {"ready": pod["status"]["conditions"][0]["status"] == "True"},
                }
                for pod in pods
            ],
        }
        current = self.api.get("endpointslices", f"{metadata['name']}-slice")
        if current is None or current["endpoints"] != wanted["endpoints"]:
            self.api.put("endpointslices", wanted)

    def _accept(self, item: Json) -> None:
        generation = item["metadata"]["generation"]
        said = [
            {"type": kind, "status": "True", "observedGeneration": generation, "reason": kind, "message": ""}
            for kind in ("Accepted", "ResolvedRefs")
        ]
        parents = [{"parentRef": parent, "conditions": said} for parent in item["spec"]["parentRefs"]]
        if (item.get("status") or {}).get("parents") != parents:
            self.api.put("httproutes", item | {"status": {"parents": parents}})


class ToyPoller:
    """Asks the toy cluster's pods."""

    def __init__(self, cluster: ToyCluster) -> None:
        self._cluster = cluster

    def located(self, pod: SeenPod) -> PodFacts:
        return replace(pod.facts, origin=f"http://{pod.facts.uid}:8081")

    async def stats(self, pods: Iterable[SeenPod]) -> tuple[StatsAnswer, ...]:
        facts = [pod.facts for pod in pods if pod.facts.purpose == "serve"]
        return tuple(StatsAnswer(pod.uid, pod.revision, self._cluster.stats(pod.uid, pod.revision)) for pod in facts)

    async def profile(self, pods: Iterable[SeenPod]) -> tuple[str | None, str | None]:
        return (PROFILE, None) if any(pod.facts.ready for pod in pods) else (None, "no pod is ready")
