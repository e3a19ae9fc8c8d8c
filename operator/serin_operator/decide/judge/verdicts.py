"""One verdict per gate of the spec, from one look."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from serin_operator.api.deployment import GateStatus
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
from serin_operator.decide.judge.accuracy import judge_accuracy
from serin_operator.decide.judge.agreement import judge_agreement
from serin_operator.decide.judge.custom import judge_custom
from serin_operator.decide.judge.drift import judge_data_drift, judge_prediction_drift
from serin_operator.decide.judge.findings import Finding
from serin_operator.decide.judge.latency import judge_latency
from serin_operator.decide.judge.look import Look
from serin_operator.decide.judge.quality import judge_schema
from serin_operator.decide.judge.rates import judge_error_rate
from serin_operator.decide.judge.regression import judge_regression_error


def judge(look: Look, shares: Mapping[str, float], previous: tuple[GateStatus, ...] = ()) -> tuple[GateStatus, ...]:
    """What the gates of the policy say, in the policy's order.

    A gate that is missing in `shares` came after the trial began and holds none of its budget: it cannot fail
    the candidate, and still has to pass it.

    Args:
        look: what is known; its own share and previous status are not used.
        shares: share of falseRollbackBudget by gate, as fixed when the trial began.
        previous: the gates as last reported; `since` is kept while the verdict stays.
    """

    def found(gate: GatePolicy, share: float, before: GateStatus | None) -> Finding:
        return _finding(look.of(share, before), gate)

    return statuses(look.policy.gates, shares, previous, look.now_text, found)


def statuses(
    gates: Iterable[GatePolicy],
    shares: Mapping[str, float],
    previous: Iterable[GateStatus],
    now_text: str,
    finding_of: Callable[[GatePolicy, float, GateStatus | None], Finding],
) -> tuple[GateStatus, ...]:
    """What each gate says, as the API shows it.

    Args:
        gates: in the order in which they are shown.
        shares: part of the budget by gate; 0 for one that is not there.
        previous: the gates as last reported; `since` is kept while the verdict stays.
        now_text: `since` of a new verdict.
        finding_of: asks one gate, with its part and what it said last.
    """
    known = {gate.name: gate for gate in previous}
    said: list[GateStatus] = []
    for gate in gates:
        before = known.get(gate.name)
        finding = finding_of(gate, shares.get(gate.name, 0.0), before)
        since = before.since if before is not None and before.verdict == finding.verdict else None
        said.append(_status(gate, finding, since or now_text))
    return tuple(said)


def _finding(look: Look, gate: GatePolicy) -> Finding:
    match gate:
        case AccuracyPolicy():
            return judge_accuracy(look, gate)
        case DataDriftPolicy():
            return judge_data_drift(look, gate)
        case PredictionDriftPolicy():
            return judge_prediction_drift(look, gate)
        case ErrorRatePolicy():
            return judge_error_rate(look, gate)
        case LatencyPolicy():
            return judge_latency(look, gate)
        case RegressionErrorPolicy():
            return judge_regression_error(look, gate)
        case SchemaPolicy():
            return judge_schema(look, gate)
        case AgreementPolicy():
            return judge_agreement(look, gate)
        case CustomPolicy():
            return judge_custom(look, gate)


def _status(gate: GatePolicy, found: Finding, since: str) -> GateStatus:
    return GateStatus(
        name=gate.name,
        mode=gate.mode,
        verdict=found.verdict,
        reason=found.reason.value,
        message=found.message[:1024],
        value=found.value,
        reference=found.reference,
        bound=found.bound,
        limit=found.limit,
        samples=found.samples,
        needed=found.needed,
        log10_e=found.log10_e,
        budget=found.budget,
        smallest_drop=found.smallest_drop,
        features=found.features or None,
        breaches=found.breaches,
        checked_at=found.checked_at,
        since=since,
    )
