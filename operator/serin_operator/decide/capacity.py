"""How many pods each arm needs: the one place where percentages of traffic become numbers of pods."""

from __future__ import annotations

import math
from dataclasses import dataclass

from serin_operator.api.deployment import CandidateStatus, PreviousStatus
from serin_operator.decide import manifests, timestamps
from serin_operator.decide.draft import Draft, Situation

SURE = 2
"""Pods of a candidate at least, where stable has as many: the end of a lone one costs its callers errors until the
weight is 0, and a node's drain ends pods without asking."""

PATIENCE_SECONDS = 30.0
"""How long an ended candidate waits for stable's next pod before it makes room for it at its callers' cost."""


@dataclass(frozen=True)
class Pods:
    """What both arms need."""

    stable: int
    candidate: int


def whole(situation: Situation, candidate: CandidateStatus | None) -> int:
    """Pods of stable that carry all the traffic: the spec's, or as many as stable had when the trial began."""
    scaling = situation.policy.autoscaling
    if scaling is None:
        return situation.policy.replicas
    floor = candidate.stable_floor if candidate is not None else None
    return min(max(scaling.minimum, floor or scaling.minimum), scaling.maximum)


def floor_now(situation: Situation) -> int | None:
    """Pods that stable has at this moment, where an autoscaler chooses; a trial does not let it fall below."""
    scaling, stable = situation.policy.autoscaling, situation.stable
    if scaling is None or stable is None:
        return None
    have = manifests.live_replicas(situation.seen.live, stable.revision) or scaling.minimum
    return min(max(scaling.minimum, have), scaling.maximum)


def for_weight(situation: Situation, candidate: CandidateStatus | None, weight: int) -> Pods:
    """Pods of both arms while the candidate answers that percentage."""
    full, total = whole(situation, candidate), _total(situation, candidate)
    if situation.routing.mode == "Replicas" and weight < 100:
        return _by_number(full, total, weight)
    return _by_weight(full, total, weight)


def _total(situation: Situation, candidate: CandidateStatus | None) -> int | None:
    """Pods that both arms may have together, or None where a trial may add as many as it needs."""
    budget = situation.policy.surge_budget
    return None if budget is None else max(2, whole(situation, candidate) + budget)


def _by_weight(full: int, total: int | None, weight: int) -> Pods:
    """A gateway splits: each arm has what its share of the full number asks for, rounded up.

    Where the two together are one pod too many, it comes from the arm whose other pods have the less to carry then.
    """
    if total is None:
        return Pods(full, max(min(full, SURE), math.ceil(weight * full / 100)))
    candidate = max(1, math.ceil(weight * full / 100))
    stable = max(1, math.ceil((100 - weight) * full / 100))
    if candidate + stable <= total:
        return Pods(min(full, total - candidate), candidate)
    fits = (candidate, max(1, candidate - 1))
    fewest = min(fits, key=lambda pods: max(weight / pods, (100 - weight) / max(1, total - pods)))
    return Pods(max(1, total - fewest), min(fewest, total - 1))


def _by_number(full: int, total: int | None, weight: int) -> Pods:
    """The number of pods itself splits: `max(1, round(w / (100 - w) * stable))` beside as many of stable as fit."""
    for stable in range(full, 1, -1):
        candidate = beside(stable, weight)
        if total is None or stable + candidate <= total:
            return Pods(stable, candidate)
    return Pods(1, beside(1, weight) if total is None else min(beside(1, weight), total - 1))


def beside(stable: int, weight: int) -> int:
    """Pods of the candidate that get that percentage of the connections beside so many of stable."""
    return max(1, round(weight / (100 - weight) * stable))


def intended(situation: Situation, candidate: CandidateStatus) -> int:
    """The percentage to have pods for: the largest of what stands, what is recorded and what the step will give.

    Where the number of pods itself splits, a pod more is traffic: none is made before status records its weight.
    """
    steps, standing = situation.policy.steps, situation.weights.get(candidate.revision, 0)
    recorded = situation.candidate.weight if situation.candidate is not None else 0
    if situation.routing.mode == "Replicas" and 0 < standing < 100 and recorded > 0:
        return min(recorded, candidate.weight) or recorded
    return max(
        candidate.weight,
        standing,
        steps[max(0, min(candidate.step, len(steps) - 1))].weight,
    )


