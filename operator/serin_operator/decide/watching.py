"""The watch: after a promotion the gates go on, and a breach that lasts gives the traffic back.

It goes along with whatever a deployment at rest does. It ends with its time, with the trial of a next revision, and
when another revision becomes stable. A pause stops trials; a watch goes on, and may take traffic back as a trial may.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from serin_operator.api.deployment import GateStatus, Phase, PreviousStatus, WatchStatus
from serin_operator.decide import availability, returning, sources, timestamps, watch
from serin_operator.decide.draft import WAIT_SECONDS, Draft, Situation, begin
from serin_operator.decide.judge import watched, watched_saved, watched_verdicts
from serin_operator.decide.judge.watched import WatchEvidence
from serin_operator.decide.judge.watched_look import WatchLook
from serin_operator.decide.plan import RevisionReport
from serin_operator.decide.routing import Split, noun

LOOK_SECONDS = 60.0
"""Between two looks of a watch in which nothing is wrong."""
SOON_SECONDS = 5.0
"""Where a pod is ill: what passes by itself is to be seen, and what does not is to be acted on in time."""
BREACH_SECONDS = 15.0
"""While a breach has not lasted yet: it may pass, and is to be seen passing."""
SAVE_SECONDS = 300.0
"""Between two writes of the evidence."""


@dataclass(frozen=True)
class Look:
    """The watch as this pass sees it."""

    situation: Situation
    status: WatchStatus
    """With what this pass found."""
    evidence: WatchEvidence
    gates: tuple[GateStatus, ...]
    breach: GateStatus | None

    @property
    def previous(self) -> PreviousStatus | None:
        """The revision that could take the traffic back: it has its record, so its pods can be made."""
        previous = self.situation.seen.status.previous
        if previous is None or self.situation.seen.revision(previous.revision) is None:
            return None
        return previous if self.situation.policy.watch.warm_seconds > 0 else None


def look(situation: Situation) -> Look | None:
    """The watch with this observation's answers absorbed and every gate asked; None where nothing is watched."""
    recorded = situation.watch
    if recorded is None:
        return None
    evidence = _absorbed(situation, recorded)
    ails = availability.ails(situation.seen, recorded.revision) is not None
    since = (recorded.not_ready_since or situation.now_text) if ails else None
    gates = (
        availability.judge_watched(situation.seen, recorded.revision, since),
        *_verdicts(situation, recorded, evidence),
    )
    failing = [gate for gate in gates if gate.mode == "Enforce" and gate.verdict == "Fail"]
    breach = next((gate for gate in failing if gate.name == recorded.breach), failing[0] if failing else None)
    known = breach is not None and breach.name == recorded.breach
    status = recorded.model_copy(
        update={
            "not_ready_since": since,
            "breach": breach.name if breach is not None else None,
            "breach_since": (recorded.breach_since if known else situation.now_text) if breach is not None else None,
            "rolling_back": None,
        }
    )
    return _answered(Look(situation, status, evidence, gates, breach))


def _answered(found: Look) -> Look:
    """With the word that the traffic goes back, where the breach lasts and there is someone to take it."""
    situation = found.situation
    goes_back = situation.policy.watch.on_breach == "RollBack" and found.previous is not None
    if not goes_back or not watch.lasts(found.status, situation.now):
        return found
    return replace(found, status=found.status.model_copy(update={"rolling_back": True}))


def _absorbed(situation: Situation, recorded: WatchStatus) -> WatchEvidence:
    seen, nonce = situation.seen, watched.nonce_of(recorded.cohort)
    evidence = seen.watched
    if evidence is None or (evidence.revision, evidence.nonce) != (recorded.revision, nonce):
        evidence = watched.start(recorded.revision, nonce)
    answers = (
        answer.stats
        for answer in seen.stats
        if answer.stats is not None and answer.stats.pod_uid == answer.pod_uid and answer.revision == recorded.revision
    )
    return watched.absorb(evidence, answers, seen.now, {pod.uid for pod in seen.pods})


def _verdicts(situation: Situation, recorded: WatchStatus, evidence: WatchEvidence) -> tuple[GateStatus, ...]:
    seen = situation.seen
    asked = WatchLook(
        evidence=evidence,
        policy=situation.policy,
        proven=recorded.proven or {},
        since=timestamps.seconds(recorded.since),
        now=seen.now,
        now_text=situation.now_text,
        profile=seen.profiles.get(recorded.revision),
        custom={answer.gate: answer for answer in seen.custom},
    )
    verdicts = watched_verdicts.judge(asked, seen.status.gates)
    return sources.overruled(verdicts, seen, (recorded.revision,))


def take_back(found: Look) -> Draft | None:
    """Give the traffic back where a breach lasts: at once if the previous revision can carry it, else its pods first.

    A spec that asks for a third revision is not kept waiting for the previous one's pods: mending by going forward
    is a person's choice.
    """
    situation, previous, breach = found.situation, found.previous, found.breach
    if not found.status.rolling_back or previous is None or breach is None:
        return None
    if returning.is_able(situation, found.status, previous):
        return returning.roll_back(situation, previous, breach, found.gates, found.evidence)
    if situation.target not in (found.status.revision, previous.revision):
        return None
    ready = situation.seen.ready(previous.revision)
    message = (
        f"{breach.name} is breached: {breach.message}; {previous.revision} has {ready} ready pods and answers all "
        "requests again once all of its pods are ready"
    )
    draft = replace(
        begin(situation, Phase.RollingBack, "ScalingPrevious", message), retry_after_seconds=WAIT_SECONDS / 4
    )
    return accompany(found, _on_route(found, draft))


