"""Bins as evidence: what both arms counted on stable's profile, and the candidate on its own.

Pods report cumulative counts per cohort. `absorb` adds the growth of each (pod, start) once, as `evidence.absorb`
does for rates, and bins merge only where they were counted on the very profile that is known to be that arm's.
While a profile has not been read its bins wait in the pods: nothing is lost, and all of it is one block then.

Counts are kept in whole parts of 1/256, so that sums of differences are exact, a restart included. What a bin loses
by that is below 1/512 a pod.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from serin_contract.profile import Profile, profile_hash
from serin_contract.stats import BinCounts, CohortStats, PodStats
from serin_operator.decide.judge import bets, bin_formulas
from serin_operator.decide.judge.bets import Order
from serin_operator.decide.judge.bin_formulas import Floats, Layout
from serin_operator.decide.judge.starts import PodArrays, resumed
from serin_operator.decide.once import once_per_object

Parts = NDArray[np.int64]
"""Counts in parts of 1/PARTS."""
PARTS = 256.0
COUNTER_MAX = 1e12
"""A count above this cannot be."""
DRAIN_SECONDS = 120.0
"""So long after its successor opened a cohort may still grow; then it is closed and its pods are forgotten."""
GUESS_SAMPLES = 30.0
"""What other cohorts showed weighs as so many samples of each arm in a cohort's bets."""

_NUMBERED = re.compile(r"\.(\d{1,9})\.[0-9a-f]+(\.early)?$")
"""Of a cohort's name, what rises with each change of weight."""

OWN, SHARED = "own", "shared"
"""The two tables of a pod: on its own profile, and on stable's. Stable's pods keep only the first: it is both."""


@dataclass(frozen=True)
class Axes:
    """What the bins of one profile mean: its hash, how many bins each feature has, and how the answers are binned."""

    hash: str
    widths: tuple[int, ...]
    """In the profile's order; the last is that of the predictions."""
    classes: int = 0
    """Of the predictions; 0 for a regressor."""

    @cached_property
    def layout(self) -> Layout:
        """Features and then the predictions, as if these were one more feature."""
        return bin_formulas.layout(self.widths)

    @cached_property
    def order(self) -> Order:
        """In which order the bins of each feature rise."""
        return bets.order(self.widths, missing=True, classes=self.classes)


@once_per_object
def axes_of(profile: Profile) -> Axes:
    """The axes on which a pod counts with that profile."""
    widths = (*(feature.bins for feature in profile.features), profile.prediction.bins)
    return Axes(profile_hash(profile), widths, len(profile.prediction.classes))


@dataclass(frozen=True, eq=False)
class CohortBins:
    """One cohort's counts, all features one after the other and the predictions last."""

    opened_at: float
    """Unix time at which it was first seen in an answer."""
    candidate: Floats
    """The candidate's, on stable's profile."""
    stable: Floats
    """Stable's, on its own profile: the same axes."""
    own: Floats
    """The candidate's on its own profile."""
    log_e: Floats
    """Natural log of this cohort's factor of the two-arm e-process, by bet and feature of stable's profile."""
    closed: bool = False
    """It grows no more, and what its pods had counted is forgotten."""

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, CohortBins) or (self.opened_at, self.closed) != (other.opened_at, other.closed):
            return False
        mine, theirs = self._arrays, other._arrays
        return all(np.array_equal(one, another) for one, another in zip(mine, theirs, strict=True))

    @property
    def _arrays(self) -> tuple[Floats, ...]:
        return self.candidate, self.stable, self.own, self.log_e


@dataclass(frozen=True, eq=False)
class PodBins(PodArrays):
    """The bins that were last added of one pod."""

    arrays: Mapping[tuple[str, str], Parts] = field(default_factory=dict)
    """By cohort and table, the counts of this start that were added."""


@dataclass(frozen=True)
class BinEvidence:
    """All bins of one trial, and what was last added of each pod."""

    candidate_axes: Axes | None = None
    """Of the candidate's own profile; None until it was read."""
    stable_axes: Axes | None = None
    cohorts: Mapping[str, CohortBins] = field(default_factory=dict)
    pods: Mapping[str, PodBins] = field(default_factory=dict)
    """By pod UID."""
    strangers: tuple[str, ...] = ()
    """Hashes of profiles on which the candidate's pods bin in place of stable's, as the last answers said."""
    refused: int = 0
    """Counts that could not be true and were left out."""
    lost: bool = False
    """Whether a restart found that bins had been too large to keep: all e-values began at 1 again then."""

    def total(self, arm: str) -> Floats | None:
        """Sums over all cohorts of `candidate`, `stable` or `own`; None where there are none."""
        arrays = [_array(cohort, arm) for cohort in self.cohorts.values()]
        return np.sum(arrays, axis=0) if arrays else None

    @property
    def log_e(self) -> Floats | None:
        """Natural log of the two-arm e-process by feature: the cohorts' factors multiplied."""
        arrays = [cohort.log_e for cohort in self.cohorts.values()]
        return bets.hedged(np.sum(arrays, axis=0)) if arrays else None


NO_BINS = BinEvidence()


