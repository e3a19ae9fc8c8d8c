"""The evidence of one watch: what the promoted revision's pods counted since, and when.

As in `evidence`, pods report cumulative counters, and what grew since a pod was last asked is added once. There is one
arm and no split, so nothing has to be told apart by cohort but the watch itself: all cohorts of one watch add up.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace

from serin_contract.stats import LATENCY_BOUNDS_SECONDS, CohortStats, LabelCounts, PodStats
from serin_operator.decide.judge.starts import resumed
from serin_operator.decide.judge.watched_slots import NO_SLOTS, Slots, Vectors
from serin_operator.decide.judge.watched_slots import grown as slots_grown
from serin_operator.decide.judge.watched_trail import Sums, Trail, plus
from serin_operator.decide.judge.watched_trail import grown as trail_grown

PREFIX = "watch."
"""Watch cohorts are named apart: no gate of a trial reads them."""

LABELS_SMALLEST, LABELS_MOST = 25.0, 6400.0
"""A block of labels closes at the first, and windows reach back over the second at least half as far."""
REQUESTS_SMALLEST, REQUESTS_MOST = 50.0, 1e7

PODS_KEPT = 64
"""Beyond so many, pods that are gone are forgotten."""
ROUNDING = 1e-6
COUNTER_MAX = 1e15
BINS_MAX = 4000
"""Counts in one vector of bins or of quality: wider profiles are not kept by the hour, as a record has a limit."""

SCALARS = 7
"""requests, errors, predictions; labelled, correct, error, error_2; then the latency buckets."""
LATENCY_BUCKETS = len(LATENCY_BOUNDS_SECONDS) + 1
NO_SCALARS: Sums = (0.0,) * (SCALARS + LATENCY_BUCKETS)


@dataclass(frozen=True)
class Counters:
    """What one pod had counted in one cohort."""

    scalars: Sums = NO_SCALARS
    vectors: Vectors = field(default_factory=Vectors)


@dataclass(frozen=True)
class PodCounts:
    """What was last added of one pod."""

    started_at: str
    counters: Mapping[str, Counters] = field(default_factory=dict)
    """By cohort."""
    ended: tuple[str, ...] = ()
    """Earlier starts of its process: they never answer again."""


@dataclass(frozen=True)
class WatchEvidence:
    """Everything that a watch stands on. Sums and counters are restored together or not at all."""

    revision: str
    nonce: str
    """Of the watch: the same in all its cohorts and in no other watch."""
    begun_at: float | None = None
    """Unix time of the first count."""
    total: Sums = NO_SCALARS
    """Since the watch began."""
    requests: Trail = field(default_factory=Trail)
    """requests, errors, then the latency buckets."""
    labels: Trail = field(default_factory=Trail)
    """labelled, correct, error, error_2, predictions."""
    slots: Slots = NO_SLOTS
    """Bins and quality by the hour and by the day."""
    pods: Mapping[str, PodCounts] = field(default_factory=dict)
    """By pod UID."""
    error_clip: float | None = None
    """Of a regressor: the largest at which its pods clipped an error; None where no label came."""
    refused: int = 0
    """Counters that could not be true and were left out."""


def start(revision: str, nonce: str) -> WatchEvidence:
    """No evidence yet."""
    return WatchEvidence(revision, nonce)


def cohort_name(revision: str, number: int, nonce: str) -> str:
    """A watch cohort's name."""
    return f"{PREFIX}{revision}.{number}.{nonce}"


def nonce_of(cohort: str) -> str:
    """The nonce in a watch cohort's name."""
    return cohort.rpartition(".")[2]


def absorb(evidence: WatchEvidence, answers: Iterable[PodStats], now: float, present: Collection[str]) -> WatchEvidence:
    """Add what the pods counted since they were last asked. Where nothing moved, the same object comes back.

    Args:
        evidence: so far.
        answers: of this look, in any order.
        now: Unix time in seconds.
        present: UIDs of the pods that exist: the others never answer again, and are forgotten where there are many.
    """
    pods = _remembered(evidence, present)
    scalars, vectors, refused = NO_SCALARS, Vectors(), evidence.refused
    clip = evidence.error_clip
    for stats in sorted(answers, key=lambda answer: (answer.pod_uid, answer.started_at)):
        clip = _clip(evidence, stats, clip)
        counts, grown, wrong = _news(evidence, pods.get(stats.pod_uid), stats)
        refused += wrong
        if counts is not None:
            pods[stats.pod_uid] = counts
        for one in grown:
            scalars, vectors = plus(scalars, one.scalars), vectors.plus(one.vectors)
    moved = any(scalars) or not vectors.is_empty
    added = replace(
        evidence,
        begun_at=now if evidence.begun_at is None and moved else evidence.begun_at,
        total=plus(evidence.total, scalars),
        requests=trail_grown(evidence.requests, _requests(scalars), now, REQUESTS_SMALLEST, REQUESTS_MOST),
        labels=trail_grown(evidence.labels, _labels(scalars), now, LABELS_SMALLEST, LABELS_MOST),
        slots=slots_grown(evidence.slots, vectors, now),
        pods=pods,
        error_clip=clip,
        refused=refused,
    )
    return evidence if added == evidence else added


