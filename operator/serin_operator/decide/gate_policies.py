"""The gates of the spec with their defaults filled in, as plain numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from serin_operator.api import durations
from serin_operator.api.deployment import (
    AccuracyGate,
    AgreementGate,
    CustomGate,
    DataDriftGate,
    ErrorRateGate,
    Gates,
    LatencyGate,
    Mode,
    PredictionDriftGate,
    RegressionErrorGate,
    SchemaGate,
)

AVAILABILITY = "availability"
ACCURACY = "accuracy"
REGRESSION_ERROR = "regressionError"
DATA_DRIFT = "dataDrift"
PREDICTION_DRIFT = "predictionDrift"
ERROR_RATE = "errorRate"
LATENCY = "latency"
SCHEMA = "schema"
AGREEMENT = "agreement"
CUSTOM_PREFIX = "custom/"
"""Before the name of a custom gate, so that none is taken for one of Serin's own."""


@dataclass(frozen=True)
class AccuracyPolicy:
    """The accuracy gate in numbers."""

    name: ClassVar = ACCURACY
    mode: Mode
    minimum: float | None
    max_drop: float
    label_delay_seconds: float
    min_label_coverage: float
    strict: bool = False
    """Whether the e-process itself has `max_drop` as its margin."""

    @property
    def evidence(self) -> str:
        """What the cohorts hold its e-values under: those against one margin tell nothing of another."""
        return f"{ACCURACY} beyond {self.max_drop:g}" if self.strict else ACCURACY


@dataclass(frozen=True)
class RegressionErrorPolicy:
    """The regression-error gate in numbers."""

    name: ClassVar = REGRESSION_ERROR
    mode: Mode
    metric: Literal["mae", "rmse"]
    max_rise: float
    """Relative to stable's error."""
    label_delay_seconds: float
    min_label_coverage: float


@dataclass(frozen=True)
class DataDriftPolicy:
    """The data-drift gate in numbers."""

    name: ClassVar = DATA_DRIFT
    mode: Mode
    maximum: float
    """PSI of one feature."""
    ignored: frozenset[str] = frozenset()


@dataclass(frozen=True)
class PredictionDriftPolicy:
    """The prediction-drift gate in numbers."""

    name: ClassVar = PREDICTION_DRIFT
    mode: Mode
    maximum: float


@dataclass(frozen=True)
class ErrorRatePolicy:
    """The error-rate gate in numbers."""

    name: ClassVar = ERROR_RATE
    mode: Mode
    maximum: float


@dataclass(frozen=True)
class LatencyPolicy:
    """The latency gate in numbers."""

    name: ClassVar = LATENCY
    mode: Mode
    quantile: float
    max_seconds: float


@dataclass(frozen=True)
class SchemaPolicy:
    """The schema gate in numbers."""

    name: ClassVar = SCHEMA
    mode: Mode
    max_violations: float
    """Share of a feature's values beyond the share in training."""


@dataclass(frozen=True)
class AgreementPolicy:
    """The agreement gate in numbers."""

    name: ClassVar = AGREEMENT
    mode: Mode
    minimum: float
    tolerance: float
    """Relative difference up to which two numbers count as equal."""


@dataclass(frozen=True)
class CustomPolicy:
    """One custom gate: what is asked, and within which limits the answer must lie."""

    name: str
    """With CUSTOM_PREFIX."""
    mode: Mode
    query: str | None
    url: str | None
    field: str | None
    minimum: float | None
    maximum: float | None
    interval_seconds: float


BudgetedPolicy = (
    AccuracyPolicy
    | RegressionErrorPolicy
    | DataDriftPolicy
    | PredictionDriftPolicy
    | ErrorRatePolicy
    | LatencyPolicy
    | SchemaPolicy
    | AgreementPolicy
)
"""A gate whose Fail is bought from falseRollbackBudget."""
GatePolicy = BudgetedPolicy | CustomPolicy

WEIGHTS = {ACCURACY: 6, REGRESSION_ERROR: 6, DATA_DRIFT: 6, PREDICTION_DRIFT: 2}
"""Parts of the budget, 1 where a gate is not named: what labels say matters most and is the hardest to prove, and the
inputs are many features of which one may be at fault. The answers are one feature, and shift at once if they do."""


