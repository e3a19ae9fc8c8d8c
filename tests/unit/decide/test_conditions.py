"""The conditions: True is always the good answer, and times move only with it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tests.support.builders import NOW, NOW_TEXT, a_gate, a_pod, a_record, situated
from tests.support.world import a_spec

from serin_contract.startup import StartupFailure, StartupReason, encode
from serin_operator.api.base import Condition
from serin_operator.api.deployment import ModelDeploymentStatus, Phase, Rejection, StableStatus
from serin_operator.decide.conditions import condition, conditions
from serin_operator.decide.draft import begin
from serin_operator.decide.observation import ContainerEnd, ParentFacts, PodFacts, RouteFacts

TARGET = situated().target
EARLIER = "2027-01-15T07:00:00Z"
SIGNED = a_spec(model={"uri": "pvc://models/wine/1", "signedBy": {"configMapName": "release"}})


def _answers(
    phase: Phase = Phase.Progressing,
    stable: str | None = TARGET,
    gates: tuple[Any, ...] = (),
    spec: dict[str, Any] | None = None,
    draft: dict[str, Any] | None = None,
    **changes: Any,
) -> dict[str, tuple[str, str]]:
    status = ModelDeploymentStatus(stable=StableStatus(revision=stable) if stable else None, gates=gates)
    situation = situated(spec, **({"status": status} | changes))
    drafted = replace(begin(situation, phase, "WhyReason", "why"), **(draft or {}))
    return {known.type: (known.status, known.reason) for known in conditions(situation, drafted)}


def _route(accepted: bool | None) -> RouteFacts:
    return RouteFacts({TARGET: 100}, None, (ParentFacts("public", None, accepted, accepted, "it says so"),))


REJECTED = {"rejected": (Rejection(revision=TARGET, reason="WorseThanStable", time=NOW_TEXT),)}


@pytest.mark.parametrize(
    ("sentence", "kind", "arguments", "answer"),
    [
        ("nothing serves yet", "Ready", {"stable": None}, ("False", "WhyReason")),
        ("stable has no pod", "Ready", {}, ("False", "NoReadyPod")),
        ("stable serves", "Ready", {"ready_endpoints": {TARGET: 1}}, ("True", "Serving")),
        (
            "stable serves through a rollback",
            "Ready",
            {"ready_endpoints": {TARGET: 1}, "phase": Phase.RollingBack},
            ("True", "Serving"),
        ),
        ("a trial goes on", "Progressing", {}, ("True", "WhyReason")),
        ("a rollback goes on", "Progressing", {"phase": Phase.RollingBack}, ("True", "WhyReason")),
        ("all is done", "Progressing", {"phase": Phase.Stable}, ("True", "Complete")),
        ("it holds", "Progressing", {"phase": Phase.Holding}, ("False", "WhyReason")),
        ("it is paused", "Progressing", {"phase": Phase.Paused}, ("False", "WhyReason")),
        ("it failed", "Progressing", {"phase": Phase.Failed}, ("False", "WhyReason")),
        ("it was rolled back", "Progressing", {"phase": Phase.RolledBack}, ("False", "WhyReason")),
        ("what is asked for is stable", "Promoted", {}, ("True", "Promoted")),
        ("it is not yet", "Promoted", {"stable": "wine-1"}, ("False", "WhyReason")),
        ("it is rejected", "Promoted", {"stable": "wine-1", "draft": REJECTED}, ("False", "Rejected")),
        (
            "stable again after it was rejected elsewhere",
            "Promoted",
            {"draft": REJECTED},
            ("True", "Promoted"),
        ),
        (
            "no gate is named",
            "GatesPassing",
            {"spec": {key: value for key, value in a_spec().items() if key != "gates"}},
            ("True", "NoGates"),
        ),
        ("nothing was judged", "GatesPassing", {}, ("Unknown", "NotJudged")),
        ("all pass", "GatesPassing", {"gates": (a_gate(), a_gate("errorRate"))}, ("True", "AllPass")),
        ("one fails", "GatesPassing", {"gates": (a_gate(), a_gate("errorRate", "Fail"))}, ("False", "FailReason")),
        (
            "a failure weighs more than a gap",
            "GatesPassing",
            {"gates": (a_gate(verdict="NoData"), a_gate("errorRate", "Fail"))},
            ("False", "FailReason"),
        ),
        ("no data", "GatesPassing", {"gates": (a_gate(verdict="NoData"),)}, ("Unknown", "NoDataReason")),
        ("not enough", "GatesPassing", {"gates": (a_gate(verdict="NotYet"),)}, ("Unknown", "NotYetReason")),
        (
            "an observed gate does not count",
            "GatesPassing",
            {"gates": (a_gate(verdict="Fail", mode="Observe"), a_gate("errorRate"))},
            ("True", "AllPass"),
        ),
        ("no Gateway API", "RouteProgrammed", {"gateway_api": False}, ("False", "GatewayApiMissing")),
        ("no Gateway", "RouteProgrammed", {"missing_gateways": ("shop/public",)}, ("False", "GatewayMissing")),
        ("no route yet", "RouteProgrammed", {}, ("Unknown", "NoRoute")),
        ("the controller is silent", "RouteProgrammed", {"route": _route(None)}, ("Unknown", "NoAnswer")),
        ("the controller refuses", "RouteProgrammed", {"route": _route(False)}, ("False", "RouteRefused")),
        ("the controller took it", "RouteProgrammed", {"route": _route(True)}, ("True", "Accepted")),
        ("all pods have a node", "CapacityAvailable", {"pods": (a_pod(),)}, ("True", "Scheduled")),
        (
            "a pod has none",
            "CapacityAvailable",
            {"pods": (a_pod(unschedulable="0/3 nodes"),)},
            ("False", "Unschedulable"),
        ),
        (
            "a pod that goes needs none",
            "CapacityAvailable",
            {"pods": (a_pod(unschedulable="0/3 nodes", terminating=True),)},
            ("True", "Scheduled"),
        ),
        ("the bundle is being checked", "ArtifactVerified", {}, ("Unknown", "ResolvingBundle")),
        ("the record says so", "ArtifactVerified", {"revisions": (a_record(TARGET),)}, ("True", "DigestVerified")),
        (
            "so it does of one that had to be signed",
            "ArtifactVerified",
            {"spec": SIGNED, "revisions": (a_record(situated(SIGNED).target),)},
            ("True", "SignatureVerified"),
        ),
        (
            "this pass learnt better",
            "ArtifactVerified",
            {"draft": {"artifact": (False, "BundleMissing", "it is not there")}},
            ("False", "BundleMissing"),
        ),
    ],
)
def test_the_condition_says(sentence: str, kind: str, arguments: dict[str, Any], answer: tuple[str, str]) -> None:
    assert _answers(**arguments)[kind] == answer, sentence


def _end(reason: StartupReason) -> ContainerEnd:
    return ContainerEnd(1, "Error", encode(StartupFailure(reason, "so it says")).decode(), NOW)


AWAY, UNSIGNED = _end(StartupReason.SourceUnavailable), _end(StartupReason.NotSigned)


@pytest.mark.parametrize(
    ("sentence", "pods", "ready", "message"),
    [
        ("all is well", (a_pod(),), 1, f"{TARGET} serves with 1 ready pods"),
        (
            "a further one refuses",
            (a_pod(), a_pod("pod-2", ready=False, last_end=UNSIGNED)),
            1,
            f"{TARGET} serves with 1 ready pods; pod pod-2 refuses its bundle: so it says",
        ),
        (
            "one waits",
            (a_pod(), a_pod("pod-2", ready=False, last_end=AWAY)),
            1,
            f"{TARGET} serves with 1 ready pods; pod pod-2 waits for its bundle: so it says",
        ),
        ("one had to wait, and has it", (a_pod(last_end=AWAY),), 1, f"{TARGET} serves with 1 ready pods"),
        (
            "one that goes is of no interest",
            (a_pod(), a_pod("pod-2", ready=False, terminating=True, last_end=UNSIGNED)),
            1,
            f"{TARGET} serves with 1 ready pods",
        ),
        (
            "none is left",
            (a_pod(ready=False, last_end=AWAY),),
            0,
            f"{TARGET} has no ready pod; pod pod-1 waits for its bundle: so it says",
        ),
        ("none is there", (), 0, f"{TARGET} has no ready pod; see its Deployment"),
    ],
)
def test_stable_says_which_pod_of_it_has_no_bundle(
    sentence: str, pods: tuple[PodFacts, ...], ready: int, message: str
) -> None:
    of_stable = tuple(replace(pod, revision=TARGET) for pod in pods)
    status = ModelDeploymentStatus(stable=StableStatus(revision=TARGET))
    situation = situated(status=status, pods=of_stable, ready_endpoints={TARGET: ready})
    said = conditions(situation, begin(situation, Phase.Stable, "WhyReason", "why"))
    assert next(known.message for known in said if known.type == "Ready") == message, sentence


@pytest.mark.parametrize(
    ("generation", "answer"), [(1, ("False", "DigestMismatch")), (2, ("Unknown", "ResolvingBundle"))]
)
def test_a_refused_bundle_stays_refused_for_the_same_spec_only(generation: int, answer: tuple[str, str]) -> None:
    old = condition("ArtifactVerified", ("False", "DigestMismatch", "another file"), (), 1, EARLIER)
    status = ModelDeploymentStatus(conditions=(old,))
    assert _answers(status=status, stable=None, generation=generation)["ArtifactVerified"] == answer


def test_the_time_moves_only_with_the_status() -> None:
    old = (Condition(type="Ready", status="True", last_transition_time=EARLIER, reason="Serving", message="m"),)
    same = condition("Ready", ("True", "Serving", "with 3 pods"), old, 2, NOW_TEXT)
    assert (same.last_transition_time, same.message, same.observed_generation) == (EARLIER, "with 3 pods", 2)
    other = condition("Ready", ("False", "NoReadyPod", "none"), old, 2, NOW_TEXT)
    assert other.last_transition_time == NOW_TEXT
    assert condition("Promoted", ("True", "Promoted", "m"), old, 2, NOW_TEXT).last_transition_time == NOW_TEXT
