"""What the load has counted: per revision, from the callers' side, as one document that two processes exchange."""

from __future__ import annotations

import math
from collections import Counter, deque
from dataclasses import dataclass, field

import msgspec

UNANSWERED = "none"
"""Key of the requests that no revision answered: the connection failed, or the gateway itself refused."""

TROUBLES_KEPT = 5
_GROWTH = 1.05
_SMALLEST_SECONDS = 1e-4


class Arm(msgspec.Struct, frozen=True):
    """One revision as its callers saw it."""

    requests: int = 0
    failures: int = 0
    correct: int = 0
    """Answers that equalled the true label, which only the client knows yet."""
    p50_ms: float = 0.0
    """Median time from when a request was due to its whole answer, in milliseconds."""
    p99_ms: float = 0.0
    labels_posted: int = 0
    labels_refused: int = 0
    first_at: float = 0.0
    """Unix time of the first answer, 0 before there is one."""
    last_at: float = 0.0

    @property
    def accuracy(self) -> float | None:
        """Share of right answers, None before the first good one."""
        answered = self.requests - self.failures
        return self.correct / answered if answered else None


class Snapshot(msgspec.Struct, frozen=True):
    """Everything counted since the load began."""

    at: float = 0.0
    """Unix time of this snapshot."""
    seconds: float = 0.0
    ready: bool = False
    """Whether the gateway has answered on both paths, so that requests are sent and counted."""
    requests: int = 0
    failures: int = 0
    in_flight: int = 0
    fresh: int = 0
    """Requests that opened a connection of their own."""
    feedback_posts: int = 0
    feedback_failures: int = 0
    """Posts of labels that got no receipt; a refused label is no failed post."""
    timeouts: int = 0
    """Failures of both kinds for want of an answer in time."""
    late_ms: float = 0.0
    """The longest that a request was sent after it was due: how far the client itself fell behind."""
    cpu_seconds: float = 0.0
    """Processor time of the client's own process."""
    arms: dict[str, Arm] = {}
    troubles: list[str] = []
    """The latest failures in words."""

    @property
    def failed(self) -> int:
        """Requests of both kinds that failed."""
        return self.failures + self.feedback_failures

    def arm(self, revision: str | None) -> Arm:
        """The counts of a revision; zeros for one that has answered nothing."""
        return self.arms.get(revision or UNANSWERED, Arm())


class Durations:
    """A histogram with buckets five percent wide, so that a quantile is off by at most as much."""

    def __init__(self) -> None:
        self._buckets: Counter[int] = Counter()

    def add(self, seconds: float) -> None:
        """Count one duration."""
        self._buckets[max(0, math.ceil(math.log(max(seconds, _SMALLEST_SECONDS) / _SMALLEST_SECONDS, _GROWTH)))] += 1

    def quantile(self, share: float) -> float:
        """The duration in seconds that this share of all stays within; 0 without any."""
        wanted, seen = share * self._buckets.total(), 0
        for bucket in sorted(self._buckets):
            seen += self._buckets[bucket]
            if seen >= wanted:
                return _SMALLEST_SECONDS * _GROWTH**bucket
        return 0.0


@dataclass
class Tally:
    """One revision's counts while they grow."""

    requests: int = 0
    failures: int = 0
    correct: int = 0
    labels_posted: int = 0
    labels_refused: int = 0
    first_at: float = 0.0
    last_at: float = 0.0
    durations: Durations = field(default_factory=Durations)

    def frozen(self) -> Arm:
        """The counts as they stand."""
        return Arm(
            requests=self.requests,
            failures=self.failures,
            correct=self.correct,
            p50_ms=1000 * self.durations.quantile(0.5),
            p99_ms=1000 * self.durations.quantile(0.99),
            labels_posted=self.labels_posted,
            labels_refused=self.labels_refused,
            first_at=self.first_at,
            last_at=self.last_at,
        )


@dataclass
class Counts:
    """All counts of one load while they grow."""

    tallies: dict[str, Tally] = field(default_factory=dict)
    troubles: deque[str] = field(default_factory=lambda: deque(maxlen=TROUBLES_KEPT))
    in_flight: int = 0
    fresh: int = 0
    feedback_posts: int = 0
    feedback_failures: int = 0
    timeouts: int = 0
    late: float = 0.0

    def tally(self, revision: str) -> Tally:
        """The tally of a revision, made at its first use."""
        return self.tallies.setdefault(revision, Tally())

    def answered(self, revision: str, at: float, seconds: float, *, correct: bool) -> None:
        """Count one good answer, given at Unix time `at`."""
        tally = self._request(revision, at)
        tally.correct += correct
        tally.durations.add(seconds)

    def failed(self, revision: str, at: float, why: str) -> None:
        """Count one request that got no good answer."""
        self._request(revision, at).failures += 1
        self.troubles.append(why)

    def snapshot(self, at: float, seconds: float, cpu_seconds: float, *, ready: bool) -> Snapshot:
        """Everything as it stands."""
        arms = {revision: tally.frozen() for revision, tally in self.tallies.items()}
        return Snapshot(
            at=at,
            seconds=seconds,
            ready=ready,
            requests=sum(arm.requests for arm in arms.values()),
            failures=sum(arm.failures for arm in arms.values()),
            in_flight=self.in_flight,
            fresh=self.fresh,
            feedback_posts=self.feedback_posts,
            feedback_failures=self.feedback_failures,
            timeouts=self.timeouts,
            late_ms=1000 * self.late,
            cpu_seconds=cpu_seconds,
            arms=arms,
            troubles=list(self.troubles),
        )

    def _request(self, revision: str, at: float) -> Tally:
        tally = self.tally(revision)
        tally.requests += 1
        tally.first_at = tally.first_at or at
        tally.last_at = at
        return tally
