"""One look at a watched revision: all that its gates may read beside their own policy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from serin_contract.profile import Profile
from serin_operator.api.deployment import GateStatus
from serin_operator.decide.judge.look import CustomAnswer
from serin_operator.decide.judge.watched import WatchEvidence
from serin_operator.decide.policy import Policy


@dataclass(frozen=True)
class WatchLook:
    """What is known at one moment of a watch."""

    evidence: WatchEvidence
    policy: Policy
    proven: Mapping[str, float]
    """By gate, what the trial showed at the promotion."""
    since: float
    """Unix time at which the watch began."""
    now: float
    """Unix time in seconds."""
    now_text: str
    """The same as a timestamp of the API."""
    profile: Profile | None = None
    """The revision's own, as far as a pod has told it."""
    custom: Mapping[str, CustomAnswer] = field(default_factory=dict)
    """By name of the gate."""
    alarms_per_year: float = 0.0
    """False alarms that the gate asked may raise in a year."""
    previous: GateStatus | None = None
    """What the gate said last."""

    def of(self, alarms_per_year: float, previous: GateStatus | None) -> WatchLook:
        """The same look for one gate."""
        return replace(self, alarms_per_year=alarms_per_year, previous=previous)
