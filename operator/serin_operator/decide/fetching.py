"""The container that fetches a bundle before the server starts, for those that lie in no volume and in no image."""

from __future__ import annotations

from typing import Any

from serin_contract import labels, sources
from serin_operator.api.deployment import ModelDeploymentSpec
from serin_operator.decide import signing

VOLUME_SIZE_LIMIT = "17Gi"
"""Twice what a fetched bundle may have, since an archive lies beside what is unpacked, and a little for directories."""


def is_needed(spec: ModelDeploymentSpec) -> bool:
    """Whether the bundle is fetched."""
    return sources.is_fetched(spec.model.uri)


def container(
    serving: dict[str, Any], spec: ModelDeploymentSpec, digest: str | None, ranges: tuple[str, ...]
) -> dict[str, Any]:
    """The init container, as hardened as the serving one and of the same image.

    It alone has the credentials, and nothing of the deployment's keys or of the user's own variables.

    Args:
        serving: the serving container.
        spec: what the user wants.
        digest: what the bundle's manifest must have, where that is known.
        ranges: addresses that are not public and may be fetched from all the same.
    """
    env = {labels.ENV_MODEL_URI: spec.model.uri, labels.ENV_BUNDLE_DIR: labels.FETCHED_DIR}
    if digest is not None:
        env[labels.ENV_BUNDLE_DIGEST] = digest
    if ranges:
        env[labels.ENV_FETCH_RANGES] = ",".join(ranges)
    mounts: list[dict[str, Any]] = [{"name": "model", "mountPath": labels.MODEL_MOUNT}]
    if spec.model.credentials is not None:
        mounts.append({"name": "credentials", "mountPath": labels.CREDENTIALS_MOUNT, "readOnly": True})
    if spec.model.cache is not None:
        env[labels.ENV_CACHE_DIR] = labels.CACHE_MOUNT
        env[labels.ENV_CACHE_GIBIBYTES] = str(spec.model.cache.gibibytes or labels.CACHE_GIBIBYTES)
        mounts.append({"name": "cache", "mountPath": labels.CACHE_MOUNT})
    env |= signing.variables(spec.model)
    mounts += signing.mounts(spec.model)
    kept = ("image", "imagePullPolicy", "resources", "securityContext", "terminationMessagePath")
    return {
        "name": labels.FETCH_CONTAINER,
        "args": ["fetch"],
        "env": [{"name": name, "value": value} for name, value in env.items()],
        "volumeMounts": mounts,
        "terminationMessagePolicy": "File",
        **{name: serving[name] for name in kept if name in serving},
    }


def volumes(spec: ModelDeploymentSpec) -> list[dict[str, Any]]:
    """Where the bundle goes, and the Secret that opens its source."""
    made: list[dict[str, Any]] = [{"name": "model", "emptyDir": {"sizeLimit": VOLUME_SIZE_LIMIT}}]
    if spec.model.credentials is not None:
        secret = {"secretName": spec.model.credentials.secret_name, "defaultMode": 0o440}
        made.append({"name": "credentials", "secret": secret})
    if spec.model.cache is not None:
        made.append({"name": "cache", "persistentVolumeClaim": {"claimName": spec.model.cache.claim}})
    return made
