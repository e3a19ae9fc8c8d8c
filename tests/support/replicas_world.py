"""A world without a gateway: callers connect to one Service, and kube-proxy draws a pod for each connection."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from serin_contract import labels
from serin_contract.announcements import Announced, Announcement
from serin_contract.stats import CohortStats, LabelCounts, PodStats
from serin_operator.decide.observation import Observation, PodFacts, StatsAnswer
from serin_operator.decide.plan import Action, Announce, SetWeights
from tests.support.world import Behaviour, Counts, OvertakenError, Pod, World, a_spec, is_phase

KEPT_CONNECTIONS = 60
"""Callers who keep their connection; as many requests again come on connections of their own."""
NODE_SECONDS = 1.0
"""How long the nodes go on leading connections by the endpoints of before."""


@dataclass
class Connection:
    """A kept connection: to which pod, and which of the pod's announcements it is older than."""

    pod: str
    opened_at: float
    counted_in: str = ""


@dataclass
class Told:
    """What a pod holds, and since when connections must have been opened to be kept."""

    announcement: Announcement
    renewed_at: float


@dataclass
class ReplicasWorld(World):
    """Callers keep connections or make them for each request; whoever has moved on to a gateway is in World."""

    told: dict[str, Told] = field(default_factory=dict)
    """By pod UID."""
    deaf: set[str] = field(default_factory=set)
    """Revisions whose pods take no announcement."""
    silent: set[str] = field(default_factory=set)
    """Revisions whose pods do not answer when they are asked for their stats."""
    lose_announcements: int = 0
    """So many are lost from here on."""
    counted: dict[tuple[str, str], Counts] = field(default_factory=dict)
    """By pod UID and cohort."""
    opened: dict[tuple[str, str], int] = field(default_factory=dict)
    """Connections, by the same."""
    connections: list[Connection] = field(default_factory=list)
    announced: int = 0
    last_by_candidate: float = 0.0
    """When a pod that is not of stable last answered."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self._rules: list[tuple[float, tuple[str, ...]]] = []

    def observe(self) -> Observation:
        """With the Service's endpoints and each pod's own stats."""
        seen = super().observe()
        answers = tuple(answer for answer in seen.stats if answer.stats is not None and answer.stats.cohorts)
        mine = self._pod_answers() if self._is_asked() else ()
        return replace(seen, apex_endpoints=self.endpoints(), stats=(*answers, *mine))

    def _is_asked(self) -> bool:
        candidate = self.status.candidate
        alone = "traffic" not in self.spec
        if candidate is None:
            return alone and self.status.watch is not None
        return candidate.cohort is not None or (alone and (candidate.step >= 0 or candidate.outcome is not None))

    def _facts(self, pod: Pod) -> PodFacts:
        return replace(super()._facts(pod), origin=f"http://{pod.uid}:8081")

    def _pod_answers(self) -> tuple[StatsAnswer, ...]:
        states = (self.status.stable, self.status.candidate)
        arms = {state.revision for state in states if state is not None}
        return tuple(self._pod_answer(pod) for pod in self.pods if pod.purpose == "serve" and pod.revision in arms)

    def _pod_answer(self, pod: Pod) -> StatsAnswer:
        if pod.revision in self.silent:
            return StatsAnswer(pod.uid, pod.revision, None, f"pod {pod.name}: it did not answer within 2 s")
        cohorts = {
            cohort: CohortStats(
                requests=counted.requests,
                predictions=counted.predictions,
                rows=counted.requests,
                refused=counted.refused,
                labels={name: LabelCounts(*sums) for name, sums in counted.labels.items()},
                connections=self.opened.get((pod.uid, cohort), 0),
            )
            for (uid, cohort), counted in self.counted.items()
            if uid == pod.uid
        }
        told = self.told.get(pod.uid)
        held = told.announcement if told is not None else None
        says = Announced(held.sequence, held.cohort, held.refuse_connections) if held is not None else None
        return StatsAnswer(
            pod.uid, pod.revision, PodStats(pod.revision, pod.uid, "start-1", cohorts=cohorts, announced=says)
        )

    # The Service

    def selector(self) -> dict[str, str]:
        """Of the Service that callers connect to; empty where there is none."""
        service = self.live.get(f"Service/{self.name}")
        return dict(service["spec"]["selector"]) if service is not None else {}

    def selects_all(self) -> bool:
        """Whether the Service leads to pods of every revision."""
        return bool(self.selector()) and labels.REVISION_LABEL not in self.selector()

    def selected(self) -> tuple[Pod, ...]:
        """The ready pods behind the Service."""
        selector = self.selector()
        if not selector:
            return ()
        revision = selector.get(labels.REVISION_LABEL)
        pods = (pod for pod in self.pods if pod.purpose == "serve" and self._is_ready(pod))
        return tuple(pod for pod in pods if revision in (None, pod.revision))

    def endpoints(self) -> tuple[str, ...]:
        """As the EndpointSlices name them."""
        return tuple(sorted(pod.uid for pod in self.selected()))

    def weights(self) -> dict[str, int]:
        """Percent of the pods behind the Service, or what a route says where there is one."""
        if f"HTTPRoute/{self.name}" in self.live:
            return super().weights()
        pods = self.selected()
        names = {pod.revision for pod in pods} or (
            {self.selector()[labels.REVISION_LABEL]} if self._is_alone() else set()
        )
        return {name: round(100 * sum(pod.revision == name for pod in pods) / max(1, len(pods))) for name in names}

    def _is_alone(self) -> bool:
        return labels.REVISION_LABEL in self.selector()

    def write(self, action: Action) -> None:
        """An announcement may be lost without a word."""
        if not isinstance(action, Announce):
            return super().write(action)
        pod = next((pod for pod in self.pods if pod.uid == action.pod_uid), None)
        if pod is None or pod.revision in self.deaf or pod.revision in self.silent:
            return None
        if self.lose_announcements > 0:
            self.lose_announcements -= 1
            return None
        with self._counted():
            self._tell(action.announcement)
        return None

    def _tell(self, announcement: Announcement) -> None:
        before = self.told.get(announcement.pod_uid)
        assert before is None or announcement.sequence > before.announcement.sequence, "a pod refuses what is older"
        kept_from = before.renewed_at if before is not None else 0.0
        self.told[announcement.pod_uid] = Told(announcement, self.now if announcement.reconnect else kept_from)
        self.announced += 1

    def _check_weights(self, action: SetWeights) -> None:
        if action.manifest["kind"] == "HTTPRoute":
            return super()._check_weights(action)
        assert sum(action.weights.values()) == 100, "weights sum to 100"
        alone = [name for name, weight in action.weights.items() if weight == 100]
        chosen = action.manifest["spec"]["selector"].get(labels.REVISION_LABEL)
        assert chosen == (alone[0] if alone else None), "the selector says what the action says"
        return None

    def _put_route(self, manifest: dict[str, Any]) -> None:
        if manifest["kind"] == "HTTPRoute":
            return super()._put_route(manifest)
        stands = self.live.get(f"Service/{self.name}", {}).get("metadata", {})
        if manifest["metadata"].get("resourceVersion", stands.get("resourceVersion")) != stands.get("resourceVersion"):
            self.conflicts += 1
            raise OvertakenError
        self.route_versions += 1
        manifest["metadata"]["resourceVersion"] = str(self.route_versions)
        self.live = {**self.live, f"Service/{self.name}": manifest}
        return None

    def edit_selector(self, **changes: str | None) -> None:
        """Someone changes the Service by hand; None takes a label off."""
        service = json.loads(json.dumps(self.live[f"Service/{self.name}"]))
        selector = service["spec"]["selector"] | changes
        service["spec"]["selector"] = {name: value for name, value in selector.items() if value is not None}
        self._put_route(service | {"metadata": service["metadata"] | {"resourceVersion": str(self.route_versions)}})

    def delete_service(self) -> None:
        """Someone deletes it."""
        self.live = {key: manifest for key, manifest in self.live.items() if key != f"Service/{self.name}"}

    # What callers do

    def _serve(self, seconds: float) -> None:
        self._rules = [*self._rules[-20:], (self.now, self.endpoints())]
        if f"HTTPRoute/{self.name}" in self.live:
            super()._serve(seconds)
            return
        if not self.selector():
            return
        requests = max(1, round(self.traffic.requests_per_second * seconds / 2 / KEPT_CONNECTIONS))
        alive = {pod.uid: pod for pod in self.pods if pod.purpose == "serve" and self._is_ready(pod)}
        self.connections += [Connection("", self.now)] * (KEPT_CONNECTIONS - len(self.connections))
        self.connections = [self._ask_on(kept, requests, alive) for kept in self.connections]
        for uid, count in self._drawn(requests * KEPT_CONNECTIONS, alive):
            self._ask(alive[uid], count, new_connections=count)

    def _ask_on(self, kept: Connection, requests: int, alive: dict[str, Pod]) -> Connection:
        """Requests on one connection, which is made anew where its pod is gone or asks for it."""
        if kept.pod not in alive:
            drawn = list(self._drawn(1, alive))
            if not drawn:
                self.unanswered += 1
                return kept
            kept = Connection(drawn[0][0], self.now)
        told = self.told.get(kept.pod)
        cohort = (told.announcement.cohort if told is not None else None) or ""
        stale = told is not None and kept.opened_at < told.renewed_at
        new = bool(cohort) and not stale and kept.counted_in != cohort
        leaves = stale or (told is not None and told.announcement.refuse_connections)
        self._ask(alive[kept.pod], 1 if leaves else requests, new_connections=int(new))
        return Connection("", self.now) if leaves else Connection(kept.pod, kept.opened_at, cohort)

    def _drawn(self, count: int, alive: dict[str, Pod]) -> Iterable[tuple[str, int]]:
        """A pod for each of so many connections, by the rules that the nodes have: pods that are gone refuse."""
        old = [uids for at, uids in self._rules if at <= self.now - NODE_SECONDS] or [self._rules[0][1]]
        pods = [uid for uid in old[-1] if uid in alive] or [uid for uid in self.endpoints() if uid in alive]
        if not pods:
            return []
        numbers = self.draws.multinomial(count, [1 / len(pods)] * len(pods))
        return [(uid, int(number)) for uid, number in zip(pods, numbers, strict=True) if number]

    def _ask(self, pod: Pod, requests: int, new_connections: int) -> None:
        self.last_asked[pod.revision] = self.now
        self.served[pod.revision] = self.served.get(pod.revision, 0) + requests
        if self.status.stable is not None and pod.revision != self.status.stable.revision:
            self.last_by_candidate = self.now
        told = self.told.get(pod.uid)
        cohort = told.announcement.cohort if told is not None else None
        if cohort:
            self._count_at(pod, cohort, requests)
            self.opened[pod.uid, cohort] = self.opened.get((pod.uid, cohort), 0) + new_connections

    def _count_at(self, pod: Pod, cohort: str, requests: int) -> None:
        behaviour = self.models.get(pod.model, Behaviour())
        counted = self.counted.setdefault((pod.uid, cohort), Counts())
        refused = self._binomial(requests, behaviour.error_rate)
        counted.requests += requests
        counted.refused += refused
        counted.predictions += requests - refused
        stable = self.status.stable.revision if self.status.stable else pod.revision
        holder = next((other for other in self.pods if other.revision == stable and self._is_ready(other)), pod)
        sums = self.counted.setdefault((holder.uid, cohort), Counts()).labels.setdefault(pod.revision, [0.0, 0.0])
        right = self._binomial(requests - refused, behaviour.accuracy)
        sums[0] += requests - refused
        sums[1] += right
        self.labelled[pod.revision] = self.labelled.get(pod.revision, 0.0) + requests - refused

    def _count(self, revision: str, cohort: str, requests: int) -> None:
        """Through a gateway: what a pod was told outweighs the header."""
        held = (self.told.get(pod.uid) for pod in self.pods if pod.revision == revision)
        if not any(told is not None and told.announcement.cohort is not None for told in held):
            super()._count(revision, cohort, requests)


def a_replicas_spec(version: int = 1, **changes: Any) -> dict[str, Any]:
    """A valid spec without a gateway."""
    spec = a_spec(version, serving={"replicas": 3})
    steps = [{"weight": 5, "for": "30s"}, {"weight": 50, "for": "30s"}]
    return {key: value for key, value in spec.items() if key != "traffic"} | {"rollout": {"steps": steps}} | changes


def a_replicas_world(**changes: Any) -> ReplicasWorld:
    """A world without a gateway, in which version 1 is stable."""
    models = {f"pvc://models/wine/{version}": Behaviour() for version in range(1, 10)}
    models.update(changes.pop("models", {}))
    spec = changes.pop("spec", a_replicas_spec())
    world = ReplicasWorld(spec=spec, models=models, gateway_api=changes.pop("gateway_api", False), **changes)
    assert world.run(is_phase("Stable"), seconds=60), world.status.message
    return world
