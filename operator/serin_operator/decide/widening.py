"""The checks that give traffic, each in two passes: the intent to status first, the route in the next pass.

A crash between the two leaves the smaller weight.
"""

from __future__ import annotations

from dataclasses import replace

from serin_operator.api.deployment import GateStatus, Phase
from serin_operator.decide import confirmation, drawing, endings, timestamps
from serin_operator.decide.draft import WAIT_SECONDS, Draft
from serin_operator.decide.judge.reasons import SHARED
from serin_operator.decide.routing import noun
from serin_operator.decide.trial import Trial

SETTLE_SECONDS = 3.0
"""From the route's last change to the word that it is done: requests on their way have been answered by then."""


def warms(trial: Trial) -> Draft | None:
    """No weight before the pods for it are ready."""
    if trial.candidate.step >= 0 or trial.ready >= trial.needed:
        return None
    message = (
        f"{trial.candidate.revision} warms up: {trial.ready} of {trial.needed} pods ready; {trial.availability.message}"
    )
    return trial.draft(Phase.Progressing, "WarmingUp", message)


def is_stopped(trial: Trial) -> Draft | None:
    """Paused by the user or past its deadline: the weight stays, gates go on."""
    if trial.situation.policy.paused:
        message = f"paused at {trial.candidate.weight} %; unset spec.paused to go on"
        return trial.draft(Phase.Paused, "Paused", message)
    if trial.overdue and not trial.promoting:
        undecided = ", ".join(
            f"{gate.name} {gate.verdict}" for gate in trial.gates if gate.mode == "Enforce" and gate.verdict != "Pass"
        )
        message = (
            f"the deadline passed at {trial.candidate.weight} % ({undecided or 'every gate passes'}); change "
            "rollout.deadline to go on, or apply the stable spec to stop"
        )
        return trial.draft(Phase.Paused, "DeadlineExceeded", message)
    return None


def lacks_route(trial: Trial) -> Draft | None:
    """Without a working route there is nothing to split, and nothing more is given on one that falls short."""
    trouble = trial.situation.routing.trouble() or trial.situation.routing.shortfall()
    if trouble is None:
        return None
    reason, message = trouble
    return replace(trial.draft(Phase.Holding, reason, message), retry_after_seconds=WAIT_SECONDS)


def introduces(trial: Trial) -> Draft | None:
    """The candidate enters the route at weight 0, so that the gateway knows it before it counts."""
    if trial.candidate.step >= 0:
        return None
    message = f"{trial.candidate.revision} is ready and enters {noun(trial.situation.routing)} at weight 0"
    draft = trial.draft(Phase.Progressing, "Introducing", message)
    routing = trial.situation.routing
    recorded = trial.situation.candidate
    if recorded is None or recorded.probe != trial.candidate.probe:
        return draft
    if not routing.stands(trial.introduced):
        return replace(draft, weights=routing.set(trial.introduced, narrowing=False))
    if routing.taken is not True:
        return draft
    unreached = _unreached(trial)
    if unreached is not None:
        return unreached
    weight = trial.situation.policy.steps[0].weight
    message = step_sentence(trial, 0)
    draft = replace(draft, candidate=trial.intent(0, weight), reason="StepStarted", message=message)
    reachable = trial.candidate.reachable
    if reachable is not None and reachable.answer == "CannotTell":
        words = reachable.message
        if trial.is_counted:
            words = f"{words}; only the requests of the first step can confirm the route"
        draft = draft.with_event("Warning", "RouteUnprobed", words, "Probe")
    return draft.with_event("Normal", "StepStarted", message, "Widen")


def _unreached(trial: Trial) -> Draft | None:
    """No caller for a candidate that the gateway does not lead to; None where it does, or cannot be asked."""
    said = trial.candidate.reachable
    if not trial.situation.routing.probes:
        return None
    if said is None:
        # Nothing was asked: the time after which it is not waited for begins here.
        said = confirmation.remembered(confirmation.reached(None), None, trial.situation.now_text)
        trial = replace(trial, candidate=trial.candidate.model_copy(update={"reachable": said}))
    waited = timestamps.elapsed(said.since, trial.situation.now)
    if said.answer == "Confirmed" or (said.answer == "CannotTell" and waited >= confirmation.UNPROBED_SECONDS):
        return None
    message = f"waiting until the gateway leads to {trial.candidate.revision}: {said.message}"
    if said.answer == "CannotTell" or waited < confirmation.UNREACHED_SECONDS:
        return trial.draft(Phase.Progressing, "ConfirmingRoute", message)
    message = f"the gateway does not lead to {trial.candidate.revision}, which gets no traffic: {said.message}"
    draft = trial.draft(Phase.Holding, "ConfirmingRoute", message)
    if trial.situation.seen.status.phase == Phase.Holding:
        return draft
    return draft.with_event("Warning", "CandidateUnreached", message, "Probe")


def widens(trial: Trial) -> Draft | None:
    """The route follows the recorded intent once both arms have the pods for it."""
    if trial.route_stands:
        return None
    stable_needed = trial.pods_for(trial.candidate.weight).stable
    stable_ready = trial.situation.seen.ready(trial.stable)
    phase = Phase.Promoting if trial.promoting else Phase.Progressing
    if trial.ready < trial.needed:
        message = f"{trial.ready} of the {trial.needed} pods for {trial.candidate.weight} % are ready"
        return trial.draft(phase, "WaitingForCapacity", f"{message}; {trial.availability.message}")
    if stable_ready < stable_needed and trial.candidate.weight > trial.route_weight:
        needs = "all" if trial.situation.policy.surge_budget is None else "what is left to it"
        ready = f"{stable_ready} of {stable_needed} pods of {trial.stable} are ready"
        message = f"{ready}; it must be able to carry {needs}"
        return trial.draft(phase, "WaitingForStable", message)
    message = f"setting {noun(trial.situation.routing)} to {trial.candidate.weight} %"
    narrowing = trial.candidate.weight <= trial.route_weight
    write = trial.situation.routing.set(trial.split, narrowing=narrowing)
    return replace(trial.draft(phase, "SettingWeights", message), weights=write)


