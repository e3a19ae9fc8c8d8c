"""Whether traffic still is what the models were trained on: what the drift gates say of the world, not of a model."""

from __future__ import annotations

from typing import Literal

from serin_operator.api.deployment import GateStatus
from serin_operator.decide.draft import Draft, Situation
from serin_operator.decide.gate_policies import DATA_DRIFT, PREDICTION_DRIFT, SCHEMA
from serin_operator.decide.judge.reasons import SHARED, GateReason
from serin_operator.decide.plan import Event

NAMES = (DATA_DRIFT, PREDICTION_DRIFT, SCHEMA)
MOVED = (*SHARED, GateReason.OffProfile, GateReason.OffProfileBriefly)
"""Reasons of a trial's and of a watch's gates that say it of the world."""
RETRAIN = "retrain on recent data and apply the new bundle, or set verdicts.onSharedDrift"


def traffic_as_trained(
    situation: Situation, draft: Draft
) -> tuple[Literal["True", "False", "Unknown"], str, str] | None:
    """The condition TrafficAsTrained; None where no drift gate is named.

    Nothing is compared outside a trial and a watch, so what one of them said then does not stand for ever.
    """
    if not any(gate.name in NAMES for gate in situation.policy.gates):
        return None
    gates = [gate for gate in draft.gates if gate.name in NAMES]
    if (draft.candidate is None and draft.watch is None) or not gates:
        return "Unknown", "NotJudged", "traffic is compared with the training data during a trial and a watch"
    moved = next((gate for gate in gates if gate.reason in MOVED), None)
    if moved is not None:
        advice = "" if moved.reason == GateReason.SharedDrift else f"; {RETRAIN}"
        return "False", moved.reason, f"{moved.name}: {moved.message}{advice}"
    silent = next((gate for gate in gates if gate.verdict in ("NoData", "Error")), None)
    if silent is not None:
        return "Unknown", silent.reason, f"{silent.name}: {silent.message}"
    return "True", "AsTrained", "nothing shows that traffic has left what the models were trained on"


def drift_events(situation: Situation, draft: Draft) -> tuple[Event, ...]:
    """A warning when a gate begins to see that both arms have left their training data."""
    known = {gate.name for gate in situation.seen.status.gates if _is_shared(gate)}
    return tuple(
        Event("Warning", gate.reason, f"{gate.name}: {gate.message}", "Judge")
        for gate in draft.gates
        if _is_shared(gate) and gate.name not in known
    )


def _is_shared(gate: GateStatus) -> bool:
    return gate.reason in SHARED
