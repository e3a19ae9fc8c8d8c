"""The spec with its defaults filled in, as plain numbers. The CRD holds no defaults, so they live here."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Literal

from serin_operator.api import durations
from serin_operator.api.deployment import (
    AccuracyGate,
    AgreementGate,
    ErrorRateGate,
    Mode,
    ModelDeploymentSpec,
    Step,
)

DEFAULT_STEPS = ((5, 600.0), (25, 600.0), (50, 600.0))
FALSE_ROLLBACK_BUDGET = 0.05
REVISION_HISTORY_LIMIT = 10
CPU_PERCENT = 70
AVAILABILITY = "availability"
ACCURACY = "accuracy"
ERROR_RATE = "errorRate"
AGREEMENT = "agreement"


@dataclass(frozen=True)
class StepPolicy:
    """One step: weight in percent, and how long it lasts at least."""

    weight: int
    """0 in a shadow step."""
    for_seconds: float
    shadow_percent: int | None = None
    """Percent of the requests that are copied to the candidate."""


@dataclass(frozen=True)
class AccuracyPolicy:
    """The accuracy gate in numbers."""

    mode: Mode
    minimum: float | None
    max_drop: float
    label_delay_seconds: float
    min_label_coverage: float


@dataclass(frozen=True)
class ErrorRatePolicy:
    """The error-rate gate in numbers."""

    mode: Mode
    maximum: float


@dataclass(frozen=True)
class AgreementPolicy:
    """The agreement gate in numbers."""

    mode: Mode
    minimum: float
    tolerance: float
    """Relative difference up to which two numbers count as equal."""


@dataclass(frozen=True)
class AutoscalingPolicy:
    """The autoscaler of each revision in numbers."""

    minimum: int
    maximum: int
    cpu_percent: int


@dataclass(frozen=True)
class Policy:
    """How a trial is run and judged."""

    replicas: int
    """Pods of stable at full capacity; with an autoscaler its lowest bound."""
    autoscaling: AutoscalingPolicy | None
    surge_budget: int | None
    """Pods that a trial may add; None for as many as the candidate needs."""
    keep_warm_seconds: float
    """How long a promotion leaves the previous revision its pods."""
    steps: tuple[StepPolicy, ...]
    deadline_seconds: float
    on_deadline: Literal["Pause", "RollBack"]
    false_rollback_budget: float
    accuracy: AccuracyPolicy | None
    error_rate: ErrorRatePolicy | None
    agreement: AgreementPolicy | None
    """Observed by itself in a trial with a shadow step that names no such gate."""
    revision_history_limit: int
    paused: bool
    sticky: bool = False
    """Whether callers stay with their arm, and so come back in later cohorts of a trial."""

    @property
    def enforced(self) -> tuple[str, ...]:
        """Names of the gates that share the budget: the statistical ones in Enforce mode."""
        return tuple(name for name, gate in self._gates if gate is not None and gate.mode == "Enforce")

    @property
    def names_gates(self) -> bool:
        """Whether more than availability is judged; what a shadow step shows by itself is not."""
        return bool(self.enforced) or self.accuracy is not None or self.error_rate is not None

    @property
    def shares(self) -> dict[str, float]:
        """The budget split evenly over the enforced gates; observed gates are shown at the same share."""
        share = self.false_rollback_budget / max(1, len(self.enforced))
        return {name: share for name, gate in self._gates if gate is not None}

    @property
    def _gates(self) -> tuple[tuple[str, AccuracyPolicy | ErrorRatePolicy | AgreementPolicy | None], ...]:
        return ((ACCURACY, self.accuracy), (ERROR_RATE, self.error_rate), (AGREEMENT, self.agreement))

    @property
    def hash(self) -> str:
        """Changes when the gates, steps, budget or deadline do: a trial then opens a new cohort."""
        judged = (
            self.steps,
            self.deadline_seconds,
            self.on_deadline,
            self.false_rollback_budget,
            self.accuracy,
            self.error_rate,
            self.agreement,
            self.sticky,
        )
        return hashlib.sha256(repr(judged).encode()).hexdigest()[:12]


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
        keep_warm_seconds=_keep_warm_seconds(spec),
        steps=steps,
        deadline_seconds=(
            durations.seconds(deadline) if deadline is not None else 2 * sum(step.for_seconds for step in steps) + 3600
        ),
        on_deadline=(rollout.on_deadline if rollout is not None else None) or "Pause",
        false_rollback_budget=(
            (spec.verdicts.false_rollback_budget if spec.verdicts else None) or FALSE_ROLLBACK_BUDGET
        ),
        accuracy=_accuracy(spec.gates.accuracy) if spec.gates and spec.gates.accuracy else None,
        error_rate=_error_rate(spec.gates.error_rate) if spec.gates and spec.gates.error_rate else None,
        agreement=_agreement(spec.gates.agreement if spec.gates else None, steps),
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


def _keep_warm_seconds(spec: ModelDeploymentSpec) -> float:
    """None where pods may not be added: a warm revision beside stable would be just that."""
    asked = spec.watch.keep_warm if spec.watch else None
    return durations.seconds(asked) if asked is not None and _surge_budget(spec) is None else 0.0


def _step(step: Step) -> StepPolicy:
    percent = step.shadow.percent if step.shadow is not None else None
    return StepPolicy(step.weight or 0, durations.seconds(step.for_), percent)


def _agreement(gate: AgreementGate | None, steps: tuple[StepPolicy, ...]) -> AgreementPolicy | None:
    if gate is None and all(step.shadow_percent is None for step in steps):
        return None
    asked = gate or AgreementGate(mode="Observe")
    return AgreementPolicy(
        mode=asked.mode or "Enforce",
        minimum=asked.min if asked.min is not None else 0.95,
        tolerance=asked.tolerance if asked.tolerance is not None else 0.01,
    )


def _accuracy(gate: AccuracyGate) -> AccuracyPolicy:
    return AccuracyPolicy(
        mode=gate.mode or "Enforce",
        minimum=gate.min,
        max_drop=gate.max_drop if gate.max_drop is not None else 0.02,
        label_delay_seconds=durations.seconds(gate.label_delay) if gate.label_delay else 0.0,
        min_label_coverage=gate.min_label_coverage if gate.min_label_coverage is not None else 0.8,
    )


def _error_rate(gate: ErrorRateGate) -> ErrorRatePolicy:
    return ErrorRatePolicy(mode=gate.mode or "Enforce", maximum=gate.max if gate.max is not None else 0.01)
