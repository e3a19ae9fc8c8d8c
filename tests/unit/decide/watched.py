"""A world that is checked after every pass of the operator: what must hold whatever happens."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from tests.support.world import World

from serin_operator.api.deployment import ModelDeploymentStatus
from serin_operator.decide import manifests, policy
from serin_operator.decide.judge import GateReason
from serin_operator.decide.observation import PROBES_IN_A_ROW, Observation
from serin_operator.decide.plan import Plan, SetWeights
from serin_operator.decide.rollout import decide


@dataclass
class Watched:
    """A world, and what has been seen of it so far."""

    world: World
    cohorts: set[str] = field(default_factory=set)
    passes: int = 0
    twice: bool = True
    """Whether every decision is made a second time, to see that it is the same."""

    def pass_once(self, stale: Observation | None = None) -> Plan:
        """One pass, on what stands or on what was read earlier, and all that must hold of it."""
        world = self.world
        seen = world.observe() if stale is None else replace(stale, now=world.now)
        before, condemned = world.weights(), _condemned(world.status)
        self.passes += 1
        plan = world.step(seen)
        assert not self.twice or decide(seen) == plan, "the same observation gives the same plan"
        _check_route_writes(seen, plan)
        _check_promotion(seen, plan)
        _check_confirmation(seen, plan)
        _check_status(plan)
        for revision in condemned:
            after = world.weights().get(revision, 0)
            assert after <= before.get(revision, 0), f"{revision} has failed and is given more traffic"
        self._check_cohort(seen, plan)
        self._check_counts()
        if stale is None:
            self._check_stable()
        return plan

    def _check_cohort(self, seen: Observation, plan: Plan) -> None:
        old = seen.status.candidate.cohort if seen.status.candidate is not None else None
        new = plan.status.candidate.cohort if plan.status.candidate is not None else None
        if new is not None and new != old:
            assert new not in self.cohorts, "a cohort's name never comes back"
            self.cohorts.add(new)

    def _check_counts(self) -> None:
        world = self.world
        if world.watched is not None:
            requests, _, _, labelled = world.watched.total[:4]
            assert labelled <= world.labelled.get(world.watched.revision, 0.0) + 1e-6, "no label counts twice"
            assert requests <= world.served.get(world.watched.revision, 0) + 1e-6, "no request counts twice"
        if world.evidence is None:
            return
        for arm, revision in (("candidate", world.evidence.candidate), ("stable", world.evidence.stable)):
            counted = world.evidence.total(arm)
            assert counted.labelled <= world.labelled.get(revision, 0.0) + 1e-6, "no label counts twice"
            assert counted.requests <= world.served.get(revision, 0) + 1e-6, "no request counts twice"

    def _check_stable(self) -> None:
        world = self.world
        if world.status.stable is None or world.weights().get(world.stable, 0) == 0:
            return
        assert f"Deployment/{world.stable}" in world.live, "stable has its Deployment while it holds traffic"
        asked, candidate = policy.resolve(world.parsed()), world.status.candidate
        have = manifests.live_replicas(world.live, world.stable) or 0
        if asked.autoscaling is not None:
            floor = candidate.stable_floor if candidate is not None else None
            scaler = world.live[f"HorizontalPodAutoscaler/{world.stable}"]["spec"]
            wanted = max(floor or 1, asked.autoscaling.minimum)
            assert scaler["minReplicas"] == min(wanted, asked.autoscaling.maximum), "a trial lets stable not shrink"
        elif asked.surge_budget is None:
            assert have == asked.replicas, "stable can carry all traffic at any time"
        else:
            self._check_surge(asked.replicas, asked.surge_budget, have)

    def _check_surge(self, replicas: int, budget: int, have: int) -> None:
        """Where pods may not be added they are not, unless traffic is being taken back."""
        world, candidate = self.world, self.world.status.candidate
        if candidate is None or candidate.outcome is not None:
            return
        added = manifests.live_replicas(world.live, candidate.revision) or 0
        assert have + added <= max(2, replicas + budget), "no more pods than the roll-out may have"
        steps = policy.resolve(world.parsed()).steps
        step = steps[max(0, min(candidate.step, len(steps) - 1))].weight
        weight = max(candidate.weight, step, world.weights().get(candidate.revision, 0))
        needs = (100 - weight) * replicas / 100
        assert have >= max(1, needs if budget else needs - 1), "stable keeps what its own share needs"


def _check_watch(status: ModelDeploymentStatus) -> None:
    """A watch is over stable alone, beside no trial; and what is rejected is never what it leaves to serve."""
    watch = status.watch
    assert (status.phase == "Watching") <= (watch is not None)
    if watch is None:
        return
    assert status.candidate is None, "a trial ends the watch"
    assert status.stable is not None
    assert status.stable.revision == watch.revision
    assert (watch.breach is None) == (watch.breach_since is None)
    assert not watch.rolling_back or watch.breach is not None, "nothing goes back without a breach"


def _condemned(status: ModelDeploymentStatus) -> set[str]:
    """Revisions that were recorded as failed, in a way that lasts or for the rest of their trial."""
    revisions = {rejection.revision for rejection in status.rejected}
    candidate = status.candidate
    failing = any(gate.verdict == "Fail" and gate.mode == "Enforce" for gate in status.gates)
    if candidate is not None and (candidate.outcome is not None or failing):
        revisions.add(candidate.revision)
    return revisions - {status.stable.revision if status.stable is not None else ""}


def _check_route_writes(seen: Observation, plan: Plan) -> None:
    writes = [index for index, action in enumerate(plan.actions) if isinstance(action, SetWeights)]
    assert len(writes) <= 1, "at most one risky action in a pass"
    for index in writes:
        write = plan.actions[index]
        assert isinstance(write, SetWeights)
        assert sum(write.weights.values()) == 100
        if write.narrowing:
            assert index == 0, "what narrows comes before everything else"
        stable, candidate = seen.status.stable, seen.status.candidate
        if stable is None or _returns(seen, plan):
            continue
        recorded = candidate.weight if candidate is not None else 0
        given = sum(weight for name, weight in write.weights.items() if name != stable.revision)
        assert given <= recorded, "the route never gives more than status said before the pass"


def _check_confirmation(seen: Observation, plan: Plan) -> None:
    """No step is begun on a gateway that leads elsewhere, and none is left under a split that is wrong."""
    before, after = seen.status.candidate, plan.status.candidate
    if before is None or after is None or after.step <= before.step or after.revision != before.revision:
        return
    if before.step < 0 and seen.probe is not None and seen.probe.parents:
        answered = [parent for parent in seen.probe.parents if parent.unknown is None]
        assert all(parent.in_a_row == PROBES_IN_A_ROW for parent in answered), "a step begins where nothing leads"
    wrong = before.split is not None and before.split.answer == "Wrong"
    # Under changed steps the same weight may have a higher number.
    assert not wrong or after.policy != before.policy, "a step is left under a wrong split"


def _check_promotion(seen: Observation, plan: Plan) -> None:
    before, after = seen.status.candidate, plan.status.candidate
    if after is not None and after.weight == 100 and (before is None or before.weight < 100):
        verdicts = {gate.name: gate.verdict for gate in plan.status.gates if gate.mode == "Enforce"}
        assert set(verdicts.values()) == {"Pass"}, f"only a Pass of every gate promotes: {verdicts}"
    if seen.status.stable is not None and plan.status.stable is not None:
        changed = seen.status.stable.revision != plan.status.stable.revision
        had_everything = before is not None and before.weight == 100
        assert not changed or had_everything or _returns(seen, plan), "what becomes stable was tried before"


def _returns(seen: Observation, plan: Plan) -> bool:
    """Whether the revision that was stable before has become stable again, as the spec asks."""
    previous, stable = seen.status.previous, plan.status.stable
    return previous is not None and stable is not None and stable.revision == previous.revision


def _check_status(plan: Plan) -> None:
    status = plan.status
    assert ModelDeploymentStatus.model_validate(status.model_dump(mode="json", by_alias=True)) == status
    assert status.message, "there is always a sentence"
    candidate = status.candidate
    assert candidate is None or candidate.outcome is None or candidate.cohort is None
    if status.stable is not None:
        assert (status.stable.weight or 0) + (candidate.weight if candidate is not None else 0) == 100
    watched = status.watch is not None
    assert len({condition.type for condition in status.conditions}) == len(status.conditions) == 7 + watched
    _check_watch(status)
    assert all(condition.message and condition.reason for condition in status.conditions)
    assert {gate.reason for gate in status.gates} <= set(GateReason)
