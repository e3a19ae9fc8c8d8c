"""What the ModelDeployment says of itself, read leniently from its JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Gate:
    """One gate of status.gates; a number that the operator left out is None."""

    name: str
    mode: str
    verdict: str
    value: float | None = None
    reference: float | None = None
    bound: float | None = None
    limit: float | None = None
    samples: float | None = None
    needed: float | None = None
    log10_e: float | None = None


@dataclass(frozen=True)
class State:
    """One look at the ModelDeployment; everything is empty before the operator has seen it."""

    generation: int = 0
    observed: int = 0
    applied: int = 0
    """The generation that must have been seen at least: a watch tells of it a moment after it was made."""
    phase: str = ""
    message: str = ""
    promoted: bool = False
    """Whether the revision of this very spec is the stable one."""
    stable: str | None = None
    candidate: str | None = None
    weight: int = 0
    """Percent of the requests that the candidate answers."""
    step: int = -1
    step_running: bool = False
    """Whether the route is known to have the step's weight."""
    cohort: str | None = None
    gates: tuple[Gate, ...] = ()
    rollback_from: str | None = None
    rollback_to: str | None = None
    rollback_gate: str = ""
    evidence: str = ""

    @property
    def current(self) -> bool:
        """Whether the status speaks of the latest spec."""
        return self.generation > 0 and self.generation >= self.applied and self.observed == self.generation

    def samples(self, gate: str) -> int:
        """How many of the candidate's samples the gate of that name rests on; 0 where it does not say."""
        return round(next((known.samples or 0.0 for known in self.gates if known.name == gate), 0.0))


def read_state(document: Mapping[str, Any], applied: int = 0) -> State:
    """Read a ModelDeployment as the API server gives it; an empty one gives an empty State.

    A document of an earlier generation than `applied` is not current, whatever it says.
    """
    status = document.get("status") or {}
    generation = document.get("metadata", {}).get("generation", 0)
    stable, candidate = status.get("stable") or {}, status.get("candidate") or {}
    rollback = status.get("lastRollback") or {}
    return State(
        generation=generation,
        observed=status.get("observedGeneration") or 0,
        applied=applied,
        phase=status.get("phase") or "",
        message=status.get("message") or "",
        promoted=_promoted(status, generation),
        stable=stable.get("revision"),
        candidate=candidate.get("revision"),
        weight=candidate.get("weight") or 0,
        step=candidate.get("step", -1),
        step_running=bool(candidate.get("stepStartedAt")),
        cohort=candidate.get("cohort"),
        gates=tuple(_gate(gate) for gate in status.get("gates") or ()),
        rollback_from=rollback.get("from"),
        rollback_to=rollback.get("to"),
        rollback_gate=rollback.get("gate") or "",
        evidence=rollback.get("evidence") or "",
    )


def _promoted(status: Mapping[str, Any], generation: int) -> bool:
    return any(
        condition["type"] == "Promoted"
        and condition["status"] == "True"
        and condition.get("observedGeneration", generation) == generation
        for condition in status.get("conditions") or ()
    )


def _gate(gate: Mapping[str, Any]) -> Gate:
    return Gate(
        name=gate["name"],
        mode=gate.get("mode", "Enforce"),
        verdict=gate["verdict"],
        value=gate.get("value"),
        reference=gate.get("reference"),
        bound=gate.get("bound"),
        limit=gate.get("limit"),
        samples=gate.get("samples"),
        needed=gate.get("needed"),
        log10_e=gate.get("log10E"),
    )
