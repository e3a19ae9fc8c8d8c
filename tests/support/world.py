"""A world in one process: carries plans out, lets pods get ready, splits traffic and counts what pods count.

It stands in for the cluster where a whole roll-out is told in a test: every decision is the real `decide`.
"""

from __future__ import annotations

import json
import math
import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from serin_contract import labels, startup
from serin_contract.stats import CohortStats, PodStats
from serin_operator.api.deployment import ModelDeploymentSpec, ModelDeploymentStatus
from serin_operator.api.revision import ModelRevisionSpec, ModelRevisionStatus
from serin_operator.decide import custom_container, gate_policies
from serin_operator.decide.judge import evidence as evidences
from serin_operator.decide.judge import watched, watched_saved
from serin_operator.decide.judge.look import CustomAnswer
from serin_operator.decide.judge.watched import WatchEvidence
from serin_operator.decide.observation import (
    PROBES_IN_A_ROW,
    ContainerEnd,
    Observation,
    OperatorFacts,
    ParentFacts,
    ParentProbe,
    PodFacts,
    ProbeFacts,
    ReferredFacts,
    RevisionFacts,
    RouteFacts,
    StatsAnswer,
)
from serin_operator.decide.plan import (
    Action,
    Apply,
    ApplyKeys,
    Delete,
    EditRule,
    HandOver,
    Plan,
    RevisionReport,
    SetWeights,
)
from serin_operator.decide.rollout import decide
from serin_operator.decide.routing.referred import patch
from serin_operator.runtime import httproute
from tests.support.counting import (
    Behaviour,
    Counts,
    Numbers,
    Pending,
    Traffic,
    label_sums,
    latency_counts,
)

__all__ = [
    "DIGEST",
    "Behaviour",
    "Counts",
    "KilledError",
    "OvertakenError",
    "Pod",
    "ReplyLostError",
    "Traffic",
    "World",
    "a_custom_spec",
    "a_served_world",
    "a_spec",
    "a_world",
    "image",
    "is_phase",
    "uri",
]

DIGEST = "sha256:" + "a" * 64


class KilledError(Exception):
    """The operator dies here."""


class ReplyLostError(Exception):
    """A write has landed, but its answer never came: the pass ends in an error, the operator lives on."""


class OvertakenError(Exception):
    """The route is no longer the one that was seen: nothing more of the plan is carried out."""


@dataclass
class Pod:
    """One pod of the world."""

    name: str
    uid: str
    revision: str
    model: str
    created_at: float
    purpose: str = "serve"
    end: ContainerEnd | None = None
    restarts: int = 0
    terminating: bool = False
    waiting_reason: str | None = None
    unschedulable: str | None = None


