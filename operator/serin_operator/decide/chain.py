"""One pass over a running trial: a chain of checks, read from the top; the first that speaks decides."""

from __future__ import annotations

from collections.abc import Callable

from serin_operator.api.deployment import CandidateStatus
from serin_operator.decide import drawing, narrowing, shadow, widening
from serin_operator.decide.draft import Draft, Situation
from serin_operator.decide.trial import Trial, judged, with_evidence

Check = Callable[[Trial], Draft | None]

CHECKS: tuple[Check, ...] = (
    narrowing.fails,
    narrowing.never_gets_ready,
    narrowing.runs_out_of_time,
    drawing.changes_mode,
    narrowing.loses_readiness,
    narrowing.finds_route_wider,
    narrowing.recovers_readiness,
    narrowing.changes_policy,
    narrowing.finds_route_changed,
    drawing.mends_service,
    widening.warms,
    widening.is_stopped,
    widening.lacks_route,
    widening.introduces,
    drawing.waits_for_strangers,
    widening.widens,
    drawing.draws,
    shadow.begins,
    widening.confirms,
    widening.finds_split_wrong,
    widening.settles,
    shadow.holds,
    widening.holds,
    widening.steps,
)


def advance(situation: Situation, candidate: CandidateStatus) -> Draft:
    """Bring the trial on by at most one risky action."""
    trial = judged(situation, candidate)
    for check in CHECKS:
        draft = check(trial)
        if draft is not None:
            return with_evidence(trial, draft)
    raise AssertionError("the last check always speaks")
