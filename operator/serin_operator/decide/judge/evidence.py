"""Evidence of one trial: sums per cohort and arm, e-values, and the per-pod counters that were last added."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from serin_operator.decide.observation import StatsAnswer
    from serin_operator.decide.policy import Policy


@dataclass(frozen=True)
class ArmCounts:
    """What one arm did in one cohort, summed over its pods since the cohort began."""

    requests: float = 0.0
    errors: float = 0.0
    """Requests answered 4xx or 5xx."""
    predictions: float = 0.0
    """Σ 1/m over predicted rows."""
    labelled: float = 0.0
    """Σ 1/m over labelled rows."""
    correct: float = 0.0
    """Σ 1/m over labelled rows that were predicted right."""


@dataclass(frozen=True)
class CohortEvidence:
    """One cohort: both arms under one setting of weights."""

    opened_at: float
    """Unix time at which it was first seen in an answer."""
    candidate: ArmCounts = ArmCounts()
    stable: ArmCounts = ArmCounts()
    log_e: Mapping[str, float] = field(default_factory=dict)
    """Natural log of this cohort's factor of the safe 2x2 e-process, by gate name."""


@dataclass(frozen=True)
class Evidence:
    """Everything a verdict stands on. Counters and sums are restored together or not at all."""

    candidate: str
    stable: str
    cohorts: Mapping[str, CohortEvidence] = field(default_factory=dict)


def start(candidate: str, stable: str) -> Evidence:
    """No evidence yet: every sum 0, every e-value 1."""
    return Evidence(candidate=candidate, stable=stable)


def absorb(evidence: Evidence, answers: tuple[StatsAnswer, ...], now: float, policy: Policy) -> Evidence:
    """Add what the pods counted since they were last asked. (Stub.)"""
    del answers, now, policy
    return evidence


def dump(evidence: Evidence) -> dict[str, Any]:
    """The evidence as JSON values. (Stub.)"""
    return {"candidate": evidence.candidate, "stable": evidence.stable}


def restore(document: Mapping[str, Any] | None, candidate: str, stable: str) -> Evidence:
    """The evidence of a dump of this pair, or a new start. (Stub.)"""
    del document
    return start(candidate, stable)
