"""The availability gate: a candidate that crashes, refuses to start or is not there fails its trial."""

from __future__ import annotations

from typing import Literal

from serin_contract import startup
from serin_contract.startup import StartupFailure, StartupReason
from serin_operator.api.deployment import CandidateStatus, GateStatus
from serin_operator.decide import timestamps
from serin_operator.decide.judge.reasons import GateReason
from serin_operator.decide.observation import ContainerEnd, Observation, PodFacts
from serin_operator.decide.policy import AVAILABILITY

WARM_RESTARTS_MAX = 3
"""Exits that a candidate may have before it takes traffic; a volume may need a second try to mount."""

NOT_READY_SECONDS_MAX = 60.0
CRASHES = "CrashLoopBackOff"
DIPS_MAX = 3
"""How often a candidate may lose its last ready pod within one trial."""


def judge(seen: Observation, candidate: CandidateStatus) -> GateStatus:
    """Pass, Fail or NotYet, from the candidate's pods alone: it needs no metric."""
    pods = [pod for pod in seen.serving_pods(candidate.revision) if not pod.terminating]
    ready = seen.ready(candidate.revision)
    failure = _failure(seen, candidate, pods)
    if failure is not None:
        verdict, (reason, message) = "Fail", failure
    elif ready == 0:
        verdict, reason, message = "NotYet", GateReason.CandidateNotReady, waiting_sentence(pods)
    else:
        verdict, reason, message = "Pass", GateReason.CandidateReady, f"the candidate's ready pods: {ready}"
    return GateStatus(
        name=AVAILABILITY,
        mode="Enforce",
        verdict=verdict,
        reason=reason.value,
        message=message[:1024],
        samples=float(ready),
    )


def ails(seen: Observation, revision: str) -> tuple[GateReason, str] | None:
    """Reason and sentence of what keeps a revision that answers callers from doing so, or None where nothing does."""
    pods = [pod for pod in seen.serving_pods(revision) if not pod.terminating]
    if seen.ready(revision) == 0:
        return GateReason.RevisionUnavailable, f"{revision} has no ready pod: {waiting_sentence(pods)}"
    for pod in pods:
        if pod.waiting_reason == CRASHES:
            return (
                GateReason.RevisionCrashes,
                f"pod {pod.name} of {revision} crashes again and again; see kubectl logs --previous",
            )
    return None


def judge_watched(seen: Observation, revision: str, not_ready_since: str | None) -> GateStatus:
    """Pass, NotYet or, once it has ailed for NOT_READY_SECONDS_MAX, Fail: of a revision that was promoted."""
    ready, ailment = seen.ready(revision), ails(seen, revision)
    verdict: Literal["Pass", "Fail", "NotYet"] = "Pass"
    reason, message = GateReason.RevisionReady, f"the revision's ready pods: {ready}"
    if ailment is not None:
        reason, message = ailment
        verdict = "Fail" if timestamps.elapsed(not_ready_since, seen.now) >= NOT_READY_SECONDS_MAX else "NotYet"
    return GateStatus(
        name=AVAILABILITY,
        mode="Enforce",
        verdict=verdict,
        reason=reason.value,
        message=message[:1024],
        samples=float(ready),
    )


def waiting_sentence(pods: list[PodFacts]) -> str:
    """Why no pod is ready, in the words of who knows it."""
    for pod in pods:
        if pod.unschedulable:
            return f"no node takes pod {pod.name}: {pod.unschedulable}"
        refusal = _refusal(pod)
        if refusal is not None and refusal.reason is StartupReason.SourceUnavailable:
            return _words(pod, refusal)
        if pod.waiting_reason and pod.waiting_reason not in ("ContainerCreating", "PodInitializing"):
            return f"pod {pod.name} waits, {pod.waiting_reason}: {pod.waiting_message or 'no more is known'}"
    if not pods:
        return "its pods have not been created yet"
    return f"none of its {len(pods)} pods is ready yet"


def without_bundle(seen: Observation, revision: str) -> str | None:
    """Which pod of a revision has come to no bundle, and why; None where none has told so."""
    for pod in seen.serving_pods(revision):
        refusal = _refusal(pod)
        if refusal is not None and not pod.ready and not pod.terminating:
            return _words(pod, refusal)
    return None


def end_sentence(pod: PodFacts, end: ContainerEnd) -> tuple[GateReason, str]:
    """Reason and sentence of a container's end; a refusal of the server speaks for itself."""
    refusal = startup.decode_failure(end.message)
    if refusal is not None:
        return GateReason(refusal.reason.value), _words(pod, refusal)
    last_words = f"; its last words: {end.message.strip()[-300:]}" if end.message.strip() else ""
    return (
        GateReason.CandidateCrashed,
        f"pod {pod.name} ended with exit code {end.exit_code} ({end.reason}){last_words}; see kubectl logs "
        f"--previous {pod.name}",
    )


def _refusal(pod: PodFacts) -> StartupFailure | None:
    return startup.decode_failure(pod.last_end.message) if pod.last_end else None


def _words(pod: PodFacts, refusal: StartupFailure) -> str:
    waits = refusal.reason is StartupReason.SourceUnavailable
    return f"pod {pod.name} {'waits for' if waits else 'refuses'} its bundle: {refusal.message}"


def _failure(seen: Observation, candidate: CandidateStatus, pods: list[PodFacts]) -> tuple[GateReason, str] | None:
    begun = timestamps.seconds(candidate.trial_started_at) if candidate.trial_started_at else 0.0
    for pod in pods:
        end = pod.last_end
        if end is None or end.exit_code == 0 or end.finished_at < begun - 1:
            continue
        refusal = startup.decode_failure(end.message)
        if refusal is not None and refusal.reason is StartupReason.SourceUnavailable:
            # A store that is down says nothing of the candidate; the kubelet starts the fetch again.
            continue
        if refusal is not None or candidate.step >= 0 or pod.restarts >= WARM_RESTARTS_MAX:
            return end_sentence(pod, end)
    if candidate.dips >= DIPS_MAX:
        return (
            GateReason.CandidateUnavailable,
            f"the candidate lost its last ready pod {candidate.dips} times in this trial",
        )
    if timestamps.elapsed(candidate.not_ready_since, seen.now) > NOT_READY_SECONDS_MAX:
        return (
            GateReason.CandidateUnavailable,
            f"the candidate has had no ready pod for {NOT_READY_SECONDS_MAX:.0f} s: {waiting_sentence(pods)}",
        )
    return None
