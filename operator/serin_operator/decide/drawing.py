"""Where numbers of pods split: the checks by which connections come to be drawn as a step wants them."""

from __future__ import annotations

from dataclasses import replace

from serin_operator.api.deployment import Phase
from serin_operator.decide import announcing
from serin_operator.decide.draft import Draft
from serin_operator.decide.routing.replicas import ReplicasRouting
from serin_operator.decide.trial import Trial

_WHO = {"Gateway": "a gateway splits the traffic", "Replicas": "the numbers of pods split the traffic"}


def changes_mode(trial: Trial) -> Draft | None:
    """Another way to split than the one under which the trial has come so far: it begins anew from 0."""
    routing, before = trial.situation.routing, trial.situation.seen.status.weight_mode
    if before in (None, routing.mode) or trial.candidate.step < 0:
        return None
    message = f"{_WHO[routing.mode]} from here on; {trial.candidate.revision} begins at its first step"
    waiting = trial.intent(0, 0, not_ready_since=trial.situation.now_text)
    draft = replace(trial.draft(Phase.Holding, "ModeChanged", message), candidate=waiting)
    if routing.weights and not routing.stands(trial.introduced):
        draft = replace(draft, weights=routing.set(trial.introduced, narrowing=True))
    return draft.with_event("Normal", "ModeChanged", message, "Reconcile")


def mends_service(trial: Trial) -> Draft | None:
    """The Service that callers connect to must not wait for a candidate to get ready."""
    routing = trial.situation.routing
    if not isinstance(routing, ReplicasRouting) or trial.candidate.weight > 0 or routing.stands(trial.introduced):
        return None
    message = f"Service {trial.situation.seen.name} did not lead to {trial.stable} as it should; it is set back"
    back = routing.set(trial.introduced, narrowing=True)
    return replace(trial.draft(Phase.Progressing, "ServiceChanged", message), weights=back)


def waits_for_strangers(trial: Trial) -> Draft | None:
    """A Service of both arms tells no revision from another, so only these two may have pods."""
    routing = trial.situation.routing
    if not isinstance(routing, ReplicasRouting) or trial.route_stands or trial.promoting:
        return None
    strangers = routing.strangers()
    if not strangers:
        return None
    message = f"waiting for the pods of {', '.join(strangers)} to go, or they would get connections too"
    return trial.draft(Phase.Progressing, "WaitingForPods", message)


def draws(trial: Trial) -> Draft | None:
    """The Service selects both arms: count its pods, wait for the nodes, then have every connection drawn anew."""
    routing, candidate = trial.situation.routing, trial.candidate
    if not isinstance(routing, ReplicasRouting) or candidate.cohort is None or candidate.step_started_at is not None:
        return None
    wanted = trial.pods_for(candidate.weight)
    ready, stable_ready = trial.ready, trial.situation.seen.ready(trial.stable)
    if ready != wanted.candidate or stable_ready < wanted.stable:
        message = (
            f"{ready} of {wanted.candidate} pods of {candidate.revision} and {stable_ready} of {wanted.stable} of "
            f"{trial.stable} are ready; {trial.availability.message}"
        )
        return trial.draft(Phase.Progressing, "WaitingForCapacity", message)
    if candidate.endpoints_at is None:
        return _sees_endpoints(trial, routing)
    if not announcing.is_spread(trial.situation, candidate):
        message = "the Service names the pods of both revisions; waiting for the nodes to follow"
        return trial.draft(Phase.Progressing, "ConfirmingEndpoints", message)
    uninformed = announcing.uninformed(trial.situation, candidate, trial.stable)
    if uninformed:
        message = f"telling the pods that connections are drawn anew; waiting for {', '.join(uninformed[:5])}"
        return trial.draft(Phase.Progressing, "DrawingConnections", message)
    if announcing.is_uneven(trial.situation, candidate, trial.stable):
        message = "the pods began to count at different times; all begin anew under another cohort"
        again = trial.intent(candidate.step, candidate.weight, endpoints_at=candidate.endpoints_at)
        return replace(trial.draft(Phase.Progressing, "DrawingConnections", message), candidate=again)
    return None


def _sees_endpoints(trial: Trial, routing: ReplicasRouting) -> Draft:
    if routing.taken is not True:
        message = routing.silence() or "waiting for the EndpointSlices of the Service"
        return trial.draft(Phase.Progressing, "ConfirmingEndpoints", message)
    seen = trial.candidate.model_copy(update={"endpoints_at": trial.situation.now_text})
    message = f"the Service names the pods of both revisions: {portion(trial)}"
    return replace(trial.draft(Phase.Progressing, "ConfirmingEndpoints", message), candidate=seen)


def portion(trial: Trial, weight: int | None = None) -> str:
    """What a weight gives the candidate, in words: its own where none is named."""
    weight = trial.candidate.weight if weight is None else weight
    if trial.situation.routing.mode == "Gateway":
        return f"{weight} % of requests"
    if weight == 100:
        return "all connections"
    pods = trial.pods_for(weight)
    total = pods.stable + pods.candidate
    return f"{pods.candidate} of {total} pods, {100 * pods.candidate / total:.0f} % of connections ({weight} % asked)"
