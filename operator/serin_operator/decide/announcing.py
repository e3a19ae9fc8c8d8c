"""What each serving pod should have been told, against what its stats say it holds.

A gateway stamps the cohort and moves the split with the next request. Where there is none, the pods are told the
cohort, and asked to let connections be made anew: kube-proxy draws a pod for each connection and leaves it there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from serin_contract.announcements import Announced, Announcement, ShadowOrder
from serin_operator.api.deployment import CandidateStatus
from serin_operator.decide import shadow, timestamps
from serin_operator.decide.draft import Draft, Situation
from serin_operator.decide.observation import PodFacts
from serin_operator.decide.plan import Announce

NO_COHORT = ""
"""Counted in none, whatever header a request brings: without a gateway nobody takes a caller's own header off."""

SPREAD_SECONDS = 2.0
"""From the Service's endpoints to the rules of every node: kube-proxy writes them at most once a second by default.
A connection that is made anew before may still be led by the old ones."""

EARLY = ".early"
"""Ends the cohort of the time until connections are drawn anew. What comes then counts for the gates, since a
candidate that fails must show it with its first answer; it says nothing of the split."""

UNEVEN_SECONDS = 0.5
"""Pods that are told in one pass are told at once; longer apart, one of them has taken it at a later look."""

REDRAW_SECONDS = 10.0
"""Where a pod joins a split in mid-step, connections to the others are drawn anew, but not more often than this."""

Held = Mapping[str, Announced | None]
"""By UID, of the pods whose stats could be read."""


@dataclass(frozen=True)
class _Wish:
    """What one pod should hold. Each part comes from who knows of it."""

    cohort: str | None
    refuse_connections: bool
    shadow: ShadowOrder | None
    draws: bool = False
    """Whether connections are to be drawn anew under this cohort."""

    def is_held(self, held: Announced | None) -> bool:
        """Whether nothing has to be said."""
        known = (held.cohort, held.refuse_connections) if held is not None else (None, False)
        return known == (self.cohort, self.refuse_connections) and shadow.sends(held, self.shadow)


def announcements(situation: Situation, draft: Draft) -> tuple[Announce, ...]:
    """One for each pod of both arms that does not hold what it should; none for a pod that cannot be read.

    They belong after what narrows and never stand in a pass that widens: what they tell rests on what stands.
    """
    held = situation.seen.announced
    if situation.candidate is None:
        return tuple(_of_watch(situation, draft, held))
    wishes = {pod.uid: (pod, _wish(situation, draft, pod, held[pod.uid])) for pod in _told(situation, held)}
    joins = any(_is_joining(wish, held[uid]) for uid, (_, wish) in wishes.items())
    return tuple(
        _announce(situation, pod, wish, held[uid])
        for uid, (pod, wish) in wishes.items()
        if not wish.is_held(held[uid]) or (joins and _may_redraw(situation, wish, held[uid]))
    )


def _of_watch(situation: Situation, draft: Draft, held: Held) -> Iterator[Announce]:
    """Without a gateway the pods of a watched revision are told its cohort, and that it is over."""
    recorded = situation.seen.status.watch
    if situation.routing.mode == "Gateway" or recorded is None:
        return
    wish = _Wish(draft.watch.cohort if draft.watch is not None else NO_COHORT, False, None)
    for pod in situation.seen.serving_pods(recorded.revision):
        if pod.uid in held and pod.origin is not None and not pod.terminating and not wish.is_held(held[pod.uid]):
            yield _announce(situation, pod, wish, held[pod.uid])


def uninformed(situation: Situation, candidate: CandidateStatus, stable: str) -> tuple[str, ...]:
    """Names of ready pods of both arms that do not say that they count in the candidate's cohort, where they can."""
    held = situation.seen.announced
    pods = (*situation.seen.ready_pods(stable), *situation.seen.ready_pods(candidate.revision))
    return tuple(
        pod.name
        for pod in pods
        if pod.counts
        and ((said := held.get(pod.uid)) is None or said.cohort != candidate.cohort or said.refuse_connections)
    )


def is_uneven(situation: Situation, candidate: CandidateStatus, stable: str) -> bool:
    """Whether pods that count in one cohort began at different times, so that their sums tell nothing of the split."""
    held = situation.seen.announced
    pods = (*situation.seen.serving_pods(stable), *situation.seen.serving_pods(candidate.revision))
    told = [said.sequence for pod in pods if (said := held.get(pod.uid)) is not None and not pod.terminating]
    return bool(told) and max(told) - min(told) > 1000 * UNEVEN_SECONDS


