"""How a trial ends: promoted, or its traffic taken back, at once and before anything else is written."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Literal

from serin_operator.api.deployment import (
    CandidateStatus,
    GateStatus,
    HistoryEntry,
    LastRollback,
    Phase,
    PreviousStatus,
    Rejection,
    StableStatus,
    WatchStatus,
)
from serin_operator.api.revision import ModelRevisionStatus
from serin_operator.decide import capacity, timestamps
from serin_operator.decide.draft import WAIT_SECONDS, Draft, Situation, begin
from serin_operator.decide.judge import evidence as evidences
from serin_operator.decide.judge.evidence import Evidence
from serin_operator.decide.judge.watched import cohort_name
from serin_operator.decide.plan import RevisionReport
from serin_operator.decide.policy import CUSTOM_PREFIX
from serin_operator.decide.routing import Split

Outcome = Literal["Rejected", "Undecided", "Aborted", "Superseded", "Failed"]
REMEMBERED: tuple[Outcome, ...] = ("Rejected", "Undecided", "Failed")
"""Outcomes after which the same revision is not tried again."""

REJECTIONS_MAX = 50
HISTORY_MAX = 20
_SCALING = "; scaling stable first: "


def end(
    situation: Situation,
    candidate: CandidateStatus,
    outcome: Outcome,
    reason: str,
    sentence: str,
    *,
    gate: str = "",
    gates: tuple[GateStatus, ...] = (),
    evidence: Evidence | None = None,
) -> Draft:
    """Take the candidate's traffic back and record why; the route is written before the status."""
    stable = situation.stable.revision if situation.stable else None
    message = f"{candidate.revision} is {outcome.lower()}: {sentence}"
    ended = candidate.model_copy(
        update={
            "outcome": outcome,
            "weight": capacity.left_to(situation, candidate, None) if stable is not None else 0,
            "cohort": None,
            "shadow_cohort": None,
            "split": None,
            "endpoints_at": None,
            "step_started_at": None,
            "paused_since": None,
        }
    )
    draft = begin(situation, Phase.RollingBack, reason, message)
    draft = replace(
        draft,
        candidate=ended if stable else None,
        gates=gates or draft.gates,
        history=(entry(situation, candidate, outcome, reason), *draft.history)[:HISTORY_MAX],
        reports=(verdict(situation, candidate.revision, outcome, reason, message, evidence),),
        evidence=None,
        retry_after_seconds=WAIT_SECONDS / 8,
    )
    if stable is not None:
        draft = _take_back(situation, draft, ended, stable)
    if outcome in REMEMBERED:
        draft = _remember(situation, draft, candidate, reason, gate or reason, message)
        draft = draft.with_event("Warning", "RolledBack", message, "RollBack")
    else:
        draft = draft.with_event("Normal", f"Trial{outcome}", message, "Abort")
    if ended.weight > 0:
        return draft.with_event("Warning", "ScalingStableFirst", draft.message, "RollBack")
    return draft


def withdraw(situation: Situation, candidate: CandidateStatus) -> Draft:
    """Go on taking back the traffic of an ended trial until the route no longer names it."""
    stable = situation.stable
    assert stable is not None, "a first deployment has no one to take its traffic back to"
    status = situation.seen.status
    message = (status.message or "").partition(_SCALING)[0]
    record = situation.seen.revision(candidate.revision)
    since = record.status.updated_at if record is not None else candidate.trial_started_at
    candidate = candidate.model_copy(update={"weight": capacity.left_to(situation, candidate, since)})
    draft = begin(situation, Phase.RollingBack, str(candidate.outcome), message)
    draft = replace(draft, candidate=candidate, evidence=None, retry_after_seconds=WAIT_SECONDS / 4)
    draft = _take_back(situation, draft, candidate, stable.revision)
    if draft.weights is not None:
        return replace(draft, reports=_touched(situation, candidate.revision))
    if situation.weights.get(candidate.revision, 0) > 0:
        return draft
    if candidate.revision in situation.weights and situation.routing.available:
        clean = situation.routing.set(Split(stable.revision), narrowing=True)
        return replace(draft, weights=clean)
    return replace(draft, candidate=None)


def promote(
    situation: Situation,
    candidate: CandidateStatus,
    gates: tuple[GateStatus, ...],
    evidence: Evidence | None,
    reason: str,
) -> Draft:
    """Trust the candidate: nothing restarts, only the words change."""
    old = situation.stable
    message = f"{candidate.revision} answers all requests"
    reports = [verdict(situation, candidate.revision, "Stable", reason, message, evidence)]
    if old is not None:
        replaced = f"{candidate.revision} took its place"
        reports.append(verdict(situation, old.revision, "Superseded", "Replaced", replaced))
    watch = _watch(situation, candidate, gates)
    draft = begin(situation, Phase.Stable if watch is None else Phase.Watching, reason, message)
    return replace(
        draft,
        stable=StableStatus(
            revision=candidate.revision,
            digest=candidate.digest,
            weight=100,
            runtime=candidate.runtime,
            runtime_reason=candidate.runtime_reason,
        ),
        candidate=None,
        previous=warm(situation, candidate.stable_floor, watched=watch is not None),
        watch=watch,
        gates=gates,
        history=(entry(situation, candidate, "Promoted", reason), *draft.history)[:HISTORY_MAX],
        reports=tuple(reports),
        evidence=None,
        retry_after_seconds=WAIT_SECONDS,
    ).with_event("Normal", "Promoted", message, "Promote")


