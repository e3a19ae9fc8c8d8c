"""How fast samples come, and how long a verdict will take at that pace."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from serin_operator.api.deployment import GateStatus, ModelDeploymentStatus
from serin_operator.decide import timestamps
from serin_operator.decide.gate_policies import ACCURACY, REGRESSION_ERROR
from serin_operator.decide.judge import saved
from serin_operator.decide.judge.findings import log10_needed
from serin_operator.decide.judge.sums import CohortEvidence, Evidence

SECONDS_MIN = 5.0
"""A pace is not told from less time than this."""
EVIDENCE_MIN = 0.3
"""log10 of the evidence below which its growth is noise."""


@dataclass(frozen=True)
class Pace:
    """Of one gate."""

    samples_per_minute: float | None
    """Candidate samples in the cohort of now; None where it cannot be told."""
    pass_minutes: float | None
    """Until the samples that a Pass needs have come."""
    fail_minutes: float | None
    """Until the evidence reaches what a Fail needs, if it goes on growing as it has."""


def pace(gate: GateStatus, status: ModelDeploymentStatus, evidence: Evidence | None, now: float) -> Pace:
    """The pace of the present cohort; without evidence, of the whole trial by its status alone.

    The evidence of a candidate that is truly worse grows with the samples, so at a steady rate it needs as
    many times longer than so far as it is short of what is asked.
    """
    candidate = status.candidate
    if candidate is None or gate.verdict not in ("NotYet", "NoData"):
        return Pace(None, None, None)
    rate = _rate(gate, status, evidence, now)
    whole = timestamps.elapsed(candidate.trial_started_at, now) / 60.0
    short = None
    if gate.samples is not None and gate.needed is not None:
        short = max(0.0, gate.needed - gate.samples)
    passes = short / rate if short is not None and rate else None
    fails = None
    if gate.budget and gate.log10_e is not None and gate.log10_e >= EVIDENCE_MIN and whole:
        fails = max(0.0, whole * (log10_needed(gate.budget) / gate.log10_e - 1.0))
    return Pace(rate, passes, fails)


def _rate(gate: GateStatus, status: ModelDeploymentStatus, evidence: Evidence | None, now: float) -> float | None:
    candidate = status.candidate
    assert candidate is not None, "only a trial has a pace"
    cohort = evidence.cohorts.get(candidate.cohort or "") if evidence is not None else None
    samples = _samples(gate, cohort) if cohort is not None else gate.samples
    since = candidate.trial_started_at if candidate.step else candidate.step_started_at
    seconds = now - cohort.opened_at if cohort is not None else timestamps.elapsed(since, now)
    return 60.0 * samples / seconds if samples and seconds >= SECONDS_MIN else None


def _samples(gate: GateStatus, cohort: CohortEvidence) -> float:
    counts = cohort.candidate
    return counts.labelled if gate.name in (ACCURACY, REGRESSION_ERROR) else counts.requests


def evidence_of(document: Mapping[str, Any] | None) -> Evidence | None:
    """The evidence of a trial as last written; None where there is none that can be read."""
    if document is None or "candidate" not in document:
        return None
    found = saved.restore(document, str(document["candidate"]), str(document.get("stable", "")))
    return found if found.cohorts else None


def moment(status: ModelDeploymentStatus, revision: Mapping[str, Any] | None) -> float | None:
    """The Unix time at which the numbers were written; None where nothing says."""
    told = ((revision or {}).get("status") or {}).get("updatedAt")
    times = [told] if told else []
    if status.candidate is not None and not times:
        times = [gate.checked_at or gate.since for gate in status.gates if gate.checked_at or gate.since]
    return max(timestamps.seconds(time) for time in times) if times else None
