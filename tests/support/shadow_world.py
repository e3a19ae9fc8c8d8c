"""A world in which stable's pods send a copy of what they are asked, where they were told to."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from serin_contract.announcements import Announced, Announcement
from serin_contract.stats import CohortStats, PodStats, ShadowCounts
from serin_operator.decide.observation import Observation, PodFacts, StatsAnswer
from serin_operator.decide.plan import Action, Announce
from tests.support.world import Behaviour, Pod, World, a_spec, is_phase, uri


@dataclass
class ShadowWorld(World):
    """Copies reach the candidate's first ready pod, which compares them."""

    agreement: float = 0.99
    """Chance that the candidate answers as stable does."""
    deaf: bool = False
    """Whether stable's pods take no announcement."""
    told: dict[str, Announcement] = field(default_factory=dict)
    """By pod UID."""
    compared: dict[tuple[str, str], list[int]] = field(default_factory=dict)
    """Compared and agreed, by pod UID and cohort."""

    def observe(self) -> Observation:
        """With each pod's own stats while there is a shadow, or one was just left."""
        seen = super().observe()
        candidate = self.status.candidate
        if candidate is None or (candidate.shadow_cohort is None and candidate.cohort is None):
            return seen
        return replace(seen, stats=(*seen.stats, *(self._pod_answer(pod) for pod in self._serving())))

    def write(self, action: Action) -> None:
        """Take an announcement, or do what any world does."""
        if not isinstance(action, Announce):
            return super().write(action)
        if not self.deaf:
            before = self.told.get(action.pod_uid)
            assert before is None or action.announcement.sequence > before.sequence, "a pod refuses what is older"
            self.told[action.pod_uid] = action.announcement
        return None

    def shadowing(self) -> bool:
        """Whether a copy is being sent at this moment."""
        return any(self._order(pod) is not None for pod in self._serving())

    def _facts(self, pod: Pod) -> PodFacts:
        return replace(super()._facts(pod), origin=f"http://{pod.uid}:8081")

    def _serving(self) -> list[Pod]:
        return [pod for pod in self.pods if pod.purpose == "serve" and self._is_ready(pod)]

    def _order(self, pod: Pod) -> Any:
        told = self.told.get(pod.uid)
        order = told.shadow if told is not None else None
        return order if order is not None and order.until > self.now else None

    def _serve(self, seconds: float) -> None:
        super()._serve(seconds)
        pods = {f"{pod.uid}:8081": pod for pod in self._serving()}
        senders = [order for pod in self._serving() if (order := self._order(pod)) is not None]
        for order in senders:
            targets = [target for target in order.targets if target in pods]
            requests = int(self.traffic.requests_per_second * seconds * order.percent / 100 / len(senders))
            if targets:
                sums = self.compared.setdefault((pods[targets[0]].uid, order.cohort), [0, 0])
                sums[0] += requests
                sums[1] += sum(self.random.random() < self.agreement for _ in range(requests))

    def _pod_answer(self, pod: Pod) -> StatsAnswer:
        cohorts = {
            cohort: CohortStats(shadow=ShadowCounts(received=compared, compared=compared, agreed=agreed))
            for (uid, cohort), (compared, agreed) in self.compared.items()
            if uid == pod.uid
        }
        told = self.told.get(pod.uid)
        stats = PodStats(pod.revision, pod.uid, "start-1", cohorts=cohorts, announced=told and _announced(told))
        return StatsAnswer(pod.uid, pod.revision, stats)


def _announced(told: Announcement) -> Announced:
    order = told.shadow
    if order is None:
        return Announced(told.sequence, told.cohort, told.refuse_connections)
    return Announced(
        told.sequence, told.cohort, told.refuse_connections, order.cohort, order.percent, order.targets, order.until
    )


SHADOW_STEPS = [{"shadow": {"percent": 50}, "for": "1m"}, {"weight": 20, "for": "1m"}, {"weight": 50, "for": "1m"}]


def a_shadow_spec(version: int, **changes: Any) -> dict[str, Any]:
    """A spec whose trial begins with a minute of shadow, and whose agreement decides."""
    gates = {"accuracy": {"maxDrop": 0.05}, "agreement": {"min": 0.95}}
    return a_spec(version, **({"rollout": {"steps": SHADOW_STEPS}, "gates": gates} | changes))


def a_shadow_world(**changes: Any) -> ShadowWorld:
    """Version 1 serves."""
    models = {uri(version): Behaviour() for version in (1, 2, 3)}
    world = ShadowWorld(a_shadow_spec(1), models=models, **changes)
    assert world.run(is_phase("Stable")), "version 1 serves"
    return world
