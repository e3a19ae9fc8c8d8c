"""ModelDeployment: what a user wants of one model, and what Serin says of it.

The rest of the operator takes every type of the kind from here.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from serin_operator.api.base import ApiModel
from serin_operator.api.gates import (
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
from serin_operator.api.markers import PrinterColumn
from serin_operator.api.rollout import Rollout, Shadow, Step, Verdicts, Watch
from serin_operator.api.serving import (
    Autoscaling,
    CustomContainer,
    EnvironmentVariable,
    LocalReference,
    ResourceQuantities,
    Serving,
    Toleration,
)
from serin_operator.api.spec import Credentials, Model, ModelDeploymentSpec
from serin_operator.api.status import (
    CandidateStatus,
    FeatureStatus,
    GateStatus,
    HistoryEntry,
    LastRollback,
    ModelDeploymentStatus,
    Phase,
    PreviousStatus,
    ReachableStatus,
    Rejection,
    SplitStatus,
    StableStatus,
    WatchStatus,
)
from serin_operator.api.traffic import ParentReference, RouteReference, Stickiness, Traffic

__all__ = [
    "MODEL_DEPLOYMENT_COLUMNS",
    "AccuracyGate",
    "AgreementGate",
    "Autoscaling",
    "CandidateStatus",
    "Credentials",
    "CustomContainer",
    "CustomGate",
    "DataDriftGate",
    "EnvironmentVariable",
    "ErrorRateGate",
    "FeatureStatus",
    "GateStatus",
    "Gates",
    "HistoryEntry",
    "LastRollback",
    "LatencyGate",
    "LocalReference",
    "Mode",
    "Model",
    "ModelDeployment",
    "ModelDeploymentSpec",
    "ModelDeploymentStatus",
    "ParentReference",
    "Phase",
    "PredictionDriftGate",
    "PreviousStatus",
    "ReachableStatus",
    "RegressionErrorGate",
    "Rejection",
    "ResourceQuantities",
    "Rollout",
    "RouteReference",
    "SchemaGate",
    "Serving",
    "Shadow",
    "SplitStatus",
    "StableStatus",
    "Step",
    "Stickiness",
    "Toleration",
    "Traffic",
    "Verdicts",
    "Watch",
    "WatchStatus",
]


class ModelDeployment(ApiModel):
    """A model in production: what serves it, how a new one is rolled out, and what must hold."""

    spec: Annotated[ModelDeploymentSpec, Field(description="What the user wants. The operator never writes it.")]
    status: Annotated[
        ModelDeploymentStatus | None, Field(description="What Serin says. Only the operator writes it.")
    ] = None


MODEL_DEPLOYMENT_COLUMNS = (
    PrinterColumn("Phase", "string", ".status.phase", "Where the deployment stands."),
    PrinterColumn("Stable", "string", ".status.stable.revision", "The revision that is trusted."),
    PrinterColumn("Candidate", "string", ".status.candidate.revision", "The revision on trial."),
    PrinterColumn("Weight", "integer", ".status.candidate.weight", "Percent of requests to the candidate."),
    PrinterColumn("Gate", "string", ".status.worstGate", "The gate that matters most now."),
    PrinterColumn("Samples", "integer", ".status.samples", "Candidate samples behind that gate."),
    PrinterColumn("Age", "date", ".metadata.creationTimestamp", "Age of the object."),
    PrinterColumn("Message", "string", ".status.message", "What is going on.", priority=1),
)
