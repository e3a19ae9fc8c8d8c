"""What must hold of a candidate."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from serin_operator.api.base import ApiModel
from serin_operator.api.durations import Duration

Mode = Literal["Enforce", "Observe"]


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
    label_delay: Annotated[
        Duration | None,
        Field(description="How late labels usually come; coverage counts older predictions only; 0s by default."),
    ] = None
    min_label_coverage: Annotated[
        float | None,
        Field(
            ge=0,
            le=1,
            description="Share of predictions that must have a label before promotion; 0.8 by default.",
        ),
    ] = None


class ErrorRateGate(ApiModel):
    """Requests that the model server failed (5xx) or refused (4xx)."""

    mode: Annotated[Mode | None, Field(description="Enforce decides (the default); Observe only reports.")] = None
    max: Annotated[
        float | None,
        Field(gt=0, lt=1, description="Highest acceptable share of failed or refused requests; 0.01 by default."),
    ] = None


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
    error_rate: Annotated[ErrorRateGate | None, Field(description="Failed and refused requests against stable.")] = None
    agreement: Annotated[
        AgreementGate | None, Field(description="Equal answers on shadow traffic; needs a shadow step.")
    ] = None