@dataclass
class World:
    """Everything outside the operator."""

    spec: dict[str, Any]
    seed: int = 0
    now: float = 1_800_000_000.0
    name: str = "wine"
    models: dict[str, Behaviour] = field(default_factory=dict)
    """By spec.model.uri."""
    bundles: dict[str, ContainerEnd | str] = field(default_factory=dict)
    """By URI: the digest, or how the resolve pod ends; absent is found at DIGEST."""
    traffic: Traffic = field(default_factory=Traffic)
    gateway_api: bool = True
    missing_gateways: tuple[str, ...] = ()
    accepts_routes: bool | None = True
    takes_patterns: bool | None = True
    """Whether the gateway matches headers by pattern."""
    referred: dict[str, Any] | None = None
    """The user's own HTTPRoute, where the spec refers to one."""
    rule_others: tuple[str, ...] = ()
    """Other ModelDeployments whose Services the rule of the user's route names."""
    gateway_says: ParentProbe | None = None
    """What the gateway answers to the probe, where that is not the truth."""
    gateway_share: float | None = None
    """Part of the requests that the gateway really sends to a candidate, where that is not its weight."""
    gateway_behind: float = 0.0
    """Part of the requests that go by the weights and the cohort of before the latest write."""
    generation: int = 1
    status: ModelDeploymentStatus = field(default_factory=ModelDeploymentStatus)
    revisions: dict[str, RevisionFacts] = field(default_factory=dict)
    live: dict[str, dict[str, Any]] = field(default_factory=dict)
    pods: list[Pod] = field(default_factory=list)
    counts: dict[tuple[str, str], Counts] = field(default_factory=dict)
    pending_labels: list[Pending] = field(default_factory=list)
    starts: dict[str, int] = field(default_factory=dict)
    """How often the pods of a revision began anew; what they had counted before is gone with them."""
    unschedulable: str | None = None
    """The scheduler's words for every pod that is new from now on."""
    keys_applied: bool = False
    evidence: evidences.Evidence | None = None
    watched: WatchEvidence | None = None
    log: list[str] = field(default_factory=list)
    writes: int = 0
    die_after_writes: int | None = None
    lose_reply_of_write: int | None = None
    versions: int = 0
    """Rises with every write to the ModelDeployment: a status decided on an older one is refused."""
    conflicts: int = 0
    route_versions: int = 0
    deleted_deployments: list[tuple[float, str]] = field(default_factory=list)
    served: dict[str, int] = field(default_factory=dict)
    """Requests by revision since the world began."""
    labelled: dict[str, float] = field(default_factory=dict)
    last_asked: dict[str, float] = field(default_factory=dict)
    """When a request was last sent to a revision."""
    pods_tell: bool = True
    """Whether the pods of revisions that are on their way out answer when they are asked for their stats."""
    handed_over: set[str] = field(default_factory=set)
    """Deployments whose number of pods has an owner beside Serin."""
    demand: int = 1
    """Pods that an autoscaler would give a revision with all the traffic."""
    room: int | None = None
    """Pods that fit on the nodes; None for as many as are asked for."""
    numbers: dict[str, float] = field(default_factory=dict)
    """What the sources of custom gates answer, by the gate's name without its prefix."""
    unanswered: int = 0
    """Requests that the route sent to a revision without a ready pod."""

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)
        self.draws = np.random.default_rng(self.seed)
        self.split_since = self.now
        self.before: tuple[Mapping[str, float], str | None] = ({}, None)
        self._parsed: tuple[int, ModelDeploymentSpec] | None = None

    # What the operator sees

    def observe(self) -> Observation:
        """The observation that the operator would make now."""
        return Observation(
            now=self.now,
            namespace="shop",
            name=self.name,
            uid="uid-1",
            generation=self.generation,
            created_at=1_800_000_000.0,
            spec=self.parsed(),
            status=self.status,
            operator=OperatorFacts(
                "serin-serving:1", "keys", self.keys_applied, f"{self.random.getrandbits(128):032x}"
            ),
            revisions=tuple(self.revisions.values()),
            pods=tuple(self._facts(pod) for pod in self.pods),
            ready_endpoints=self.ready(),
            live=self.live,
            route=self.route(),
            referred=ReferredFacts(self.referred, self.rule_others) if self.referred is not None else None,
            rehearsal=self.rehearsal(),
            gateway_api=self.gateway_api,
            missing_gateways=self.missing_gateways,
            probe=self.probe(),
            stats=(*(self.answers() if self._is_counted() else ()), *self.idle_answers()),
            evidence=self._evidence(),
            watched=self._watched(),
            custom=self._asked(),
            resource_version=str(self.versions),
        )

    def _nonce(self) -> str:
        return f"{self.random.getrandbits(128):032x}"

    def parsed(self) -> ModelDeploymentSpec:
        """The spec as the operator reads it."""
        if self._parsed is None or self._parsed[0] != self.generation:
            self._parsed = (self.generation, ModelDeploymentSpec.model_validate(self.spec))
        return self._parsed[1]

    def _evidence(self) -> evidences.Evidence | None:
        candidate, stable = self.status.candidate, self.status.stable
        if candidate is None:
            return None
        if self.evidence is not None and self.evidence.candidate == candidate.revision:
            return self.evidence
        record = self.revisions.get(candidate.revision)
        document = record.status.evidence if record is not None else None
        return evidences.restore(document, candidate.revision, stable.revision if stable else "")

    def _asked(self) -> tuple[CustomAnswer, ...]:
        """The latest answer for each custom gate: its source is asked at whole intervals."""
        if not self.numbers:
            return ()
        gates = gate_policies.resolve(self.parsed().gates, shadows=False)
        return tuple(
            CustomAnswer(gate.name, self.now - self.now % gate.interval_seconds, self.numbers[name])
            for gate in gates
            if isinstance(gate, gate_policies.CustomPolicy)
            for name in [gate.name.removeprefix(gate_policies.CUSTOM_PREFIX)]
            if name in self.numbers
        )

    def is_custom(self, revision: str) -> bool:
        """Whether its pods are containers of the user's own, which count nothing."""
        record = self.revisions.get(revision)
        return record is not None and custom_container.is_of(record.spec.template)

    def _is_counted(self) -> bool:
        candidate = self.status.candidate
        return self.status.watch is not None or (candidate is not None and candidate.cohort is not None)

    def _watched(self) -> WatchEvidence | None:
        watch = self.status.watch
        if watch is None:
            return None
        nonce = watched.nonce_of(watch.cohort)
        if self.watched is not None and (self.watched.revision, self.watched.nonce) == (watch.revision, nonce):
            return self.watched
        record = self.revisions.get(watch.revision)
        return watched_saved.restore(record.status.evidence if record is not None else None, watch.revision, nonce)

    def ready(self) -> dict[str, int]:
        """Ready pods by revision."""
        ready: dict[str, int] = {}
        for pod in self.pods:
            if pod.purpose == "serve" and self._is_ready(pod):
                ready[pod.revision] = ready.get(pod.revision, 0) + 1
        return ready

    def weights(self) -> dict[str, int]:
        """The route's weights."""
        return dict(self.splitting().weights)

    def cohort(self) -> str | None:
        """The cohort that the route stamps."""
        return self.splitting().cohort

    def splitting(self) -> httproute.Split:
        """What the route, or the rule that the spec refers to, does with callers who bring no cookie."""
        item, rule = self._route_item()
        split = httproute.split(item, rule) if item is not None else None
        return split or httproute.Split({}, None)

    def _route_item(self) -> tuple[dict[str, Any] | None, str | None]:
        reference = (self.spec.get("traffic") or {}).get("routeRef")
        if reference is None:
            return self.live.get(f"HTTPRoute/{self.name}"), None
        return self.referred, reference["rule"]

    def route(self) -> RouteFacts | None:
        """The route as observed."""
        if self._route_item()[0] is None:
            return None
        parent = ParentFacts("public", None, self.accepts_routes, self.accepts_routes)
        return RouteFacts(self.weights(), self.cohort(), (parent,))

    def rehearsal(self) -> RouteFacts | None:
        """What the gateway says of the rules of stickiness where no caller comes."""
        if f"HTTPRoute/{self.name}.rehearsal" not in self.live:
            return None
        said = "" if self.takes_patterns else "UnsupportedValue: RegularExpression is not supported"
        return RouteFacts({}, None, (ParentFacts("public", None, self.takes_patterns, True, said),))

    def probe(self) -> ProbeFacts | None:
        """What the gateway answers to the trial's own probe: the candidate, where a rule leads to its ready pods."""
        candidate = self.status.candidate
        manifest = self.live.get(f"HTTPRoute/{self.name}")
        if candidate is None or candidate.probe is None or manifest is None:
            return None
        if self.gateway_says is not None:
            return ProbeFacts((self.gateway_says,))
        leads = any(
            header["value"] == candidate.probe
            for rule in manifest["spec"]["rules"]
            for match in rule["matches"]
            for header in match.get("headers", ())
        )
        reached = leads and bool(self.ready().get(candidate.revision))
        answered = "" if reached else "503"
        return ProbeFacts((ParentProbe("shop/public", PROBES_IN_A_ROW if reached else 0, answered),))

    def answers(self) -> tuple[StatsAnswer, ...]:
        """The stats of one pod per revision that serves; pods that are gone answer nothing."""
        ready = self.ready()
        by_revision: dict[str, dict[str, CohortStats]] = {}
        for (revision, cohort), counted in self.counts.items():
            if not ready.get(revision):
                continue
            by_revision.setdefault(revision, {})[cohort] = counted.stats()
        return tuple(self._answer(name, cohorts) for name, cohorts in by_revision.items())

    def idle_answers(self) -> tuple[StatsAnswer, ...]:
        """What the pods of revisions that are on their way out say; nothing where they do not tell."""
        states = (self.status.stable, self.status.candidate, self.status.previous)
        in_use = {state.revision for state in states if state is not None}
        return tuple(
            StatsAnswer(pod.uid, pod.revision, PodStats(pod.revision, pod.uid, "start-1", idle_seconds=idle_seconds))
            for pod in self.pods
            if self.pods_tell and pod.purpose == "serve" and pod.revision not in in_use
            if not self.is_custom(pod.revision)
            for idle_seconds in [self.now - self.last_asked.get(pod.revision, pod.created_at)]
        )

    def _answer(self, revision: str, cohorts: dict[str, CohortStats]) -> StatsAnswer:
        uid = f"pod-{revision}-{self.starts.get(revision, 0)}"
        return StatsAnswer(uid, revision, PodStats(revision, uid, "start-1", cohorts=cohorts))

    def _facts(self, pod: Pod) -> PodFacts:
        return PodFacts(
            name=pod.name,
            uid=pod.uid,
            revision=pod.revision,
            purpose="resolve" if pod.purpose == "resolve" else "serve",
            phase="Running",
            ready=self._is_ready(pod),
            terminating=pod.terminating,
            created_at=pod.created_at,
            restarts=pod.restarts,
            last_end=pod.end,
            waiting_reason=pod.waiting_reason,
            unschedulable=pod.unschedulable,
            counts=not self.is_custom(pod.revision),
        )

    def _is_ready(self, pod: Pod) -> bool:
        behaviour = self.models.get(pod.model) or Behaviour()
        age = self.now - pod.created_at
        crashed = behaviour.crashes_after_seconds is not None and age >= behaviour.crashes_after_seconds
        ill = behaviour.never_ready or behaviour.refuses is not None or crashed or pod.unschedulable is not None
        return not ill and not pod.terminating and age >= behaviour.ready_after_seconds

    # What the operator does

    def step(self, seen: Observation | None = None) -> Plan:
        """One pass of the operator: observe (or act on what was read earlier), decide, carry out, report."""
        seen = self.observe() if seen is None else seen
        plan = decide(seen)
        try:
            for action in plan.actions:
                self.write(action)
        except OvertakenError:
            return plan
        for report in plan.revisions:
            self._report_revision(seen, report)
        if plan.status != seen.status:
            self._report(seen, plan)
        self.evidence, self.watched = plan.evidence, plan.watched
        self.log.extend(f"event {event.type} {event.reason}: {event.message}" for event in plan.events)
        return plan

    def _report_revision(self, seen: Observation, report: RevisionReport) -> None:
        record, read = self.revisions.get(report.name), seen.revision(report.name)
        if record is None or read is None or record.status == report.status:
            return
        if record.status is not read.status:
            self.conflicts += 1
            return
        with self._counted():
            self.revisions[report.name] = replace(record, status=report.status)

    def _report(self, seen: Observation, plan: Plan) -> None:
        if seen.resource_version != str(self.versions):
            self.conflicts += 1
            return
        with self._counted():
            self.status = plan.status
            self.versions += 1

    def restart_operator(self) -> None:
        """The operator forgets everything it held in memory."""
        self.evidence = self.watched = None
        self.keys_applied = False
        self.die_after_writes = None

    @contextmanager
    def _counted(self) -> Iterator[None]:
        """One write: the operator may die before it, or never hear of it."""
        if self.die_after_writes is not None and self.writes >= self.die_after_writes:
            raise KilledError
        self.writes += 1
        yield
        if self.lose_reply_of_write == self.writes:
            raise ReplyLostError

    def write(self, action: Action) -> None:
        """Carry one action out."""
        with self._counted():
            match action:
                case ApplyKeys():
                    self.keys_applied = True
                case SetWeights(manifest=manifest):
                    self._check_weights(action)
                    self._put_route(_plain(manifest))
                case EditRule():
                    self._edit_rule(action)
                case HandOver(name=name, replicas=replicas):
                    assert self.live[f"Deployment/{name}"]["spec"]["replicas"] == replicas, "it keeps what it has"
                    self.handed_over.add(name)
                case Apply(manifest=manifest):
                    self._apply(_plain(manifest))
                case Delete(kind=kind, name=name):
                    self._delete(kind, name)

    def _check_version(self, manifest: dict[str, Any]) -> None:
        """A write of a route holds only for the one that was seen, where it names one; each makes another."""
        name = manifest["metadata"]["name"]
        stands = self.live.get(f"HTTPRoute/{name}", {}).get("metadata", {})
        if manifest["metadata"].get("resourceVersion", stands.get("resourceVersion")) != stands.get("resourceVersion"):
            self.conflicts += 1
            raise OvertakenError
        self.route_versions += 1
        manifest["metadata"] |= {"resourceVersion": str(self.route_versions), "uid": f"uid-HTTPRoute-{name}"}

    def _put_route(self, manifest: dict[str, Any]) -> None:
        before = (self.weights(), self.cohort())
        self._check_version(manifest)
        self.before = before
        self.live = {**self.live, f"HTTPRoute/{self.name}": manifest}

    def _edit_rule(self, action: EditRule) -> None:
        assert sum(action.weights.values()) == 100, "weights sum to 100"
        stands = self.referred
        if stands is None or (not action.narrowing and stands != action.route):
            self.conflicts += 1
            raise OvertakenError
        operations = patch(stands, action)
        assert operations is not None, "only a rule that is there is edited"
        written = _plain(stands)
        for operation in operations:
            target, *way, last = operation["path"].strip("/").split("/")
            place = written[target]
            for key in way:
                place = place[int(key)] if isinstance(place, list) else place[key]
            place[last] = _plain(operation["value"])
        self.before = (self.weights(), self.cohort())
        self.put_referred(written)

    def put_referred(self, item: dict[str, Any]) -> None:
        """Someone writes the user's route."""
        self.route_versions += 1
        item["metadata"]["resourceVersion"] = str(self.route_versions)
        self.referred = item

    def _check_weights(self, action: SetWeights) -> None:
        assert self.gateway_api, "no route can be written where HTTPRoute is not known"
        assert sum(action.weights.values()) == 100, "weights sum to 100"
        named = httproute.split(action.manifest)
        assert named == httproute.Split(dict(action.weights), action.cohort), "the manifest says what the action says"

    def _apply(self, manifest: dict[str, Any]) -> None:
        kind, name = manifest["kind"], manifest["metadata"]["name"]
        if kind == "ModelRevision":
            spec = ModelRevisionSpec.model_validate(manifest["spec"])
            self.revisions.setdefault(name, RevisionFacts(name, f"uid-{name}", self.now, spec, ModelRevisionStatus()))
        elif kind == "Pod":
            self._start_resolve(manifest)
        else:
            if kind == "HTTPRoute":
                self._check_version(manifest)
            manifest["metadata"]["uid"] = f"uid-{kind}-{name}"
            if kind == "Deployment":
                manifest["spec"].setdefault("replicas", self._kept_replicas(name))
            self.live = {**self.live, f"{kind}/{name}": manifest}
            self._scale()

    def _kept_replicas(self, name: str) -> int:
        """What an apply without a number leaves: one pod, unless another than Serin owns the number as well."""
        stands = self.live.get(f"Deployment/{name}")
        kept = stands is not None and name in self.handed_over
        return int(stands["spec"]["replicas"]) if stands is not None and kept else 1

    def _autoscale(self) -> None:
        """Every autoscaler moves its number to what the traffic needs, within its bounds, without patience."""
        for key, scaler in list(self.live.items()):
            kind, _, name = key.partition("/")
            target = self.live.get(f"Deployment/{name}")
            if kind != "HorizontalPodAutoscaler" or target is None:
                continue
            wanted = math.ceil(self.demand * self.weights().get(name, 0) / 100)
            number = min(max(wanted, scaler["spec"]["minReplicas"]), scaler["spec"]["maxReplicas"])
            if number != target["spec"]["replicas"]:
                self.handed_over.add(name)
                self.live = {
                    **self.live,
                    f"Deployment/{name}": target | {"spec": target["spec"] | {"replicas": number}},
                }

    def _delete(self, kind: str, name: str) -> None:
        if kind == "Pod":
            self.pods = [pod for pod in self.pods if pod.name != name]
        elif kind == "ModelRevision":
            self.revisions.pop(name, None)
        else:
            assert kind != "Deployment" or self.weights().get(name, 0) == 0, "no pods leave while they have weight"
            if kind == "Deployment":
                self.handed_over.discard(name)
                self.deleted_deployments.append((self.now, name))
            self.live = {key: object_ for key, object_ in self.live.items() if key != f"{kind}/{name}"}
            self._scale()

    def _start_resolve(self, manifest: dict[str, Any]) -> None:
        uri = self.spec["model"]["uri"]
        outcome = self.bundles.get(uri, DIGEST)
        if isinstance(outcome, str):
            message = startup.encode(startup.ResolvedDigest(outcome)).decode()
            outcome = ContainerEnd(0, "Completed", message, self.now)
        name = manifest["metadata"]["name"]
        revision = manifest["metadata"]["labels"][labels.REVISION_LABEL]
        ended = replace(outcome, finished_at=self.now)
        self.pods.append(Pod(name, f"uid-{name}-{self.now}", revision, uri, self.now, "resolve", ended))

    def _scale(self) -> None:
        for pod in [pod for pod in self.pods if pod.purpose == "serve"]:
            if f"Deployment/{pod.revision}" not in self.live:
                self.pods.remove(pod)
        for key, manifest in self.live.items():
            kind, _, name = key.partition("/")
            if kind != "Deployment":
                continue
            mine = [pod for pod in self.pods if pod.revision == name and pod.purpose == "serve"]
            wanted = manifest["spec"]["replicas"]
            for surplus in mine[wanted:]:
                self.pods.remove(surplus)
            for _ in range(wanted - len(mine)):
                self._start_pod(name)

    def _start_pod(self, revision: str) -> None:
        if not any(pod.revision == revision and pod.purpose == "serve" for pod in self.pods):
            self._forget_counts(revision)
        record = self.revisions[revision]
        number = self.random.getrandbits(24)
        name = f"{revision}-{number:06x}"
        pod = Pod(name, f"uid-{name}", revision, record.spec.model.uri, self.now, unschedulable=self._no_node())
        self.pods.append(pod)

    def _no_node(self) -> str | None:
        placed = sum(pod.purpose == "serve" and pod.unschedulable is None for pod in self.pods)
        if self.room is not None and placed >= self.room:
            return "0/1 nodes are available: 1 Insufficient cpu"
        return self.unschedulable

    def _make_room(self) -> None:
        """Pods that wait for a node get one as soon as others have left it."""
        placed = sum(pod.purpose == "serve" and pod.unschedulable is None for pod in self.pods)
        for pod in self.pods:
            if self.room is not None and pod.unschedulable is not None and placed < self.room:
                pod.unschedulable, pod.created_at, placed = None, self.now, placed + 1

    def _forget_counts(self, revision: str) -> None:
        self.starts[revision] = self.starts.get(revision, 0) + 1
        self.counts = {key: counted for key, counted in self.counts.items() if key[0] != revision}

    # What time does

    def pass_time(self, seconds: float) -> None:
        """Let time go by: pods start or crash, requests and labels come."""
        self.now += seconds
        for pod in self.pods:
            self._live_on(pod)
        self._autoscale()
        self._scale()
        self._make_room()
        self._serve(seconds)
        self._label()

    def _live_on(self, pod: Pod) -> None:
        behaviour = self.models.get(pod.model) or Behaviour()
        if pod.purpose != "serve" or pod.end is not None:
            return
        age = self.now - pod.created_at
        if behaviour.refuses is not None and age >= 1:
            message = startup.encode(behaviour.refuses).decode()
            pod.end, pod.restarts = ContainerEnd(startup.EXIT_REFUSED, "Error", message, self.now), 1
        elif behaviour.crashes_after_seconds is not None and age >= behaviour.crashes_after_seconds:
            pod.end, pod.restarts = ContainerEnd(1, "Error", "", self.now), 3

    def kill_pods(self, revision: str, count: int | None = None) -> None:
        """Serving pods of the revision are deleted, all where no number is given; its Deployment makes new ones."""
        mine = [pod for pod in self.pods if pod.revision == revision and pod.purpose == "serve"]
        for pod in mine[:count]:
            self.pods.remove(pod)
        self._scale()

    def edit_route(self, weights: Mapping[str, int]) -> None:
        """Someone writes other weights into the route by hand and leaves the rest as it is."""
        manifest = _plain(self.live[f"HTTPRoute/{self.name}"])
        rule = next(rule for rule in manifest["spec"]["rules"] if "headers" not in rule["matches"][0])
        rule["backendRefs"] = [{"name": name, "port": 8080, "weight": weight} for name, weight in weights.items()]
        manifest["metadata"].pop("resourceVersion", None)
        self._put_route(manifest)

    def delete_route(self) -> None:
        """Someone deletes the route."""
        self.live = {key: manifest for key, manifest in self.live.items() if not key.startswith("HTTPRoute/")}

    def lose_gateway_api(self) -> None:
        """Someone removes the Gateway API's definitions, and with them every route."""
        self.gateway_api = False
        self.delete_route()

    def _serve(self, seconds: float) -> None:
        cohort = self.cohort()
        if cohort is None:
            self.split_since = self.now
        behind = self.gateway_behind if self.before[0] else 0.0
        self._send(seconds * (1.0 - behind), self._sent_by(self.weights()), cohort)
        if behind:
            self._send(seconds * behind, *self.before)

    def _sent_by(self, weights: Mapping[str, int]) -> dict[str, float]:
        """What the gateway makes of the weights; what goes to others than Serin is none of this world's."""
        weights = {name: weight for name, weight in weights.items() if name in self.revisions}
        candidate = self.status.candidate
        if self.gateway_share is None or candidate is None or not 0 < weights.get(candidate.revision, 0) < 100:
            return dict(weights)
        share = 100 * self.gateway_share
        return {revision: share if revision == candidate.revision else 100 - share for revision in weights}

    def _send(self, seconds: float, weights: Mapping[str, float], cohort: str | None) -> None:
        ready = self.ready()
        for revision, weight in weights.items():
            mean = self.traffic.requests_per_second * seconds * weight / 100
            requests = int(mean) + (self.random.random() < mean - int(mean))
            if not requests:
                continue
            if not ready.get(revision):
                self.unanswered += requests
                continue
            self.last_asked[revision] = self.now
            self.served[revision] = self.served.get(revision, 0) + requests
            if cohort is not None and not self.is_custom(revision):
                self._count(revision, cohort, requests)

    def _count(self, revision: str, cohort: str, requests: int) -> None:
        behaviour = self.models[self.revisions[revision].spec.model.uri]
        counted = self.counts.setdefault((revision, cohort), Counts())
        refused = self._binomial(requests, behaviour.error_rate)
        counted.answered(requests, refused, requests * self.traffic.rows)
        counted.latency += latency_counts(self.draws, behaviour, requests)
        counted.slots.predicted(self.now, requests - refused)
        labelled = self._binomial(requests - refused, self.traffic.label_share)
        if behaviour.error_scale is not None:
            self._count_errors(revision, cohort, np.abs(self.draws.normal(0.0, behaviour.error_scale, labelled)))
            return
        right = self._right(labelled, self._accuracy(behaviour))
        if not self.traffic.delay_right_seconds and not self.traffic.delay_wrong_seconds:
            self._count_labels(revision, cohort, self.now, label_sums(labelled, right))
            return
        self._later(round(right), self.traffic.delay_right_seconds, revision, cohort, 1.0)
        self._later(labelled - round(right), self.traffic.delay_wrong_seconds, revision, cohort, 0.0)

    def _count_errors(self, revision: str, cohort: str, errors: Numbers) -> None:
        if not self.traffic.delay_right_seconds:
            self._count_labels(revision, cohort, self.now, label_sums(len(errors), 0.0, errors))
            return
        due = np.sort(self.now + self.draws.exponential(self.traffic.delay_right_seconds, size=len(errors)))
        sums = np.stack([np.ones_like(errors), np.zeros_like(errors), errors, errors**2, errors**4], axis=1)
        self.pending_labels.append(Pending(due, revision, cohort, self.now, sums))

    def _accuracy(self, behaviour: Behaviour) -> float:
        gone = min(1.0, (self.now - self.split_since) / self.traffic.harder_over_seconds)
        return behaviour.accuracy - self.traffic.harder_by * gone

    def _right(self, requests: int, accuracy: float) -> float:
        """Σ of the shares of right rows over the requests; rows of one request may go wrong together."""
        if self.traffic.rows == 1 or requests == 0:
            return float(self._binomial(requests, accuracy))
        rho = self.traffic.correlation
        if not rho:
            return self._binomial(requests * self.traffic.rows, accuracy) / self.traffic.rows
        concentration = (1 - rho) / rho
        each = self.draws.beta(accuracy * concentration, (1 - accuracy) * concentration, size=requests)
        return float(self.draws.binomial(self.traffic.rows, each).sum()) / self.traffic.rows

    def _later(self, count: int, delay_seconds: float, revision: str, cohort: str, right: float) -> None:
        if count:
            due = np.sort(self.now + self.draws.exponential(delay_seconds, size=count))
            sums = np.tile(label_sums(1.0, right), (count, 1))
            self.pending_labels.append(Pending(due, revision, cohort, self.now, sums))

    def _label(self) -> None:
        for batch in self.pending_labels:
            come = int(np.searchsorted(batch.due, self.now, side="right"))
            if come > batch.posted:
                added = batch.sums[batch.posted : come].sum(axis=0)
                self._count_labels(batch.revision, batch.cohort, batch.predicted_at, added)
                batch.posted = come
        self.pending_labels = [batch for batch in self.pending_labels if batch.posted < len(batch.due)]

    def _count_labels(self, revision: str, cohort: str, predicted_at: float, sums: Numbers) -> None:
        """Labels are posted to stable's pods, which count them for whichever revision predicted."""
        stable = self.status.stable.revision if self.status.stable else revision
        if not sums[0] or not self.ready().get(stable):
            return
        self.counts.setdefault((stable, cohort), Counts()).labelled(predicted_at, revision, sums)
        self.labelled[revision] = self.labelled.get(revision, 0.0) + float(sums[0])

    def _binomial(self, n: int, p: float) -> int:
        if p <= 0 or n == 0:
            return 0
        return n if p >= 1 else int(self.draws.binomial(n, p))

    # Stories

    def run(self, until: Any = None, *, seconds: float = 3600.0, tick_seconds: float = 1.0) -> bool:
        """Pass after pass until the condition holds; false where time ran out first."""
        end = self.now + seconds
        while self.now < end:
            self.step()
            if until is not None and until(self):
                return True
            self.pass_time(tick_seconds)
        return until is None

    def change(self, spec: Mapping[str, Any]) -> None:
        """The user applies another spec."""
        self.spec = _plain(spec)
        self.generation += 1
        self.versions += 1

    @property
    def stable(self) -> str:
        """Name of the trusted revision."""
        assert self.status.stable is not None
        return self.status.stable.revision

    @property
    def candidate(self) -> str:
        """Name of the revision on trial."""
        assert self.status.candidate is not None
        return self.status.candidate.revision


