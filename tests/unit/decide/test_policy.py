"""The defaults, which the CRD does not hold, and what counts as a change of policy."""

from __future__ import annotations

from typing import Any

import pytest
from tests.support.builders import a_policy, parsed
from tests.support.world import a_spec

from serin_operator.decide import policy
from serin_operator.decide.policy import AccuracyPolicy, AgreementPolicy, ErrorRatePolicy, StepPolicy

BARE = {key: value for key, value in a_spec().items() if key in ("model", "traffic")}


def test_a_bare_spec_has_the_documented_defaults() -> None:
    bare = policy.resolve(parsed(BARE))
    assert bare.replicas == 1
    assert bare.steps == (StepPolicy(5, 600.0), StepPolicy(25, 600.0), StepPolicy(50, 600.0))
    assert bare.deadline_seconds == 2 * 1800 + 3600, "twice the steps and an hour"
    assert bare.on_deadline == "Pause"
    assert bare.false_rollback_budget == 0.05
    assert bare.gates == ()
    assert bare.revision_history_limit == 10
    assert not bare.paused
    assert bare.shares == {}


def test_a_named_gate_has_the_documented_defaults() -> None:
    named = a_policy(gates={"accuracy": {}, "errorRate": {}})
    assert named.gate(AccuracyPolicy) == AccuracyPolicy("Enforce", None, 0.02, 0.0, 0.8)
    assert named.gate(ErrorRatePolicy) == ErrorRatePolicy("Enforce", 0.01)


def test_what_is_said_is_taken() -> None:
    said = a_policy(
        serving={"replicas": 3},
        rollout={"steps": [{"weight": 7, "for": "1m30s"}], "deadline": "2h", "onDeadline": "RollBack"},
        verdicts={"falseRollbackBudget": 0.2},
        gates={
            "accuracy": {"mode": "Observe", "min": 0, "maxDrop": 0.1, "labelDelay": "5m", "minLabelCoverage": 0},
            "errorRate": {"mode": "Observe", "max": 0.3},
        },
        revisionHistoryLimit=2,
        paused=True,
    )
    assert said.replicas == 3
    assert said.steps == (StepPolicy(7, 90.0),)
    assert (said.deadline_seconds, said.on_deadline) == (7200.0, "RollBack")
    assert said.false_rollback_budget == 0.2
    assert said.gate(AccuracyPolicy) == AccuracyPolicy("Observe", 0.0, 0.1, 300.0, 0.0), (
        "a zero is an answer, not a gap"
    )
    assert said.gate(ErrorRatePolicy) == ErrorRatePolicy("Observe", 0.3)
    assert (said.revision_history_limit, said.paused) == (2, True)


@pytest.mark.parametrize(
    ("sentence", "changes"),
    [
        ("another step", {"rollout": {"steps": [{"weight": 10, "for": "30s"}]}}),
        ("another deadline", {"rollout": a_spec()["rollout"] | {"deadline": "3h"}}),
        ("another end of the deadline", {"rollout": a_spec()["rollout"] | {"onDeadline": "RollBack"}}),
        ("another budget", {"verdicts": {"falseRollbackBudget": 0.1}}),
        ("another limit", {"gates": {"accuracy": {"maxDrop": 0.03}, "errorRate": {}}}),
        ("another answer to drift", {"verdicts": {"onSharedDrift": "Ignore"}}),
        ("a gate less", {"gates": {"accuracy": {}}}),
        ("a gate that only looks on", {"gates": {"accuracy": {"mode": "Observe"}, "errorRate": {}}}),
    ],
)
def test_what_judges_a_trial_changes_its_hash(sentence: str, changes: dict[str, Any]) -> None:
    assert a_policy(**changes).hash != a_policy().hash, sentence


@pytest.mark.parametrize(
    ("sentence", "changes"),
    [
        ("more replicas", {"serving": {"replicas": 5}}),
        ("paused", {"paused": True}),
        ("a watch", {"watch": {"for": "1h"}}),
        ("another history limit", {"revisionHistoryLimit": 3}),
        ("the default written out", {"gates": {"accuracy": {"maxDrop": 0.02}, "errorRate": {"max": 0.01}}}),
    ],
)
def test_what_does_not_judge_keeps_it(sentence: str, changes: dict[str, Any]) -> None:
    assert a_policy(**changes).hash == a_policy().hash, sentence


SHADOW_FIRST = {"steps": [{"shadow": {"percent": 50}, "for": "1m"}, {"weight": 5, "for": "1m"}]}


@pytest.mark.parametrize(
    ("sentence", "changes", "names"),
    [
        ("no gate at all", {"gates": None}, False),
        ("a gate that is only observed is named all the same", {"gates": {"accuracy": {"mode": "Observe"}}}, True),
        ("agreement alone decides", {"gates": {"agreement": {}}, "rollout": SHADOW_FIRST}, True),
        ("what a shadow step shows by itself decides nothing", {"gates": None, "rollout": SHADOW_FIRST}, False),
    ],
)
def test_whether_more_than_availability_is_judged(sentence: str, changes: dict[str, Any], names: bool) -> None:
    assert a_policy(**changes).names_gates == names, sentence


def test_a_shadow_step_shows_agreement_and_a_named_gate_enforces_it() -> None:
    shown = a_policy(gates=None, rollout=SHADOW_FIRST)
    assert shown.gate(AgreementPolicy) == AgreementPolicy("Observe", 0.95, 0.01)
    assert shown.enforced == ()
    named = a_policy(gates={"agreement": {"min": 0.9, "tolerance": 0}}, rollout=SHADOW_FIRST)
    assert named.gate(AgreementPolicy) == AgreementPolicy("Enforce", 0.9, 0.0)
    assert named.steps[0] == StepPolicy(0, 60.0, 50)
