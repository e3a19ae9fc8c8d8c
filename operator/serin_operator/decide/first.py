"""The first deployment: there is nothing to compare with, so it serves as soon as it is warm and self-tested."""

from __future__ import annotations

from dataclasses import replace

from serin_operator.api.deployment import CandidateStatus, GateStatus, Phase
from serin_operator.decide import availability, endings, timestamps
from serin_operator.decide.draft import WAIT_SECONDS, Draft, Situation, begin
from serin_operator.decide.narrowing import WARM_SECONDS_MAX
from serin_operator.decide.routing import Split, noun


def serve(situation: Situation, candidate: CandidateStatus) -> Draft:
    """Bring the first revision to weight 100; Failed stays Failed only as long as its pods do not get ready."""
    gate = availability.judge(situation.seen, candidate)
    draft = _outlook(situation, candidate, gate)
    return replace(draft, gates=draft.gates if draft.candidate is None else (gate,), evidence=None)


def _outlook(situation: Situation, candidate: CandidateStatus, gate: GateStatus) -> Draft:
    seen, policy = situation.seen, situation.policy
    ready = seen.ready(candidate.revision)
    if ready < policy.replicas:
        warm_seconds = timestamps.elapsed(candidate.trial_started_at, situation.now)
        if gate.verdict == "Fail":
            return _failed(situation, gate.reason, gate.message)
        if warm_seconds > WARM_SECONDS_MAX:
            return _failed(situation, "CandidateNeverReady", gate.message)
        message = f"{candidate.revision} warms up: {ready} of {policy.replicas} pods ready; {gate.message}"
        return _waiting(situation, Phase.Pending, "WarmingUp", message)
    routing = situation.routing
    trouble = routing.trouble()
    if trouble is not None:
        return _waiting(situation, Phase.Pending, *trouble)
    split = Split(candidate.revision)
    if not routing.stands(split):
        draft = _waiting(situation, Phase.Pending, "SettingWeights", f"setting up {noun(routing)}")
        return replace(draft, weights=routing.set(split, narrowing=False))
    if routing.taken is not True:
        message = routing.silence() or f"waiting for {noun(routing)} to be taken"
        return _waiting(situation, Phase.Pending, "ConfirmingRoute", message)
    return endings.promote(situation, candidate, (gate,), None, "FirstDeployment")


def _waiting(situation: Situation, phase: Phase, reason: str, message: str) -> Draft:
    draft = begin(situation, phase, reason, message)
    return replace(draft, retry_after_seconds=WAIT_SECONDS / 2)


def _failed(situation: Situation, reason: str, sentence: str) -> Draft:
    message = f"the first revision does not get ready: {sentence}. Correct spec.model or spec.serving"
    draft = replace(begin(situation, Phase.Failed, reason, message), retry_after_seconds=WAIT_SECONDS)
    if situation.seen.status.phase != Phase.Failed:
        draft = draft.with_event("Warning", reason, message, "Serve")
    return draft
