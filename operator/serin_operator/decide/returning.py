"""Back to the revision that was stable before, while it is warm: at once, without a trial, since it has had its own."""

from __future__ import annotations

from dataclasses import replace

from serin_operator.api.deployment import Phase, PreviousStatus, StableStatus
from serin_operator.decide import capacity, endings
from serin_operator.decide.draft import WAIT_SECONDS, Draft, Situation
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
    routing, alone = situation.routing, Split(previous.revision)
    write = routing.set(alone, narrowing=True) if routing.available and not routing.stands(alone) else None
    return _swapped(situation, replace(draft, weights=write), previous)


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
        previous=endings.warm(situation, capacity.floor_now(situation)),
        gates=(),
        history=(endings.entry(situation, previous, "Returned", "SpecReturned"), *draft.history)[: endings.HISTORY_MAX],
        reports=(
            endings.verdict(situation, previous.revision, "Stable", "Returned", message),
            endings.verdict(situation, left, "Superseded", "Replaced", f"{previous.revision} took its place again"),
        ),
        retry_after_seconds=WAIT_SECONDS,
    ).with_event("Normal", "Returned", message, "Return")
