"""Manifests that the stories apply, as a user would write them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

Json = dict[str, Any]

LABEL = "serin.dev/test"
"""On everything of the end-to-end tests that lies outside a namespace of theirs, and on those namespaces."""

PLACE_LABEL = "serin.dev/test-namespace"
"""On what lies outside a namespace and goes with it: its name."""

GATEWAY = {"name": "public", "namespace": "serin-gateway"}
CLAIM = "models"


def namespace(name: str, label: str = "e2e") -> Json:
    """A namespace that admits pods of the strictest profile only.

    Args:
        name: its own.
        label: whose it is: tests that begin remove what is left of their like, and nothing of a bench.
    """
    return {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": name, "labels": {LABEL: label, "pod-security.kubernetes.io/enforce": "restricted"}},
    }


def storage(
    namespace_: str, directory: Path, label: str = "e2e", *, claim: str = CLAIM, mode: str = "ReadOnlyMany"
) -> list[Json]:
    """A claim on a directory that the cluster's one node sees.

    Args:
        namespace_: where the claim lies.
        directory: of the node.
        label: as in `namespace`.
        claim: its name.
        mode: how pods may use it, as ReadWriteMany; they write there only if the directory lets user 65532.
    """
    volume = {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": f"{namespace_}-{claim}", "labels": {LABEL: label, PLACE_LABEL: namespace_}},
        "spec": {
            "capacity": {"storage": "1Gi"},
            "accessModes": [mode],
            "persistentVolumeReclaimPolicy": "Retain",
            "storageClassName": "",
            "claimRef": {"namespace": namespace_, "name": claim},
            "hostPath": {"path": str(directory), "type": "Directory"},
        },
    }
    made = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": claim, "namespace": namespace_},
        "spec": {
            "accessModes": [mode],
            "storageClassName": "",
            "volumeName": volume["metadata"]["name"],
            "resources": {"requests": {"storage": "1Gi"}},
        },
    }
    return [volume, made]


def feedback_route(namespace_: str, name: str, host: str) -> Json:
    """Labels through the gateway, to whatever revision is stable."""
    return {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": {"name": f"{name}-feedback", "namespace": namespace_},
        "spec": {
            "parentRefs": [GATEWAY],
            "hostnames": [host],
            "rules": [
                {
                    "matches": [{"path": {"type": "Exact", "value": "/v1/feedback"}}],
                    "backendRefs": [{"name": name, "port": 8080}],
                }
            ],
        },
    }


def model_deployment(namespace_: str, name: str, host: str, bundle: str, /, **spec: Any) -> Json:
    """A ModelDeployment of the bundle at models/<bundle>, ready for a quick trial.

    Args:
        namespace_: where it lies.
        name: its own, and the model's in every path.
        host: host name of its route.
        bundle: its path in the claim.
        spec: whole fields of the spec that differ, as in `paused=True`; None leaves a field out.
    """
    wanted: Json = {
        "model": {"uri": f"pvc://{CLAIM}/{bundle}"},
        "serving": serving(),
        "traffic": {"parentRefs": [GATEWAY], "hostnames": [host]},
        "rollout": rollout((20, 5), (50, 5)),
        "gates": {"accuracy": {"maxDrop": 0.05, "labelDelay": "1s"}, "errorRate": {"max": 0.05}},
        **spec,
    }
    return {
        "apiVersion": "serin.dev/v1alpha1",
        "kind": "ModelDeployment",
        "metadata": {"name": name, "namespace": namespace_},
        "spec": {field: value for field, value in wanted.items() if value is not None},
    }


def serving(*, memory: str = "512Mi", **fields: Any) -> Json:
    """spec.serving of a small pod; `fields` are further ones."""
    resources = {"requests": {"cpu": "100m", "memory": "32Mi"}, "limits": {"memory": memory}}
    return {"replicas": 1, "resources": resources} | fields


def rollout(*steps: tuple[int, int], **fields: Any) -> Json:
    """spec.rollout with steps of (percent, seconds)."""
    return {"steps": [{"weight": weight, "for": f"{seconds}s"} for weight, seconds in steps], **fields}
