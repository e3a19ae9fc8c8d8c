"""What this pod has counted since it started, per cohort: the stats document in the making."""

from __future__ import annotations

import re
from bisect import bisect_left
from functools import lru_cache
from typing import Any, NamedTuple

from serin_contract.http import STATS_BYTES_MAX
from serin_contract.stats import (
    COHORTS_KEPT,
    LATENCY_BOUNDS_SECONDS,
    CohortStats,
    MalformedReason,
    PodStats,
    ShadowCounts,
)
from serin_serving.bins import Binner, CohortBins
from serin_serving.layout import Matrix
from serin_serving.model import Answers
from serin_serving.slots import LabelSums, Slots

DROPPED_KEPT = 4096
_BYTES_PER_NUMBER = 20
_BYTES_PER_COHORT = 48 * 1024
"""For all but bins and quality: mostly the slots of two revisions' labels."""
COHORT_CHARS_MAX = 128
_cohort = re.compile(rb"[A-Za-z0-9._-]{1,128}\Z")


def valid_cohort(values: list[bytes]) -> str:
    """The cohort in the header's values; empty where there is none, more than one or a malformed one."""
    return _valid(values[0]) if len(values) == 1 and len(values[0]) <= COHORT_CHARS_MAX else ""


@lru_cache(maxsize=64)
def _valid(value: bytes) -> str:
    return value.decode() if _cohort.match(value) else ""