def _is_mine(evidence: WatchEvidence, cohort: str) -> bool:
    return cohort.startswith(f"{PREFIX}{evidence.revision}.") and nonce_of(cohort) == evidence.nonce


def _clip(evidence: WatchEvidence, stats: PodStats, known: float | None) -> float | None:
    """The largest is cautious: a loss is an error as a part of it."""
    said = [cohort.error_clip for name, cohort in stats.cohorts.items() if _is_mine(evidence, name)]
    clips = [clip for clip in (known, *said) if clip is not None and math.isfinite(clip) and clip > 0.0]
    return max(clips, default=None)


def _remembered(evidence: WatchEvidence, present: Collection[str]) -> dict[str, PodCounts]:
    gone = max(0, len(evidence.pods) - PODS_KEPT)
    forgotten = set(sorted(evidence.pods.keys() - set(present))[:gone])
    return {uid: counts for uid, counts in evidence.pods.items() if uid not in forgotten}


def _requests(scalars: Sums) -> Sums:
    return (*scalars[:2], *scalars[SCALARS:])


def _labels(scalars: Sums) -> Sums:
    return (*scalars[3:SCALARS], scalars[2])


def _news(
    evidence: WatchEvidence, counts: PodCounts | None, stats: PodStats
) -> tuple[PodCounts | None, list[Counters], int]:
    """The pod's new memory (None: as it was), what it adds, and how much was refused."""
    counts = resumed(counts, stats.started_at, lambda start, ended: PodCounts(start, {}, ended))
    if counts is None:
        return None, [], 1
    known, fresh, refused = dict(counts.counters), [], 0
    for name, cohort in stats.cohorts.items():
        if not _is_mine(evidence, name):
            continue
        now, last = _counters(evidence.revision, stats.revision, cohort), known.get(name, Counters())
        if now == last:
            continue
        grown = _grown(now, last)
        if grown is None:
            refused += 1
            continue
        known[name] = now
        fresh.append(grown)
    return replace(counts, counters=known), fresh, refused


def _counters(revision: str, of: str, cohort: CohortStats) -> Counters:
    """What counts of one pod. Pods of other revisions add labels only."""
    labels = cohort.labels.get(revision) or LabelCounts()
    learnt = (labels.labelled, labels.correct, labels.error, labels.error_2)
    if of != revision:
        return Counters((0.0, 0.0, 0.0, *map(float, learnt), *(0.0,) * LATENCY_BUCKETS))
    served = (cohort.requests, cohort.refused + cohort.failed, cohort.predictions)
    latency = cohort.latency if len(cohort.latency) == LATENCY_BUCKETS else (0,) * LATENCY_BUCKETS
    return Counters(_floats((*served, *learnt, *latency)), _vectors(cohort))


def _floats(values: Iterable[float]) -> Sums:
    return tuple(float(value) for value in values)


def _vectors(cohort: CohortStats) -> Vectors:
    bins, quality = cohort.own_bins, cohort.quality
    if bins is None:
        return Vectors()
    rows: Sums = ()
    if quality is not None and quality.profile_hash == bins.profile_hash:
        rows = _floats((quality.rows, *quality.missing, *quality.unseen, *quality.below, *quality.above))
    found = Vectors(bins.profile_hash, _floats(bins.features), _floats(bins.prediction), rows)
    return found if found.width <= BINS_MAX else Vectors()


def _grown(now: Counters, last: Counters) -> Counters | None:
    """The growth, or None where a counter fell or cannot be."""
    scalars, vectors = _less(now.scalars, last.scalars), now.vectors.since(last.vectors, _less)
    if scalars is None or vectors is None:
        return None
    requests, errors, _, labelled, correct = scalars[:5]
    return Counters(scalars, vectors) if errors <= requests + ROUNDING and correct <= labelled + ROUNDING else None


def _less(now: Sums, last: Sums) -> Sums | None:
    if last and len(now) != len(last):
        return None
    grown = tuple(a - b for a, b in zip(now, last, strict=True)) if last else now
    possible = all(math.isfinite(value) and value >= -ROUNDING for value in grown)
    if not possible or max(now, default=0.0) > COUNTER_MAX or min(now, default=0.0) < 0.0:
        return None
    return tuple(max(0.0, value) for value in grown)
