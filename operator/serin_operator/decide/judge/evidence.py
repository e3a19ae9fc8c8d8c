"""The evidence of one trial and how it grows.

Pods report cumulative counters per cohort. `absorb` adds, for each (pod, start of its process), the
difference to what was added last, so a poll may be lost, repeated or late and nothing counts twice.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from serin_contract.profile import Profile
from serin_contract.stats import CohortStats, LabelCounts
from serin_operator.decide.judge import binned, shadowed, tallied
from serin_operator.decide.judge.formulas import Stratum, margin_log_e, two_arm_log_e
from serin_operator.decide.judge.saved import dump, restore
from serin_operator.decide.judge.starts import resumed
from serin_operator.decide.judge.sums import (
    NO_COUNTERS,
    ArmCounts,
    CohortEvidence,
    Counters,
    Evidence,
    PodMemory,
    answers_of,
    labels_of,
    start,
    together,
)
from serin_operator.decide.policy import ACCURACY, ERROR_RATE, AccuracyPolicy

if TYPE_CHECKING:
    from serin_operator.decide.observation import StatsAnswer
    from serin_operator.decide.policy import Policy

__all__ = ["ArmCounts", "CohortEvidence", "Evidence", "PodMemory", "absorb", "dump", "restore", "start"]

RING_PARTS = 32
"""The label delay is watched at this many points."""
ROUNDING = 1e-6
"""Sums of 1/m differ by rounding alone below this."""
GUESS_SAMPLES = 30.0
"""What other cohorts showed weighs as so many samples of each arm in a cohort's bets."""
COUNTER_MAX = 1e15
"""A counter above this cannot be."""


_Known = tuple[ArmCounts, ArmCounts]


def absorb(
    evidence: Evidence,
    answers: tuple[StatsAnswer, ...],
    now: float,
    policy: Policy,
    profiles: Mapping[str, Profile] | None = None,
) -> Evidence:
    """Add what the pods counted since they were last asked.

    Requests of a pod belong to the arm of its revision; labels to the revision that predicted, whichever
    pod they were posted to. Only cohorts of this candidate count. A counter that fell, or cannot be, is
    left out and counted in `refused`. Each call is one block of the e-processes in each cohort, bet with
    what earlier calls knew. Where nothing moved, the same object comes back.

    Args:
        evidence: so far.
        answers: of this poll, in any order.
        now: Unix time in seconds.
        policy: for its labelDelay, and whether callers come back in later cohorts.
        profiles: by revision name, as far as read; bins count only where it is known what they mean.
    """
    pods = dict(evidence.pods)
    added: dict[str, tuple[ArmCounts, ArmCounts]] = {}
    refused = evidence.refused
    for answer in _ordered(evidence, answers):
        memory, fresh, wrong = _news(evidence, pods.get(answer.pod_uid), answer)
        refused += wrong
        if memory is not None:
            pods[answer.pod_uid] = memory
        for name, (candidate, stable) in fresh:
            before = added.get(name, (ArmCounts(), ArmCounts()))
            added[name] = (before[0].plus(candidate), before[1].plus(stable))
    cohorts = dict(evidence.cohorts)
    for name in sorted(added):
        cohorts[name] = _grown(
            cohorts.get(name) or CohortEvidence(opened_at=now), *added[name], _known(evidence, name, policy), policy
        )
    readable = [answer.stats for answer in answers if answer.stats is not None]
    shadow = shadowed.absorb(evidence.shadow, evidence.candidate, readable)
    arms = binned.Arms(evidence.candidate, evidence.stable, profiles or {})
    bins = binned.absorb(evidence.bins, arms, readable, now, sticky=policy.sticky)
    tallies = tallied.absorb(evidence.tallies, evidence.candidate, evidence.stable, readable, now, policy)
    grown = replace(evidence, cohorts=cohorts, pods=pods, shadow=shadow, bins=bins, tallies=tallies, refused=refused)
    grown = replace(grown, ring=_ring(grown, now, policy.label_delay_seconds))
    return evidence if grown == evidence else grown


def _ordered(evidence: Evidence, answers: Iterable[StatsAnswer]) -> list[StatsAnswer]:
    """Readable answers in one order, a pod's known start before a new one, so sums do not hang on arrival."""

    def key(answer: StatsAnswer) -> tuple[str, bool, str]:
        known = evidence.pods.get(answer.pod_uid)
        started_at = answer.stats.started_at if answer.stats is not None else ""
        return answer.pod_uid, known is None or known.started_at != started_at, started_at

    return sorted((answer for answer in answers if answer.stats is not None), key=key)


Fresh = list[tuple[str, tuple[ArmCounts, ArmCounts]]]


def _news(evidence: Evidence, memory: PodMemory | None, answer: StatsAnswer) -> tuple[PodMemory | None, Fresh, int]:
    """The pod's new memory (None: as it was), what it adds per cohort, and how much was refused."""
    stats = answer.stats
    if stats is None:
        return None, [], 0
    if stats.pod_uid != answer.pod_uid or stats.revision != answer.revision:
        return None, [], 1  # the address answers for another pod
    memory = resumed(memory, stats.started_at, lambda start, ended: PodMemory(start, {}, ended))
    if memory is None:
        return None, [], 1
    counters = dict(memory.counters)
    fresh: Fresh = []
    refused = 0
    for name, cohort in stats.cohorts.items():
        if not name.startswith(f"{evidence.candidate}."):
            continue
        now, last = _counters(evidence, stats.revision, cohort), counters.get(name)
        if now == last:
            continue
        delta = _delta(now, last or NO_COUNTERS)
        if delta is None:
            refused += 1
            continue
        counters[name] = now
        fresh.append((name, _arms(delta, stats.revision == evidence.candidate)))
    return replace(memory, counters=counters), fresh, refused


