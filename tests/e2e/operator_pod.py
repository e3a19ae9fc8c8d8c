"""The operator's pod: ended kindly or killed, and awaited."""

from __future__ import annotations

import json
from typing import Any

from tests.support.stories import OPERATOR, OPERATOR_NAMESPACE

from serin_cli.cluster.access import Cluster

WHERE = ("-n", OPERATOR_NAMESPACE)


def pods(cluster: Cluster) -> list[dict[str, Any]]:
    """The operator's pods as they are."""
    found: list[dict[str, Any]] = json.loads(cluster.kubectl(*WHERE, "get", "pods", "-l", OPERATOR, "-o", "json"))[
        "items"
    ]
    return found


def restart(cluster: Cluster, *, kill: bool = False) -> None:
    """Delete the operator's pod, by SIGKILL where asked, and wait until another is ready."""
    force = ["--grace-period=0", "--force"] if kill else []
    cluster.kubectl(*WHERE, "delete", "pods", "-l", OPERATOR, *force, timeout=90)
    cluster.kubectl(*WHERE, "rollout", "status", "deployment", "-l", OPERATOR, "--timeout=90s", timeout=100)
