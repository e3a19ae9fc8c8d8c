"""Evidence of one trial: sums per cohort and arm, e-values, and the per-pod counters that were last added."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Evidence:
    """Everything a verdict stands on. Counters and sums are restored together or not at all."""

    candidate: str
    stable: str