def of_candidate(situation: Situation, draft: Draft) -> int | None:
    """Pods of the draft's candidate; None leaves those that it has. A first deployment is built whole."""
    candidate = draft.candidate
    if candidate is None:
        return None
    if draft.stable is None:
        return whole(situation, None)
    if candidate.outcome is None:
        return for_weight(situation, candidate, intended(situation, candidate)).candidate
    if situation.policy.surge_budget is None or candidate.weight == 0:
        return None
    # What it gives up makes room for stable's pods.
    needed = for_weight(situation, candidate, candidate.weight).candidate
    return min(needed, manifests.live_replicas(situation.seen.live, candidate.revision) or needed)


def of_stable(situation: Situation, draft: Draft) -> int:
    """Pods of the draft's stable revision: all of them, but where a trial may not add what it needs."""
    candidate = draft.candidate
    full = whole(situation, candidate)
    if draft.stable is None or situation.policy.surge_budget is None:
        return full
    if candidate is None:
        return _at_rest(situation, draft.stable.revision, full)
    if candidate.outcome is not None:
        return full
    return for_weight(situation, candidate, intended(situation, candidate)).stable


def _at_rest(situation: Situation, stable: str, full: int) -> int:
    """All, as soon as revisions that are on their way out leave the room for it."""
    live = situation.seen.live
    names = [key.partition("/")[2] for key in live if key.startswith("Deployment/")]
    others = sum(manifests.live_replicas(live, name) or 0 for name in names if name != stable)
    fits = (_total(situation, None) or full) - others
    return max(1, min(full, max(fits, manifests.live_replicas(live, stable) or 0)))


def of_previous(situation: Situation, previous: PreviousStatus, *, returns: bool = False) -> int:
    """Pods of the revision that is kept warm: all for a time, then one; as many as stable has, once it is wanted again.

    Args:
        situation: this pass's.
        previous: the revision that was stable before.
        returns: whether the watch gives the traffic back to it.
    """
    returns = returns or previous.revision == situation.target
    full_until = previous.full_until
    if not returns and full_until is not None and situation.now >= timestamps.seconds(full_until):
        return 1
    scaling = situation.policy.autoscaling
    if scaling is None:
        return situation.policy.replicas
    kept = previous.floor or scaling.minimum
    if returns:
        kept = max(kept, floor_now(situation) or 0)
    return min(kept, scaling.maximum)


def left_to(situation: Situation, candidate: CandidateStatus, since: str | None) -> int:
    """Percent that an ended candidate keeps for now, because stable's ready pods cannot carry it yet.

    0 where stable is whole, or where the candidate could not answer anyway. It asks pods and route alone: no
    metric, no registry, no storage.

    Args:
        situation: this pass's.
        candidate: the one whose trial has ended.
        since: when its traffic was last narrowed; None where that is now.
    """
    assert situation.stable is not None, "without stable there is no one to take over"
    have = situation.weights.get(candidate.revision, 0)
    weight = have if candidate.outcome is None else min(have, candidate.weight)
    full, ready = whole(situation, candidate), situation.seen.ready(situation.stable.revision)
    if weight == 0 or ready >= full or situation.seen.ready(candidate.revision) == 0:
        return 0
    if situation.policy.surge_budget is None and _bears(weight, ready, full):
        return 0
    if ready > 0 and _is_stuck(situation, since):
        ready += 1
    if situation.routing.mode == "Replicas":
        return 0 if ready >= full else weight
    return min(weight, 100 - 100 * ready // full)


def _bears(weight: int, ready: int, full: int) -> bool:
    """Whether stable, which was never scaled down, takes the rest at once though some of its pods are missing.

    A rejected candidate is wrong, a stable with more to do is slow: for a while, and by no more than a half.
    """
    return 4 * ready >= 3 * full or 2 * weight * full <= 100 * ready


def _is_stuck(situation: Situation, since: str | None) -> bool:
    """Whether stable's next pod waits for room: the candidate then gives way by one pod more than it should."""
    assert situation.stable is not None, "asked of a trial only"
    starting = (pod for pod in situation.seen.serving_pods(situation.stable.revision) if not pod.terminating)
    waited_seconds = timestamps.elapsed(since, situation.now)
    return waited_seconds > PATIENCE_SECONDS or any(pod.unschedulable for pod in starting)
