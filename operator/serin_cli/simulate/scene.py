"""A roll-out in memory: just enough of a cluster for the real `decide` to go through its steps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from serin_cli.simulate.rows import Numbers, Rows, Source
from serin_contract.profile import profile_hash
from serin_contract.stats import BinCounts, CohortStats, LabelCounts, PodStats, QualityCounts
from serin_operator.api.deployment import ModelDeploymentSpec, ModelDeploymentStatus, StableStatus
from serin_operator.api.revision import ModelRevisionSpec, ModelRevisionStatus, RevisionModel
from serin_operator.decide import identity, templates
from serin_operator.decide.judge.evidence import Evidence
from serin_operator.decide.observation import (
    PROBES_IN_A_ROW,
    Observation,
    OperatorFacts,
    ParentFacts,
    ParentProbe,
    PodFacts,
    ProbeFacts,
    RevisionFacts,
    RouteFacts,
    StatsAnswer,
)
from serin_operator.decide.plan import Apply, Delete, Plan, SetWeights
from serin_operator.decide.rollout import decide

NAME, BEGAN = "model", 1_800_000_000.0
DIGESTS = {"stable": "sha256:" + "0" * 64, "candidate": "sha256:" + "1" * 64}


@dataclass
class Counted:
    """What one arm counted in one cohort."""

    requests: int = 0
    labelled: float = 0.0
    correct: float = 0.0
    errors: Numbers = field(default_factory=lambda: np.zeros(3))
    """Of a regressor: sums of its errors, of their squares and of their fourth powers."""
    fine: Numbers = field(default_factory=lambda: np.zeros(0))
    prediction: Numbers = field(default_factory=lambda: np.zeros(0))


@dataclass
class Scene:
    """One trial under way: two revisions with a ready pod each, a route, and what was counted."""

    source: Source
    document: Mapping[str, Any]
    """The spec of the manifest, prepared."""
    arms: Mapping[str, Rows]
    """What each arm answers, by `candidate` and `stable`."""
    requests_per_second: float
    label_delay_seconds: float
    draws: np.random.Generator
    now: float = BEGAN
    evidence: Evidence | None = None
    weights: Mapping[str, int] = field(default_factory=dict)
    cohort: str | None = None
    live: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    counted: dict[tuple[str, str], Counted] = field(default_factory=dict)
    pending: list[tuple[float, str, str, int, int, Numbers]] = field(default_factory=list)
    """Labels on their way: due, arm, cohort, number, correct, sums of errors."""

    def __post_init__(self) -> None:
        self.spec = self._spec("candidate")
        specs = {"stable": self._spec("stable"), "candidate": self.spec}
        self.names = {arm: identity.revision_name(NAME, spec) for arm, spec in specs.items()}
        self.arm_of = {name: arm for arm, name in self.names.items()}
        self.revisions = {self.names[arm]: self._revision(arm, spec) for arm, spec in specs.items()}
        stable = StableStatus(revision=self.names["stable"], digest=DIGESTS["stable"], weight=100, ready_replicas=1)
        self.status = ModelDeploymentStatus(stable=stable)
        self.hash = profile_hash(self.source.profile)
        self._ready = dict.fromkeys(self.names.values(), 1)

    def step(self) -> Plan:
        """One pass of the operator."""
        plan = decide(self.observe())
        for action in plan.actions:
            match action:
                case SetWeights(manifest=manifest):
                    self.weights, self.cohort = dict(action.weights), action.cohort
                    self.live[f"HTTPRoute/{NAME}"] = dict(manifest)
                case Apply(manifest=manifest):
                    key = f"{manifest['kind']}/{manifest['metadata']['name']}"
                    self.live[key] = {**manifest, "metadata": {**manifest["metadata"], "uid": f"uid-{key}"}}
                case Delete(kind=kind, name=name):
                    self.live.pop(f"{kind}/{name}", None)
        self.status, self.evidence = plan.status, plan.evidence
        return plan

    def pass_time(self, seconds: float) -> None:
        """Let requests and labels come."""
        self.now += seconds
        if self.cohort is not None:
            for name, weight in self.weights.items():
                mean = self.requests_per_second * seconds * weight / 100
                self._answer(self.arm_of[name], self.cohort, int(self.draws.poisson(mean)))
        due = [label for label in self.pending if label[0] <= self.now]
        self.pending = [label for label in self.pending if label[0] > self.now]
        for _, arm, cohort, labelled, correct, errors in due:
            counted = self.counted[arm, cohort]
            counted.labelled += labelled
            counted.correct += correct
            counted.errors = counted.errors + errors

    def observe(self) -> Observation:
        """What the operator would see."""
        parent = ParentFacts("public", None, True, True)
        route = RouteFacts(self.weights, self.cohort, (parent,)) if self.weights else None
        probed = ParentProbe(f"{NAME}/public", PROBES_IN_A_ROW)
        return Observation(
            now=self.now,
            namespace=NAME,
            name=NAME,
            uid="uid",
            generation=1,
            created_at=BEGAN,
            spec=self.spec,
            status=self.status,
            operator=OperatorFacts("image", "keys", True, f"{int(self.draws.integers(2**62)):032x}"),
            revisions=tuple(self.revisions.values()),
            pods=tuple(_pod(name) for name in self._ready),
            ready_endpoints=self._ready,
            live=self.live,
            route=route,
            probe=ProbeFacts((probed,)),
            stats=self._stats() if self.cohort is not None else (),
            evidence=self.evidence,
            profiles=dict.fromkeys(self._ready, self.source.profile),
        )

    def _answer(self, arm: str, cohort: str, requests: int) -> None:
        if not requests:
            return
        rows, binner = self.arms[arm], self.source.binner
        chosen = self.draws.integers(len(rows.hits), size=requests)
        weights = np.ones(requests)
        counted = self.counted.setdefault((arm, cohort), Counted())
        if not len(counted.fine):
            counted.fine = np.zeros(binner.features.size)
            counted.prediction = np.zeros(binner.predictions[0].size)
        counted.requests += requests
        counted.fine += binner.features.count(rows.matrix[chosen], weights)
        classes = rows.classes[chosen] if rows.classes is not None else None
        counted.prediction += binner.predictions[0].count(classes, rows.score[chosen], weights)
        correct = int(rows.hits[chosen].sum())
        told = rows.errors[chosen] if rows.errors is not None else np.zeros(1)
        errors = np.array([(told**power).sum() for power in (1, 2, 4)])
        self.pending.append((self.now + self.label_delay_seconds, arm, cohort, requests, correct, errors))

    def _stats(self) -> tuple[StatsAnswer, ...]:
        cohorts: dict[str, dict[str, CohortStats]] = {name: {} for name in self._ready}
        for (arm, cohort), counted in self.counted.items():
            bins = BinCounts(
                self.hash, self.source.binner.features.tallies[0].of(counted.fine), counted.prediction.tolist()
            )
            labels = {self.names[arm]: LabelCounts(counted.labelled, counted.correct, *counted.errors.tolist())}
            cohorts[self.names[arm]][cohort] = CohortStats(
                requests=counted.requests,
                predictions=float(counted.requests),
                rows=counted.requests,
                labels=labels,
                error_clip=self.source.profile.error_clip,
                quality=self._quality(counted),
                own_bins=bins,
                stable_bins=bins,
            )
        return tuple(
            StatsAnswer(_uid(name), name, PodStats(name, _uid(name), "start", cohorts=told))
            for name, told in cohorts.items()
        )

    def _quality(self, counted: Counted) -> QualityCounts:
        features = self.source.binner.features
        tallies = (features.missing, features.unseen, features.below, features.above)
        return QualityCounts(self.hash, float(counted.requests), *(tally.of(counted.fine) for tally in tallies))

    def _spec(self, arm: str) -> ModelDeploymentSpec:
        model = {"uri": f"file:///{arm}", "digest": DIGESTS[arm]}
        return ModelDeploymentSpec.model_validate({**self.document, "model": model})

    def _revision(self, arm: str, spec: ModelDeploymentSpec) -> RevisionFacts:
        name, model = self.names[arm], RevisionModel(uri=spec.model.uri, digest=DIGESTS[arm])
        template = templates.serving_template(NAME, name, spec, DIGESTS[arm], "image")
        frozen = ModelRevisionSpec(deployment=NAME, identity=identity.identity(spec), model=model, template=template)
        return RevisionFacts(name, _uid(name), BEGAN, frozen, ModelRevisionStatus())


def _uid(name: str) -> str:
    return f"uid-{name}"


def _pod(name: str) -> PodFacts:
    return PodFacts(
        name=name,
        uid=_uid(name),
        revision=name,
        purpose="serve",
        phase="Running",
        ready=True,
        terminating=False,
        created_at=BEGAN,
    )
