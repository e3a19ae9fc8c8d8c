"""What became of a plan's actions: a closed set of answers."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Applied:
    """Every action was carried out, or there was none."""


@dataclass(frozen=True)
class Waiting:
    """An action could not be finished yet; it passes by itself and no status may claim that it was done."""

    reason: str
    message: str
    retry_after_seconds: float


@dataclass(frozen=True)
class Failed:
    """An action was refused: a person must act, and sees the sentence in the status."""

    reason: str
    message: str
    narrowing: bool = False
    """Whether what failed was taking traffic away from a candidate."""


Outcome = Applied | Waiting | Failed
