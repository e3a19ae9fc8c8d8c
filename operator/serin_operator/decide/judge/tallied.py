"""What pods tell beside rates and bins: times to answer, errors of regressors, labels by age, quality of inputs.

Each is a short vector per cohort and arm. Vectors are cumulative per (pod, start), as all that pods tell, and their
growth is added once. A vector that fell, or cannot be, adds nothing.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from serin_contract.stats import LATENCY_BOUNDS_SECONDS, CohortStats, LabelCounts, PodStats
from serin_operator.decide.gate_policies import LATENCY, REGRESSION_ERROR, SCHEMA, LatencyPolicy
from serin_operator.decide.judge.bin_formulas import Floats
from serin_operator.decide.judge.formulas import Stratum, pooled, two_arm_log_e
from serin_operator.decide.judge.starts import PodArrays, resumed
from serin_operator.decide.policy import Policy

TIMES = "times"
"""Requests per bucket of LATENCY_BOUNDS_SECONDS, the slowest bucket last."""
REFUSALS = "refusals"
"""Requests that were malformed, and all requests."""
ERRORS = "errors"
"""Of a regressor's labels: Σ c/m, Σ c²/m, Σ c⁴/m, the labelled weight, and the clip times that weight."""
MATURED = "matured"
"""Of predictions older than labelDelay: their number, labelled, correct, and the first three of ERRORS."""
QUALITY = "quality"
"""Rows, then per feature of the pod's own profile: missing, unseen, below, above."""

SIZES = {TIMES: len(LATENCY_BOUNDS_SECONDS) + 1, REFUSALS: 2, ERRORS: 5, MATURED: 6}
COUNTER_MAX = 1e15
ROUNDING = 1e-6
Vectors = Mapping[str, Floats]


@dataclass(frozen=True, eq=False)
class CohortTally:
    """One cohort's vectors by kind, of both arms."""

    opened_at: float
    """Unix time at which it was first seen in an answer."""
    candidate: Vectors = field(default_factory=dict)
    stable: Vectors = field(default_factory=dict)
    log_e: Mapping[str, float] = field(default_factory=dict)
    """Natural log of this cohort's factor of the safe 2x2 e-process, by gate."""

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, CohortTally)
            and (self.opened_at, self.log_e) == (other.opened_at, other.log_e)
            and _same(self.candidate, other.candidate)
            and _same(self.stable, other.stable)
        )


@dataclass(frozen=True, eq=False)
class PodTally(PodArrays):
    """The vectors that were last added of one pod."""

    arrays: Mapping[tuple[str, str], Floats] = field(default_factory=dict)
    """By cohort and `arm/kind`, what of this start was added."""


@dataclass(frozen=True)
class TallyEvidence:
    """All vectors of one trial, and what was last added of each pod."""

    cohorts: Mapping[str, CohortTally] = field(default_factory=dict)
    pods: Mapping[str, PodTally] = field(default_factory=dict)
    """By pod UID."""
    refused: int = 0
    """Vectors that could not be true and were left out."""


NO_TALLIES = TallyEvidence()


def in_order(tallies: TallyEvidence) -> tuple[CohortTally, ...]:
    """The cohorts as they opened."""
    return tuple(tally for _, tally in sorted(tallies.cohorts.items(), key=lambda item: (item[1].opened_at, item[0])))


def vector(vectors: Vectors, kind: str) -> Floats:
    """That vector of an arm; zeros where nothing was told yet."""
    found = vectors.get(kind)
    return found if found is not None else np.zeros(SIZES.get(kind, 1))


def first_slow(max_seconds: float) -> int:
    """The first bucket that holds none but requests slower than that."""
    return bisect_left(LATENCY_BOUNDS_SECONDS, max_seconds) + 1


