"""What Serin says of one model: the status of a ModelDeployment."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field

from serin_contract.stats import Runtime
from serin_operator.api.base import ApiModel, Condition, Timestamp
from serin_operator.api.gates import Mode
from serin_operator.api.markers import Schema


class Phase(StrEnum):
    """Where the deployment stands, in one word."""

    Pending = "Pending"
    """The first revision is being resolved, started or warmed up."""
    Shadowing = "Shadowing"
    """A candidate gets a copy of the traffic; no caller sees its answers."""
    Progressing = "Progressing"
    """A candidate answers its share of the traffic and climbs the steps."""
    Holding = "Holding"
    """The candidate keeps its weight until the gates have what they need to decide."""
    Paused = "Paused"
    """A person or the deadline stopped the trial; the weight stays and the clocks stand."""
    Promoting = "Promoting"
    """Every gate passed; the traffic moves to the candidate."""
    Watching = "Watching"
    """The revision of the spec answers all traffic; its gates go on, and the previous revision is at hand."""
    Stable = "Stable"
    """The revision of the spec answers all traffic."""
    RollingBack = "RollingBack"
    """A gate failed or the trial was aborted; the traffic moves back to stable."""
    RolledBack = "RolledBack"
    """Stable answers all traffic and the revision of the spec is rejected."""
    Failed = "Failed"
    """The revision of the spec cannot serve and a person must act."""


class FeatureStatus(ApiModel):
    """What a gate found in one feature."""

    name: Annotated[str, Field(max_length=253, description="Name of the feature.")]
    value: Annotated[float, Field(description="Its drift or its share of violations, candidate's.")]
    reference: Annotated[float | None, Field(description="The same of stable against its own training data.")] = None
    log10_e: Annotated[float | None, Field(alias="log10E", description="Evidence in this feature alone.")] = None


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
        Field(
            description=(
                "Confidence bound on the loss against stable, which a Pass needs within limits; in a watch, the worst "
                "value that is not excluded. agreement: the lowest that is not; latency: the highest quantile, seconds."
            )
        ),
    ] = None
    limit: Annotated[float | None, Field(description="The threshold that applies.")] = None
    samples: Annotated[float | None, Field(description="Candidate samples that count so far.")] = None
    needed: Annotated[float | None, Field(description="Estimate of the samples that a verdict needs.")] = None
    log10_e: Annotated[
        float | None,
        Field(alias="log10E", description="Evidence against the candidate; it fails at -log10(budget)."),
    ] = None
    budget: Annotated[
        float | None,
        Field(
            description=(
                "This gate's share of falseRollbackBudget; in a watch, the chance of a false alarm that the window "
                "which says most may spend of falseAlarmsPerYear."
            )
        ),
    ] = None
    smallest_drop: Annotated[
        float | None,
        Field(
            description=(
                "Smallest loss that the candidate's traffic so far can reveal; in a watch, smallest distance beyond "
                "the limit. latency: a share of requests; agreement: a share of other answers."
            )
        ),
    ] = None
    features: Annotated[
        tuple[FeatureStatus, ...] | None,
        Field(max_length=5, description="The features that weigh most, the worst first."),
        Schema(list_type="atomic"),
    ] = None
    breaches: Annotated[
        int | None, Field(description="Custom gates: looks in a row at which the value was beyond its limit.")
    ] = None
    checked_at: Annotated[Timestamp | None, Field(description="Custom gates: when the value was last read.")] = None
    since: Annotated[Timestamp | None, Field(description="When this verdict was first given.")] = None


ServedRuntime = Annotated[
    Runtime | None,
    Field(description="What runs its model: onnx where every pod serves the compiled one, else what reads its file."),
]
RuntimeReason = Annotated[
    str | None, Field(max_length=1024, description="Why the compiled model is not served, where it is not.")
]


class StableStatus(ApiModel):
    """The revision that is trusted."""

    revision: Annotated[str, Field(max_length=63, description="Name of its ModelRevision.")]
    digest: Annotated[str | None, Field(max_length=71, description="Digest of its bundle.")] = None
    weight: Annotated[int | None, Field(description="Percent of requests that it answers.")] = None
    ready_replicas: Annotated[int | None, Field(description="Its pods that are ready.")] = None
    runtime: ServedRuntime = None
    runtime_reason: RuntimeReason = None


Confirmation = Literal["Confirmed", "NotYet", "CannotTell", "Wrong"]


class ReachableStatus(ApiModel):
    """Whether the gateway leads to the candidate, as the operator's own probe through it sees it."""

    answer: Annotated[
        Literal["Confirmed", "NotYet", "CannotTell"],
        Field(description="CannotTell: the gateway could not be asked; then only the observed split confirms."),
    ]
    message: Annotated[str, Field(max_length=1024, description="What the gateway answered, in one sentence.")]
    since: Annotated[Timestamp | None, Field(description="When this answer was first given.")] = None


class SplitStatus(ApiModel):
    """Whether callers see the split that the weight claims, from what both arms answered in this cohort."""

    answer: Annotated[
        Confirmation,
        Field(description="Wrong: the weight is excluded by what both arms answered; the step is not left."),
    ]
    message: Annotated[str, Field(max_length=1024, description="The numbers, in one sentence.")]
    share: Annotated[float | None, Field(description="Part of them that the candidate answered.")] = None
    requests: Annotated[
        int | None,
        Field(description="Requests of this cohort; callers with stickiness, connections in Replicas mode."),
    ] = None
    since: Annotated[Timestamp | None, Field(description="When this answer was first given.")] = None


