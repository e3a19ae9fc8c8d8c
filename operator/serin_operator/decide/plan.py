"""What to do, as values: a closed set of actions, the status to report, events, and when to look again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from serin_contract.announcements import Announcement
from serin_operator.api.deployment import ModelDeploymentStatus
from serin_operator.api.revision import ModelRevisionStatus
from serin_operator.decide.judge.evidence import Evidence
from serin_operator.decide.judge.watched import WatchEvidence


@dataclass(frozen=True)
class Apply:
    """Server-side apply of one object that Serin owns."""

    manifest: Mapping[str, Any]


@dataclass(frozen=True)
class HandOver:
    """Let a Deployment keep its number of pods before Serin stops to write it.

    A field that its only owner leaves out of an apply is removed, and the API server would then fill in one pod.
    So a second owner takes the number as it stands; where it stands otherwise by then, that is a conflict.
    """

    name: str
    uid: str
    replicas: int


@dataclass(frozen=True)
class ApplyKeys:
    """Write the deployment's key ring as Secret `<name>-keys`; only `apply` ever sees the keys."""

    secret_name: str


@dataclass(frozen=True)
class SetWeights:
    """Apply the owned HTTPRoute: weights and cohort in one write, read back afterwards.

    A risky action: at most one stands in a plan.
    """

    manifest: Mapping[str, Any]
    weights: Mapping[str, int]
    cohort: str | None
    narrowing: bool
    """Whether the candidate's weight falls; such a write comes before everything else."""


@dataclass(frozen=True)
class EditRule:
    """Write one rule of an HTTPRoute that someone else owns: weights and cohort in one patch, read back afterwards.

    A risky action, as SetWeights is. One that widens holds for the route that was read alone; one that narrows is
    repeated on what is read anew.
    """

    route: Mapping[str, Any]
    """As it was read, whole."""
    rule: str
    """Its name."""
    backends: tuple[Mapping[str, Any], ...]
    """All that the rule sends requests to."""
    headers: Mapping[str, str | None]
    """What the rule makes of the request's headers, by name; None takes one away. Others stay as they are."""
    weights: Mapping[str, int]
    cohort: str | None
    narrowing: bool


Splitting = SetWeights | EditRule
"""Writes a split."""


@dataclass(frozen=True)
class Announce:
    """Tell one serving pod what holds from here on.

    Never stops the actions after it: whether the pod took it stands in its stats at the next look.
    """

    pod_uid: str
    origin: str
    """`http://host:port` of its stats port."""
    announcement: Announcement


@dataclass(frozen=True)
class Delete:
    """Delete one owned object, in the background, only if it still is the one that was seen."""

    api_version: str
    kind: str
    name: str
    uid: str


Action = Apply | ApplyKeys | HandOver | SetWeights | EditRule | Announce | Delete


@dataclass(frozen=True)
class Event:
    """One event on the ModelDeployment; its reason is that of a condition or a gate."""

    type: Literal["Normal", "Warning"]
    reason: str
    message: str
    action: str = "Reconcile"


@dataclass(frozen=True)
class RevisionReport:
    """The status to write on one ModelRevision, before the deployment's own."""

    name: str
    status: ModelRevisionStatus


@dataclass(frozen=True)
class Plan:
    """The answer to one Observation.

    Actions are carried out in order, then revision reports, then the status. A plan that narrows holds its
    SetWeights first; a plan that widens only writes the intent to status, and the next one sets the weight.
    """

    status: ModelDeploymentStatus
    actions: tuple[Action, ...] = ()
    revisions: tuple[RevisionReport, ...] = ()
    events: tuple[Event, ...] = ()
    evidence: Evidence | None = None
    """To keep in memory for the next observation; None forgets it."""
    watched: WatchEvidence | None = None
    """The same of a watch."""
    retry_after_seconds: float | None = None
    """Look again after this time; None waits for an event or the resync."""