def _counters(evidence: Evidence, revision: str, cohort: CohortStats) -> Counters:
    """What counts of one pod in one cohort. Pods of other revisions add labels only."""
    candidate = cohort.labels.get(evidence.candidate) or LabelCounts()
    stable = cohort.labels.get(evidence.stable) or LabelCounts()
    labels = (
        float(candidate.labelled), float(candidate.correct), float(stable.labelled), float(stable.correct),
    )  # fmt: skip
    if revision not in (evidence.candidate, evidence.stable):
        return (0.0, 0.0, 0.0, *labels, 0.0, 0.0)
    served = (float(cohort.requests), float(cohort.refused + cohort.failed), float(cohort.predictions))
    return (*served, *labels, float(cohort.callers), float(cohort.connections))


def _delta(now: Counters, last: Counters) -> Counters | None:
    """The growth of the counters, or None where they fell or cannot be."""
    grown = [a - b for a, b in zip(now, last, strict=True)]
    if (
        not all(math.isfinite(value) and value >= -ROUNDING for value in grown)
        or min(now) < 0.0
        or max(now) > COUNTER_MAX
    ):
        return None
    risen = [max(0.0, value) for value in grown]
    requests, errors, predictions, c_labelled, c_correct, s_labelled, s_correct, callers, connections = risen
    parts = ((errors, requests), (c_correct, c_labelled), (s_correct, s_labelled))
    if any(part > whole + ROUNDING for part, whole in parts):
        return None
    return (
        requests, min(errors, requests), predictions,
        c_labelled, min(c_correct, c_labelled), s_labelled, min(s_correct, s_labelled),
        callers, connections,
    )  # fmt: skip


def _arms(delta: Counters, of_candidate: bool) -> tuple[ArmCounts, ArmCounts]:
    """What one pod's growth adds to the candidate's and to stable's counts."""
    requests, errors, predictions, c_labelled, c_correct, s_labelled, s_correct, callers, connections = delta
    served, nothing = (requests, errors, predictions), (0.0, 0.0, 0.0)
    split, none = (callers, connections), (0.0, 0.0)
    return (
        ArmCounts(*(served if of_candidate else nothing), c_labelled, c_correct, *(split if of_candidate else none)),
        ArmCounts(*(nothing if of_candidate else served), s_labelled, s_correct, *(none if of_candidate else split)),
    )


def _grown(
    cohort: CohortEvidence, candidate: ArmCounts, stable: ArmCounts, known: _Known, policy: Policy
) -> CohortEvidence:
    """The cohort with one more block: the bet is made on what was known before it."""
    block = labels_of(candidate, stable)
    guess = _guess(labels_of(cohort.candidate, cohort.stable), labels_of(*known))
    grown = {ACCURACY: two_arm_log_e(block, guess)}
    gate = policy.gate(AccuracyPolicy)
    if gate is not None and gate.strict:
        grown[gate.evidence] = margin_log_e(block, guess, gate.max_drop)
    grown[ERROR_RATE] = two_arm_log_e(
        answers_of(candidate, stable),
        _guess(answers_of(cohort.candidate, cohort.stable), answers_of(*known)),
    )
    return replace(
        cohort,
        candidate=cohort.candidate.plus(candidate),
        stable=cohort.stable.plus(stable),
        log_e={**cohort.log_e, **{name: cohort.log_e.get(name, 0.0) + factor for name, factor in grown.items()}},
    )


def _known(evidence: Evidence, name: str, policy: Policy) -> _Known:
    """What both arms did in the other cohorts, before this call.

    Nothing where callers come back: a bet on what the same callers did before is no bet in the dark.
    """
    others = [cohort for other, cohort in evidence.cohorts.items() if other != name and not policy.sticky]
    return together(other.candidate for other in others), together(other.stable for other in others)


def _guess(own: Stratum, others: Stratum) -> Stratum:
    """The cohort's own sums, and the others' rates as if seen in a few samples, to bet on in its first blocks.

    Any guess made before the block keeps the e-process exact; this one spares each cohort the blocks in which
    it would learn anew that the candidate is worse. Few samples, since the traffic may have changed.
    """
    c = min(1.0, GUESS_SAMPLES / others.candidate_n) if others.candidate_n > 0.0 else 0.0
    s = min(1.0, GUESS_SAMPLES / others.stable_n) if others.stable_n > 0.0 else 0.0
    return Stratum(
        own.candidate_hits + c * others.candidate_hits,
        own.candidate_n + c * others.candidate_n,
        own.stable_hits + s * others.stable_hits,
        own.stable_n + s * others.stable_n,
    )


def _ring(evidence: Evidence, now: float, delay: float) -> tuple[tuple[float, float, float], ...]:
    """The ring with a sample of now where predictions grew, thinned, without what the delay has passed by."""
    counts = (evidence.total("candidate").predictions, evidence.total("stable").predictions)
    if evidence.ring and evidence.ring[-1][1:] == counts:
        return evidence.ring
    ring = list(evidence.ring)
    at = max(now, ring[-1][0]) if ring else now
    crowded = len(ring) >= 2 and ring[-1][0] - ring[-2][0] < delay / RING_PARTS
    if ring and (crowded or ring[-1][0] == at):
        ring.pop()
    ring.append((at, *counts))
    while len(ring) >= 2 and ring[1][0] <= now - delay:
        ring.pop(0)
    return tuple(ring)
