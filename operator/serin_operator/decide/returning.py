"""Back to the revision that was stable before, while it is warm: at once, without a trial, since it has had its own.

Either the spec asks for it again, or a breach in the watch over the one that took its place.
"""

from __future__ import annotations

from dataclasses import replace

from serin_operator.api.deployment import (
    GateStatus,
    LastRollback,
    Phase,
    PreviousStatus,
    Rejection,
    StableStatus,
    WatchStatus,
)
from serin_operator.decide import capacity, endings
from serin_operator.decide.draft import WAIT_SECONDS, Draft, Situation, begin
from serin_operator.decide.judge import watched_saved
from serin_operator.decide.judge.watched import WatchEvidence
from serin_operator.decide.plan import RevisionReport, Splitting
from serin_operator.decide.routing import Split


def give_back(situation: Situation, draft: Draft, previous: PreviousStatus) -> Draft:
    """All traffic in one write, once the previous revision has the pods for it; until then its pods come first."""
    ready, needed = situation.seen.ready(previous.revision), capacity.of_previous(situation, previous)
    if ready < needed:
        message = (
            f"{previous.revision} is asked for again and still warm; {ready} of {needed} pods are ready, "
            "and it answers all requests once all are"
        )
        return replace(
            draft,
            phase=Phase.Progressing,
            reason="ScalingPrevious",
            message=message,
            retry_after_seconds=WAIT_SECONDS / 4,
        )
    return _swapped(situation, replace(draft, weights=_all_to(situation, previous)), previous)


def is_possible(situation: Situation, previous: PreviousStatus) -> bool:
    """Whether the spec asks for the warm revision, and its template is known."""
    return previous.revision == situation.target and situation.seen.revision(previous.revision) is not None


def _swapped(situation: Situation, draft: Draft, previous: PreviousStatus) -> Draft:
    assert situation.stable is not None, "only a promotion leaves a previous revision"
    left = situation.stable.revision
    message = f"{previous.revision} answers all requests again, in place of {left}"
    return replace(
        draft,
        phase=Phase.Stable,
        reason="Returned",
        message=message,
        stable=StableStatus(revision=previous.revision, digest=previous.digest, weight=100),
        previous=endings.warm(situation, capacity.floor_now(situation), watched=False),
        gates=(),
        history=(endings.entry(situation, previous, "Returned", "SpecReturned"), *draft.history)[: endings.HISTORY_MAX],
        reports=(
            endings.verdict(situation, previous.revision, "Stable", "Returned", message),
            endings.verdict(situation, left, "Superseded", "Replaced", f"{previous.revision} took its place again"),
        ),
        retry_after_seconds=WAIT_SECONDS,
    ).with_event("Normal", "Returned", message, "Return")


def is_able(situation: Situation, watch: WatchStatus, previous: PreviousStatus) -> bool:
    """Whether the previous revision can take all traffic at once: it has its pods, or the watched one has none."""
    ready = situation.seen.ready(previous.revision)
    if ready >= capacity.of_previous(situation, previous, returns=True):
        return True
    return ready > 0 and situation.seen.ready(watch.revision) == 0


def roll_back(
    situation: Situation, previous: PreviousStatus, breach: GateStatus, gates: tuple[GateStatus, ...],
    evidence: WatchEvidence,
) -> Draft:  # fmt: skip
    """All traffic in one write, and the watched revision is rejected: it is not tried again."""
    assert situation.stable is not None, "only a promotion leaves a previous revision"
    left = situation.stable
    said = f"{left.revision} is rejected after its promotion, since {breach.name} is breached: {breach.message}"
    message = f"{previous.revision} answers all requests again; {said}"
    rejection = Rejection(
        revision=left.revision, digest=left.digest, reason=breach.reason[:64], time=situation.now_text
    )
    rollback = LastRollback(
        from_=left.revision, to=previous.revision, gate=breach.name, evidence=said[:1024], time=situation.now_text
    )
    draft = begin(situation, Phase.RollingBack, breach.reason, message)
    return replace(
        draft,
        stable=StableStatus(revision=previous.revision, digest=previous.digest, weight=100),
        previous=None,
        gates=gates,
        weights=_all_to(situation, previous),
        rejected=(rejection, *draft.rejected)[: endings.REJECTIONS_MAX],
        last_rollback=rollback,
        history=(endings.entry(situation, left, "RolledBack", breach.reason), *draft.history)[: endings.HISTORY_MAX],
        reports=(
            endings.verdict(situation, previous.revision, "Stable", "RolledBack", f"it took over again: {said}"),
            with_watch(situation, endings.verdict(situation, left.revision, "Rejected", breach.reason, said), evidence),
        ),
        retry_after_seconds=WAIT_SECONDS / 8,
    ).with_event("Warning", "RolledBack", message, "RollBack")


def with_watch(situation: Situation, report: RevisionReport, evidence: WatchEvidence) -> RevisionReport:
    """The report with the watch's evidence beside that of the trial."""
    kept = {**(report.status.evidence or {}), watched_saved.KEY: watched_saved.dump(evidence, situation.now)}
    return RevisionReport(report.name, report.status.model_copy(update={"evidence": kept}))


def _all_to(situation: Situation, previous: PreviousStatus) -> Splitting | None:
    routing, alone = situation.routing, Split(previous.revision)
    return routing.set(alone, narrowing=True) if routing.available and not routing.stands(alone) else None
