"""decide: one Observation in, one Plan out. The whole operator's behaviour is this function."""

from __future__ import annotations

from dataclasses import replace

from serin_contract import http
from serin_operator.api.deployment import (
    CandidateStatus,
    ModelDeploymentStatus,
    Phase,
    PreviousStatus,
    StableStatus,
)
from serin_operator.decide import (
    announcing,
    artifact,
    chain,
    custom_container,
    endings,
    first,
    identity,
    policy,
    returning,
    runtimes,
    timestamps,
    watching,
)
from serin_operator.decide.children import children
from serin_operator.decide.conditions import condition, conditions, worst
from serin_operator.decide.draft import WAIT_SECONDS, Draft, Situation, begin
from serin_operator.decide.observation import Observation
from serin_operator.decide.plan import Event, Plan
from serin_operator.decide.routing import Split
from serin_operator.decide.trained import drift_events


def decide(seen: Observation) -> Plan:
    """What to do about one ModelDeployment. Total: every observation has an answer."""
    if seen.spec is None:
        return _invalid(seen)
    situation = Situation(
        seen=seen,
        spec=seen.spec,
        policy=policy.resolve(seen.spec),
        target=identity.revision_name(seen.name, seen.spec),
    )
    return _finish(situation, _turn(situation))


def _turn(situation: Situation) -> Draft:
    stable, candidate = situation.stable, situation.candidate
    if candidate is None:
        look = watching.look(situation)
        if look is None:
            return _at_rest(situation)
        return watching.take_back(look) or watching.accompany(look, _at_rest(situation))
    if candidate.outcome is not None:
        return endings.withdraw(situation, candidate)
    if stable is not None and situation.target == stable.revision:
        sentence = "the spec asks for the stable revision again"
        return endings.end(situation, candidate, "Aborted", "SpecReverted", sentence, evidence=situation.seen.evidence)
    if situation.target != candidate.revision:
        sentence = f"the spec now asks for {situation.target}"
        return endings.end(
            situation, candidate, "Superseded", "SpecChanged", sentence, evidence=situation.seen.evidence
        )
    if stable is None:
        return first.serve(situation, candidate)
    return chain.advance(situation, candidate)


def _at_rest(situation: Situation) -> Draft:
    stable = situation.stable
    if stable is not None and stable.revision == situation.target:
        draft = begin(situation, Phase.Stable, "Promoted", f"{stable.revision} answers all requests")
        return _route_stable(situation, draft, stable)
    back = begin(situation, Phase.Progressing, "ScalingPrevious", "")
    if stable is not None and back.previous is not None and returning.is_possible(situation, back.previous):
        back = returning.give_back(situation, back, back.previous)
        return back if back.reason == "Returned" else _route_stable(situation, back, stable)
    rejection = next((known for known in situation.seen.status.rejected if known.revision == situation.target), None)
    if rejection is None:
        return _route_stable(situation, artifact.prepare(situation), stable)
    keeps = f"{stable.revision} keeps serving" if stable else "nothing serves"
    cause = situation.seen.status.last_rollback
    why = f": {cause.evidence}" if cause is not None and cause.from_ == rejection.revision else ""
    message = (
        f"{rejection.revision} was rejected ({rejection.reason}) at {rejection.time} and is not tried again; "
        f"{keeps}. Change spec.model or spec.serving to try another{why}"
    )
    draft = begin(situation, Phase.RolledBack if stable else Phase.Failed, rejection.reason, message)
    return _route_stable(situation, draft, stable)


def _route_stable(situation: Situation, draft: Draft, stable: StableStatus | None) -> Draft:
    """Outside a trial the route names stable alone."""
    if stable is None or draft.weights is not None:
        return draft
    trouble = situation.routing.trouble() or situation.routing.shortfall()
    if trouble is not None:
        message = f"{draft.message}; {trouble[1]}"
        retry = min(draft.retry_after_seconds or 4 * WAIT_SECONDS, 4 * WAIT_SECONDS)
        draft = replace(draft, message=message, retry_after_seconds=retry)
    alone = Split(stable.revision, cohort=situation.watch.cohort if situation.watch is not None else None)
    if situation.routing.available and not situation.routing.stands(alone):
        return replace(draft, weights=situation.routing.set(alone, narrowing=True))
    return draft


