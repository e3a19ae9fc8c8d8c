"""Everything that the suite puts into a cluster."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.conformance.api import GATEWAY_API, Json

LABEL = "serin.dev/conformance"
PORT = 8080
SOURCE = Path(__file__).with_name("backend.py")
_HARDENED = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
}
_RESOURCES = {"requests": {"cpu": "50m", "memory": "32Mi"}, "limits": {"memory": "128Mi"}}


def namespace(name: str) -> Json:
    """A namespace of the strictest profile."""
    wanted = {LABEL: "true", "pod-security.kubernetes.io/enforce": "restricted"}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": wanted}}


def source(namespace_: str) -> Json:
    """The backend's program."""
    metadata = {"name": "backend", "namespace": namespace_}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"backend.py": SOURCE.read_text()}}


def backend_pod(namespace_: str, name: str, arm: str, image: str, drain_seconds: int = 5) -> Json:
    """One pod of an arm."""
    container = {
        "name": "backend",
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "command": ["python3", "-B", "/backend/backend.py"],
        "env": [
            {"name": "ARM", "value": arm},
            {"name": "PORT", "value": str(PORT)},
            {"name": "DRAIN_SECONDS", "value": str(drain_seconds)},
        ],
        "ports": [{"containerPort": PORT}],
        "readinessProbe": {"httpGet": {"path": "/ready", "port": PORT}, "periodSeconds": 1, "timeoutSeconds": 5},
        "resources": _RESOURCES,
        "securityContext": _HARDENED,
        "volumeMounts": [{"name": "backend", "mountPath": "/backend", "readOnly": True}],
    }
    volumes = [{"name": "backend", "configMap": {"name": "backend"}}]
    return _pod(namespace_, name, {"arm": arm}, container, volumes)


def asking_pod(namespace_: str, name: str, image: str, url: str, host: str) -> Json:
    """A pod that asks `url` for `host` until it is answered, and ends with the answer's status as its last words."""
    asks = (
        "import http.client, sys, time, urllib.parse\n"
        "url, host = urllib.parse.urlsplit(sys.argv[1]), sys.argv[2]\n"
        "words = ''\n"
        "for _ in range(10):\n"
        "    try:\n"
        "        line = http.client.HTTPConnection(url.hostname, url.port or 80, timeout=2)\n"
        "        line.request('GET', '/', headers={'Host': host})\n"
        "        words = str(line.getresponse().status)\n"
        "        break\n"
        "    except OSError as error:\n"
        "        words = f'{type(error).__name__}: {error}'\n"
        "        time.sleep(0.5)\n"
        "open('/dev/termination-log', 'w').write(words)\n"
    )
    container = {
        "name": "asking",
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "command": ["python3", "-B", "-c", asks, url, host],
        "resources": _RESOURCES,
        "securityContext": _HARDENED,
    }
    return _pod(namespace_, name, {"asking": "true"}, container, [])


def service(namespace_: str, arm: str) -> Json:
    """The Service of an arm; one that no pod belongs to has no endpoints."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": arm, "namespace": namespace_},
        "spec": {"selector": {"arm": arm}, "ports": [{"name": "http", "port": PORT, "targetPort": PORT}]},
    }


def route(namespace_: str, name: str, parent: Json, host: str, *rules: Json) -> Json:
    """A route of one host."""
    return {
        "apiVersion": GATEWAY_API,
        "kind": "HTTPRoute",
        "metadata": {"name": name, "namespace": namespace_},
        "spec": {"parentRefs": [parent], "hostnames": [host], "rules": list(rules)},
    }


def rule(weights: dict[str, int], *, matches: list[Json] | None = None, **fields: Any) -> Json:
    """A rule that splits requests by these weights; without matches it takes every path."""
    return {
        "matches": matches or [{"path": {"type": "PathPrefix", "value": "/"}}],
        "backendRefs": [{"name": arm, "port": PORT, "weight": weight} for arm, weight in weights.items()],
        **fields,
    }


def header_match(name: str, value: str, kind: str = "Exact", path: str = "/") -> Json:
    """A match of a path and a header."""
    return {
        "path": {"type": "PathPrefix", "value": path},
        "headers": [{"type": kind, "name": name, "value": value}],
    }


def _pod(namespace_: str, name: str, labels: dict[str, str], container: Json, volumes: list[Json]) -> Json:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace_, "labels": {LABEL: "true", **labels}},
        "spec": {
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": 30,
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": 65532,
                "runAsGroup": 65532,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [container],
            "volumes": volumes,
        },
    }