def cohorts_that_fit(numbers: int) -> int:
    """How many cohorts the stats document has room for: at most COHORTS_KEPT, at least 2.

    The two arms of a trial share a cohort, and the one before it must still be read once.

    Args:
        numbers: that bins and quality of one cohort come to.
    """
    return max(2, min(COHORTS_KEPT, STATS_BYTES_MAX // (_BYTES_PER_NUMBER * numbers + _BYTES_PER_COHORT)))


class Error(NamedTuple):
    """How far the prediction of a regressor was off its label."""

    absolute: float
    """Finite or infinite, never NaN."""
    clip: float
    """What it counts at most."""


class ShadowSums:
    """The shadow traffic of one cohort: ShadowCounts in the making."""

    def __init__(self) -> None:
        self.sent = 0
        self.dropped = 0
        self.received = 0
        self.failed = 0
        self.compared = 0.0
        self.agreed = 0.0

    def snapshot(self) -> ShadowCounts:
        """The sums as they stand."""
        return ShadowCounts(**vars(self))


class _Cohort:
    """The counters of one cohort."""

    def __init__(self, bins: CohortBins) -> None:
        self.newest = 0.0
        self.requests = 0
        self.predictions = 0
        self.rows = 0
        self.refused = 0
        self.failed = 0
        self.callers = 0
        self.repeated = 0
        self.connections = 0
        self.latency = [0] * (len(LATENCY_BOUNDS_SECONDS) + 1)
        self.labels: dict[str, LabelSums] = {}
        self.error_clip: float | None = None
        self.malformed: dict[str, int] = {}
        self.slots = Slots()
        self.shadow: ShadowSums | None = None
        self.bins = bins

    def snapshot(self) -> CohortStats:
        own, stable = self.bins.counts()
        return CohortStats(
            requests=self.requests,
            predictions=float(self.predictions),
            rows=self.rows,
            refused=self.refused,
            failed=self.failed,
            callers=self.callers,
            repeated=self.repeated,
            connections=self.connections,
            latency=list(self.latency),
            labels={revision: sums.snapshot() for revision, sums in self.labels.items()},
            error_clip=self.error_clip,
            slot_seconds=self.slots.seconds,
            slots=self.slots.snapshot(),
            malformed=dict(self.malformed),
            shadow=None if self.shadow is None else self.shadow.snapshot(),
            quality=self.bins.quality(),
            own_bins=own,
            stable_bins=stable,
        )


class Counts:
    """All cohorts of this pod. A dropped cohort never comes back: its counters would start again at zero."""

    def __init__(self, binner: Binner, cohorts_kept: int | None = None) -> None:
        self._binner = binner
        self._kept = cohorts_that_fit(binner.numbers) if cohorts_kept is None else cohorts_kept
        self._cohorts: dict[str, _Cohort] = {}
        self._dropped: dict[str, None] = {}
        self.cohorts_dropped = 0
        self.labels_refused: dict[str, int] = {}

    def answered(
        self,
        name: str,
        status: int,
        seconds: float,
        now: float,
        *,
        told_apart: bool = False,
        malformed: MalformedReason = "other",
    ) -> None:
        """Count one inference request by its outcome; an empty cohort counts nowhere.

        Args:
            name: the cohort.
            status: of the answer.
            seconds: from the request's arrival to its answer.
            now: Unix time in seconds.
            told_apart: whether this is the first request of a caller that is told from others.
            malformed: why it was refused, where it was.
        """
        cohort = self._find(name, now)
        if cohort is None:
            return
        cohort.requests += 1
        cohort.callers += told_apart
        cohort.latency[bisect_left(LATENCY_BOUNDS_SECONDS, seconds)] += 1
        if status >= 500:
            cohort.failed += 1
        elif status >= 400:
            cohort.refused += 1
            cohort.malformed[malformed] = cohort.malformed.get(malformed, 0) + 1

    def repeated(self, name: str, now: float) -> None:
        """Count one further request of a caller, or one of a caller for whom there was no room."""
        cohort = self._find(name, now)
        if cohort is not None:
            cohort.repeated += 1

    def connected(self, name: str, now: float) -> None:
        """Count one connection, at the first request of that cohort on it."""
        cohort = self._find(name, now)
        if cohort is not None:
            cohort.connections += 1

    def predicted(self, name: str, matrix: Matrix, answers: Answers, now: float) -> None:
        """Count the rows of one request that was answered with predictions."""
        cohort = self._find(name, now)
        if cohort is None:
            return
        cohort.predictions += 1
        cohort.rows += len(matrix)
        cohort.slots.at(now).predictions += 1
        cohort.bins.add(matrix, answers)

    def labelled(self, name: str, revision: str, weight: float, outcome: bool | Error, *, predicted_at: float) -> None:
        """Count one label for the revision that predicted it.

        Args:
            name: the cohort of the prediction.
            revision: that predicted.
            weight: 1/m.
            outcome: whether a classifier was right, or how far a regressor was off.
            predicted_at: Unix time in seconds.
        """
        cohort = self._find(name, predicted_at)
        if cohort is None:
            return
        correct, error = False, 0.0
        if isinstance(outcome, Error):
            cohort.error_clip = outcome.clip
            error = min(outcome.absolute, outcome.clip)
        else:
            correct = outcome
        for labels in (cohort.labels, cohort.slots.at(predicted_at).labels):
            sums = labels.get(revision)
            if sums is None:
                sums = labels[revision] = LabelSums()
            sums.add(weight, correct=correct, error=error)

    def shadow(self, name: str, now: float) -> ShadowSums | None:
        """The sums of the shadow traffic under that cohort, to add to; None where it counts nowhere."""
        cohort = self._find(name, now)
        if cohort is None:
            return None
        if cohort.shadow is None:
            cohort.shadow = ShadowSums()
        return cohort.shadow

    def label_refused(self, reason: str) -> None:
        """Count one refused label."""
        self.labels_refused[reason] = self.labels_refused.get(reason, 0) + 1

    def snapshot(self, revision: str, pod_uid: str, started_at: str) -> PodStats:
        """The document as it stands."""
        return PodStats(
            revision=revision,
            pod_uid=pod_uid,
            started_at=started_at,
            cohorts={name: cohort.snapshot() for name, cohort in self._cohorts.items()},
            cohorts_dropped=self.cohorts_dropped,
            labels_refused=dict(self.labels_refused),
        )

    def _find(self, name: str, predicted_at: float) -> _Cohort | None:
        """The counters of a cohort, made at its first sight; None where it counts nowhere."""
        if not name or name in self._dropped:
            return None
        cohort = self._cohorts.get(name)
        if cohort is None:
            cohort = self._cohorts[name] = _Cohort(CohortBins(self._binner))
            cohort.newest = predicted_at
            if len(self._cohorts) > self._kept:
                self._drop_oldest()
                return self._cohorts.get(name)
        elif predicted_at > cohort.newest:
            cohort.newest = predicted_at
        return cohort

    def _drop_oldest(self) -> None:
        # By the newest prediction and not by arrival: a late label must not push a living cohort out.
        def age(item: tuple[str, Any]) -> float:
            newest: float = item[1].newest
            return newest

        oldest, _ = min(self._cohorts.items(), key=age)
        del self._cohorts[oldest]
        self.cohorts_dropped += 1
        self._dropped[oldest] = None
        if len(self._dropped) > DROPPED_KEPT:
            del self._dropped[next(iter(self._dropped))]
