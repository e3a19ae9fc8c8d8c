"""Everything that a decision may see, read once, frozen. What could not be read is there as such."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from serin_contract.announcements import Announced
from serin_contract.profile import Profile
from serin_contract.stats import PodStats
from serin_operator.api.deployment import ModelDeploymentSpec, ModelDeploymentStatus
from serin_operator.api.revision import ModelRevisionSpec, ModelRevisionStatus
from serin_operator.decide.judge.evidence import Evidence
from serin_operator.decide.judge.look import CustomAnswer
from serin_operator.decide.judge.watched import WatchEvidence


@dataclass(frozen=True)
class ContainerEnd:
    """How a container last ended."""

    exit_code: int
    reason: str
    message: str
    finished_at: float
    """Unix time in seconds."""


@dataclass(frozen=True)
class PodFacts:
    """One pod of the deployment."""

    name: str
    uid: str
    revision: str
    """Name of its ModelRevision; for a resolve pod the revision it resolves for."""
    purpose: Literal["serve", "resolve"]
    phase: str
    ready: bool
    terminating: bool
    created_at: float
    """Unix time in seconds."""
    restarts: int = 0
    last_end: ContainerEnd | None = None
    waiting_reason: str | None = None
    """Why the container does not run, such as CrashLoopBackOff or ErrImagePull."""
    waiting_message: str | None = None
    unschedulable: str | None = None
    """The scheduler's words where no node takes the pod."""
    origin: str | None = None
    """`http://host:port` of its stats port; None while it has no address."""
    counts: bool = True
    """False of a container of the user's own: it has no stats port."""


@dataclass(frozen=True)
class RevisionFacts:
    """One ModelRevision."""

    name: str
    uid: str
    created_at: float
    spec: ModelRevisionSpec
    status: ModelRevisionStatus
    resource_version: str = ""
    """Of the object that was read: its status is written only if it still is that one."""


@dataclass(frozen=True)
class ParentFacts:
    """What one parent of the route says of it."""

    name: str
    namespace: str | None
    accepted: bool | None
    """None where the controller has not spoken of this generation yet."""
    resolved_refs: bool | None
    message: str = ""


@dataclass(frozen=True)
class RouteFacts:
    """The HTTPRoute that splits, Serin's own or a rule of the user's, as it stands in the API server."""

    weights: Mapping[str, int]
    """By revision name, the backends of the inference rule, those of weight 0 included."""
    cohort: str | None
    """What the rule sets as the cohort header, or None where it removes it."""
    parents: tuple[ParentFacts, ...]
    """One for each parentRef of the route; an unknown answer where the controller is silent."""

    @property
    def programmed(self) -> bool | None:
        """Whether every parent took this generation: true, false or cannot tell."""
        answers = [value for parent in self.parents for value in (parent.accepted, parent.resolved_refs)]
        if any(value is False for value in answers):
            return False
        return True if answers and all(answers) else None


@dataclass(frozen=True)
class ReferredFacts:
    """The HTTPRoute of the user's that `traffic.routeRef` names."""

    item: Mapping[str, Any]
    """As it stands, whole: what is written back must keep all that is not Serin's."""
    others: tuple[str, ...] = ()
    """Other ModelDeployments whose Services the rule names."""


PROBES_IN_A_ROW = 5
"""Answers of the candidate in a row by which a gateway is known to lead to it."""


@dataclass(frozen=True)
class ParentProbe:
    """What one Gateway answered to the trial's own probe."""

    name: str
    """`namespace/name`."""
    in_a_row: int = 0
    """Answers that named the candidate, without another one between; PROBES_IN_A_ROW at most."""
    answered: str = ""
    """What the answer was that ended the row, in words that quote nothing."""
    unknown: str | None = None
    """Why it could not be asked at all; None where it was."""


@dataclass(frozen=True)
class ProbeFacts:
    """What the latest probe through every Gateway of the route found; no parents while the first is under way."""

    parents: tuple[ParentProbe, ...] = ()


@dataclass(frozen=True)
class StatsAnswer:
    """What one serving pod answered when it was asked for its stats."""

    pod_uid: str
    revision: str
    stats: PodStats | None
    error: str | None = None