def accompany(found: Look, draft: Draft) -> Draft:
    """What a deployment at rest does, with the watch beside it; a trial that begins and a return end it."""
    status = found.status
    if draft.candidate is not None or draft.stable is None or draft.stable.revision != status.revision:
        return draft
    draft = replace(draft, watch=status, gates=found.gates, watched=found.evidence)
    if draft.phase == Phase.Stable:
        draft = replace(draft, phase=Phase.Watching, reason="Watching", message=_sentence(found, draft))
    waits = BREACH_SECONDS if status.breach is not None else LOOK_SECONDS
    waits = SOON_SECONDS if status.not_ready_since is not None else waits
    draft = replace(draft, retry_after_seconds=min(draft.retry_after_seconds or waits, waits))
    return _told(found, _saved(found, _renewed(found, draft)))


def _sentence(found: Look, draft: Draft) -> str:
    watching = f"{draft.message} and is watched until {found.status.until}"
    if found.breach is None:
        return watching
    if not watch.lasts(found.status, found.situation.now):
        return f"{watching}; {found.breach.name} is breached, and must be so for a minute: {found.breach.message}"
    why = "watch.onBreach is Alert" if found.previous is not None else "no previous revision is left to go back to"
    return f"{watching}; {found.breach.name} is breached and traffic stays, since {why}: {found.breach.message}"


def _on_route(found: Look, draft: Draft) -> Draft:
    """The route as the watch has it, while the previous revision gets its pods."""
    routing, split = found.situation.routing, Split(found.status.revision, cohort=found.status.cohort)
    if not routing.available or routing.stands(split):
        return draft
    return replace(draft, weights=routing.set(split, narrowing=True))


def _renewed(found: Look, draft: Draft) -> Draft:
    """A route that had the watch's cohort and is set anew gets another one, and an event tells of it."""
    situation, status = found.situation, found.status
    route = situation.seen.route
    if draft.weights is None or route is None or route.cohort != status.cohort:
        return draft
    number, nonce = status.cohort_number + 1, watched.nonce_of(status.cohort)
    cohort = watched.cohort_name(status.revision, number, nonce)
    again = status.model_copy(update={"cohort": cohort, "cohort_number": number})
    write = situation.routing.set(Split(status.revision, cohort=cohort), narrowing=True)
    message = f"{noun(situation.routing)} was not as the watch set it; it is set back under another cohort"
    return replace(draft, watch=again, weights=write).with_event("Warning", "RouteChanged", message, "Repair")


def _saved(found: Look, draft: Draft) -> Draft:
    """The evidence is written every few minutes, and as soon as a breach is first seen."""
    situation, revision = found.situation, found.status.revision
    record = situation.seen.revision(revision)
    if record is None or any(report.name == revision for report in draft.reports):
        return draft
    at = watched_saved.written_at(record.status.evidence)
    is_new = found.breach is not None and found.status.breach_since == situation.now_text
    if at is not None and 0.0 <= situation.now - at < SAVE_SECONDS and not is_new:
        return draft
    report = returning.with_watch(situation, RevisionReport(revision, record.status), found.evidence)
    said, known = (_undated(status.evidence) for status in (report.status, record.status))
    if said == known or (at is None and not any(found.evidence.total)):
        return draft
    return replace(draft, reports=(*draft.reports, report))


def _undated(evidence: dict[str, object] | None) -> dict[str, object]:
    saved = (evidence or {}).get(watched_saved.KEY)
    return {key: value for key, value in saved.items() if key != "at"} if isinstance(saved, dict) else {}


def _told(found: Look, draft: Draft) -> Draft:
    """One event when the condition turns bad."""
    said = watch.passing(draft, found.situation.now)
    before = next((known for known in found.situation.seen.status.conditions if known.type == "WatchPassing"), None)
    if said is None or said[0] != "False" or (before is not None and (before.status, before.reason) == said[:2]):
        return draft
    reason = "WatchBreached" if found.breach is not None else "WatchAlert"
    return draft.with_event("Warning", reason, said[2], "Watch")


def closed(situation: Situation, draft: Draft) -> Draft:
    """Where a watch has ended its evidence leaves the record, and an event tells of it; a rollback keeps both."""
    recorded = situation.seen.status.watch
    if recorded is None or draft.watch is not None:
        return draft
    stays = draft.stable is not None and draft.stable.revision == recorded.revision
    if stays:
        ended = f"the watch over {recorded.revision} has ended"
        draft = draft.with_event("Normal", "WatchEnded", ended, "Watch")
    record = situation.seen.revision(recorded.revision)
    if record is None or any(report.name == recorded.revision for report in draft.reports):
        return draft
    if watched_saved.KEY not in (record.status.evidence or {}):
        return draft
    kept = {key: value for key, value in (record.status.evidence or {}).items() if key != watched_saved.KEY}
    status = record.status.model_copy(update={"evidence": kept or None})
    return replace(draft, reports=(*draft.reports, RevisionReport(recorded.revision, status)))
