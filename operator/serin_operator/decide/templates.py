"""The pod templates: closed and hardened, made once per revision and frozen in it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from serin_contract import http, labels, sources
from serin_operator.api import durations
from serin_operator.api.deployment import ModelDeploymentSpec, Serving
from serin_operator.decide import custom_container, fetching, identity, signing

USER_ID = 65532
GRPC_PORT_NAME = "grpc"
GRACE_MARGIN_SECONDS = 5
"""From the end of the longest request to the kill: to close what is open and write the last lines."""


def pod_labels(deployment: str, revision: str, purpose: str) -> dict[str, str]:
    """The labels of every pod that Serin makes."""
    return {
        labels.MANAGED_BY_LABEL: labels.MANAGED_BY,
        labels.DEPLOYMENT_LABEL: deployment,
        labels.REVISION_LABEL: revision,
        labels.PURPOSE_LABEL: purpose,
    }


def serving_template(
    deployment: str,
    revision: str,
    spec: ModelDeploymentSpec,
    digest: str | None,
    default_image: str,
    ranges: tuple[str, ...] = (),
) -> dict[str, Any]:
    """The pod template of a revision's Deployment; `ranges` may be fetched from although they are not public."""
    container, marks = _container(deployment, revision, spec, digest, default_image), {}
    custom = custom_container.asked(spec)
    if custom is None:
        container |= _server(spec.serving)
    else:
        container |= custom_container.parts(custom, _drain_seconds(spec.serving))
        marks = {labels.SERVER_LABEL: labels.CUSTOM_SERVER}
    return {
        "metadata": {"labels": pod_labels(deployment, revision, "serve") | marks},
        "spec": _pod_spec(deployment, revision, spec, container)
        | _fetched_first(container, spec, digest, ranges)
        | {"terminationGracePeriodSeconds": _grace_seconds(spec.serving)},
    }


def _server(serving: Serving | None) -> dict[str, Any]:
    """What is said of Serin's own server."""
    return {
        "args": ["serve"],
        "ports": _ports(serving),
        # A model may load for minutes, so liveness is asked only once it was ready.
        "startupProbe": _probe(http.READY_PATH, period_seconds=1, failures=600),
        # Three slow answers, so that a node short of processor time is not taken for a candidate's fault.
        "readinessProbe": _probe(http.READY_PATH, period_seconds=2, failures=3),
        "livenessProbe": _probe(http.LIVE_PATH, period_seconds=10, failures=3),
    }


def speaks_grpc(template: Mapping[str, Any]) -> bool:
    """Whether the pods of this template have a port for gRPC."""
    return any(
        port.get("name") == GRPC_PORT_NAME
        for container in (template.get("spec") or {}).get("containers") or ()
        for port in container.get("ports") or ()
    )


def resolve_pod(
    namespace: str,
    deployment: str,
    revision: str,
    spec: ModelDeploymentSpec,
    default_image: str,
    ranges: tuple[str, ...] = (),
) -> dict[str, Any]:
    """The one-shot pod that checks a bundle and reports its digest in its termination message."""
    container = _container(deployment, revision, spec, spec.model.digest, default_image) | {"args": ["resolve"]}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": identity.resolve_pod_name(revision),
            "namespace": namespace,
            "labels": pod_labels(deployment, revision, "resolve"),
        },
        "spec": _pod_spec(deployment, revision, spec, container)
        | _fetched_first(container, spec, spec.model.digest, ranges)
        | {"restartPolicy": "Never", "activeDeadlineSeconds": 600, "terminationGracePeriodSeconds": 5},
    }


def bundle_directory(uri: str) -> str:
    """Where the bundle lies inside the container."""
    if sources.is_fetched(uri):
        return labels.FETCHED_DIR
    scheme, _, rest = uri.partition("://")
    if scheme == "file":
        return rest
    path = rest.partition("/")[2].strip("/")
    return f"{labels.MODEL_MOUNT}/{path}" if path else labels.MODEL_MOUNT


def _container(
    deployment: str, revision: str, spec: ModelDeploymentSpec, digest: str | None, default_image: str
) -> dict[str, Any]:
    serving = spec.serving
    container: dict[str, Any] = {
        "name": labels.SERVING_CONTAINER,
        "image": _image(spec, default_image),
        "imagePullPolicy": "IfNotPresent",
        "env": _environment(deployment, revision, spec, digest),
        "volumeMounts": _mounts(spec),
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "terminationMessagePath": labels.TERMINATION_LOG,
        "terminationMessagePolicy": "File",
    }
    if serving and serving.resources:
        container["resources"] = serving.resources.model_dump(mode="json", exclude_none=True)
    return container


def _image(spec: ModelDeploymentSpec, default_image: str) -> str:
    if custom_container.asked(spec) is not None:
        return custom_container.reference(spec)
    return (spec.serving.image if spec.serving else None) or default_image


def _environment(deployment: str, revision: str, spec: ModelDeploymentSpec, digest: str | None) -> list[dict[str, Any]]:
    if custom_container.asked(spec) is not None:
        own = custom_container.environment(deployment, revision, _longest_request_seconds(spec.serving))
    else:
        own = _settings(deployment, revision, spec, digest)
    asked = spec.serving.env if spec.serving and spec.serving.env else ()
    return [
        {
            "name": labels.ENV_POD_UID,
            "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.uid"}},
        },
        *({"name": name, "value": value} for name, value in own.items()),
        *({"name": variable.name, "value": variable.value} for variable in asked),
    ]


