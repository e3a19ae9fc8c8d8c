"""ModelDeployment: what a user wants of one model, and what Serin says of it."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field

from serin_operator.api.base import ApiModel, Condition, Timestamp
from serin_operator.api.durations import Duration
from serin_operator.api.fields import NAME_PATTERN, TOLERATION_RULES, Hostname, Quantity
from serin_operator.api.markers import PrinterColumn, Rule, Schema
from serin_operator.api.rules import ROLLOUT_RULES, STEPS_RULES

Mode = Literal["Enforce", "Observe"]


class Phase(StrEnum):
    """Where the deployment stands, in one word."""

    Pending = "Pending"
    """The first revision is being resolved, started or warmed up."""
    Progressing = "Progressing"
    """A candidate answers its share of the traffic and climbs the steps."""
    Holding = "Holding"
    """The candidate keeps its weight until the gates have what they need to decide."""
    Paused = "Paused"
    """A person or the deadline stopped the trial; the weight stays and the clocks stand."""
    Promoting = "Promoting"
    """Every gate passed; the traffic moves to the candidate."""
    Stable = "Stable"
    """The revision of the spec answers all traffic."""
    RollingBack = "RollingBack"
    """A gate failed or the trial was aborted; the traffic moves back to stable."""
    RolledBack = "RolledBack"
    """Stable answers all traffic and the revision of the spec is rejected."""
    Failed = "Failed"
    """The revision of the spec cannot serve and a person must act."""


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


class GateStatus(ApiModel):
    """What one gate says, with the numbers that say it."""

    name: Annotated[str, Field(max_length=63, description="Name of the gate.")]
    mode: Annotated[Mode, Field(description="Whether the gate decides.")]
    verdict: Annotated[
        Literal["Pass", "Fail", "NotYet", "NoData", "Error"],
        Field(description="Only Pass and Fail decide; NotYet has data but not enough evidence."),
    ]
    reason: Annotated[str, Field(max_length=64, description="One word for programs.")]
    message: Annotated[str, Field(max_length=1024, description="One sentence with the numbers.")]
    value: Annotated[float | None, Field(description="Estimate for the candidate.")] = None
    reference: Annotated[float | None, Field(description="Estimate for stable at the same time.")] = None
    bound: Annotated[
        float | None,
        Field(description="Confidence bound on the loss against stable; Pass needs it within limits."),
    ] = None
    limit: Annotated[float | None, Field(description="The threshold that applies.")] = None
    samples: Annotated[float | None, Field(description="Candidate samples that count so far.")] = None
    needed: Annotated[float | None, Field(description="Estimate of the samples that a verdict needs.")] = None
    log10_e: Annotated[
        float | None,
        Field(alias="log10E", description="Evidence against the candidate; it fails at -log10(budget)."),
    ] = None
    budget: Annotated[float | None, Field(description="This gate's share of falseRollbackBudget.")] = None
    smallest_drop: Annotated[
        float | None, Field(description="Smallest loss that the candidate's traffic so far can reveal.")
    ] = None
    since: Annotated[Timestamp | None, Field(description="When this verdict was first given.")] = None


class StableStatus(ApiModel):
    """The revision that is trusted."""

    revision: Annotated[str, Field(max_length=63, description="Name of its ModelRevision.")]
    digest: Annotated[str | None, Field(max_length=71, description="Digest of its bundle.")] = None
    weight: Annotated[int | None, Field(description="Percent of requests that it answers.")] = None
    ready_replicas: Annotated[int | None, Field(description="Its pods that are ready.")] = None


class CandidateStatus(ApiModel):
    """The revision on trial."""

    revision: Annotated[str, Field(max_length=63, description="Name of its ModelRevision.")]
    digest: Annotated[str | None, Field(max_length=71, description="Digest of its bundle.")] = None
    weight: Annotated[int, Field(description="Percent of requests that it may answer in this step.")] = 0
    ready_replicas: Annotated[int | None, Field(description="Its pods that are ready.")] = None
    step: Annotated[
        int, Field(description="Index of the step; -1 before the first, the number of steps while promoting.")
    ] = -1
    cohort: Annotated[str | None, Field(max_length=128, description="Cohort of the requests split now.")] = None
    cohort_number: Annotated[int, Field(description="Rises at every change of weight and never repeats.")] = 0
    step_started_at: Annotated[
        Timestamp | None,
        Field(description="When the step's weight was seen on the route; its clock starts here."),
    ] = None
    trial_started_at: Annotated[Timestamp | None, Field(description="When the trial began.")] = None
    deadline_at: Annotated[
        Timestamp | None, Field(description="When the trial runs out of time; moves on while it is paused.")
    ] = None
    paused_since: Annotated[Timestamp | None, Field(description="When the trial was paused, if it is.")] = None
    outcome: Annotated[
        Literal["Rejected", "Undecided", "Aborted", "Superseded", "Failed"] | None,
        Field(description="How the trial has ended, while its traffic is being taken back."),
    ] = None
    not_ready_since: Annotated[
        Timestamp | None, Field(description="When the candidate lost its last ready pod, if it has none.")
    ] = None
    dips: Annotated[int, Field(description="How often in this trial the candidate had no ready pod left.")] = 0
    policy: Annotated[
        str | None,
        Field(max_length=16, description="Hash of the gates and steps that the trial is judged by."),
    ] = None
    shares: Annotated[
        dict[str, float] | None,
        Field(max_length=32, description="Share of the budget by gate, fixed when the trial began."),
    ] = None


class Rejection(ApiModel):
    """A revision that is not tried again."""

    revision: Annotated[str, Field(max_length=63, description="Name of the ModelRevision.")]
    digest: Annotated[str | None, Field(max_length=71, description="Digest of its bundle.")] = None
    reason: Annotated[str, Field(max_length=64, description="Why it was rejected.")]
    time: Annotated[Timestamp, Field(description="When it was rejected.")]


class LastRollback(ApiModel):
    """The latest rollback, for people and alerts."""

    from_: Annotated[str, Field(alias="from", max_length=63, description="Revision that was rolled back.")]
    to: Annotated[str, Field(max_length=63, description="Revision that answers again.")]
    gate: Annotated[str, Field(max_length=63, description="Gate that failed, or the reason.")]
    evidence: Annotated[str, Field(max_length=1024, description="The numbers, so that a person can recompute.")]
    time: Annotated[Timestamp, Field(description="When the weight went back.")]


class HistoryEntry(ApiModel):
    """How one trial ended."""

    revision: Annotated[str, Field(max_length=63, description="Name of the ModelRevision.")]
    digest: Annotated[str | None, Field(max_length=71, description="Digest of its bundle.")] = None
    outcome: Annotated[
        Literal["Promoted", "Rejected", "Undecided", "Aborted", "Superseded", "Failed"],
        Field(description="How the trial ended."),
    ]
    reason: Annotated[str, Field(max_length=64, description="Why it ended so.")]
    time: Annotated[Timestamp, Field(description="When it ended.")]


class ModelDeploymentStatus(ApiModel):
    """What Serin says of the deployment. Only the operator writes it."""

    observed_generation: Annotated[
        int | None, Field(description="Generation of the spec that this status speaks of.")
    ] = None
    phase: Annotated[Phase | None, Field(description="Where the deployment stands, in one word.")] = None
    message: Annotated[
        str | None,
        Field(max_length=32768, description="One sentence: what is going on, and what to do if anything."),
    ] = None
    url: Annotated[str | None, Field(max_length=1024, description="Where the model answers.")] = None
    conditions: Annotated[
        tuple[Condition, ...],
        Field(max_length=16, description="Observations; True is always the good answer."),
        Schema(list_type="map", list_map_keys=("type",)),
    ] = ()
    stable: Annotated[StableStatus | None, Field(description="The revision that is trusted.")] = None
    candidate: Annotated[CandidateStatus | None, Field(description="The revision on trial.")] = None
    gates: Annotated[
        tuple[GateStatus, ...],
        Field(max_length=32, description="What each gate says of the trial, of the last one after it ended."),
        Schema(list_type="map", list_map_keys=("name",)),
    ] = ()
    worst_gate: Annotated[
        str | None, Field(max_length=128, description="The gate that matters most now, with its verdict.")
    ] = None
    samples: Annotated[int | None, Field(description="Candidate samples behind the gate that matters most now.")] = None
    rejected: Annotated[
        tuple[Rejection, ...],
        Field(max_length=50, description="Revisions that are not tried again unless the spec changes."),
        Schema(list_type="atomic"),
    ] = ()
    last_rollback: Annotated[LastRollback | None, Field(description="The latest rollback.")] = None
    history: Annotated[
        tuple[HistoryEntry, ...],
        Field(max_length=100, description="How earlier trials ended, the newest first."),
        Schema(list_type="atomic"),
    ] = ()
    weight_mode: Annotated[Literal["Gateway"] | None, Field(description="Who splits the traffic.")] = None


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