class CandidateStatus(ApiModel):
    """The revision on trial."""

    revision: Annotated[str, Field(max_length=63, description="Name of its ModelRevision.")]
    digest: Annotated[str | None, Field(max_length=71, description="Digest of its bundle.")] = None
    weight: Annotated[int, Field(description="Percent of requests that it may answer in this step.")] = 0
    ready_replicas: Annotated[int | None, Field(description="Its pods that are ready.")] = None
    runtime: ServedRuntime = None
    runtime_reason: RuntimeReason = None
    step: Annotated[
        int, Field(description="Index of the step; -1 before the first, the number of steps while promoting.")
    ] = -1
    cohort: Annotated[str | None, Field(max_length=128, description="Cohort of the requests split now.")] = None
    shadow_cohort: Annotated[
        str | None,
        Field(max_length=160, description="Cohort of the requests copied to the candidate in a shadow step."),
    ] = None
    cohort_number: Annotated[int, Field(description="Rises at every change of weight and never repeats.")] = 0
    step_started_at: Annotated[
        Timestamp | None,
        Field(
            description=(
                "Where the step's clock starts: when the gateway took the weight, and anew when the requests "
                "confirmed the split."
            )
        ),
    ] = None
    probe: Annotated[
        str | None,
        Field(max_length=32, description="Header value of the trial's own that leads a probe to the candidate."),
    ] = None
    reachable: Annotated[ReachableStatus | None, Field(description="Whether the gateway leads to the candidate.")] = (
        None
    )
    split: Annotated[SplitStatus | None, Field(description="Whether callers see the split that weight claims.")] = None
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
    endpoints_at: Annotated[
        Timestamp | None,
        Field(
            description=(
                "Replicas mode: when the Service was seen to name the pods of this step. Connections are drawn anew "
                "soon after."
            )
        ),
    ] = None
    stable_floor: Annotated[
        int | None,
        Field(description="With an autoscaler: pods that stable had when the trial began, and keeps until it ends."),
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


class PreviousStatus(ApiModel):
    """The revision that was stable before, while it keeps its pods."""

    revision: Annotated[str, Field(max_length=63, description="Name of its ModelRevision.")]
    digest: Annotated[str | None, Field(max_length=71, description="Digest of its bundle.")] = None
    warm_until: Annotated[
        Timestamp,
        Field(
            description="Until then it keeps a pod at least; applying its spec gives it all traffic without a trial."
        ),
    ]
    full_until: Annotated[
        Timestamp | None,
        Field(
            description=(
                "Until then it keeps all its pods and can take the traffic at once, later one pod; absent: until "
                "warmUntil."
            )
        ),
    ] = None
    ready_replicas: Annotated[int | None, Field(description="Its pods that are ready.")] = None
    floor: Annotated[
        int | None, Field(description="With an autoscaler: pods that it keeps at least, as it had them before.")
    ] = None


class WatchStatus(ApiModel):
    """The watch over the revision that was promoted last."""

    revision: Annotated[str, Field(max_length=63, description="Name of the ModelRevision that is watched.")]
    since: Annotated[Timestamp, Field(description="When it was promoted.")]
    until: Annotated[Timestamp, Field(description="When the watch ends, unless a breach is being answered.")]
    cohort: Annotated[str, Field(max_length=160, description="Cohort of the requests that count in the watch.")]
    cohort_number: Annotated[int, Field(description="Rises where the route had to be set anew.")] = 1
    proven: Annotated[
        dict[str, float] | None,
        Field(
            max_length=32,
            description=(
                "By gate, what the trial showed at the promotion: the watch asks that it has not become worse than "
                "this by more than the gate allows."
            ),
        ),
    ] = None
    breach: Annotated[str | None, Field(max_length=63, description="The gate that is breached, if one is.")] = None
    breach_since: Annotated[
        Timestamp | None,
        Field(description="When the breach was first seen; it lasts when it still stands a minute later."),
    ] = None
    not_ready_since: Annotated[
        Timestamp | None, Field(description="Since when the revision has no ready pod or one that crashes anew.")
    ] = None
    rolling_back: Annotated[
        bool | None, Field(description="Whether the previous revision is being started to take the traffic back.")
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
        Literal["Promoted", "Returned", "RolledBack", "Rejected", "Undecided", "Aborted", "Superseded", "Failed"],
        Field(description="How the trial ended; RolledBack: after its promotion, by the watch."),
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
    previous: Annotated[
        PreviousStatus | None, Field(description="The revision that was stable before, as long as it is kept warm.")
    ] = None
    watch: Annotated[
        WatchStatus | None, Field(description="The watch over the revision that was promoted last, while it lasts.")
    ] = None
    gates: Annotated[
        tuple[GateStatus, ...],
        Field(
            max_length=32,
            description="What each gate says of the trial or in the watch; of the last one after it ended.",
        ),
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
    weight_mode: Annotated[Literal["Gateway", "Replicas"] | None, Field(description="Who splits the traffic.")] = None