def _finish(situation: Situation, draft: Draft) -> Plan:
    draft = watching.closed(situation, draft)
    owned = children(situation, draft)
    route = (draft.weights,) if draft.weights is not None else ()
    narrowing = draft.weights is not None and draft.weights.narrowing
    waits = [wait for wait in (draft.retry_after_seconds, owned.retry_after_seconds) if wait is not None]
    return Plan(
        status=_status(situation, draft),
        actions=(
            *(route if narrowing else ()),
            *announcing.announcements(situation, draft),
            *owned.first,
            *draft.records,
            *(() if narrowing else route),
            *owned.last,
        ),
        revisions=draft.reports,
        events=(*draft.events, *drift_events(situation, draft), *_no_gates(situation)),
        evidence=draft.evidence,
        watched=draft.watched,
        retry_after_seconds=min(waits) if waits else None,
    )


def _status(situation: Situation, draft: Draft) -> ModelDeploymentStatus:
    seen = situation.seen
    gate = worst(draft.gates)
    return ModelDeploymentStatus(
        observed_generation=seen.generation,
        phase=draft.phase,
        message=draft.message[:32768],
        url=_url(situation),
        conditions=conditions(situation, draft),
        stable=_stable_status(situation, draft),
        candidate=_candidate_status(situation, draft.candidate),
        previous=_previous_status(situation, draft.previous),
        watch=draft.watch,
        gates=draft.gates,
        worst_gate=f"{gate.name}: {gate.verdict}" if gate else None,
        samples=round(gate.samples) if gate and gate.samples is not None else None,
        rejected=draft.rejected,
        last_rollback=draft.last_rollback,
        history=draft.history,
        weight_mode=situation.routing.mode,
    )


def _url(situation: Situation) -> str | None:
    """Where the model answers: by the route's first host name, or by the Service's own where there is no gateway."""
    seen, traffic = situation.seen, situation.spec.traffic
    path = f"/v2/models/{seen.name}" if custom_container.asked(situation.spec) is None else ""
    inside = f"http://{seen.name}.{seen.namespace}.svc:{http.INFERENCE_PORT}{path}"
    if traffic is None:
        return inside
    if traffic.hostnames:
        return f"http://{traffic.hostnames[0]}{path}"
    return seen.status.url if seen.status.url != inside else None


def _stable_status(situation: Situation, draft: Draft) -> StableStatus | None:
    if draft.stable is None:
        return None
    weight = 100 - draft.candidate.weight if draft.candidate is not None else 100
    ready = situation.seen.ready(draft.stable.revision)
    told = runtimes.told(situation.seen, draft.stable.revision)
    return draft.stable.model_copy(update={"weight": weight, "ready_replicas": ready} | told)


def _candidate_status(situation: Situation, candidate: CandidateStatus | None) -> CandidateStatus | None:
    if candidate is None:
        return None
    ready = situation.seen.ready(candidate.revision)
    told = runtimes.told(situation.seen, candidate.revision)
    return candidate.model_copy(update={"ready_replicas": ready} | told)


def _previous_status(situation: Situation, previous: PreviousStatus | None) -> PreviousStatus | None:
    if previous is None:
        return None
    return previous.model_copy(update={"ready_replicas": situation.seen.ready(previous.revision)})


def _no_gates(situation: Situation) -> tuple[Event, ...]:
    """A warning once per generation where nothing but availability is judged."""
    if situation.policy.names_gates or situation.seen.status.observed_generation == situation.seen.generation:
        return ()
    message = "spec.gates names no gate, so a bad model is promoted as long as its pods are available"
    return (Event("Warning", "NoGates", message, "Judge"),)


def _invalid(seen: Observation) -> Plan:
    """Nothing is touched: what serves goes on serving until the spec can be read."""
    now_text = timestamps.text(seen.now)
    message = f"the spec cannot be read and nothing is changed until it can: {seen.spec_error}"
    changed = tuple(
        condition(kind, ("False", "InvalidSpec", message), seen.status.conditions, seen.generation, now_text)
        for kind in ("Progressing", "Promoted")
    )
    kept = tuple(old for old in seen.status.conditions if old.type not in ("Progressing", "Promoted"))
    status = seen.status.model_copy(
        update={
            "observed_generation": seen.generation,
            "phase": Phase.Failed,
            "message": message[:32768],
            "conditions": (*kept, *changed),
        }
    )
    events = (Event("Warning", "InvalidSpec", message, "Parse"),) if seen.status.phase != Phase.Failed else ()
    return Plan(status=status, events=events, evidence=seen.evidence, watched=seen.watched)
