"""What a watch says in one word: whether a breach lasts, and the condition that tells of it."""

from __future__ import annotations

from typing import Literal

from serin_operator.api.deployment import GateStatus, WatchStatus
from serin_operator.decide import timestamps
from serin_operator.decide.draft import Draft
from serin_operator.decide.judge.reasons import GateReason
from serin_operator.decide.policy import AVAILABILITY

LASTS_SECONDS = 60.0
"""A breach must be seen at two looks so far apart; availability has a time of its own, and needs no second look."""


def lasts(watch: WatchStatus, now: float) -> bool:
    """Whether the breach that the watch records has stood long enough to be acted on."""
    if watch.breach is None:
        return False
    return watch.breach == AVAILABILITY or timestamps.elapsed(watch.breach_since, now) >= LASTS_SECONDS


def alert(gates: tuple[GateStatus, ...]) -> GateStatus | None:
    """A gate that tells of something without a breach: of hours that lie off the training data."""
    return next((gate for gate in gates if gate.reason == GateReason.OffProfileBriefly), None)


def passing(draft: Draft, now: float) -> tuple[Literal["True", "False", "Unknown"], str, str] | None:
    """The condition WatchPassing; None where nothing is watched."""
    watch = draft.watch
    if watch is None:
        return None
    gate = next((gate for gate in draft.gates if gate.name == watch.breach), None)
    if gate is not None:
        return "False" if lasts(watch, now) else "Unknown", gate.reason, f"{gate.name}: {gate.message}"
    told = alert(draft.gates)
    if told is not None:
        return "False", told.reason, f"{told.name}: {told.message}"
    return "True", "NoBreach", f"no gate is breached since {watch.revision} was promoted"
