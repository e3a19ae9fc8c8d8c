"""One verdict per statistical gate, from the evidence and the policy."""

from __future__ import annotations

from collections.abc import Mapping

from serin_operator.api.deployment import GateStatus, Mode
from serin_operator.decide.judge.accuracy import judge_accuracy
from serin_operator.decide.judge.agreement import judge_agreement
from serin_operator.decide.judge.findings import Finding
from serin_operator.decide.judge.rates import judge_error_rate
from serin_operator.decide.judge.sums import Evidence
from serin_operator.decide.policy import ACCURACY, AGREEMENT, ERROR_RATE, Policy


def judge(
    evidence: Evidence,
    policy: Policy,
    *,
    shares: Mapping[str, float],
    cohort: str | None,
    now: float,
    now_text: str,
    previous: tuple[GateStatus, ...] = (),
) -> tuple[GateStatus, ...]:
    """What the gates of the policy say: accuracy, errorRate, then agreement, where the policy has them.

    A gate that is missing in `shares` came after the trial began and holds none of its budget: it cannot fail
    the candidate, and still has to pass it.

    Args:
        evidence: of the candidate on trial.
        policy: limits and modes; its own shares are not used.
        shares: share of falseRollbackBudget by gate, as fixed when the trial began.
        cohort: the cohort of the requests that are split now, or None where none is.
        now: Unix time in seconds.
        now_text: the same as RFC 3339 text, for `since`.
        previous: the gates as last reported; `since` is kept while the verdict stays.
    """
    found: list[tuple[str, Mode, Finding]] = []
    if policy.accuracy is not None:
        share = shares.get(ACCURACY, 0.0)
        finding = judge_accuracy(evidence, policy.accuracy, share, cohort, now, sticky=policy.sticky)
        found.append((ACCURACY, policy.accuracy.mode, finding))
    if policy.error_rate is not None:
        share = shares.get(ERROR_RATE, 0.0)
        finding = judge_error_rate(evidence, policy.error_rate, share, cohort, sticky=policy.sticky)
        found.append((ERROR_RATE, policy.error_rate.mode, finding))
    if policy.agreement is not None:
        finding = judge_agreement(evidence.shadow, policy.agreement, shares.get(AGREEMENT, 0.0))
        found.append((AGREEMENT, policy.agreement.mode, finding))
    since = {(gate.name, gate.verdict): gate.since for gate in previous}
    return tuple(
        _status(name, mode, finding, since.get((name, finding.verdict)) or now_text) for name, mode, finding in found
    )


def _status(name: str, mode: Mode, found: Finding, since: str) -> GateStatus:
    """The finding as the API shows it."""
    return GateStatus(
        name=name,
        mode=mode,
        verdict=found.verdict,
        reason=found.reason.value,
        message=found.message,
        value=found.value,
        reference=found.reference,
        bound=found.bound,
        limit=found.limit,
        samples=found.samples,
        needed=found.needed,
        log10_e=found.log10_e,
        budget=found.budget,
        smallest_drop=found.smallest_drop,
        since=since,
    )
