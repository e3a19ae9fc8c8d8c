"""Every gate's defaults, and how the budget is split over the gates that can fail a candidate."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.builders import a_policy

from serin_operator.decide.gate_policies import (
    AccuracyPolicy,
    CustomPolicy,
    DataDriftPolicy,
    LatencyPolicy,
    PredictionDriftPolicy,
    RegressionErrorPolicy,
    SchemaPolicy,
)

BUDGETED: dict[str, dict[str, Any]] = {
    "accuracy": {},
    "dataDrift": {},
    "predictionDrift": {},
    "errorRate": {},
    "latency": {"max": "250ms"},
    "schema": {},
}


def test_a_gate_with_nothing_but_its_name_has_the_documented_defaults() -> None:
    policy = a_policy(gates={**BUDGETED, "custom": [{"name": "revenue", "query": "x", "min": 1}]})
    assert policy.gates[1:3] == (DataDriftPolicy("Enforce", 0.2), PredictionDriftPolicy("Enforce", 0.2))
    assert policy.gate(LatencyPolicy) == LatencyPolicy("Enforce", 0.99, 0.25)
    assert policy.gate(SchemaPolicy) == SchemaPolicy("Enforce", 0.01)
    assert policy.gate(CustomPolicy) == CustomPolicy(
        "custom/revenue", "Enforce", "x", None, None, 1.0, None, interval_seconds=60.0
    )
    numbers = a_policy(gates={"regressionError": {}})
    assert numbers.gate(RegressionErrorPolicy) == RegressionErrorPolicy("Enforce", "mae", 0.05, 0.0, 0.8)
    assert numbers.gate(AccuracyPolicy) is None
    assert numbers.watch.for_seconds == 0.0, "no watch unless it is asked for"


@pytest.mark.parametrize(
    ("sentence", "gates", "shares"),
    [
        ("one gate has it all", {"latency": {"max": "1s"}}, {"latency": 0.05}),
        ("labels hold most", {"accuracy": {}, "errorRate": {}}, {"accuracy": 0.05 * 6 / 7, "errorRate": 0.05 / 7}),
        (
            "drift of many features holds what labels hold, that of one answer a third of it",
            {"accuracy": {}, "dataDrift": {}, "predictionDrift": {}},
            {"accuracy": 0.05 * 6 / 14, "dataDrift": 0.05 * 6 / 14, "predictionDrift": 0.05 * 2 / 14},
        ),
        (
            "an observed gate takes nothing and is shown at what it would have",
            {"accuracy": {}, "errorRate": {"mode": "Observe"}},
            {"accuracy": 0.05, "errorRate": 0.05 / 6},
        ),
        (
            "a custom gate stands outside",
            {"accuracy": {}, "custom": [{"name": "a", "query": "x", "min": 1}]},
            {"accuracy": 0.05},
        ),
    ],
)
def test_the_split_of_the_budget(sentence: str, gates: dict[str, Any], shares: dict[str, float]) -> None:
    assert a_policy(gates=gates).shares == pytest.approx(shares), sentence


@given(st.sets(st.sampled_from(sorted(BUDGETED)), min_size=1), st.sets(st.sampled_from(sorted(BUDGETED))))
def test_what_the_enforced_gates_hold_is_the_whole_budget(named: set[str], observed: set[str]) -> None:
    gates = {name: BUDGETED[name] | ({"mode": "Observe"} if name in observed else {}) for name in named}
    policy = a_policy(gates=gates, verdicts={"falseRollbackBudget": 0.1})
    held = sum(policy.shares[name] for name in policy.enforced)
    assert held == pytest.approx(0.1 if named - observed else 0.0)
    assert all(0.0 < share <= 0.1 for share in policy.shares.values())
