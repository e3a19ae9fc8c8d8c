"""What a trial has counted: sums per cohort and arm, e-values, and what was last added of each pod."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from serin_operator.decide.judge.binned import NO_BINS, BinEvidence
from serin_operator.decide.judge.course import NO_COURSE, Course
from serin_operator.decide.judge.formulas import Stratum
from serin_operator.decide.judge.shadowed import NO_SHADOW, ShadowEvidence
from serin_operator.decide.judge.tallied import NO_TALLIES, TallyEvidence
from serin_operator.decide.policy import ACCURACY, ERROR_RATE

Counters = tuple[float, float, float, float, float, float, float, float, float]
"""requests, errors, predictions; labelled, correct of the candidate; the same of stable; callers, connections."""
NO_COUNTERS: Counters = (0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)


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
    callers: float = 0.0
    """Callers told apart by their cookie."""
    connections: float = 0.0
    """Connections on which a request came."""

    def plus(self, other: ArmCounts) -> ArmCounts:
        """Both together."""
        return ArmCounts(
            self.requests + other.requests,
            self.errors + other.errors,
            self.predictions + other.predictions,
            self.labelled + other.labelled,
            self.correct + other.correct,
            self.callers + other.callers,
            self.connections + other.connections,
        )


def together(counts: Iterable[ArmCounts]) -> ArmCounts:
    """The sum of many: plain floats on the way, because this runs at every look."""
    requests = errors = predictions = labelled = correct = callers = connections = 0.0
    for one in counts:
        requests += one.requests
        errors += one.errors
        predictions += one.predictions
        labelled += one.labelled
        correct += one.correct
        callers += one.callers
        connections += one.connections
    return ArmCounts(requests, errors, predictions, labelled, correct, callers, connections)


@dataclass(frozen=True)
class CohortEvidence:
    """One cohort: both arms under one setting of weights."""

    opened_at: float
    """Unix time at which it was first seen in an answer."""
    candidate: ArmCounts = ArmCounts()
    stable: ArmCounts = ArmCounts()
    log_e: Mapping[str, float] = field(default_factory=lambda: {ACCURACY: 0.0, ERROR_RATE: 0.0})
    """Natural log of this cohort's factor of the safe 2x2 e-process, by gate name."""
    disturbed: float = 0.0
    """Requests of both arms that it had when an older cohort last got one: some gateway still had its weights."""

    @property
    def requests(self) -> float:
        """Of both arms."""
        return self.candidate.requests + self.stable.requests


@dataclass(frozen=True)
class PodMemory:
    """What was last added of one pod."""

    started_at: str
    counters: Mapping[str, Counters] = field(default_factory=dict)
    """By cohort, the highest counters of this start that were added."""
    ended: tuple[str, ...] = ()
    """Earlier starts: what they had counted is in the sums, and they never answer again."""


@dataclass(frozen=True)
class Evidence:
    """Everything a verdict stands on. Counters and sums are restored together or not at all."""

    candidate: str
    stable: str
    cohorts: Mapping[str, CohortEvidence] = field(default_factory=dict)
    pods: Mapping[str, PodMemory] = field(default_factory=dict)
    """By pod UID."""
    ring: tuple[tuple[float, float, float], ...] = ()
    """(Unix time, candidate's predictions, stable's predictions), rising: for the coverage of labels."""
    shadow: ShadowEvidence = NO_SHADOW
    """Of the shadow step."""
    tallies: TallyEvidence = NO_TALLIES
    """Times, refusals, errors of regressors, labels by age and quality, per cohort and arm."""
    bins: BinEvidence = NO_BINS
    """Of the drift gates."""
    course: Course = NO_COURSE
    """How the evidence went, for people."""
    refused: int = 0
    """Answers or counters that could not be true and were left out."""

    def total(self, arm: str) -> ArmCounts:
        """Sums over all cohorts of the arm named `candidate` or `stable`."""
        return self._totals[arm]

    @cached_property
    def _totals(self) -> Mapping[str, ArmCounts]:
        cohorts = self.cohorts.values()
        return {
            "candidate": together(cohort.candidate for cohort in cohorts),
            "stable": together(cohort.stable for cohort in cohorts),
        }

    def log_e(self, gate: str) -> float:
        """Natural log of the gate's e-process: the cohorts' factors multiplied (arXiv 2302.11401)."""
        return math.fsum(cohort.log_e.get(gate, 0.0) for cohort in self.cohorts.values())


def start(candidate: str, stable: str) -> Evidence:
    """No evidence yet: every sum 0, every e-value 1."""
    return Evidence(candidate=candidate, stable=stable)


def label_strata(cohorts: Iterable[CohortEvidence]) -> list[Stratum]:
    """Correct and labelled of both arms, per cohort of the prediction."""
    return [labels_of(cohort.candidate, cohort.stable) for cohort in cohorts]


def request_strata(cohorts: Iterable[CohortEvidence]) -> list[Stratum]:
    """Requests without error and requests of both arms, per cohort."""
    return [answers_of(cohort.candidate, cohort.stable) for cohort in cohorts]


def matured(evidence: Evidence, now: float, delay: float) -> tuple[float, float]:
    """Predictions of candidate and stable that are older than the delay, at least; 0 where none can be.

    Reads the first sample that is not older than the delay, so it never counts too few and coverage is not
    flattered. A trial younger than the delay has none.
    """
    if not evidence.ring or evidence.ring[0][0] > now - delay:
        return 0.0, 0.0
    for at, candidate, stable in evidence.ring:
        if at >= now - delay:
            return candidate, stable
    return evidence.ring[-1][1:]


def labels_of(candidate: ArmCounts, stable: ArmCounts) -> Stratum:
    """Correct and labelled of both arms."""
    return Stratum(candidate.correct, candidate.labelled, stable.correct, stable.labelled)


def answers_of(candidate: ArmCounts, stable: ArmCounts) -> Stratum:
    """Requests without error and requests of both arms."""
    return Stratum(
        candidate.requests - candidate.errors,
        candidate.requests,
        stable.requests - stable.errors,
        stable.requests,
    )