def shares(budget: float, gates: tuple[GatePolicy, ...]) -> dict[str, float]:
    """The budget over the enforced gates by their weights; an observed gate is shown at what it would have."""
    budgeted = [gate for gate in gates if not isinstance(gate, CustomPolicy)]
    whole = sum(WEIGHTS.get(gate.name, 1) for gate in budgeted if gate.mode == "Enforce")
    weights = {gate.name: WEIGHTS.get(gate.name, 1) for gate in budgeted}
    return {name: budget * (weight / max(whole, weight)) for name, weight in weights.items()}


def resolve(gates: Gates | None, *, shadows: bool) -> tuple[GatePolicy, ...]:
    """The gates in the order in which they are shown.

    A trial with a shadow step observes the agreement even where no gate of that name is asked for.
    """
    asked = gates or Gates()
    agreement = asked.agreement or (AgreementGate(mode="Observe") if shadows else None)
    found = (
        _accuracy(asked.accuracy) if asked.accuracy else None,
        _regression_error(asked.regression_error) if asked.regression_error else None,
        _data_drift(asked.data_drift) if asked.data_drift else None,
        _prediction_drift(asked.prediction_drift) if asked.prediction_drift else None,
        _error_rate(asked.error_rate) if asked.error_rate else None,
        _latency(asked.latency) if asked.latency else None,
        _schema(asked.schema_) if asked.schema_ else None,
        _agreement(agreement) if agreement else None,
        *(_custom(gate) for gate in asked.custom or ()),
    )
    return tuple(gate for gate in found if gate is not None)


def _accuracy(gate: AccuracyGate) -> AccuracyPolicy:
    return AccuracyPolicy(
        mode=gate.mode or "Enforce",
        minimum=gate.min,
        max_drop=_or(gate.max_drop, 0.02),
        label_delay_seconds=durations.seconds(gate.label_delay) if gate.label_delay else 0.0,
        min_label_coverage=_or(gate.min_label_coverage, 0.8),
        strict=bool(gate.strict),
    )


def _regression_error(gate: RegressionErrorGate) -> RegressionErrorPolicy:
    return RegressionErrorPolicy(
        mode=gate.mode or "Enforce",
        metric=gate.metric or "mae",
        max_rise=_or(gate.max_rise, 0.05),
        label_delay_seconds=durations.seconds(gate.label_delay) if gate.label_delay else 0.0,
        min_label_coverage=_or(gate.min_label_coverage, 0.8),
    )


def _data_drift(gate: DataDriftGate) -> DataDriftPolicy:
    return DataDriftPolicy(gate.mode or "Enforce", _or(gate.max, 0.2), frozenset(gate.ignore or ()))


def _prediction_drift(gate: PredictionDriftGate) -> PredictionDriftPolicy:
    return PredictionDriftPolicy(gate.mode or "Enforce", _or(gate.max, 0.2))


def _error_rate(gate: ErrorRateGate) -> ErrorRatePolicy:
    return ErrorRatePolicy(gate.mode or "Enforce", _or(gate.max, 0.01))


def _latency(gate: LatencyGate) -> LatencyPolicy:
    return LatencyPolicy(gate.mode or "Enforce", _or(gate.quantile, 0.99), durations.latency_seconds(gate.max))


def _schema(gate: SchemaGate) -> SchemaPolicy:
    return SchemaPolicy(gate.mode or "Enforce", _or(gate.max_violations, 0.01))


def _agreement(gate: AgreementGate) -> AgreementPolicy:
    return AgreementPolicy(gate.mode or "Enforce", _or(gate.min, 0.95), _or(gate.tolerance, 0.01))


def _custom(gate: CustomGate) -> CustomPolicy:
    return CustomPolicy(
        name=f"{CUSTOM_PREFIX}{gate.name}",
        mode=gate.mode or "Enforce",
        query=gate.query,
        url=gate.url,
        field=gate.field,
        minimum=gate.min,
        maximum=gate.max,
        interval_seconds=durations.seconds(gate.interval) if gate.interval else 60.0,
    )


def _or(value: float | None, default: float) -> float:
    return default if value is None else value
