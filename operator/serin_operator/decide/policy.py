"""The spec with its defaults filled in, as plain numbers. The CRD holds no defaults, so they live here."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, TypeVar

from serin_operator.api import durations
from serin_operator.api.deployment import ModelDeploymentSpec, Step, Watch
from serin_operator.decide import gate_policies
from serin_operator.decide.gate_policies import (
    ACCURACY,
    AGREEMENT,
    AVAILABILITY,
    CUSTOM_PREFIX,
    ERROR_RATE,
    AccuracyPolicy,
    AgreementPolicy,
    ErrorRatePolicy,
    GatePolicy,
    RegressionErrorPolicy,
)
from serin_operator.decide.once import once_per_object

__all__ = [
    "ACCURACY",
    "AGREEMENT",
    "AVAILABILITY",
    "CUSTOM_PREFIX",
    "ERROR_RATE",
    "AccuracyPolicy",
    "AgreementPolicy",
    "AutoscalingPolicy",
    "ErrorRatePolicy",
    "Policy",
    "StepPolicy",
    "WatchPolicy",
    "resolve",
]

SomePolicy = TypeVar("SomePolicy")

DEFAULT_STEPS = ((5, 600.0), (25, 600.0), (50, 600.0))
FALSE_ROLLBACK_BUDGET = 0.05
FALSE_ALARMS_PER_YEAR = 1.0
REVISION_HISTORY_LIMIT = 10
CPU_PERCENT = 70


@dataclass(frozen=True)
class StepPolicy:
    """One step: weight in percent, and how long it lasts at least."""

    weight: int
    """0 in a shadow step."""
    for_seconds: float
    shadow_percent: int | None = None
    """Percent of the requests that are copied to the candidate."""


@dataclass(frozen=True)
class AutoscalingPolicy:
    """The autoscaler of each revision in numbers."""

    minimum: int
    maximum: int
    cpu_percent: int


@dataclass(frozen=True)
class WatchPolicy:
    """What holds after a promotion."""

    for_seconds: float = 0.0
    """How long the gates go on; 0 for no watch."""
    keep_warm_seconds: float = 0.0
    """How long the previous revision keeps all its pods."""
    on_breach: Literal["RollBack", "Alert"] = "RollBack"
    false_alarms_per_year: float = FALSE_ALARMS_PER_YEAR
    """Of all tests of the watch together."""
    spares_pods: bool = True
    """Whether pods may be added to those of stable, and so a previous revision be kept."""

    @property
    def warm_seconds(self) -> float:
        """How long the previous revision has a pod at least after a promotion; 0 where none is kept."""
        return max(self.for_seconds, self.keep_warm_seconds) if self.spares_pods else 0.0


@dataclass(frozen=True)
class Policy:
    """How a trial is run and judged."""

    replicas: int
    """Pods of stable at full capacity; with an autoscaler its lowest bound."""
    autoscaling: AutoscalingPolicy | None
    surge_budget: int | None
    """Pods that a trial may add; None for as many as the candidate needs."""
    steps: tuple[StepPolicy, ...]
    deadline_seconds: float
    on_deadline: Literal["Pause", "RollBack"]
    false_rollback_budget: float
    on_shared_drift: Literal["Hold", "RollBack", "Ignore"]
    gates: tuple[GatePolicy, ...]
    """In the order in which they are shown; availability, which always holds, is not among them."""
    watch: WatchPolicy
    revision_history_limit: int
    paused: bool
    sticky: bool = False
    """Whether callers stay with their arm, and so come back in later cohorts of a trial."""

    def gate(self, kind: type[SomePolicy]) -> SomePolicy | None:
        """The gate of that kind, or None where the spec names none."""
        return next((gate for gate in self.gates if isinstance(gate, kind)), None)

    @property
    def enforced(self) -> tuple[str, ...]:
        """Names of the gates that can fail a candidate."""
        return tuple(gate.name for gate in self.gates if gate.mode == "Enforce")

    @property
    def names_gates(self) -> bool:
        """Whether more than availability is judged; what a shadow step shows by itself is not."""
        return any(gate.mode == "Enforce" or not isinstance(gate, AgreementPolicy) for gate in self.gates)

    @property
    def shares(self) -> dict[str, float]:
        """Share of the budget by gate; custom gates have none."""
        return gate_policies.shares(self.false_rollback_budget, self.gates)

    @property
    def label_delay_seconds(self) -> float:
        """How late labels usually come, as the gate that reads labels says; 0 where none does."""
        for gate in self.gates:
            if isinstance(gate, AccuracyPolicy | RegressionErrorPolicy):
                return gate.label_delay_seconds
        return 0.0

    @cached_property
    def hash(self) -> str:
        """Changes when the gates, steps, budget or deadline do: a trial then opens a new cohort."""
        judged = (
            self.steps,
            self.deadline_seconds,
            self.on_deadline,
            self.false_rollback_budget,
            self.on_shared_drift,
            self.gates,
            self.sticky,
        )
        return hashlib.sha256(repr(judged).encode()).hexdigest()[:12]


@once_per_object
def resolve(spec: ModelDeploymentSpec) -> Policy:
    """The policy of a valid spec."""
    rollout = spec.rollout
    if rollout is not None and rollout.steps is not None:
        steps = tuple(_step(step) for step in rollout.steps)
    else:
        steps = tuple(StepPolicy(weight, for_seconds) for weight, for_seconds in DEFAULT_STEPS)
    deadline = rollout.deadline if rollout is not None else None
    autoscaling = _autoscaling(spec)
    return Policy(
        replicas=autoscaling.minimum if autoscaling else (spec.serving.replicas if spec.serving else None) or 1,
        autoscaling=autoscaling,
        surge_budget=_surge_budget(spec),
        steps=steps,
        deadline_seconds=(
            durations.seconds(deadline) if deadline is not None else 2 * sum(step.for_seconds for step in steps) + 3600
        ),
        on_deadline=(rollout.on_deadline if rollout is not None else None) or "Pause",
        false_rollback_budget=(
            (spec.verdicts.false_rollback_budget if spec.verdicts else None) or FALSE_ROLLBACK_BUDGET
        ),
        on_shared_drift=(spec.verdicts.on_shared_drift if spec.verdicts else None) or "Hold",
        gates=gate_policies.resolve(spec.gates, shadows=any(step.shadow_percent is not None for step in steps)),
        watch=_watch(spec),
        revision_history_limit=spec.revision_history_limit or REVISION_HISTORY_LIMIT,
        paused=bool(spec.paused),
        sticky=spec.traffic is not None and spec.traffic.stickiness is not None,
    )


def _autoscaling(spec: ModelDeploymentSpec) -> AutoscalingPolicy | None:
    asked = spec.serving.autoscaling if spec.serving else None
    if asked is None:
        return None
    return AutoscalingPolicy(asked.min_replicas or 1, asked.max_replicas, asked.target_cpu_percent or CPU_PERCENT)


def _surge_budget(spec: ModelDeploymentSpec) -> int | None:
    match spec.rollout.surge if spec.rollout else None:
        case "NoSurge":
            return 0
        case "Budget":
            return (spec.rollout.surge_budget if spec.rollout else None) or 0
        case _:
            return None


def _watch(spec: ModelDeploymentSpec) -> WatchPolicy:
    asked = spec.watch or Watch()
    for_seconds = durations.seconds(asked.for_) if asked.for_ is not None else 0.0
    # No warm pods where pods may not be added: a warm revision beside stable would be just that.
    spares_pods = _surge_budget(spec) is None
    warm = asked.keep_warm if spares_pods else None
    return WatchPolicy(
        for_seconds=for_seconds,
        keep_warm_seconds=durations.seconds(warm) if warm is not None else 0.0,
        on_breach=asked.on_breach or "RollBack",
        false_alarms_per_year=asked.false_alarms_per_year or FALSE_ALARMS_PER_YEAR,
        spares_pods=spares_pods,
    )


def _step(step: Step) -> StepPolicy:
    percent = step.shadow.percent if step.shadow is not None else None
    return StepPolicy(step.weight or 0, durations.seconds(step.for_), percent)