def absorb(
    tallies: TallyEvidence, candidate: str, stable: str, answers: Iterable[PodStats], now: float, policy: Policy
) -> TallyEvidence:
    """Add what the pods counted since they were last asked; the same object where nothing moved.

    Each call is one block of the e-processes in each cohort, bet with what earlier calls knew.

    Args:
        tallies: so far.
        candidate: name of the revision on trial.
        stable: name of the trusted one.
        answers: of this poll, one per pod, in any order.
        now: Unix time in seconds.
        policy: for labelDelay, the limits of the gates, and whether callers come back.
    """
    pods, refused = dict(tallies.pods), tallies.refused
    added: dict[str, dict[tuple[str, str], Floats]] = {}
    for stats in sorted(answers, key=lambda answer: (answer.pod_uid, answer.started_at)):
        memory = resumed(pods.get(stats.pod_uid), stats.started_at, PodTally)
        if memory is None:
            refused += 1
            continue
        vectors = dict(memory.arrays)
        for name, key, told in _told(stats, candidate, stable, now - policy.label_delay_seconds):
            place = name, "/".join(key)
            last = vectors.get(place)
            if last is not None and told.tobytes() == last.tobytes():
                continue  # most cohorts have been over for long
            growth = _grown(told, last, matures=key[1] == MATURED)
            if growth is None:
                refused += 1
            elif growth.any():
                vectors[place] = growth if last is None else last + growth
                sums = added.setdefault(name, {})
                sums[key] = sums[key] + growth if key in sums else growth
        if vectors or memory.ended:
            pods[stats.pod_uid] = replace(memory, arrays=vectors)
    cohorts = dict(tallies.cohorts)
    for name in sorted(added):
        cohorts[name] = _with_block(tallies, name, added[name], now, policy)
    grown = TallyEvidence(cohorts, pods, refused)
    return tallies if grown == tallies else grown


def combined(tallies: TallyEvidence, gate: str, *, sticky: bool) -> float:
    """Natural log of the gate's e-value: the cohorts' factors multiplied, or the strongest where callers return."""
    return pooled((cohort.log_e.get(gate, 0.0) for cohort in in_order(tallies)), sticky=sticky)


def _same(mine: Vectors, theirs: Vectors) -> bool:
    return mine.keys() == theirs.keys() and all(np.array_equal(one, theirs[kind]) for kind, one in mine.items())


Told = tuple[str, tuple[str, str], Floats]
"""Cohort, (arm, kind), vector."""


def _told(stats: PodStats, candidate: str, stable: str, before: float) -> Iterator[Told]:
    """The vectors of one pod: what it served belongs to its own arm, a label to the revision that predicted."""
    arms = {candidate: "candidate", stable: "stable"}
    for name, cohort in stats.cohorts.items():
        if not name.startswith(f"{candidate}."):
            continue
        arm = arms.get(stats.revision)
        if arm is not None:
            yield from ((name, (arm, kind), told) for kind, told in _served(cohort))
        for revision, of in arms.items():
            errors = _errors(cohort.labels.get(revision), cohort.error_clip)
            if errors is not None:
                yield name, (of, ERRORS), errors
            if cohort.slot_seconds > 0:
                yield name, (of, MATURED), _matured(cohort, revision, before, own=arm == of)


def _served(cohort: CohortStats) -> Iterator[tuple[str, Floats]]:
    if len(cohort.latency) == SIZES[TIMES]:
        yield TIMES, np.array(cohort.latency, dtype=np.float64)
    yield REFUSALS, np.array((sum(cohort.malformed.values()), cohort.requests), dtype=np.float64)
    quality = cohort.quality
    if quality is not None and quality.rows > 0.0:
        parts = (quality.missing, quality.unseen, quality.below, quality.above)
        if len({len(part) for part in parts}) == 1:
            yield QUALITY, np.array([quality.rows, *(value for part in parts for value in part)], dtype=np.float64)


def _errors(labels: LabelCounts | None, clip: float | None) -> Floats | None:
    clipped = labels.labelled * clip if labels is not None and clip is not None else 0.0
    if labels is None or clipped <= 0.0:
        return None
    return np.array((labels.error, labels.error_2, labels.error_4, labels.labelled, clipped), dtype=np.float64)


