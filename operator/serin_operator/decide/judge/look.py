"""One look at a candidate: all that a gate may read beside its own policy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

from serin_contract.profile import Profile
from serin_operator.api.deployment import GateStatus
from serin_operator.decide.judge.compared import Comparison
from serin_operator.decide.judge.sums import CohortEvidence, Evidence
from serin_operator.decide.policy import Policy


@dataclass(frozen=True)
class CustomAnswer:
    """What the source of a custom gate answered when it was last asked."""

    gate: str
    """Name of the gate, with its prefix."""
    asked_at: float
    """Unix time in seconds."""
    value: float | None
    error: str | None = None
    """Why there is no value, in words that quote nothing of the answer."""


@dataclass(frozen=True)
class Look:
    """What is known at one moment."""

    evidence: Evidence
    """Of the candidate on trial."""
    policy: Policy
    share: float
    """Of the budget, as fixed when the trial began; 0 for a gate that came later and so cannot fail anyone."""
    cohort: str | None
    """Of the requests that are split now; None where none is."""
    now: float
    """Unix time in seconds."""
    now_text: str
    """The same as a timestamp of the API."""
    profiles: Mapping[str, Profile] = field(default_factory=dict)
    """By revision name, as far as a pod has told its own."""
    custom: Mapping[str, CustomAnswer] = field(default_factory=dict)
    """By name of the gate."""
    previous: GateStatus | None = None
    """What this gate said last."""
    all_gates: Look | None = None
    """The look that several gates share, where this is one gate's: what they all read is worked out there."""

    @property
    def current(self) -> CohortEvidence | None:
        """The evidence of the cohort of now; None where there is none yet."""
        return self.evidence.cohorts.get(self.cohort) if self.cohort is not None else None

    @property
    def sticky(self) -> bool:
        """Whether callers come back in later cohorts, which are then not pooled."""
        return self.policy.sticky

    def of(self, share: float, previous: GateStatus | None) -> Look:
        """The same look for one gate."""
        return replace(self, share=share, previous=previous, all_gates=self.all_gates or self)

    @cached_property
    def comparison(self) -> Comparison:
        """Both arms in their bins; the profiles of both must be known."""
        if self.all_gates is not None:
            return self.all_gates.comparison
        evidence = self.evidence
        candidate, stable = self.profiles[evidence.candidate], self.profiles[evidence.stable]
        return Comparison(evidence.bins, candidate, stable, self.cohort, self.sticky)
