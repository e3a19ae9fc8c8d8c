"""Small builders: what pods answer, and policies, for the tests of the judge."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from serin_contract.stats import CohortStats, LabelCounts, PodStats
from serin_operator.api.deployment import GateStatus
from serin_operator.decide.judge import judge
from serin_operator.decide.judge.look import Look
from serin_operator.decide.judge.sums import Evidence
from serin_operator.decide.observation import StatsAnswer
from serin_operator.decide.policy import AccuracyPolicy, AgreementPolicy, ErrorRatePolicy, Policy, WatchPolicy

COHORT = "c.1.x"
Labels = tuple[float, float]
"""labelled, correct"""


def policy(
    *,
    minimum: float | None = None,
    max_drop: float = 0.02,
    delay: float = 0.0,
    coverage: float = 0.8,
    accuracy: bool = True,
    maximum: float | None = None,
    agreement: float | None = None,
    budget: float = 0.05,
    sticky: bool = False,
) -> Policy:
    gates = (
        AccuracyPolicy("Enforce", minimum, max_drop, delay, coverage) if accuracy else None,
        ErrorRatePolicy("Enforce", maximum) if maximum is not None else None,
        AgreementPolicy("Enforce", agreement, 0.01) if agreement is not None else None,
    )
    return Policy(
        replicas=2,
        autoscaling=None,
        surge_budget=None,
        steps=(),
        deadline_seconds=3600.0,
        on_deadline="Pause",
        false_rollback_budget=budget,
        on_shared_drift="Hold",
        gates=tuple(gate for gate in gates if gate is not None),
        watch=WatchPolicy(),
        revision_history_limit=10,
        paused=False,
        sticky=sticky,
    )


def served(
    requests: int = 0,
    *,
    failed: int = 0,
    refused: int = 0,
    predictions: float | None = None,
    candidate: Labels = (0.0, 0.0),
    stable: Labels = (0.0, 0.0),
) -> CohortStats:
    """One pod's counters in one cohort."""
    return CohortStats(
        requests=requests,
        predictions=float(requests - failed - refused) if predictions is None else predictions,
        refused=refused,
        failed=failed,
        labels={"c": LabelCounts(*candidate), "s": LabelCounts(*stable)},
    )


def answer(
    pod: str, revision: str, cohorts: dict[str, CohortStats] | CohortStats, started_at: str = "start-1"
) -> StatsAnswer:
    """What one pod answers; a lone cohort is the current one."""
    of = cohorts if isinstance(cohorts, dict) else {COHORT: cohorts}
    return StatsAnswer(pod, revision, PodStats(revision, pod, started_at, cohorts=of))


def both(candidate: CohortStats, stable: CohortStats, started_at: str = "start-1") -> tuple[StatsAnswer, StatsAnswer]:
    """One pod of each arm in the current cohort."""
    return answer("pod-c", "c", candidate, started_at), answer("pod-s", "s", stable, started_at)


def a_look(evidence: Evidence, of: Policy, **known: Any) -> Look:
    """One look, at second 0 and in the current cohort where nothing else is said."""
    return Look(
        **{"evidence": evidence, "policy": of, "share": 0.0, "cohort": COHORT, "now": 0.0, "now_text": "t"} | known
    )


def judged(
    evidence: Evidence,
    of: Policy,
    *,
    shares: Mapping[str, float],
    previous: tuple[GateStatus, ...] = (),
    **known: Any,
) -> tuple[GateStatus, ...]:
    """What the gates of the policy say of that evidence."""
    return judge(a_look(evidence, of, **known), shares, previous)
