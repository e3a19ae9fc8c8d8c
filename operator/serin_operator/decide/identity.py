"""What makes a revision the same revision: the model and the serving fields that shape its pods.

Replicas, autoscaling, traffic, roll-out, gates and `paused` are policy and not part of it: changing them starts no
trial.
The operator's default image is not part of it either, so that an upgrade of the operator starts none.
"""

from __future__ import annotations

import hashlib
import json

from serin_operator.api.deployment import ModelDeploymentSpec
from serin_operator.decide.once import once_per_object

HASH_CHARS = 10


@once_per_object
def identity(spec: ModelDeploymentSpec) -> str:
    """Ten hexadecimal digits: equal for equal model and pod shape."""
    shape = {
        "model": spec.model.model_dump(mode="json", by_alias=True, exclude_none=True),
        "serving": (
            spec.serving.model_dump(mode="json", by_alias=True, exclude_none=True, exclude={"replicas", "autoscaling"})
            if spec.serving
            else {}
        ),
    }
    canonical = json.dumps(shape, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:HASH_CHARS]


def revision_name(deployment: str, spec: ModelDeploymentSpec) -> str:
    """Name of the ModelRevision, its Deployment and its Service."""
    return f"{deployment}-{identity(spec)}"


def resolve_pod_name(revision: str) -> str:
    """Name of the one-shot pod that reports the digest of the revision's bundle."""
    return f"{revision}-resolve"


def profile_name(revision: str) -> str:
    """Name of the ConfigMap with stable's profile that this revision's pods bin on."""
    return f"{revision}-stable-profile"


def keys_name(deployment: str) -> str:
    """Name of the Secret with the deployment's key ring."""
    return f"{deployment}-keys"
