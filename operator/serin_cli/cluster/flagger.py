"""Install Flagger, a peer that Serin is measured beside, from its own manifests; no `up` does this."""

import json
from pathlib import Path
from typing import Any

import yaml

from serin_cli.cluster import binaries
from serin_cli.cluster.access import Cluster
from serin_cli.cluster.program_images import ensure_program_image
from serin_cli.cluster.progress import Progress

NAMESPACE = "flagger-system"
READY_SECONDS = 120
_MODULE = "github.com/fluxcd/flagger"
# Its definitions, its rights and itself.
_MANIFESTS = ("crd.yaml", "account.yaml", "deployment.yaml")


def install(cluster: Cluster, prometheus_url: str, progress: Progress) -> None:
    """Start Flagger on HTTPRoutes, with its figures from a Prometheus that pods reach at `prometheus_url`.

    Builds it first, about three minutes, unless the cache has it. Raises ClusterError if it does not get ready.
    """
    if cluster.mode == "netns":
        ensure_program_image(binaries.FLAGGER, cluster.paths, progress)
    source = binaries.module_source(binaries.FLAGGER, _MODULE, cluster.paths, progress) / "artifacts" / "flagger"
    with progress.stage("Flagger"):
        _apply(cluster, objects(source, prometheus_url))
        rollout = ["rollout", "status", "deployment/flagger", f"--timeout={READY_SECONDS}s"]
        cluster.kubectl(f"--namespace={NAMESPACE}", *rollout, timeout=READY_SECONDS + 10)


def remove(cluster: Cluster, progress: Progress) -> None:
    """Remove Flagger, its definitions and with them all its Canaries; without Flagger there, do nothing."""
    source = binaries.module_source(binaries.FLAGGER, _MODULE, cluster.paths, progress) / "artifacts" / "flagger"
    words = ["delete", "--ignore-not-found", "--wait", "-f", "-"]
    cluster.kubectl(*words, stdin=_list(objects(source, "")), timeout=READY_SECONDS)


def objects(source: Path, prometheus_url: str) -> list[dict[str, Any]]:
    """Return the objects of Flagger's manifests in `source`, moved to a namespace of their own.

    The program is started for the Gateway API, and asked for its health by HTTP: its own probes run a program
    that only its public image has.
    """
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}
    found = [each for name in _MANIFESTS for each in yaml.safe_load_all((source / name).read_text())]
    for each in found:
        if "namespace" in each["metadata"]:
            each["metadata"]["namespace"] = NAMESPACE
        for subject in each.get("subjects", ()):
            subject["namespace"] = NAMESPACE
        if each["kind"] == "Deployment":
            (container,) = each["spec"]["template"]["spec"]["containers"]
            _set_up(container, prometheus_url)
    return [namespace, *found]


def _set_up(container: dict[str, Any], prometheus_url: str) -> None:
    container["command"] = [
        "/flagger",
        "-log-level=info",
        "-mesh-provider=gatewayapi:v1",
        f"-metrics-server={prometheus_url}",
    ]
    probe = {"httpGet": {"path": "/healthz", "port": "http"}, "timeoutSeconds": 5}
    container["livenessProbe"] = probe
    container["readinessProbe"] = {**probe, "periodSeconds": 1}


def _apply(cluster: Cluster, wanted: list[dict[str, Any]]) -> None:
    cluster.kubectl("apply", "--server-side", "-f", "-", stdin=_list(wanted))


def _list(wanted: list[dict[str, Any]]) -> str:
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": wanted})
