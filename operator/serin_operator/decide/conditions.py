"""The conditions of a ModelDeployment. True is always the good answer; reasons are those of phases and gates."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from serin_operator.api.base import Condition
from serin_operator.api.deployment import GateStatus
from serin_operator.decide import artifact, availability, capacity, custom_container, watch
from serin_operator.decide.draft import Draft, Situation
from serin_operator.decide.routing import ReplicasRouting, noun
from serin_operator.decide.trained import traffic_as_trained

WORST_FIRST = ("Fail", "Error", "NoData", "NotYet", "Pass")

Answer = tuple[Literal["True", "False", "Unknown"], str, str]


def conditions(situation: Situation, draft: Draft) -> tuple[Condition, ...]:
    """Every condition, in a fixed order; the time of an answer that has not changed is kept."""
    answers: dict[str, Answer] = {
        "Ready": _ready(situation, draft),
        "Progressing": _progressing(draft),
        "Promoted": _promoted(situation, draft),
        "GatesPassing": _gates_passing(situation, draft),
        "RouteProgrammed": _route_programmed(situation, draft),
        "CapacityAvailable": _capacity_available(situation, draft),
        "ArtifactVerified": _artifact_verified(situation, draft),
    }
    trained = traffic_as_trained(situation, draft)
    if trained is not None:
        answers["TrafficAsTrained"] = trained
    watching = watch.passing(draft, situation.now)
    if watching is not None:
        answers["WatchPassing"] = watching
    seen = situation.seen
    return tuple(
        condition(kind, answer, seen.status.conditions, seen.generation, situation.now_text)
        for kind, answer in answers.items()
    )


def condition(kind: str, answer: Answer, before: tuple[Condition, ...], generation: int, now_text: str) -> Condition:
    """One condition; its lastTransitionTime moves only with its status."""
    status, reason, message = answer
    old = next((known for known in before if known.type == kind), None)
    if old is not None and (old.status, old.reason, old.message, old.observed_generation) == (*answer, generation):
        return old
    return Condition(
        type=kind,
        status=status,
        observed_generation=generation,
        last_transition_time=old.last_transition_time if old and old.status == status else now_text,
        reason=reason,
        message=message,
    )


def _ready(situation: Situation, draft: Draft) -> Answer:
    if draft.stable is None:
        return "False", draft.reason, f"no revision serves yet: {draft.message}"
    stable = draft.stable.revision
    ready, lacks = situation.seen.ready(stable), availability.without_bundle(situation.seen, stable)
    if ready == 0:
        return "False", "NoReadyPod", f"{stable} has no ready pod; {lacks or 'see its Deployment'}"
    return "True", "Serving", f"{stable} serves with {ready} ready pods{f'; {lacks}' if lacks else ''}"


def _progressing(draft: Draft) -> Answer:
    match draft.phase:
        case "Failed" | "Paused" | "Holding" | "RolledBack":
            return "False", draft.reason, draft.message
        case "Stable" | "Watching":
            return "True", "Complete", draft.message
        case _:
            return "True", draft.reason, draft.message


def _promoted(situation: Situation, draft: Draft) -> Answer:
    if draft.stable is not None and draft.stable.revision == situation.target:
        return "True", "Promoted", f"{situation.target} is stable"
    if any(rejection.revision == situation.target for rejection in draft.rejected):
        return "False", "Rejected", f"{situation.target} was rejected and is not tried again"
    return "False", draft.reason, f"{situation.target} is not stable yet: {draft.message}"


def worst(gates: Iterable[GateStatus]) -> GateStatus | None:
    """The gate that matters most now: enforced ones first, and of these the one that is furthest from a Pass."""
    return min(gates, key=lambda gate: (gate.mode != "Enforce", WORST_FIRST.index(gate.verdict)), default=None)


def _gates_passing(situation: Situation, draft: Draft) -> Answer:
    limits = f"; {custom_container.JUDGED_BY}" if custom_container.asked(situation.spec) is not None else ""
    if not situation.policy.names_gates:
        return "True", "NoGates", f"no gate is named in spec.gates, so only availability is judged{limits}"
    enforced = [gate for gate in draft.gates if gate.mode == "Enforce"]
    gate = worst(enforced)
    if gate is not None and gate.verdict != "Pass":
        return "False" if gate.verdict == "Fail" else "Unknown", gate.reason, f"{gate.name}: {gate.message}"
    if not enforced:
        return "Unknown", "NotJudged", f"no trial has been judged yet{limits}"
    return "True", "AllPass", f"every enforced gate passes{limits}"


def _route_programmed(situation: Situation, draft: Draft) -> Answer:
    trouble = situation.routing.trouble()
    if trouble is not None:
        return "False", *trouble
    shortfall = situation.routing.shortfall()
    if shortfall is not None:
        return "Unknown" if situation.seen.rehearsal is None else "False", *shortfall
    if not situation.weights:
        return "Unknown", "NoRoute", f"{noun(situation.routing)} is not set up yet"
    silence = situation.routing.silence()
    if silence is not None:
        return "Unknown", "NoAnswer", silence
    if isinstance(situation.routing, ReplicasRouting):
        return "True", "Selected", situation.routing.sentence()
    candidate = draft.candidate
    if candidate is not None and candidate.split is not None and candidate.split.answer == "Wrong":
        return "False", "SplitWrong", candidate.split.message
    reachable = candidate.reachable if candidate is not None else None
    if candidate is not None and candidate.step >= 0 and reachable is not None and reachable.answer == "CannotTell":
        message = (
            f"every parent has taken the route as it stands, and no probe says whether it works: {reachable.message}"
        )
        return "True", "AcceptedUnprobed", message
    return "True", "Accepted", "every parent has taken the route as it stands"


def _capacity_available(situation: Situation, draft: Draft) -> Answer:
    for pod in situation.seen.pods:
        if pod.unschedulable and not pod.terminating:
            return "False", "Unschedulable", f"no node takes pod {pod.name}: {pod.unschedulable}"
    stable, candidate = draft.stable, draft.candidate
    if stable is None or candidate is None:
        return "True", "Scheduled", "every pod has a node"
    full, pods = capacity.whole(situation, candidate), capacity.of_stable(situation, draft)
    if pods < full:
        return (
            "False",
            "StableReduced",
            f"{stable.revision} has {pods} of {full} pods while {candidate.revision} is on trial, as rollout.surge "
            "asks; a rollback starts the others first",
        )
    if candidate.outcome is not None and candidate.weight > 0:
        ready = situation.seen.ready(stable.revision)
        return "False", "StableReduced", f"{ready} of {full} pods of {stable.revision} are ready to take all back"
    return "True", "Scheduled", "every pod has a node"


def _artifact_verified(situation: Situation, draft: Draft) -> Answer:
    if custom_container.asked(situation.spec) is not None:
        return artifact.of_image(situation.spec)
    if draft.artifact is not None:
        holds, reason, message = draft.artifact
        return "True" if holds else "False", reason, message
    record = situation.seen.revision(situation.target)
    if record is not None:
        _, reason, message = artifact.verified(
            situation.spec.model, f"{record.spec.model.uri} is {record.spec.model.digest}"
        )
        return "True", reason, message
    before = next((known for known in situation.seen.status.conditions if known.type == "ArtifactVerified"), None)
    if before is not None and before.status == "False" and before.observed_generation == situation.seen.generation:
        return "False", before.reason, before.message
    return "Unknown", "ResolvingBundle", f"the bundle at {situation.spec.model.uri} is being checked"