def _take_back(situation: Situation, draft: Draft, candidate: CandidateStatus, stable: str) -> Draft:
    """0/100 at once; where stable cannot carry all yet, as much as it can, and its missing pods first."""
    left, have = candidate.weight, situation.weights.get(candidate.revision, 0)
    if left > 0:
        ready, needed = situation.seen.ready(stable), capacity.whole(situation, candidate)
        said = f"{stable} has {ready} of {needed} pods ready, and {candidate.revision} keeps {left} % until more are"
        draft = replace(draft, message=f"{draft.message}{_SCALING}{said}")
    if have <= left:
        return draft
    # The probe's rule stays until the candidate leaves the route: what stands between is the split of an
    # introduction, by which a pass that follows a crash knows what happened.
    back = situation.routing.set(Split(stable, candidate.revision, left, probe=candidate.probe), narrowing=True)
    return replace(draft, weights=back)


def _touched(situation: Situation, revision: str) -> tuple[RevisionReport, ...]:
    """The record with the time at which its traffic really ended: its pods stay for a while from there."""
    record = situation.seen.revision(revision)
    if record is None:
        return ()
    return (RevisionReport(revision, record.status.model_copy(update={"updated_at": situation.now_text})),)


def _remember(
    situation: Situation, draft: Draft, candidate: CandidateStatus, reason: str, gate: str, message: str
) -> Draft:
    rejection = Rejection(
        revision=candidate.revision, digest=candidate.digest, reason=reason[:64], time=situation.now_text
    )
    draft = replace(draft, rejected=(rejection, *draft.rejected)[:REJECTIONS_MAX])
    if situation.stable is None:
        return draft
    rollback = LastRollback(
        from_=candidate.revision,
        to=situation.stable.revision,
        gate=gate[:63],
        evidence=message[:1024],
        time=situation.now_text,
    )
    return replace(draft, last_rollback=rollback)


def _watch(situation: Situation, candidate: CandidateStatus, gates: tuple[GateStatus, ...]) -> WatchStatus | None:
    """The watch that begins with a promotion; a first deployment showed nothing that it could be held to."""
    for_seconds = situation.policy.watch.for_seconds
    if situation.stable is None or for_seconds == 0:
        return None
    proven = {
        gate.name: gate.value
        for gate in gates
        if gate.value is not None and math.isfinite(gate.value) and not gate.name.startswith(CUSTOM_PREFIX)
    }
    return WatchStatus(
        revision=candidate.revision,
        since=situation.now_text,
        until=timestamps.text(situation.now + for_seconds),
        cohort=cohort_name(candidate.revision, 1, situation.seen.operator.nonce[:12]),
        proven=proven or None,
    )


def warm(situation: Situation, floor: int | None, *, watched: bool) -> PreviousStatus | None:
    """Stable as the revision that keeps its pods for a while, or None where none does.

    Args:
        situation: this pass's.
        floor: with an autoscaler, the pods that it keeps.
        watched: whether a watch begins, for whose time it then keeps one pod at least.
    """
    stable, policy = situation.stable, situation.policy.watch
    full_seconds = policy.keep_warm_seconds
    last_seconds = policy.warm_seconds if watched else full_seconds
    if stable is None or last_seconds == 0:
        return None
    full_until = timestamps.text(situation.now + full_seconds) if last_seconds > full_seconds else None
    return PreviousStatus(
        revision=stable.revision,
        digest=stable.digest,
        warm_until=timestamps.text(situation.now + last_seconds),
        full_until=full_until,
        floor=floor,
    )


def entry(
    situation: Situation,
    candidate: CandidateStatus | PreviousStatus | StableStatus,
    outcome: Outcome | Literal["Promoted", "Returned", "RolledBack"],
    reason: str,
) -> HistoryEntry:
    """The line of the history."""
    return HistoryEntry(
        revision=candidate.revision,
        digest=candidate.digest,
        outcome=outcome,
        reason=reason[:64],
        time=situation.now_text,
    )


def verdict(
    situation: Situation,
    revision: str,
    outcome: Outcome | Literal["Stable"],
    reason: str,
    message: str,
    evidence: Evidence | None = None,
) -> RevisionReport:
    """What to write on the revision's record; the evidence that it holds stays where none is given."""
    record = situation.seen.revision(revision)
    kept = record.status.evidence if record is not None else None
    return RevisionReport(
        revision,
        ModelRevisionStatus(
            verdict=outcome,
            reason=reason[:64],
            message=message[:4096],
            updated_at=situation.now_text,
            evidence=evidences.dump(evidence) if evidence is not None else kept,
        ),
    )
