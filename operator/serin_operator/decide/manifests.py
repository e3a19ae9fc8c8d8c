"""The objects that Serin owns, as values; and whether an object that stands is the one that is wanted."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from serin_contract import http, labels
from serin_operator.api.revision import ModelRevisionSpec
from serin_operator.decide import identity, templates
from serin_operator.decide.observation import Observation
from serin_operator.decide.plan import SetWeights

APPLIED_ANNOTATION = "serin.dev/applied"
"""Hash of the manifest as last applied: tells a field that is no longer wanted from one that never was."""

GATEWAY_API = "gateway.networking.k8s.io/v1"
AUTOSCALING_API = "autoscaling/v2"

SCALED_BY_ANNOTATION = "serin.dev/scaled-by"
AUTOSCALER = "autoscaler"


def key(manifest: Mapping[str, Any]) -> str:
    """`Kind/name`, as Observation.live is keyed."""
    return f"{manifest['kind']}/{manifest['metadata']['name']}"


def stands(live: Mapping[str, Mapping[str, Any]], manifest: Mapping[str, Any]) -> bool:
    """Whether the wanted object is there as wanted; the server's own defaults do not count against it."""
    return contains(live.get(key(manifest), {}), manifest)


def set_weights(
    seen: Observation, manifest: dict[str, Any], weights: Mapping[str, int], cohort: str | None, *, narrowing: bool
) -> SetWeights:
    """The write of what splits; one that widens holds only for the object that was seen."""
    return SetWeights(manifest if narrowing else for_seen(seen, manifest), weights, cohort, narrowing)


def for_seen(seen: Observation, manifest: dict[str, Any]) -> dict[str, Any]:
    """The manifest whose write holds only for the object that was seen, where there was one."""
    version = seen.live.get(key(manifest), {}).get("metadata", {}).get("resourceVersion")
    if not version:
        return manifest
    return {**manifest, "metadata": {**manifest["metadata"], "resourceVersion": version}}


def contains(have: Any, want: Any) -> bool:
    """Whether all that is wanted is there: maps may hold more, lists must match item by item.

    Resource quantities are left to the hash in APPLIED_ANNOTATION, because the server rewrites them (1000m, 1).
    """
    if have == want:
        return True
    if isinstance(want, dict):
        return isinstance(have, Mapping) and all(
            name == "resources" or (name in have and contains(have[name], wanted)) for name, wanted in want.items()
        )
    if isinstance(want, (list, tuple)):
        return (
            isinstance(have, (list, tuple))
            and len(have) == len(want)
            and all(contains(mine, theirs) for mine, theirs in zip(have, want, strict=True))
        )
    return False


def owned(seen: Observation, manifest: dict[str, Any], revision: str | None = None) -> dict[str, Any]:
    """The manifest with namespace, labels, owner and the hash of itself."""
    metadata = manifest["metadata"]
    metadata["namespace"] = seen.namespace
    metadata["labels"] = {
        labels.MANAGED_BY_LABEL: labels.MANAGED_BY,
        labels.DEPLOYMENT_LABEL: seen.name,
        **({labels.REVISION_LABEL: revision} if revision else {}),
        **metadata.get("labels", {}),
    }
    metadata["ownerReferences"] = [
        {
            "apiVersion": labels.API_VERSION,
            "kind": "ModelDeployment",
            "name": seen.name,
            "uid": seen.uid,
            "controller": True,
            "blockOwnerDeletion": True,
        }
    ]
    canonical = msgspec.json.encode(manifest, order="deterministic")
    digest = hashlib.sha256(canonical).hexdigest()[:16]
    metadata["annotations"] = {**metadata.get("annotations", {}), APPLIED_ANNOTATION: digest}
    return manifest


def revision_record(seen: Observation, name: str, spec: ModelRevisionSpec) -> dict[str, Any]:
    """The ModelRevision itself."""
    return owned(
        seen,
        {
            "apiVersion": labels.API_VERSION,
            "kind": "ModelRevision",
            "metadata": {"name": name},
            "spec": spec.model_dump(mode="json", by_alias=True, exclude_none=True),
        },
        name,
    )


