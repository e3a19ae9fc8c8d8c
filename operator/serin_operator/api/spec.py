"""What a user wants of one model: the spec of a ModelDeployment."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from serin_operator.api.base import ApiModel
from serin_operator.api.durations import Duration
from serin_operator.api.fields import NAME_PATTERN, TOLERATION_RULES, Hostname, Quantity
from serin_operator.api.markers import Rule, Schema
from serin_operator.api.rules import ROLLOUT_RULES, STEPS_RULES

Mode = Literal["Enforce", "Observe"]


class Model(ApiModel):
    """The bundle to serve."""

    uri: Annotated[
        str,
        Field(
            max_length=1024,
            pattern=r"^(file:///[^\s]+|pvc://[a-z0-9]([-a-z0-9.]*[a-z0-9])?(/[^\s]*)?)$",
            description=(
                "Where the bundle lies: pvc://<claim>/<path> in a PersistentVolumeClaim of this namespace, "
                "or file:///<path> inside the serving image."
            ),
        ),
        Schema(
            rules=(
                Rule(
                    "self.startsWith('pvc://') || self.startsWith('file:///')",
                    "write pvc://<claim>/<path> for a volume or file:///<path> for the serving image",
                ),
                Rule(
                    "!self.contains('/../') && !self.endsWith('/..')",
                    "the path must not contain '..'; name the bundle's directory from the root of the claim",
                ),
            )
        ),
    ]
    digest: Annotated[
        str | None,
        Field(
            pattern=r"^sha256:[0-9a-f]{64}$",
            max_length=71,
            description=(
                "SHA-256 of the bundle's manifest, as `serin inspect` prints it. Pins the bundle; without it "
                "the digest is resolved once and frozen in the revision."
            ),
        ),
    ] = None


class EnvironmentVariable(ApiModel):
    """One variable of the serving container."""

    name: Annotated[
        str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", max_length=128, description="Name of the variable.")
    ]
    value: Annotated[
        str, Field(max_length=4096, description="Plain value. It is stored in clear: no secrets here.")
    ] = ""


class ResourceQuantities(ApiModel):
    """Amounts by resource name."""

    limits: Annotated[
        dict[str, Quantity] | None,
        Field(max_length=16, description="What the container may use at most."),
    ] = None
    requests: Annotated[
        dict[str, Quantity] | None,
        Field(max_length=16, description="What the scheduler sets aside for the container."),
    ] = None


class Toleration(ApiModel):
    """A taint that serving pods tolerate, as in a Pod."""

    key: Annotated[str | None, Field(max_length=316, description="Taint key; absent matches all keys.")] = None
    operator: Annotated[
        Literal["Exists", "Equal"] | None, Field(description="How value is compared; Equal by default.")
    ] = None
    value: Annotated[str | None, Field(max_length=63, description="Taint value.")] = None
    effect: Annotated[
        Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None, Field(description="Taint effect.")
    ] = None


class LocalReference(ApiModel):
    """An object of this namespace."""

    name: Annotated[str, Field(min_length=1, max_length=253, pattern=NAME_PATTERN, description="Name of the object.")]


class Serving(ApiModel):
    """How the model is served: a closed, hardened surface of the pod."""

    replicas: Annotated[
        int | None,
        Field(ge=1, le=1000, description="Serving pods of the stable revision at full capacity; 1 by default."),
    ] = None
    image: Annotated[
        str | None,
        Field(
            min_length=1,
            max_length=512,
            description="Serving image; by default the operator's own, frozen when a revision is made.",
        ),
    ] = None
    resources: Annotated[
        ResourceQuantities | None, Field(description="Requests and limits of the model's container.")
    ] = None
    env: Annotated[
        tuple[EnvironmentVariable, ...] | None,
        Field(max_length=64, description="Further environment variables; names starting SERIN_ are Serin's own."),
        Schema(
            list_type="map",
            list_map_keys=("name",),
            rules=(
                Rule(
                    "self.all(e, !e.name.startsWith('SERIN_'))",
                    "names starting with SERIN_ are set by the operator; choose another name",
                ),
            ),
        ),
    ] = None
    node_selector: Annotated[
        dict[str, Annotated[str, Field(max_length=63)]] | None,
        Field(max_length=32, description="Labels that a node must have."),
    ] = None
    tolerations: Annotated[
        tuple[Annotated[Toleration, Schema(rules=TOLERATION_RULES)], ...] | None,
        Field(max_length=32, description="Taints that serving pods tolerate."),
        Schema(list_type="atomic"),
    ] = None
    image_pull_secrets: Annotated[
        tuple[LocalReference, ...] | None,
        Field(max_length=8, description="Secrets of this namespace to pull the image with."),
        Schema(list_type="map", list_map_keys=("name",)),
    ] = None


class ParentReference(ApiModel):
    """The Gateway that takes the traffic in."""

    name: Annotated[str, Field(min_length=1, max_length=253, pattern=NAME_PATTERN, description="Name of the Gateway.")]
    namespace: Annotated[
        str | None,
        Field(
            min_length=1,
            max_length=63,
            pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$",
            description="Namespace of the Gateway; this one by default. Its allowedRoutes must admit us.",
        ),
    ] = None
    section_name: Annotated[
        str | None,
        Field(min_length=1, max_length=253, pattern=NAME_PATTERN, description="One listener of the Gateway."),
    ] = None


class Traffic(ApiModel):
    """Who splits the traffic: an HTTPRoute that Serin owns, attached to these Gateways."""

    parent_refs: Annotated[
        tuple[ParentReference, ...],
        Field(min_length=1, max_length=8, description="Gateways that the route attaches to."),
        Schema(
            list_type="atomic",
            rules=(
                Rule(
                    "self.all(p, self.exists_one(q, q == p))",
                    "each Gateway may be named once; name another sectionName to attach to two listeners",
                ),
            ),
        ),
    ]
    hostnames: Annotated[
        tuple[Hostname, ...] | None,
        Field(max_length=16, description="Host names that the route answers; all of the listener's by default."),
        Schema(list_type="set"),
    ] = None


class Step(ApiModel):
    """One step of the roll-out: a weight, held for a time."""

    weight: Annotated[
        int, Field(ge=1, le=99, description="Percent of requests that the candidate answers in this step.")
    ]
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
        tuple[Step, ...] | None,
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


class Gates(ApiModel):
    """What must hold. Availability always does; the others where they are named."""

    accuracy: Annotated[
        AccuracyGate | None, Field(description="Live accuracy against stable and, with min, absolutely.")
    ] = None
    error_rate: Annotated[ErrorRateGate | None, Field(description="Failed and refused requests against stable.")] = None


class ModelDeploymentSpec(ApiModel):
    """What the user wants. The operator never writes it."""

    model: Annotated[Model, Field(description="The bundle to serve.")]
    serving: Annotated[Serving | None, Field(description="How the model is served.")] = None
    traffic: Annotated[Traffic, Field(description="Where requests come in and how they are split.")]
    rollout: Annotated[
        Rollout | None,
        Field(description="How a new revision comes to answer all traffic."),
        Schema(rules=ROLLOUT_RULES),
    ] = None
    verdicts: Annotated[Verdicts | None, Field(description="The error budget of the verdicts.")] = None
    gates: Annotated[
        Gates | None,
        Field(description="What must hold during a roll-out; without it only availability is judged."),
    ] = None
    revision_history_limit: Annotated[
        int | None,
        Field(ge=1, le=100, description="Ended revisions to keep as a record; 10 by default."),
    ] = None
    paused: Annotated[
        bool | None,
        Field(
            description=(
                "Keeps the candidate's weight where it is and stops the clocks; a failing gate still rolls back."
            )
        ),
    ] = None
