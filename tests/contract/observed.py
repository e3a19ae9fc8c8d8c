"""A minimal Observation, and pods as the kubelet would report them."""

from __future__ import annotations

from typing import Any

from serin_contract import labels
from serin_operator.api.deployment import CandidateStatus, ModelDeploymentSpec, ModelDeploymentStatus, StableStatus
from serin_operator.decide import identity
from serin_operator.decide.observation import Observation, OperatorFacts, PodFacts
from serin_operator.observe import workloads

UID = "uid-of-wine"
IMAGE = "serin-serving:test"
NOW = 1_800_000_000.0


def spec(**model: Any) -> ModelDeploymentSpec:
    """A valid spec for the wine model."""
    return ModelDeploymentSpec.model_validate(
        {"model": {"uri": "pvc://models/wine/1", **model}, "traffic": {"parentRefs": [{"name": "public"}]}}
    )


def observation(
    *, pods: tuple[PodFacts, ...] = (), candidate: CandidateStatus | None = None, stable: str | None = None
) -> Observation:
    """The world of one deployment with nothing in it but what is given."""
    return Observation(
        now=NOW,
        namespace="default",
        name="wine",
        uid=UID,
        generation=1,
        created_at=NOW - 60,
        spec=spec(),
        status=ModelDeploymentStatus(
            candidate=candidate, stable=StableStatus(revision=stable) if stable is not None else None
        ),
        operator=OperatorFacts(serving_image=IMAGE, keys_fingerprint="f", keys_applied=True, nonce="0" * 32),
        pods=pods,
    )


def target() -> str:
    """Name of the revision that the spec asks for."""
    return identity.revision_name("wine", spec())


def ended_pod(revision: str, purpose: str, exit_code: int, message: str) -> PodFacts:
    """A pod whose container has just ended, read by the operator from what the kubelet reports."""
    end = {"exitCode": exit_code, "reason": "Error", "message": message, "finishedAt": "2027-01-15T08:00:00Z"}
    item = {
        "metadata": {
            "name": f"{revision}-{purpose}",
            "uid": f"uid-of-{revision}",
            "creationTimestamp": "2027-01-15T07:59:50Z",
            "labels": {labels.PURPOSE_LABEL: purpose, labels.REVISION_LABEL: revision},
            "ownerReferences": [{"kind": "ModelDeployment", "uid": UID, "controller": True}],
        },
        "status": {
            "phase": "Failed" if purpose == "resolve" else "Running",
            "containerStatuses": [{"name": labels.SERVING_CONTAINER, "restartCount": 1, "state": {"terminated": end}}],
        },
    }
    (pod,) = workloads.pods_of([item], UID)
    return pod.facts