def workload(seen: Observation, name: str, template: Mapping[str, Any], replicas: int | None) -> dict[str, Any]:
    """The Deployment of one revision, from its frozen template; without a number where an autoscaler chooses it."""
    marks = {"annotations": {SCALED_BY_ANNOTATION: AUTOSCALER}} if replicas is None else {}
    return owned(
        seen,
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": name, **marks},
            "spec": {
                **({"replicas": replicas} if replicas is not None else {}),
                "revisionHistoryLimit": 0,
                "selector": {"matchLabels": serving_selector(seen.name, name)},
                "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
                "template": dict(template),
            },
        },
        name,
    )


def autoscaler(seen: Observation, name: str, replicas_min: int, replicas_max: int, cpu_percent: int) -> dict[str, Any]:
    """The HorizontalPodAutoscaler of one revision."""
    target = {"type": "Utilization", "averageUtilization": cpu_percent}
    return owned(
        seen,
        {
            "apiVersion": AUTOSCALING_API,
            "kind": "HorizontalPodAutoscaler",
            "metadata": {"name": name},
            "spec": {
                "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": name},
                "minReplicas": replicas_min,
                "maxReplicas": replicas_max,
                "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": target}}],
            },
        },
        name,
    )


def live_replicas(live: Mapping[str, Mapping[str, Any]], revision: str) -> int | None:
    """Pods that the revision's Deployment asks for as it stands, whoever chose them; None where there is none."""
    standing = live.get(f"Deployment/{revision}")
    return None if standing is None else standing.get("spec", {}).get("replicas")


def is_autoscaled(standing: Mapping[str, Any]) -> bool:
    """Whether Serin last left the number of this Deployment's pods to an autoscaler."""
    annotations = standing.get("metadata", {}).get("annotations") or {}
    return annotations.get(SCALED_BY_ANNOTATION) == AUTOSCALER


def revision_service(seen: Observation, name: str) -> dict[str, Any]:
    """The Service of one revision; its selector never changes."""
    return _service(seen, name, name, name)


def apex_service(seen: Observation, revision: str | None) -> dict[str, Any]:
    """The Service `<name>`, which always answers: the pods of one revision, or of every one that serves."""
    return _service(seen, seen.name, revision, None)


def disruption_budget(seen: Observation, name: str) -> dict[str, Any]:
    """At most one pod of a revision is disturbed at a time."""
    return owned(
        seen,
        {
            "apiVersion": "policy/v1",
            "kind": "PodDisruptionBudget",
            "metadata": {"name": name},
            "spec": {"maxUnavailable": 1, "selector": {"matchLabels": serving_selector(seen.name, name)}},
        },
        name,
    )


def stable_profile(seen: Observation, revision: str, profile: str) -> dict[str, Any]:
    """Stable's profile for the candidate's pods, so that both arms bin on the same edges."""
    return owned(
        seen,
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": identity.profile_name(revision)},
            "immutable": True,
            "data": {labels.STABLE_PROFILE_FILE: profile},
        },
        revision,
    )


def _service(seen: Observation, name: str, selected: str | None, revision: str | None) -> dict[str, Any]:
    return owned(
        seen,
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": name},
            "spec": {
                "selector": serving_selector(seen.name, selected),
                "ports": _ports(seen, [selected] if selected is not None else _arms(seen)),
            },
        },
        revision,
    )


def _ports(seen: Observation, revisions: Sequence[str]) -> list[dict[str, Any]]:
    """HTTP, and gRPC where pods of one of the revisions speak it; the others have no endpoint on that port."""
    ports = [("http", http.INFERENCE_PORT, "http")]
    if any(templates.speaks_grpc(record.spec.template) for record in map(seen.revision, revisions) if record):
        ports.append((templates.GRPC_PORT_NAME, http.GRPC_PORT, "kubernetes.io/h2c"))
    return [
        {"name": name, "port": port, "targetPort": name, "protocol": "TCP", "appProtocol": protocol}
        for name, port, protocol in ports
    ]


def _arms(seen: Observation) -> list[str]:
    arms = (seen.status.stable, seen.status.candidate)
    return [arm.revision for arm in arms if arm is not None]


def serving_selector(deployment: str, revision: str | None) -> dict[str, str]:
    """What finds the serving pods of one revision, or of all."""
    return {
        labels.DEPLOYMENT_LABEL: deployment,
        **({labels.REVISION_LABEL: revision} if revision is not None else {}),
        labels.PURPOSE_LABEL: "serve",
    }