def in_order(bins: BinEvidence) -> tuple[CohortBins, ...]:
    """The cohorts as they opened."""
    return tuple(bins.cohorts[name] for name in _ordered(bins))


def _array(cohort: CohortBins, arm: str) -> Floats:
    return {"candidate": cohort.candidate, "stable": cohort.stable, "own": cohort.own}[arm]


@dataclass(frozen=True)
class Arms:
    """Names and profiles of the two revisions of a trial."""

    candidate: str
    stable: str
    profiles: Mapping[str, Profile]
    """By revision name, as far as known."""


def absorb(bins: BinEvidence, arms: Arms, answers: Iterable[PodStats], now: float, *, sticky: bool) -> BinEvidence:
    """Add what the pods counted since they were last asked; the same object where nothing moved.

    Each call is one block of the two-arm e-processes in each cohort, bet with what earlier calls knew. A count that
    fell, or cannot be, adds nothing.

    Args:
        bins: so far.
        arms: whose bins they are.
        answers: of this poll, one per pod, in any order.
        now: Unix time in seconds.
        sticky: whether callers come back in later cohorts, so that earlier ones must not guide a bet.
    """
    if not arms.profiles:
        return bins
    bins = _known(bins, arms)
    pods, news = dict(bins.pods), _News()
    for stats in sorted(answers, key=lambda answer: (answer.pod_uid, answer.started_at)):
        if stats.revision in (arms.candidate, arms.stable):
            memory = _absorb_pod(bins, arms, stats, pods.get(stats.pod_uid), news)
            if memory is not None and (memory.arrays or memory.ended):
                pods[stats.pod_uid] = memory
    cohorts = dict(bins.cohorts)
    for name in sorted(news.added):
        cohorts[name] = _with_block(bins, name, news.added[name], now, sticky=sticky)
    strangers = tuple(sorted(news.strangers)) if news.strangers or news.added else bins.strangers
    refused = bins.refused + news.refused
    grown = _closed(replace(bins, cohorts=cohorts, pods=pods, strangers=strangers, refused=refused), now)
    return bins if grown == bins else grown


@dataclass
class _News:
    """What the answers of one poll add."""

    added: dict[str, dict[str, Parts]] = field(default_factory=dict)
    """By cohort and arm."""
    strangers: set[str] = field(default_factory=set)
    refused: int = 0


def _absorb_pod(bins: BinEvidence, arms: Arms, stats: PodStats, memory: PodBins | None, news: _News) -> PodBins | None:
    """The pod's new memory, its growth added to the news; None where an ended start answers."""
    memory = resumed(memory, stats.started_at, PodBins)
    if memory is None:
        news.refused += 1
        return None
    tables, of_candidate = dict(memory.arrays), stats.revision == arms.candidate
    for name, cohort in stats.cohorts.items():
        if not name.startswith(f"{arms.candidate}.") or _is_closed(bins, name):
            continue
        news.strangers |= _stranger(bins, cohort, of_candidate)
        for table, arm, told, axes in _told(bins, cohort, of_candidate):
            grown = _grown(told, tables.get((name, table)), axes)
            if grown is None:
                news.refused += 1
            elif grown[1].any():
                tables[name, table] = grown[0]
                sums = news.added.setdefault(name, {})
                sums[arm] = sums[arm] + grown[1] if arm in sums else grown[1]
    return replace(memory, arrays=tables)


def _known(bins: BinEvidence, arms: Arms) -> BinEvidence:
    """With the axes of the arms whose profile has been read since; another profile begins anew, at E = 1."""
    found = {name: axes_of(arms.profiles[name]) for name in (arms.candidate, arms.stable) if name in arms.profiles}
    candidate = found.get(arms.candidate, bins.candidate_axes)
    stable = found.get(arms.stable, bins.stable_axes)
    if (candidate, stable) == (bins.candidate_axes, bins.stable_axes):
        return bins
    if any(old not in (None, axes) for old, axes in ((bins.candidate_axes, candidate), (bins.stable_axes, stable))):
        bins = BinEvidence(refused=bins.refused)
    cohorts = {name: _widened(cohort, candidate, stable) for name, cohort in bins.cohorts.items()}
    return replace(bins, candidate_axes=candidate, stable_axes=stable, cohorts=cohorts)


def _widened(cohort: CohortBins, candidate: Axes | None, stable: Axes | None) -> CohortBins:
    """Room for the bins of a profile that has been read since the cohort opened."""
    empty = _empty(cohort.opened_at, candidate, stable)

    def fitting(mine: Floats, zeros: Floats) -> Floats:
        return mine if len(mine) == len(zeros) else zeros

    return CohortBins(
        cohort.opened_at,
        fitting(cohort.candidate, empty.candidate),
        fitting(cohort.stable, empty.stable),
        fitting(cohort.own, empty.own),
        fitting(cohort.log_e, empty.log_e),
        cohort.closed,
    )


def _empty(opened_at: float, candidate: Axes | None, stable: Axes | None) -> CohortBins:
    shared = sum(stable.widths) if stable is not None else 0
    own = sum(candidate.widths) if candidate is not None else 0
    features = len(stable.widths) if stable is not None else 0
    return CohortBins(opened_at, np.zeros(shared), np.zeros(shared), np.zeros(own), np.zeros(bets.BETS * features))


