"""What a decision works with: the situation it is in, and the draft of its answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

from serin_operator.api.deployment import (
    CandidateStatus,
    GateStatus,
    HistoryEntry,
    LastRollback,
    ModelDeploymentSpec,
    Phase,
    PreviousStatus,
    Rejection,
    StableStatus,
    WatchStatus,
)
from serin_operator.decide import routing, timestamps
from serin_operator.decide.judge.evidence import Evidence
from serin_operator.decide.judge.watched import WatchEvidence
from serin_operator.decide.observation import Observation
from serin_operator.decide.plan import Action, Event, RevisionReport, Splitting
from serin_operator.decide.policy import Policy
from serin_operator.decide.routing import Routing

WAIT_SECONDS = 2.0


@dataclass(frozen=True)
class Situation:
    """One observation with its spec understood."""

    seen: Observation
    spec: ModelDeploymentSpec
    policy: Policy
    target: str
    """Name of the revision that the spec asks for."""

    @property
    def now(self) -> float:
        """Unix time in seconds."""
        return self.seen.now

    @cached_property
    def now_text(self) -> str:
        """The same as a timestamp of the API."""
        return timestamps.text(self.seen.now)

    @property
    def stable(self) -> StableStatus | None:
        """The revision that is trusted."""
        return self.seen.status.stable

    @property
    def candidate(self) -> CandidateStatus | None:
        """The revision on trial."""
        return self.seen.status.candidate

    @cached_property
    def watch(self) -> WatchStatus | None:
        """The watch as recorded, while it lasts: its time ends it, a trial, and another stable revision.

        A breach that is being answered outlasts its time.
        """
        watch = self.seen.status.watch
        if watch is None or self.candidate is not None or self.policy.watch.for_seconds == 0:
            return None
        if self.stable is None or self.stable.revision != watch.revision:
            return None
        return watch if watch.rolling_back or self.now < timestamps.seconds(watch.until) else None

    @cached_property
    def routing(self) -> Routing:
        """Who splits the traffic, and how it stands."""
        return routing.of(self.seen, self.spec)

    @property
    def weights(self) -> Mapping[str, int]:
        """Percent by revision name as it stands; empty where nothing is set up."""
        return self.routing.weights


@dataclass(frozen=True)
class Draft:
    """The answer in the making. Begins as what the status already says."""

    phase: Phase
    reason: str
    message: str
    stable: StableStatus | None
    candidate: CandidateStatus | None
    previous: PreviousStatus | None = None
    watch: WatchStatus | None = None
    """Set by what watches alone: whatever else goes on ends the watch."""
    gates: tuple[GateStatus, ...] = ()
    rejected: tuple[Rejection, ...] = ()
    history: tuple[HistoryEntry, ...] = ()
    last_rollback: LastRollback | None = None
    weights: Splitting | None = None
    records: tuple[Action, ...] = ()
    """Revision records and resolve pods to make or remove."""
    reports: tuple[RevisionReport, ...] = ()
    events: tuple[Event, ...] = ()
    evidence: Evidence | None = None
    watched: WatchEvidence | None = None
    retry_after_seconds: float | None = None
    artifact: tuple[bool, str, str] | None = None
    """What this pass learnt of the wanted bundle: verified, reason, message."""

    def with_event(self, kind: Literal["Normal", "Warning"], reason: str, message: str, action: str) -> Draft:
        """The draft with one more event."""
        return replace(self, events=(*self.events, Event(kind, reason, message, action)))


def begin(situation: Situation, phase: Phase, reason: str, message: str) -> Draft:
    """A draft that keeps all that the status says but phase, reason and message."""
    status = situation.seen.status
    return Draft(
        phase=phase,
        reason=reason,
        message=message,
        stable=status.stable,
        candidate=status.candidate,
        previous=_still_warm(situation),
        gates=status.gates,
        rejected=status.rejected,
        history=status.history,
        last_rollback=status.last_rollback,
        evidence=situation.seen.evidence,
    )


def _still_warm(situation: Situation) -> PreviousStatus | None:
    previous = situation.seen.status.previous
    if previous is None or situation.policy.watch.warm_seconds == 0:
        return None
    if situation.watch is not None:
        return previous
    # Where the watch has ended early, nothing needs a revision that could not take the traffic at once.
    return previous if situation.now < timestamps.seconds(previous.full_until or previous.warm_until) else None
