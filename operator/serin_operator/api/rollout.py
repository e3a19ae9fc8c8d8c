"""How a new revision comes to answer all traffic, and what may go wrong on the way."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from serin_operator.api.base import ApiModel
from serin_operator.api.durations import Duration
from serin_operator.api.markers import Rule, Schema
from serin_operator.api.rules import STEP_RULES, STEPS_RULES


class Shadow(ApiModel):
    """A copy of the traffic for the candidate, whose answers no caller sees."""

    percent: Annotated[int, Field(ge=1, le=100, description="Percent of the requests that are copied.")]


class Step(ApiModel):
    """One step of the roll-out: a weight or a shadow, held for a time."""

    weight: Annotated[
        int | None, Field(ge=1, le=99, description="Percent of requests that the candidate answers in this step.")
    ] = None
    shadow: Annotated[
        Shadow | None,
        Field(description="Send the candidate a copy of the traffic and compare its answers; the first step only."),
    ] = None
    for_: Annotated[
        Duration,
        Field(alias="for", description="How long the step lasts at least, such as 10m."),
        Schema(
            rules=(
                Rule(
                    "self.matches('[1-9]')",
                    "a step must last longer than zero, or nothing is learnt in it; write for: 10m",
                ),
            )
        ),
    ]


class Rollout(ApiModel):
    """How a new revision comes to answer all traffic."""

    steps: Annotated[
        tuple[Annotated[Step, Schema(rules=STEP_RULES)], ...] | None,
        Field(
            min_length=1,
            max_length=20,
            description="Weights in rising order; by default 5, 25 and 50 percent for ten minutes each.",
        ),
        Schema(
            list_type="atomic",
            rules=STEPS_RULES,
        ),
    ] = None
    deadline: Annotated[
        Duration | None,
        Field(
            description=("Time for the whole trial, paused time not counted; by default twice the steps and an hour.")
        ),
        Schema(
            rules=(
                Rule(
                    "self.matches('[1-9]')",
                    "a deadline of zero would end every trial at once; leave it out for the default",
                ),
            )
        ),
    ] = None
    surge: Annotated[
        Literal["Surge", "NoSurge", "Budget"] | None,
        Field(
            description=(
                "Pods beyond those of the stable revision during a trial: Surge adds all that the candidate needs and "
                "leaves stable whole (the default), NoSurge adds none, Budget adds surgeBudget. Where pods are not "
                "added stable gives up some of its own, and a rollback must start them again first."
            )
        ),
    ] = None
    surge_budget: Annotated[
        int | None, Field(ge=1, le=1000, description="Pods that a trial may add, with surge: Budget.")
    ] = None
    on_deadline: Annotated[
        Literal["Pause", "RollBack"] | None,
        Field(
            description=(
                "What to do with an undecided candidate at the deadline: Pause keeps its weight and waits "
                "for a person (the default), RollBack records it as Undecided."
            )
        ),
    ] = None


class Verdicts(ApiModel):
    """What may go wrong, declared once for all gates and all looks."""

    false_rollback_budget: Annotated[
        float | None,
        Field(
            gt=0,
            le=0.5,
            description=(
                "Chance that a candidate no worse than stable is rolled back, all gates and looks together; "
                "0.05 by default."
            ),
        ),
    ] = None
    on_shared_drift: Annotated[
        Literal["Hold", "RollBack", "Ignore"] | None,
        Field(
            description=(
                "What to do where both arms have left what they were trained on, which is the world's doing and not "
                "the candidate's: Hold keeps the weight and tells (the default), RollBack, or Ignore."
            )
        ),
    ] = None


class Watch(ApiModel):
    """The time after a promotion."""

    for_: Annotated[
        Duration | None,
        Field(
            alias="for",
            description=(
                "How long the gates go on after a promotion, with the previous revision at hand; 0s, no watch, by "
                "default."
            ),
        ),
    ] = None
    on_breach: Annotated[
        Literal["RollBack", "Alert"] | None,
        Field(
            description=(
                "What a breach that lasts does: RollBack gives the traffic back to the previous revision (the "
                "default), Alert only tells."
            )
        ),
    ] = None
    false_alarms_per_year: Annotated[
        float | None,
        Field(gt=0, le=365, description="False alarms a year that the watch's tests may cause together; 1 by default."),
    ] = None

    keep_warm: Annotated[
        Duration | None,
        Field(
            description=(
                "How long the previous revision keeps all its pods, so that it can take the traffic at once; then one "
                "pod until the watch ends; 0s by default."
            )
        ),
    ] = None
