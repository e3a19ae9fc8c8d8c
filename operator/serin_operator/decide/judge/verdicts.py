"""One verdict per statistical gate, from the evidence and the policy."""

from __future__ import annotations

from collections.abc import Mapping

from serin_operator.api.deployment import GateStatus
from serin_operator.decide.judge.evidence import Evidence
from serin_operator.decide.policy import Policy


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
    """What the gates of the policy say: accuracy, then errorRate, where the policy has them. (Stub.)

    Args:
        evidence: of the candidate on trial.
        policy: limits and modes; its own shares are not used.
        shares: share of falseRollbackBudget by gate, as fixed when the trial began.
        cohort: the cohort of the requests that are split now, or None where none is.
        now: Unix time in seconds.
        now_text: the same as RFC 3339 text, for `since`.
        previous: the gates as last reported; `since` is kept while the verdict stays.
    """
    del evidence, policy, shares, cohort, now, now_text, previous
    return ()