def confirms(trial: Trial) -> Draft | None:
    """The step's clock starts when every parent of the route has taken it."""
    if trial.candidate.step_started_at is not None:
        return None
    phase = Phase.Promoting if trial.promoting else Phase.Progressing
    if trial.situation.routing.taken is not True:
        what = "the gateway to take the new weights" if trial.situation.routing.mode == "Gateway" else "the endpoints"
        return trial.draft(phase, "ConfirmingRoute", f"waiting for {what}")
    started = trial.candidate.model_copy(update={"step_started_at": trial.situation.now_text})
    message = f"{drawing.portion(trial)} go to {trial.candidate.revision}"
    return replace(trial.draft(phase, "RouteConfirmed", message), candidate=started)


def finds_split_wrong(trial: Trial) -> Draft | None:
    """Where callers see another split than status claims, nothing more is given until they see that one."""
    split = trial.candidate.split
    if split is None or split.answer != "Wrong":
        return None
    draft = trial.draft(Phase.Holding, "SplitWrong", f"callers do not see {trial.candidate.weight} %: {split.message}")
    before = trial.situation.seen.status.candidate
    if before is not None and before.split is not None and before.split.answer == "Wrong":
        return draft
    return draft.with_event("Warning", "SplitWrong", draft.message, "Hold")


def settles(trial: Trial) -> Draft | None:
    """At 100 %, wait for the last answers of stable, then promote."""
    if not trial.promoting:
        return None
    if timestamps.elapsed(trial.candidate.step_started_at, trial.situation.now) < SETTLE_SECONDS:
        message = f"{trial.candidate.revision} answers all requests; letting the last ones settle"
        return trial.draft(Phase.Promoting, "Settling", message)
    return endings.promote(trial.situation, trial.candidate, trial.gates, trial.evidence, "AllGatesPassed")


def holds(trial: Trial) -> Draft | None:
    """A step is left only after its time, and only on data: silence neither promotes nor rejects."""
    if trial.shadowing:
        return None
    step = trial.situation.policy.steps[trial.candidate.step]
    left = step.for_seconds - timestamps.elapsed(trial.candidate.step_started_at, trial.situation.now)
    where = f"step {trial.candidate.step + 1} of {len(trial.situation.policy.steps)} at {trial.candidate.weight} %"
    last = trial.candidate.step == len(trial.situation.policy.steps) - 1
    blocking = [gate for gate in trial.gates if gate.mode == "Enforce" and _blocks(gate, last)]
    split = trial.candidate.split
    drifting = next((gate for gate in blocking if gate.reason in SHARED), None)
    if drifting is not None:
        return trial.held(where, drifting)
    if left > 0:
        # The end is named, not the time left: a message that changes every second would be a write every second.
        message = f"{where} until {timestamps.text(round(trial.situation.now + left))} at the earliest"
        if split is not None and split.answer != "Confirmed" and trial.is_counted:
            # Bounded by the step's own time: with few requests the gates say what is missing then.
            return trial.draft(Phase.Progressing, "ConfirmingSplit", f"{message}; the split is not confirmed yet")
        return trial.draft(Phase.Progressing, "StepRunning", message)
    if _lags(trial):
        message = f"{where}, held by the gateway: {split.message if split is not None else ''}"
        return trial.draft(Phase.Holding, "ConfirmingSplit", message)
    if not blocking:
        return None
    return trial.held(where, blocking[0])


def step_sentence(trial: Trial, index: int) -> str:
    """Which step it is, and what it gives the candidate."""
    steps = trial.situation.policy.steps
    step = steps[index]
    share = (
        drawing.portion(trial, step.weight)
        if step.shadow_percent is None
        else f"a copy of {step.shadow_percent} % of requests"
    )
    return f"step {index + 1} of {len(steps)}: {share}"


def _lags(trial: Trial) -> bool:
    """Whether the split is unconfirmed since some requests still go by older weights: few requests hold no step."""
    split = trial.candidate.split
    unconfirmed = split is not None and split.answer == "NotYet"
    return unconfirmed and confirmation.lags(trial.evidence.cohorts.get(trial.candidate.cohort or ""))


def _blocks(gate: GateStatus, last: bool) -> bool:
    """Missing data and a world that has moved hold every step; the last one is left on a Pass alone."""
    shared = gate.reason in SHARED
    return shared or gate.verdict in ("NoData", "Error") or (last and gate.verdict != "Pass")


def steps(trial: Trial) -> Draft:
    """The next step, or everything."""
    steps = trial.situation.policy.steps
    following = trial.candidate.step + 1
    if following < len(steps):
        weight = steps[following].weight
        message = step_sentence(trial, following)
        draft = trial.draft(Phase.Progressing, "StepStarted", message)
        return replace(draft, candidate=trial.intent(following, weight)).with_event(
            "Normal", "StepStarted", message, "Widen"
        )
    message = f"every gate passes; {trial.candidate.revision} is given all requests"
    draft = trial.draft(Phase.Promoting, "AllGatesPassed", message)
    return replace(draft, candidate=trial.intent(following, 100)).with_event("Normal", "Promoting", message, "Widen")