def _is_closed(bins: BinEvidence, name: str) -> bool:
    cohort = bins.cohorts.get(name)
    return cohort is not None and cohort.closed


def _stranger(bins: BinEvidence, cohort: CohortStats, of_candidate: bool) -> set[str]:
    told = cohort.stable_bins
    if not of_candidate or told is None or bins.stable_axes is None or told.profile_hash == bins.stable_axes.hash:
        return set()
    return {told.profile_hash}


def _told(bins: BinEvidence, cohort: CohortStats, of_candidate: bool) -> list[tuple[str, str, BinCounts, Axes]]:
    """The tables that count: which, whose sum they belong to, the counts, and their axes."""
    found: list[tuple[str, str, BinCounts, Axes]] = []
    own, shared = cohort.own_bins, cohort.stable_bins
    if not of_candidate:
        if own is not None and bins.stable_axes is not None and own.profile_hash == bins.stable_axes.hash:
            found.append((OWN, "stable", own, bins.stable_axes))
        return found
    if own is not None and bins.candidate_axes is not None and own.profile_hash == bins.candidate_axes.hash:
        found.append((OWN, "own", own, bins.candidate_axes))
    shared = shared if shared is not None else own  # a candidate with stable's very profile may tell it once
    if shared is not None and bins.stable_axes is not None and shared.profile_hash == bins.stable_axes.hash:
        found.append((SHARED, "candidate", shared, bins.stable_axes))
    return found


def _grown(told: BinCounts, last: Parts | None, axes: Axes) -> tuple[Parts, Parts] | None:
    """The counts and their growth, or None where they fell or cannot be."""
    if (len(told.features), len(told.prediction)) != (sum(axes.widths[:-1]), axes.widths[-1]):
        return None
    values = np.array((*told.features, *told.prediction), dtype=np.float64)
    if not (values.min() >= 0.0 and values.max() <= COUNTER_MAX):  # nor is NaN
        return None
    now = np.rint(values * PARTS).astype(np.int64)
    growth = now if last is None else now - last
    return None if growth.min() < 0 else (now, growth)


def _with_block(bins: BinEvidence, name: str, added: Mapping[str, Parts], now: float, *, sticky: bool) -> CohortBins:
    """The cohort with one more block: the bet is made on what was known before it."""
    before = bins.cohorts.get(name) or _empty(now, bins.candidate_axes, bins.stable_axes)
    grown = {arm: parts / PARTS for arm, parts in added.items()}
    log_e = before.log_e
    if "candidate" in grown and "stable" in grown and bins.stable_axes is not None:
        others = () if sticky else tuple(cohort for other, cohort in bins.cohorts.items() if other != name)
        layout = bins.stable_axes.layout
        log_e = (
            log_e
            + bets.two_arm_log_e(
                grown["candidate"],
                grown["stable"],
                before.candidate + _guess([cohort.candidate for cohort in others], layout),
                before.stable + _guess([cohort.stable for cohort in others], layout),
                layout,
                bins.stable_axes.order,
            ).ravel()
        )
    return replace(
        before,
        candidate=before.candidate + grown.get("candidate", 0.0),
        stable=before.stable + grown.get("stable", 0.0),
        own=before.own + grown.get("own", 0.0),
        log_e=log_e,
    )


def _guess(others: list[Floats], layout: Layout) -> Floats | float:
    """What other cohorts showed, as if seen in a few samples: it spares each cohort the blocks to learn it anew."""
    if not others:
        return 0.0
    whole: Floats = np.sum(others, axis=0)
    n = layout.sums(whole)
    return whole * layout.spread(np.minimum(1.0, GUESS_SAMPLES / np.where(n > 0.0, n, math.inf)))


def _ordered(bins: BinEvidence) -> list[str]:
    return sorted(bins.cohorts, key=lambda name: _order(name, bins.cohorts[name]))


def _order(name: str, cohort: CohortBins) -> tuple[int, bool, float]:
    """By the number in the cohort's name, the time before connections are drawn anew first."""
    found = _NUMBERED.search(name)
    return (int(found[1]), found[2] is None, cohort.opened_at) if found else (0, True, cohort.opened_at)


def _closed(bins: BinEvidence, now: float) -> BinEvidence:
    """With the cohorts closed that have drained, and what their pods had counted forgotten."""
    drained = {
        name
        for name, successor in pairwise(_ordered(bins))
        if not bins.cohorts[name].closed and bins.cohorts[successor].opened_at + DRAIN_SECONDS <= now
    }
    if not drained:
        return bins
    cohorts = {
        name: replace(cohort, closed=True) if name in drained else cohort for name, cohort in bins.cohorts.items()
    }
    pods = {
        uid: replace(pod, arrays={key: parts for key, parts in pod.arrays.items() if key[0] not in drained})
        for uid, pod in bins.pods.items()
    }
    kept = {uid: pod for uid, pod in pods.items() if pod.arrays or pod.ended}
    return replace(bins, cohorts=cohorts, pods=kept)
