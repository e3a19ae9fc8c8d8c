"""One verdict per gate of a watch, from one look."""

from __future__ import annotations

from serin_operator.api.deployment import GateStatus
from serin_operator.decide import gate_policies
from serin_operator.decide.gate_policies import (
    AccuracyPolicy,
    AgreementPolicy,
    CustomPolicy,
    DataDriftPolicy,
    ErrorRatePolicy,
    GatePolicy,
    LatencyPolicy,
    PredictionDriftPolicy,
    RegressionErrorPolicy,
    SchemaPolicy,
)
from serin_operator.decide.judge import sums
from serin_operator.decide.judge.custom import judge_custom
from serin_operator.decide.judge.findings import Finding
from serin_operator.decide.judge.look import Look
from serin_operator.decide.judge.verdicts import statuses
from serin_operator.decide.judge.watched_bins import judge_data_drift, judge_prediction_drift, judge_schema
from serin_operator.decide.judge.watched_look import WatchLook
from serin_operator.decide.judge.watched_rates import (
    judge_accuracy,
    judge_error_rate,
    judge_latency,
    judge_regression_error,
)
from serin_operator.decide.policy import Policy


def gates_of(policy: Policy) -> tuple[GatePolicy, ...]:
    """The gates that go on after a promotion: all but agreement, which needs a shadow."""
    return tuple(gate for gate in policy.gates if not isinstance(gate, AgreementPolicy))


def judge(look: WatchLook, previous: tuple[GateStatus, ...] = ()) -> tuple[GateStatus, ...]:
    """What the gates of the policy say in a watch, in the policy's order.

    Args:
        look: what is known; its own budget and previous status are not used.
        previous: the gates as last reported; `since` is kept while the verdict stays.
    """
    gates = gates_of(look.policy)
    shares = gate_policies.shares(look.policy.watch.false_alarms_per_year, gates)

    def found(gate: GatePolicy, alarms_per_year: float, before: GateStatus | None) -> Finding:
        return _finding(look.of(alarms_per_year, before), gate)

    return statuses(gates, shares, previous, look.now_text, found)


def _finding(look: WatchLook, gate: GatePolicy) -> Finding:
    match gate:
        case AccuracyPolicy():
            return judge_accuracy(look, gate)
        case RegressionErrorPolicy():
            return judge_regression_error(look, gate)
        case DataDriftPolicy():
            return judge_data_drift(look, gate)
        case PredictionDriftPolicy():
            return judge_prediction_drift(look, gate)
        case ErrorRatePolicy():
            return judge_error_rate(look, gate)
        case LatencyPolicy():
            return judge_latency(look, gate)
        case SchemaPolicy():
            return judge_schema(look, gate)
        case CustomPolicy():
            return judge_custom(_as_of_a_trial(look), gate)
        case AgreementPolicy():
            raise NotImplementedError("agreement needs a shadow, and is not asked in a watch")


def _as_of_a_trial(look: WatchLook) -> Look:
    """What a custom gate reads: it compares nothing, so a watch is to it a trial of one cohort."""
    return Look(
        evidence=sums.Evidence(look.evidence.revision, "", {"watch": sums.CohortEvidence(look.since)}),
        policy=look.policy,
        share=0.0,
        cohort="watch",
        now=look.now,
        now_text=look.now_text,
        custom=look.custom,
        previous=look.previous,
    )