@dataclass(frozen=True)
class OperatorFacts:
    """What a decision needs to know of the operator itself."""

    serving_image: str
    keys_fingerprint: str
    """Of this deployment's key ring, no secret in it."""
    keys_applied: bool
    """Whether this process has written the ring since it started."""
    nonce: str
    """32 hexadecimal digits, fresh in every observation: decisions make no randomness of their own."""
    poll_seconds: float = 1.0
    """Between two looks at a candidate that takes traffic."""
    fetch_ranges: tuple[str, ...] = ()
    """Addresses that are not public and that bundles may be fetched from all the same, as CIDRs."""


@dataclass(frozen=True)
class Observation:
    """The world of one ModelDeployment at one moment."""

    now: float
    """Unix time in seconds."""
    namespace: str
    name: str
    uid: str
    generation: int
    created_at: float
    spec: ModelDeploymentSpec | None
    """None where the spec cannot be read; spec_error then says why."""
    status: ModelDeploymentStatus
    operator: OperatorFacts
    spec_error: str | None = None
    revisions: tuple[RevisionFacts, ...] = ()
    pods: tuple[PodFacts, ...] = ()
    ready_endpoints: Mapping[str, int] = field(default_factory=dict)
    """Ready, non-terminating endpoints by revision name, from the EndpointSlices of its Service."""
    apex_endpoints: tuple[str, ...] = ()
    """UIDs of the pods behind the ready, non-terminating endpoints of the Service of the deployment's name, sorted."""
    live: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Owned objects as they stand, by `Kind/name`, without managedFields; Secrets are never read."""
    route: RouteFacts | None = None
    referred: ReferredFacts | None = None
    """None where the spec refers to no route, and where there is none of that name."""
    rehearsal: RouteFacts | None = None
    """The route on which a gateway shows whether it takes the rules of stickiness; no caller's request takes it."""
    gateway_api: bool = True
    """Whether the API server knows HTTPRoutes."""
    missing_gateways: tuple[str, ...] = ()
    """`namespace/name` of parents that do not exist."""
    probe: ProbeFacts | None = None
    """Asked for while a candidate is being introduced and while the split of a step is not confirmed."""
    stats: tuple[StatsAnswer, ...] = ()
    """Asked for only while a candidate holds a cohort, and in a watch."""
    evidence: Evidence | None = None
    """Of the candidate in status: from this process, else as last persisted, else None."""
    watched: WatchEvidence | None = None
    """Of the watch in status: from this process, else as last persisted, else None."""
    profiles: Mapping[str, Profile] = field(default_factory=dict)
    """By revision name, of the arms of a trial and of a watched revision, as far as a pod has told its own."""
    custom: tuple[CustomAnswer, ...] = ()
    """What the sources of the custom gates answered last; asked for during trials and watches."""
    stable_profile: str | None = None
    """Stable's profile as JSON text where a candidate still lacks its copy and a stable pod answered."""
    stable_profile_error: str | None = None
    resource_version: str = ""
    """Of the ModelDeployment that was read: a status decided on an older one is refused."""

    def revision(self, name: str) -> RevisionFacts | None:
        """The ModelRevision of that name."""
        return next((revision for revision in self.revisions if revision.name == name), None)

    def serving_pods(self, revision: str) -> tuple[PodFacts, ...]:
        """The serving pods of that revision, terminating ones included."""
        return tuple(pod for pod in self.pods if pod.revision == revision and pod.purpose == "serve")

    def ready_pods(self, revision: str) -> tuple[PodFacts, ...]:
        """Those of them that are ready and not on their way out."""
        return tuple(pod for pod in self.serving_pods(revision) if pod.ready and not pod.terminating)

    @property
    def announced(self) -> Mapping[str, Announced | None]:
        """The announcement that each pod holds, by UID, of the pods whose stats could be read."""
        return {answer.pod_uid: answer.stats.announced for answer in self.stats if answer.stats is not None}

    def ready(self, revision: str) -> int:
        """Ready endpoints of that revision."""
        return self.ready_endpoints.get(revision, 0)
