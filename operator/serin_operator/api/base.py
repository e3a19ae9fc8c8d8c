"""What every model of the API shares."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from serin_operator.api.markers import Schema


class ApiModel(BaseModel):
    """Frozen, camelCase outside, and tolerant of fields that a newer CRD may hold."""

    model_config = ConfigDict(
        frozen=True, alias_generator=to_camel, populate_by_name=True, extra="ignore", use_enum_values=False
    )


Timestamp = Annotated[str, Field(max_length=40), Schema(format="date-time")]


class Condition(ApiModel):
    """One observation about the object, in the shape of metav1.Condition. True is always the good answer."""

    type: Annotated[str, Field(max_length=316, description="Name of the condition, such as Ready.")]
    status: Annotated[
        Literal["True", "False", "Unknown"],
        Field(description="True is always the good answer; Unknown means that it cannot be told."),
    ]
    observed_generation: Annotated[
        int | None, Field(ge=0, description="Generation of the object that this was observed at.")
    ] = None
    last_transition_time: Annotated[Timestamp, Field(description="When the status last changed.")]
    reason: Annotated[str, Field(min_length=1, max_length=1024, description="One word for programs, in CamelCase.")]
    message: Annotated[str, Field(max_length=32768, description="A sentence for people: what, and what to do.")]
