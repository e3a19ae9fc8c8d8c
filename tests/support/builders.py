"""Small builders for tables: observations and what they are made of, with defaults that stand for a quiet world."""

from __future__ import annotations

from typing import Any

from serin_operator.api.deployment import CandidateStatus, GateStatus, ModelDeploymentSpec, ModelDeploymentStatus
from serin_operator.api.revision import ModelRevisionSpec, ModelRevisionStatus, RevisionModel
from serin_operator.decide import identity, policy, templates
from serin_operator.decide.draft import Situation
from serin_operator.decide.observation import Observation, OperatorFacts, PodFacts, RevisionFacts
from serin_operator.decide.policy import Policy
from tests.support.world import DIGEST, a_spec

NOW = 1_800_000_000.0
NOW_TEXT = "2027-01-15T08:00:00Z"


def parsed(spec: dict[str, Any] | None = None) -> ModelDeploymentSpec:
    """A spec as the operator reads it."""
    return ModelDeploymentSpec.model_validate(a_spec() if spec is None else spec)


def a_policy(**changes: Any) -> Policy:
    """The policy of `a_spec` with top-level fields replaced."""
    return policy.resolve(parsed(a_spec(**changes)))


def observed(spec: dict[str, Any] | None = None, **changes: Any) -> Observation:
    """An observation of a deployment for which nothing has been done yet."""
    facts: dict[str, Any] = {
        "now": NOW,
        "namespace": "shop",
        "name": "wine",
        "uid": "uid-1",
        "generation": 1,
        "created_at": NOW,
        "spec": parsed(spec),
        "status": ModelDeploymentStatus(),
        "operator": OperatorFacts("serin-serving:1", "keys", keys_applied=True, nonce="0" * 32),
    }
    return Observation(**(facts | changes))


def situated(spec: dict[str, Any] | None = None, **changes: Any) -> Situation:
    """The same with its spec understood."""
    seen = observed(spec, **changes)
    assert seen.spec is not None
    return Situation(seen, seen.spec, policy.resolve(seen.spec), identity.revision_name(seen.name, seen.spec))


def a_pod(name: str = "pod-1", revision: str = "wine-2", **changes: Any) -> PodFacts:
    """A serving pod that is ready."""
    facts: dict[str, Any] = {
        "name": name,
        "uid": f"uid-{name}",
        "revision": revision,
        "purpose": "serve",
        "phase": "Running",
        "ready": True,
        "terminating": False,
        "created_at": NOW,
    }
    return PodFacts(**(facts | changes))


def a_record(
    name: str = "wine-2",
    *,
    verdict: str | None = None,
    age_seconds: float = 0.0,
    spec: dict[str, Any] | None = None,
    **changes: Any,
) -> RevisionFacts:
    """A revision whose status was written that long ago."""
    asked = parsed(spec)
    frozen = ModelRevisionSpec(
        deployment="wine",
        identity=name.rpartition("-")[2],
        model=RevisionModel(uri=asked.model.uri, digest=DIGEST),
        template=templates.serving_template("wine", name, asked, DIGEST, "serin-serving:1"),
    )
    status = ModelRevisionStatus.model_validate({"verdict": verdict, "updatedAt": changes.pop("updated_at", None)})
    return RevisionFacts(name, f"uid-{name}", NOW - age_seconds, frozen, status)


def a_candidate(revision: str = "wine-2", **changes: Any) -> CandidateStatus:
    """A candidate on trial, warming up."""
    return CandidateStatus(**({"revision": revision, "trial_started_at": NOW_TEXT} | changes))


def a_gate(name: str = "accuracy", verdict: str = "Pass", mode: str = "Enforce") -> GateStatus:
    """What a gate says."""
    return GateStatus.model_validate(
        {
            "name": name,
            "mode": mode,
            "verdict": verdict,
            "reason": f"{verdict}Reason",
            "message": f"{name} says {verdict}",
        }
    )
