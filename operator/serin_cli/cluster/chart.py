"""Install a Helm chart the way a user would: with the real Helm, waiting until it is ready."""

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from serin_cli.cluster.access import Cluster
from serin_cli.cluster.run import run

READY_SECONDS = 300


def install_chart(
    cluster: Cluster,
    chart: Path,
    namespace: str,
    values: Mapping[str, Any],
    *,
    release: str = "serin",
    timeout: float = READY_SECONDS,
) -> None:
    """Install or upgrade `chart` in `namespace`, made if missing, and wait `timeout` seconds for it.

    Raises ClusterError with Helm's own words if it is not.
    """
    with tempfile.TemporaryDirectory() as room:
        file = Path(room) / "values.json"
        file.write_text(json.dumps(values))
        argv = [cluster.helm_program, "upgrade", "--install", release, str(chart), "--namespace", namespace]
        argv += ["--create-namespace", "--wait", f"--timeout={timeout:.0f}s", "--values", str(file)]
        argv += [f"--kubeconfig={cluster.kubeconfig}", f"--kube-context={cluster.context}"]
        run(argv, timeout=timeout + 60)


def uninstall_chart(cluster: Cluster, namespace: str, *, release: str = "serin") -> None:
    """Remove a release and wait until its objects are gone; one that is not there is no error."""
    argv = [
        cluster.helm_program,
        "uninstall",
        release,
        "--namespace",
        namespace,
        "--ignore-not-found",
        "--wait",
    ]
    run(
        [*argv, f"--kubeconfig={cluster.kubeconfig}", f"--kube-context={cluster.context}"],
        timeout=READY_SECONDS,
    )
