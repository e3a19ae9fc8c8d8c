"""Revisions whose pods count nothing: containers of the user's own.

Whatever rests on counts cannot be told of them, and says so. What rests on the pods themselves, on the route and on
time goes on: availability, custom gates, the steps and their clocks.
"""

from __future__ import annotations

from dataclasses import replace

from serin_operator.api.deployment import GateStatus, ReachableStatus
from serin_operator.decide import custom_container, timestamps
from serin_operator.decide.judge.evidence import CohortEvidence, Evidence
from serin_operator.decide.judge.reasons import GateReason
from serin_operator.decide.observation import Observation
from serin_operator.decide.policy import CUSTOM_PREFIX

UNPROBED = ReachableStatus(
    answer="CannotTell",
    message="no answer of a container of your own says which revision gave it, so nobody can ask whether the gateway "
    "leads to it",
)


def sentence(seen: Observation, *revisions: str) -> str | None:
    """Which of the revisions counts nothing, or None where all of them count."""
    records = (seen.revision(name) for name in revisions)
    found = (record.name for record in records if record is not None and custom_container.is_of(record.spec.template))
    name = next(found, None)
    return f"{name} is a container of your own, which counts nothing" if name is not None else None


def opened(evidence: Evidence, cohort: str | None, started_at: str | None) -> Evidence:
    """The evidence with the step's cohort in it from the start of the step's clock: no count will ever open it.

    By it a custom gate knows which answers of its source came after the present weight.
    """
    if cohort is None or started_at is None or cohort in evidence.cohorts:
        return evidence
    begun = CohortEvidence(opened_at=timestamps.seconds(started_at))
    return replace(evidence, cohorts={**evidence.cohorts, cohort: begun})


def silenced(gate: GateStatus, why: str, before: GateStatus | None) -> GateStatus:
    """What a gate says that reads counts: nothing, and what to do. A Fail stands, and so does every custom gate."""
    if gate.verdict == "Fail" or gate.name.startswith(CUSTOM_PREFIX):
        return gate
    since = before.since if before is not None and before.verdict == "NoData" else gate.since
    advice = "; set mode: Observe and use gates.custom, or go by availability alone" if gate.mode == "Enforce" else ""
    changes = {"verdict": "NoData", "reason": str(GateReason.NotCounted), "message": f"{why}{advice}", "since": since}
    return gate.model_copy(update=changes)
