"""A container of the user's own: its image serves the model, and nothing is asked of it but whether it is ready.

It is held to the same hardened surface as Serin's own server. It has no keys, no profile and no bundle. Nothing in it
is known to wait at its end, so the kubelet waits instead: `preStop` keeps it serving for the drain before it is told
to end.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from serin_contract import http, labels, sources
from serin_operator.api.deployment import CustomContainer, ModelDeploymentSpec
from serin_operator.api.revision import RevisionModel

JUDGED_BY = "a container of your own counts nothing, so availability and custom gates alone can judge it"

SCRATCH_DIR = "/tmp"  # noqa: S108 — a volume of the pod's own, which dies with it
SCRATCH_SIZE_LIMIT = "256Mi"
"""For sockets and small files: the rest of its file system is read-only."""


def asked(spec: ModelDeploymentSpec) -> CustomContainer | None:
    """How its server is asked, or None where Serin's own server serves a bundle."""
    return spec.serving.custom if spec.serving is not None and sources.is_image(spec.model.uri) else None


def reference(spec: ModelDeploymentSpec) -> str:
    """The image to run."""
    return spec.model.uri.removeprefix(sources.IMAGE_SCHEME)


def model(spec: ModelDeploymentSpec) -> RevisionModel:
    """What its revision records: the image, and the digest that pins it, if its reference has one."""
    _, _, digest = reference(spec).partition("@")
    return RevisionModel(uri=spec.model.uri, digest=digest or None)


def is_of(template: Mapping[str, Any]) -> bool:
    """Whether the pods of this template are such."""
    marks = (template.get("metadata") or {}).get("labels") or {}
    return marks.get(labels.SERVER_LABEL) == labels.CUSTOM_SERVER


def parts(custom: CustomContainer, drain_seconds: int) -> dict[str, Any]:
    """Ports, probes and end of the container."""
    probes = {
        "startupProbe": _probe(custom.ready_path, period_seconds=1, failures=600),
        "readinessProbe": _probe(custom.ready_path, period_seconds=2, failures=3),
    }
    if custom.live_path is not None:
        probes["livenessProbe"] = _probe(custom.live_path, period_seconds=10, failures=3)
    return {
        "ports": [{"name": "http", "containerPort": custom.port or http.INFERENCE_PORT, "protocol": "TCP"}],
        "lifecycle": {"preStop": {"sleep": {"seconds": drain_seconds}}},
        **probes,
    }


def environment(deployment: str, revision: str, longest_request_seconds: int) -> dict[str, str]:
    """What it may name itself by in its metrics and logs, and how long it may go on once it is told to end."""
    return {
        labels.ENV_DEPLOYMENT: deployment,
        labels.ENV_REVISION: revision,
        labels.ENV_LONGEST_REQUEST_SECONDS: str(longest_request_seconds),
    }


def mounts() -> list[dict[str, Any]]:
    """Where it may write."""
    return [{"name": "scratch", "mountPath": SCRATCH_DIR}]


def volumes() -> list[dict[str, Any]]:
    """What is mounted there."""
    return [{"name": "scratch", "emptyDir": {"sizeLimit": SCRATCH_SIZE_LIMIT}}]


def _probe(path: str, period_seconds: int, failures: int) -> dict[str, Any]:
    return {
        "httpGet": {"path": path, "port": "http", "scheme": "HTTP"},
        "periodSeconds": period_seconds,
        "timeoutSeconds": 3,
        "failureThreshold": failures,
    }