def _settings(deployment: str, revision: str, spec: ModelDeploymentSpec, digest: str | None) -> dict[str, str]:
    """What Serin's own server is told."""
    own = {
        labels.ENV_DEPLOYMENT: deployment,
        labels.ENV_REVISION: revision,
        labels.ENV_BUNDLE_DIR: bundle_directory(spec.model.uri),
        labels.ENV_KEYS_FILE: f"{labels.KEYS_MOUNT}/{labels.KEYS_FILE}",
        labels.ENV_STABLE_PROFILE_FILE: f"{labels.STABLE_PROFILE_MOUNT}/{labels.STABLE_PROFILE_FILE}",
        labels.ENV_DRAIN_SECONDS: str(_drain_seconds(spec.serving)),
    }
    if spec.serving and spec.serving.longest_request:
        # Named only where it was asked for: a template of every earlier version stays as it is.
        own[labels.ENV_LONGEST_REQUEST_SECONDS] = str(_longest_request_seconds(spec.serving))
    if spec.serving and spec.serving.sample_rows:
        own[labels.ENV_SAMPLE_ROWS] = str(spec.serving.sample_rows)
    if _asks_grpc(spec.serving):
        own[labels.ENV_GRPC_PORT] = str(http.GRPC_PORT)
    if spec.serving and spec.serving.compile:
        # As above: absent is what every server takes for auto.
        own[labels.ENV_COMPILE] = spec.serving.compile
    own |= signing.variables(spec.model)
    if digest is not None:
        own[labels.ENV_BUNDLE_DIGEST] = digest
    # Asked again whatever the API server checked: without a pinned digest it could be anybody's code.
    if spec.model.allow_pickle and spec.model.digest:
        own[labels.ENV_ALLOW_PICKLE] = "1"
    return own


def _asks_grpc(serving: Serving | None) -> bool:
    return serving is not None and bool(serving.grpc)


def _ports(serving: Serving | None) -> list[dict[str, Any]]:
    named = {"http": http.INFERENCE_PORT, "stats": http.STATS_PORT}
    if _asks_grpc(serving):
        named[GRPC_PORT_NAME] = http.GRPC_PORT
    return [{"name": name, "containerPort": port, "protocol": "TCP"} for name, port in named.items()]


def _drain_seconds(serving: Serving | None) -> int:
    asked = serving.drain if serving else None
    return labels.DRAIN_SECONDS if asked is None else round(durations.seconds(asked))


def _longest_request_seconds(serving: Serving | None) -> int:
    asked = serving.longest_request if serving else None
    return labels.LONGEST_REQUEST_SECONDS if asked is None else round(durations.seconds(asked))


def _grace_seconds(serving: Serving | None) -> int:
    asked = serving.termination_grace if serving else None
    if asked is not None:
        return round(durations.seconds(asked))
    return _drain_seconds(serving) + _longest_request_seconds(serving) + GRACE_MARGIN_SECONDS


def _mounts(spec: ModelDeploymentSpec) -> list[dict[str, Any]]:
    if custom_container.asked(spec) is not None:
        return custom_container.mounts()
    mounts = [
        {"name": "keys", "mountPath": labels.KEYS_MOUNT, "readOnly": True},
        {"name": "stable-profile", "mountPath": labels.STABLE_PROFILE_MOUNT, "readOnly": True},
    ]
    if spec.model.uri.startswith("pvc://") or fetching.is_needed(spec):
        mounts.append({"name": "model", "mountPath": labels.MODEL_MOUNT, "readOnly": True})
    return mounts + signing.mounts(spec.model)


def _volumes(deployment: str, revision: str, spec: ModelDeploymentSpec) -> list[dict[str, Any]]:
    if custom_container.asked(spec) is not None:
        return custom_container.volumes()
    volumes: list[dict[str, Any]] = [
        {"name": "keys", "secret": {"secretName": identity.keys_name(deployment), "defaultMode": 0o440}},
        {
            "name": "stable-profile",
            "configMap": {"name": identity.profile_name(revision), "optional": True, "defaultMode": 0o444},
        },
    ]
    scheme, _, rest = spec.model.uri.partition("://")
    if scheme == "pvc":
        claim = {"claimName": rest.partition("/")[0], "readOnly": True}
        volumes.append({"name": "model", "persistentVolumeClaim": claim})
    if fetching.is_needed(spec):
        volumes.extend(fetching.volumes(spec))
    return volumes + signing.volumes(spec.model)


def _fetched_first(
    container: dict[str, Any], spec: ModelDeploymentSpec, digest: str | None, ranges: tuple[str, ...]
) -> dict[str, Any]:
    """The init container where the bundle is fetched; no field at all where it is mounted."""
    if not fetching.is_needed(spec):
        return {}
    return {"initContainers": [fetching.container(container, spec, digest, ranges)]}


def _pod_spec(deployment: str, revision: str, spec: ModelDeploymentSpec, container: dict[str, Any]) -> dict[str, Any]:
    pod: dict[str, Any] = {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": USER_ID,
            "runAsGroup": USER_ID,
            "fsGroup": USER_ID,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [container],
        "volumes": _volumes(deployment, revision, spec),
    }
    if spec.serving is not None:
        asked = spec.serving.model_dump(
            mode="json",
            by_alias=True,
            exclude_none=True,
            include={"node_selector", "tolerations", "image_pull_secrets"},
        )
        pod.update(asked)
    return pod


def _probe(path: str, period_seconds: int, failures: int) -> dict[str, Any]:
    return {
        "httpGet": {"path": path, "port": "stats", "scheme": "HTTP"},
        "periodSeconds": period_seconds,
        "timeoutSeconds": 3,
        "failureThreshold": failures,
    }
