"""What must hold of a candidate."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from serin_operator.api.base import ApiModel
from serin_operator.api.durations import Duration, Latency
from serin_operator.api.markers import Schema
from serin_operator.api.rules import CUSTOM_RULES

Mode = Literal["Enforce", "Observe"]


LabelDelay = Annotated[
    Duration | None,
    Field(description="How late labels usually come; a Pass counts older predictions only; 0s by default."),
]
LabelCoverage = Annotated[
    float | None,
    Field(ge=0, le=1, description="Share of predictions that must have a label before promotion; 0.8 by default."),
]


class AccuracyGate(ApiModel):
    """Live accuracy, from labels posted to /v1/feedback."""

    mode: Annotated[Mode | None, Field(description="Enforce decides (the default); Observe only reports.")] = None
    min: Annotated[
        float | None,
        Field(ge=0, le=1, description="Lowest accuracy that is acceptable; no floor by default."),
    ] = None
    max_drop: Annotated[
        float | None,
        Field(
            gt=0,
            lt=1,
            description="Largest acceptable loss of accuracy against stable; 0.02 (two points) by default.",
        ),
    ] = None
    label_delay: LabelDelay = None
    min_label_coverage: LabelCoverage = None
    strict: Annotated[
        bool | None,
        Field(
            description=(
                "Whether a Fail needs proof that the loss is larger than maxDrop; by default proof of any loss and an "
                "estimate beyond maxDrop."
            )
        ),
    ] = None


class RegressionErrorGate(ApiModel):
    """The error of a model that predicts numbers, from labels posted to /v1/feedback."""

    mode: Annotated[Mode | None, Field(description="Enforce decides (the default); Observe only reports.")] = None
    metric: Annotated[
        Literal["mae", "rmse"] | None,
        Field(
            description=(
                "mae, the mean absolute error (the default), or rmse, the root of the mean squared error. Errors above "
                "the profile's 99.5 % quantile count as that quantile: a few huge ones would drown all others."
            )
        ),
    ] = None
    max_rise: Annotated[
        float | None,
        Field(gt=0, le=10, description="Largest acceptable rise relative to stable's error; 0.05 (5 %) by default."),
    ] = None
    label_delay: LabelDelay = None
    min_label_coverage: LabelCoverage = None


class DataDriftGate(ApiModel):
    """How far the candidate's inputs lie from stable's, and from those that it was trained on."""

    mode: Annotated[Mode | None, Field(description="Enforce decides (the default); Observe only reports.")] = None
    max: Annotated[
        float | None,
        Field(gt=0, le=10, description="Largest acceptable population stability index of a feature; 0.2 by default."),
    ] = None
    ignore: Annotated[
        tuple[Annotated[str, Field(min_length=1, max_length=253)], ...] | None,
        Field(max_length=256, description="Features that are not judged, such as a date or a running number."),
        Schema(list_type="set"),
    ] = None


class PredictionDriftGate(ApiModel):
    """How far the candidate's answers lie from stable's, and from those on rows that it was not trained on."""

    mode: Annotated[Mode | None, Field(description="Enforce decides (the default); Observe only reports.")] = None
    max: Annotated[
        float | None,
        Field(gt=0, le=10, description="Largest acceptable population stability index; 0.2 by default."),
    ] = None


class ErrorRateGate(ApiModel):
    """Requests that the model server failed (5xx) or refused (4xx)."""

    mode: Annotated[Mode | None, Field(description="Enforce decides (the default); Observe only reports.")] = None
    max: Annotated[
        float | None,
        Field(gt=0, lt=1, description="Highest acceptable share of failed or refused requests; 0.01 by default."),
    ] = None


class LatencyGate(ApiModel):
    """How long the model server takes to answer."""

    mode: Annotated[Mode | None, Field(description="Enforce decides (the default); Observe only reports.")] = None
    quantile: Annotated[
        float | None,
        Field(ge=0.5, le=0.9999, description="Share of requests that must be answered in time; 0.99 by default."),
    ] = None
    max: Annotated[Latency, Field(description="Time within which they must be answered, such as 250ms.")]


class SchemaGate(ApiModel):
    """Inputs that the model was not trained for: missing, unseen, out of range or of a wrong type."""

    mode: Annotated[Mode | None, Field(description="Enforce decides (the default); Observe only reports.")] = None
    max_violations: Annotated[
        float | None,
        Field(
            gt=0,
            lt=1,
            description="Acceptable share of a feature's values beyond the share in training; 0.01 by default.",
        ),
    ] = None


class CustomGate(ApiModel):
    """A number from elsewhere: a Prometheus query, or a field of a JSON document.

    It stands outside the error budget: three breaches in a row fail it.
    """

    name: Annotated[
        str,
        Field(
            pattern=r"^[a-z]([-a-z0-9]*[a-z0-9])?$",
            min_length=1,
            max_length=40,
            description="Name of the gate, unique among the custom ones.",
        ),
    ]
    mode: Annotated[Mode | None, Field(description="Enforce decides (the default); Observe only reports.")] = None
    query: Annotated[
        str | None,
        Field(
            min_length=1,
            max_length=2048,
            description=(
                "A Prometheus query with one number as its answer. {{name}}, {{namespace}}, {{candidate}}, {{stable}}, "
                "{{revision}} (the candidate) and {{cohort}} are filled in; every selector must have "
                'namespace="{{namespace}}".'
            ),
        ),
    ] = None
    url: Annotated[
        str | None,
        Field(
            min_length=8,
            max_length=1024,
            description="Where a JSON document is read, on a host that the operator allows; same parameters as query.",
        ),
    ] = None
    field: Annotated[
        str | None,
        Field(
            min_length=1,
            max_length=256,
            description="The number in that document, as a JSON pointer such as /orders/revenue (RFC 6901).",
        ),
    ] = None
    min: Annotated[float | None, Field(description="Smallest acceptable value.")] = None
    max: Annotated[float | None, Field(description="Largest acceptable value.")] = None
    interval: Annotated[Duration | None, Field(description="Between two looks; 60s by default, at least 5s.")] = None


class AgreementGate(ApiModel):
    """How often the candidate answers as stable does, on the same requests, without labels."""

    mode: Annotated[Mode | None, Field(description="Enforce decides (the default); Observe only reports.")] = None
    min: Annotated[
        float | None,
        Field(gt=0, lt=1, description="Lowest acceptable share of equal answers; 0.95 by default."),
    ] = None
    tolerance: Annotated[
        float | None,
        Field(ge=0, le=1, description="Relative difference up to which two numbers count as equal; 0.01 by default."),
    ] = None


class Gates(ApiModel):
    """What must hold. Availability always does; the others where they are named."""

    accuracy: Annotated[
        AccuracyGate | None, Field(description="Live accuracy against stable and, with min, absolutely.")
    ] = None
    regression_error: Annotated[
        RegressionErrorGate | None, Field(description="Live error of a model that predicts numbers, against stable's.")
    ] = None
    data_drift: Annotated[
        DataDriftGate | None, Field(description="Inputs against stable's and against the training data.")
    ] = None
    prediction_drift: Annotated[
        PredictionDriftGate | None, Field(description="Answers against stable's and against those at training.")
    ] = None
    error_rate: Annotated[ErrorRateGate | None, Field(description="Failed and refused requests against stable.")] = None
    latency: Annotated[LatencyGate | None, Field(description="A quantile of the time to answer.")] = None
    schema_: Annotated[
        SchemaGate | None, Field(alias="schema", description="Inputs that the model was not trained for.")
    ] = None
    agreement: Annotated[
        AgreementGate | None, Field(description="Equal answers on shadow traffic; needs a shadow step.")
    ] = None
    custom: Annotated[
        tuple[Annotated[CustomGate, Schema(rules=CUSTOM_RULES)], ...] | None,
        Field(max_length=10, description="Numbers from Prometheus or from a JSON document."),
        Schema(list_type="map", list_map_keys=("name",)),
    ] = None
