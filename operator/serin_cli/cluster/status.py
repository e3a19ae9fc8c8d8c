"""Say how a cluster is: what runs, what is ready, where it answers."""

import json
from dataclasses import asdict, dataclass
from typing import Any

from serin_cli.cluster.access import Cluster, load
from serin_cli.cluster.errors import ClusterError
from serin_cli.cluster.operator_install import NAMESPACE
from serin_cli.cluster.paths import paths_for

API_SECONDS = 15.0


@dataclass(frozen=True)
class Status:
    """How a cluster is; `gateway` and `operator` are None where they were never installed."""

    name: str
    running: bool
    mode: str = ""
    reason: str = ""
    node_ready: bool = False
    gateway_ready: bool | None = None
    gateway_url: str = ""
    operator_ready: bool | None = None
    api_port: int = 0
    gateway_port: int = 0
    kubeconfig: str = ""
    state_directory: str = ""
    versions: dict[str, str] | None = None

    @property
    def good(self) -> bool:
        """Say whether all that is installed is ready."""
        return self.running and self.node_ready and self.gateway_ready is not False and self.operator_ready is not False

    def document(self) -> dict[str, Any]:
        """Return the status for a program to read."""
        return {**asdict(self), "ready": self.good}

    def rows(self) -> list[tuple[str, str]]:
        """Return the status for a person to read."""
        if not self.running:
            return [
                ("cluster", f"{self.name} is not running (serin cluster up)"),
                ("state", self.state_directory),
            ]
        return [
            ("cluster", f"{self.name}, mode {self.mode} ({self.reason})"),
            ("versions", ", ".join(f"{name} {version}" for name, version in (self.versions or {}).items())),
            ("node", _words(self.node_ready)),
            ("gateway", f"{_words(self.gateway_ready)} {self.gateway_url}".strip()),
            ("operator", _words(self.operator_ready)),
            ("kubeconfig", self.kubeconfig),
            ("state", self.state_directory),
        ]


def look(name: str) -> Status:
    """Ask the cluster called `name` how it is; one that does not answer counts as not running."""
    home = str(paths_for(name).home)
    try:
        cluster = load(name)
        cluster.kubectl("get", "--raw=/readyz", timeout=API_SECONDS)
        server = json.loads(cluster.kubectl("version", "-o", "json", timeout=API_SECONDS))["serverVersion"]
    except ClusterError:
        return Status(name=name, running=False, state_directory=home)
    return Status(
        name=name,
        running=True,
        mode=cluster.mode,
        reason=cluster.reason,
        node_ready=_ready(cluster, "Ready", "nodes") is True,
        gateway_ready=_ready(cluster, "Programmed", "gateways", "--namespace=serin-gateway"),
        gateway_url=cluster.gateway_url if cluster.gateway_port else "",
        operator_ready=_ready(cluster, "Available", "deployments", f"--namespace={NAMESPACE}"),
        api_port=cluster.api_port,
        gateway_port=cluster.gateway_port,
        kubeconfig=cluster.kubeconfig,
        state_directory=home,
        versions={**cluster.versions, "kubernetes": server["gitVersion"]},
    )


def _ready(cluster: Cluster, condition: str, *what: str) -> bool | None:
    """Say whether the condition holds for all of some objects; None if there are none."""
    try:
        answer = cluster.kubectl("get", *what, "-o", "json", timeout=API_SECONDS)
    except ClusterError:
        return None
    return all_hold(json.loads(answer)["items"], condition)


def all_hold(items: list[dict[str, Any]], condition: str) -> bool | None:
    """Say whether every object has the condition with status True; None without objects."""
    if not items:
        return None
    return all(
        any(
            entry["type"] == condition and entry["status"] == "True"
            for entry in item.get("status", {}).get("conditions", [])
        )
        for item in items
    )


def _words(ready: bool | None) -> str:
    return {True: "ready", False: "not ready", None: "not installed"}[ready]