def _plain(value: Any) -> Any:
    return json.loads(json.dumps(value))


def a_spec(version: int = 1, **changes: Any) -> dict[str, Any]:
    """A valid spec of that model version; keyword arguments replace top-level fields."""
    spec: dict[str, Any] = {
        "model": {"uri": f"pvc://models/wine/{version}"},
        "serving": {"replicas": 2},
        "traffic": {"parentRefs": [{"name": "public"}], "hostnames": ["wine.example.com"]},
        "rollout": {"steps": [{"weight": 5, "for": "30s"}, {"weight": 25, "for": "30s"}, {"weight": 50, "for": "30s"}]},
        "gates": {"accuracy": {}, "errorRate": {}},
    }
    return spec | changes


def a_world(**changes: Any) -> World:
    """A world with three versions of a model, all equally good; version 1 is asked for."""
    models = {place(version): Behaviour() for version in range(1, 8) for place in (uri, image)}
    models.update(changes.pop("models", {}))
    return World(spec=changes.pop("spec", a_spec()), models=models, **changes)


def uri(version: int) -> str:
    """URI of that version in `a_spec`."""
    return f"pvc://models/wine/{version}"


def image(version: int) -> str:
    """URI of that version in `a_custom_spec`: a server of the user's own."""
    return f"image://registry.example.com/wine:{version}@sha256:{str(version) * 64}"


def a_custom_spec(version: int = 1, **changes: Any) -> dict[str, Any]:
    """A valid spec of a container of the user's own, judged by a query of its own."""
    spec = {
        "model": {"uri": image(version)},
        "serving": {"replicas": 2, "custom": {"port": 9000, "readyPath": "/ready"}},
        "gates": {"custom": [{"name": "errors", "query": "x", "max": 0.01, "interval": "5s"}]},
    }
    return a_spec(version) | spec | changes


def is_phase(*phases: str) -> Any:
    """A condition for World.run."""
    return lambda world: world.status.phase in phases


def a_served_world(**changes: Any) -> World:
    """A world in which version 1 is stable."""
    world = a_world(**changes)
    assert world.run(is_phase("Stable"), seconds=60), world.status.message
    return world
