"""The checks that take traffic away or keep it from growing: they stand before all that widens."""

from __future__ import annotations

from dataclasses import replace

from serin_operator.api import durations
from serin_operator.api.deployment import Phase
from serin_operator.decide import endings, timestamps
from serin_operator.decide.draft import Draft
from serin_operator.decide.policy import AVAILABILITY
from serin_operator.decide.routing import noun
from serin_operator.decide.trial import Trial

WARM_SECONDS_MAX = 600.0
"""How long a candidate may take to get ready, unless the trial's deadline is shorter."""


def fails(trial: Trial) -> Draft | None:
    """A gate that fails takes the traffic back, whatever else holds."""
    for gate in trial.gates:
        if gate.mode == "Enforce" and gate.verdict == "Fail":
            return endings.end(
                trial.situation,
                trial.candidate,
                "Rejected",
                gate.reason,
                gate.message,
                gate=gate.name,
                gates=trial.gates,
                evidence=trial.evidence,
            )
    return None


def never_gets_ready(trial: Trial) -> Draft | None:
    """A candidate that does not get ready in time is given up."""
    if trial.candidate.step >= 0 or trial.ready >= trial.needed or trial.situation.policy.paused:
        return None
    limit = min(WARM_SECONDS_MAX, trial.situation.policy.deadline_seconds)
    if timestamps.elapsed(trial.candidate.trial_started_at, trial.situation.now) < limit:
        return None
    sentence = f"it was not ready after {durations.text(limit)}: {trial.availability.message}"
    return endings.end(
        trial.situation, trial.candidate, "Failed", "CandidateNeverReady", sentence,
        gate=AVAILABILITY, gates=trial.gates, evidence=trial.evidence,
    )  # fmt: skip


def runs_out_of_time(trial: Trial) -> Draft | None:
    """At the deadline an undecided candidate goes back, where the policy says so."""
    if not trial.overdue or trial.promoting or trial.situation.policy.on_deadline != "RollBack":
        return None
    sentence = "the deadline passed before every gate had passed, and rollout.onDeadline is RollBack"
    return endings.end(
        trial.situation, trial.candidate, "Undecided", "DeadlineExceeded", sentence,
        gates=trial.gates, evidence=trial.evidence,
    )  # fmt: skip


def loses_readiness(trial: Trial) -> Draft | None:
    """No ready pod: its callers would get errors, so its weight goes to 0 until it is back."""
    candidate = trial.candidate
    if candidate.step < 0 or trial.ready > 0 or trial.route_weight == 0:
        return None
    lost = trial.intent(candidate.step, 0, not_ready_since=trial.situation.now_text, dips=candidate.dips + 1)
    message = f"{candidate.revision} has no ready pod; its weight is 0 until it has: {trial.availability.message}"
    back = trial.situation.routing.set(trial.introduced, narrowing=True)
    draft = replace(trial.draft(Phase.Holding, "CandidateNotReady", message), candidate=lost, weights=back)
    return draft.with_event("Warning", "CandidateNotReady", message, "Narrow")


def recovers_readiness(trial: Trial) -> Draft | None:
    """Ready again: the step begins anew, under a fresh cohort."""
    candidate, steps = trial.candidate, trial.situation.policy.steps
    if candidate.not_ready_since is None:
        return None
    weight = steps[min(candidate.step, len(steps) - 1)].weight
    if trial.ready < trial.pods_for(weight).candidate:
        message = f"{candidate.revision} has lost its ready pods; its weight is 0 until they are back"
        return trial.draft(Phase.Holding, "CandidateNotReady", message)
    step = min(candidate.step, len(steps) - 1)
    message = f"{candidate.revision} is ready again; step {step + 1} of {len(steps)} begins anew at {weight} %"
    resumed = trial.intent(step, weight, not_ready_since=None)
    return replace(trial.draft(Phase.Progressing, "CandidateReady", message), candidate=resumed)


def changes_policy(trial: Trial) -> Draft | None:
    """Changed gates, steps or budget: a new cohort at the highest step that does not widen."""
    candidate, policy = trial.candidate, trial.situation.policy
    if candidate.policy == policy.hash:
        return None
    changes: dict[str, object] = {
        "policy": policy.hash,
        "shares": policy.shares,
        "deadline_at": timestamps.text(trial.situation.now + policy.deadline_seconds),
    }
    message = "gates, steps or budget have changed; the trial goes on under the new ones"
    draft = trial.draft(Phase.Progressing, "PolicyChanged", message)
    draft = draft.with_event("Normal", "PolicyChanged", message, "Reconcile")
    if candidate.step < 0 or candidate.not_ready_since is not None:
        return replace(draft, candidate=candidate.model_copy(update=changes))
    step = max((i for i, step in enumerate(policy.steps) if step.weight <= candidate.weight), default=0)
    weight = min(candidate.weight, policy.steps[step].weight)
    changed = trial.intent(step, weight, **changes)
    if trial.route_weight > weight:
        narrow = trial.situation.routing.set(trial.split_of(changed), narrowing=True)
        draft = replace(draft, weights=narrow)
    return replace(draft, candidate=changed)


def finds_route_wider(trial: Trial) -> Draft | None:
    """Someone gave the candidate more than is recorded: it goes back at once, whatever else is going on."""
    have, recorded = trial.route_weight, trial.candidate.weight
    if have <= recorded:
        return None
    what = noun(trial.situation.routing)
    message = f"{what} was found at {have} % instead of {recorded} %; it is set back under a new cohort"
    return _repair(trial, message)


def finds_route_changed(trial: Trial) -> Draft | None:
    """Someone else wrote the route. Found narrower, the trial stays there; else it is set as recorded.

    A route that does not even name stable was not narrowed by anyone: it was put back to what its owner once wrote.
    """
    candidate, routing = trial.candidate, trial.situation.routing
    if candidate.step_started_at is None or trial.route_stands or not routing.available:
        return None
    have, recorded = trial.route_weight, candidate.weight
    if routing.stands(trial.introduced):
        return _begins_anew(trial)
    if have < recorded and trial.stable in routing.weights:
        steps = trial.situation.policy.steps
        step = max((i for i, step in enumerate(steps) if step.weight <= have), default=0)
        message = f"{noun(routing)} was found at {have} % instead of {recorded} %; the trial goes on from there"
        draft = trial.draft(Phase.Holding, "RouteChanged", message)
        draft = replace(draft, candidate=trial.intent(step, have))
        return draft.with_event("Warning", "RouteChanged", message, "Narrow")
    return _repair(trial, f"{noun(routing)} was not as recorded; it is set to {recorded} % under a new cohort")


def _begins_anew(trial: Trial) -> Draft:
    """Only Serin takes the cohort off a split route: it narrowed, and died before it could record why."""
    what, revision = noun(trial.situation.routing), trial.candidate.revision
    message = f"{what} was narrowed to 0 % and the reason is lost; {revision} begins at its first step"
    waiting = trial.intent(0, 0, not_ready_since=trial.situation.now_text)
    draft = replace(trial.draft(Phase.Holding, "RouteChanged", message), candidate=waiting)
    return draft.with_event("Warning", "RouteChanged", message, "Narrow")


def _repair(trial: Trial, message: str) -> Draft:
    again = trial.intent(trial.candidate.step, trial.candidate.weight)
    back = trial.situation.routing.set(trial.split_of(again), narrowing=True)
    draft = replace(trial.draft(Phase.Holding, "RouteChanged", message), candidate=again, weights=back)
    return draft.with_event("Warning", "RouteChanged", message, "Repair")