def _told(situation: Situation, held: Held) -> Iterator[PodFacts]:
    """Pods of both arms that run and answer; the arms are those of status, since a draft may end the trial."""
    stable, candidate = situation.stable, situation.candidate
    if stable is None or candidate is None:
        return
    for revision in (stable.revision, candidate.revision):
        for pod in situation.seen.serving_pods(revision):
            if pod.uid in held and pod.origin is not None and not pod.terminating:
                yield pod


def _wish(situation: Situation, draft: Draft, pod: PodFacts, held: Announced | None) -> _Wish:
    assert situation.stable is not None, "asked of a trial only"
    is_stable = pod.revision == situation.stable.revision
    order = shadow.order(situation, draft.candidate, held) if is_stable else None
    if situation.routing.mode == "Gateway":
        return _Wish(None, False, order)
    cohort = _cohort(situation, draft, held)
    draws = draft.candidate is not None and bool(cohort) and cohort == draft.candidate.cohort
    return _Wish(cohort, _is_left(situation, draft, pod), order, draws)


def _cohort(situation: Situation, draft: Draft, held: Announced | None) -> str | None:
    """That of the split which status records; until the intent is recorded the pod goes on as it is."""
    recorded, drafted = situation.candidate, draft.candidate
    assert recorded is not None, "asked of a trial only"
    ongoing = held.cohort if held is not None else None
    if drafted is None or recorded.step < 0:
        return ongoing
    if drafted.cohort is None:
        splits = 0 < _weights(situation, draft).get(recorded.revision, 0) < 100
        return ongoing if splits else NO_COHORT
    if drafted.cohort != recorded.cohort:
        return ongoing
    return drafted.cohort if is_spread(situation, recorded) else drafted.cohort + EARLY


def is_spread(situation: Situation, candidate: CandidateStatus) -> bool:
    """Whether every node leads connections by the split that status records."""
    return candidate.endpoints_at is not None and (
        timestamps.elapsed(candidate.endpoints_at, situation.now) >= SPREAD_SECONDS
    )


def _is_left(situation: Situation, draft: Draft, pod: PodFacts) -> bool:
    """Whether the Service has led to the pod before and does no more: whoever is connected to it should go."""
    recorded = situation.candidate
    assert recorded is not None, "asked of a trial only"
    begun = recorded.step >= 0 and recorded.shadow_cohort is None
    weights = _weights(situation, draft)
    return begun and bool(weights) and weights.get(pod.revision, 0) == 0


def _weights(situation: Situation, draft: Draft) -> Mapping[str, int]:
    """As they stand when the pods are told: after what narrows."""
    narrows = draft.weights is not None and draft.weights.narrowing
    return draft.weights.weights if narrows and draft.weights is not None else situation.weights


def _is_joining(wish: _Wish, held: Announced | None) -> bool:
    return wish.draws and (held is None or held.cohort != wish.cohort)


def _may_redraw(situation: Situation, wish: _Wish, held: Announced | None) -> bool:
    """A sequence is a time in milliseconds, so it tells when the pod was last told anything.

    Before the step's clock runs it must go on telling when the pod began to count.
    """
    if situation.candidate is None or situation.candidate.step_started_at is None:
        return False
    return wish.draws and held is not None and situation.now - held.sequence / 1000 >= REDRAW_SECONDS


def _announce(situation: Situation, pod: PodFacts, wish: _Wish, held: Announced | None) -> Announce:
    assert pod.origin is not None, "only a pod with an address can have been read"
    sequence = int(situation.now * 1000)
    # Above what the pod holds even where the clock of an earlier operator was ahead of ours.
    sequence = max(sequence, held.sequence + 1) if held is not None else sequence
    renews = wish.draws and (held is None or shadow.sends(held, wish.shadow) or held.cohort != wish.cohort)
    return Announce(
        pod.uid,
        pod.origin,
        Announcement(
            pod_uid=pod.uid,
            sequence=sequence,
            cohort=wish.cohort,
            reconnect=renews,
            refuse_connections=wish.refuse_connections,
            shadow=wish.shadow,
        ),
    )