def _matured(cohort: CohortStats, revision: str, before: float, *, own: bool) -> Floats:
    """Of the slots that ended before that time, so that all their labels have had their delay to come."""
    served = labelled = correct = error = error_2 = error_4 = 0.0
    for slot in cohort.slots:
        if slot.start + cohort.slot_seconds > before:
            continue
        served += slot.predictions if own else 0.0
        labels = slot.labels.get(revision)
        if labels is not None:
            labelled += labels.labelled
            correct += labels.correct
            error += labels.error
            error_2 += labels.error_2
            error_4 += labels.error_4
    return np.array((served, labelled, correct, error, error_2, error_4))


def _grown(told: Floats, last: Floats | None, *, matures: bool) -> Floats | None:
    """The growth, or None where a counter fell or cannot be.

    What has matured may seem to shrink for a while, when slots double and a young one joins an old one: then
    nothing is added until the whole has matured.
    """
    if not (told.min() >= 0.0 and told.max() <= COUNTER_MAX):  # nor is NaN
        return None
    if last is None:
        return told
    if len(last) != len(told):
        return None
    growth = told - last
    if growth.min() < -ROUNDING:
        return np.zeros_like(told) if matures else None
    return np.maximum(growth, 0.0)


def _with_block(
    tallies: TallyEvidence, name: str, added: Mapping[tuple[str, str], Floats], now: float, policy: Policy
) -> CohortTally:
    """The cohort with one more block: the bet is made on what was known before it."""
    before = tallies.cohorts.get(name) or CohortTally(opened_at=now)
    block = CohortTally(
        now,
        {kind: grown for (arm, kind), grown in added.items() if arm == "candidate"},
        {kind: grown for (arm, kind), grown in added.items() if arm == "stable"},
    )
    latency = policy.gate(LatencyPolicy)
    log_e = dict(before.log_e)
    for gate, of in (
        (LATENCY, lambda tally: fast(tally, latency.max_seconds) if latency is not None else None),
        (SCHEMA, wellformed),
        (REGRESSION_ERROR, accurate),
    ):
        now_, known = of(block), of(before)
        if now_ is not None and known is not None:
            log_e[gate] = log_e.get(gate, 0.0) + two_arm_log_e(now_, known)
    return CohortTally(
        before.opened_at, _plus(before.candidate, block.candidate), _plus(before.stable, block.stable), log_e
    )


def _plus(mine: Vectors, more: Vectors) -> Vectors:
    return {**mine, **{kind: mine[kind] + grown if kind in mine else grown for kind, grown in more.items()}}


def fast(tally: CohortTally, max_seconds: float) -> Stratum:
    """Requests that were not surely slower than the limit, and all of them."""
    place = first_slow(max_seconds)
    c, s = vector(tally.candidate, TIMES).tolist(), vector(tally.stable, TIMES).tolist()
    return Stratum(math.fsum(c[:place]), math.fsum(c), math.fsum(s[:place]), math.fsum(s))


def wellformed(tally: CohortTally) -> Stratum:
    """Requests that were not malformed, and all of them."""
    c, s = vector(tally.candidate, REFUSALS), vector(tally.stable, REFUSALS)
    return Stratum(float(c[1] - c[0]), float(c[1]), float(s[1] - s[0]), float(s[1]))


def accurate(tally: CohortTally) -> Stratum:
    """Σ (1 − c/clip) as hits among the labelled.

    A hit may be any number from 0 to 1: a^x b^(1−x) ≤ x·a + (1−x)·b, so a factor's mean is at most what it is for
    hits of 0 and 1 with the same mean, and the test of two proportions is one of two bounded means.
    """
    c, s = vector(tally.candidate, ERRORS), vector(tally.stable, ERRORS)
    return Stratum(_close(c), float(c[3]), _close(s), float(s[3]))


def _close(errors: Floats) -> float:
    clip = errors[4] / errors[3] if errors[3] > 0.0 else 0.0
    return max(0.0, float(errors[3] - errors[0] / clip)) if clip > 0.0 else 0.0
