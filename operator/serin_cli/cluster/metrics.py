"""The metrics API that pod autoscalers ask, in clusters that are made here and bring none of their own."""

from serin_cli.cluster import binaries
from serin_cli.cluster.access import Cluster
from serin_cli.cluster.gateway import MANIFESTS
from serin_cli.cluster.program_images import ensure_program_image
from serin_cli.cluster.progress import Progress

API_SERVICE = "apiservice/v1beta1.metrics.k8s.io"
READY_SECONDS = 120


def install(cluster: Cluster, progress: Progress) -> None:
    """Start metrics-server without waiting for it: an autoscaler asks again until it is answered.

    A user's context is left alone, as what measures its pods is for its owner to choose.
    """
    if cluster.mode == "context":
        return
    if cluster.mode == "netns":
        ensure_program_image(binaries.METRICS_SERVER, cluster.paths, progress)
    with progress.stage("Metrics"):
        cluster.kubectl("apply", "--server-side", "-f", str(MANIFESTS / "metrics.yaml"))


def wait_ready(cluster: Cluster) -> None:
    """Wait until use of processor and memory can be asked for, which needs two looks at the node.

    Raises ClusterError if it cannot within two minutes.
    """
    wait = ["wait", "--for=condition=Available", API_SERVICE, f"--timeout={READY_SECONDS}s"]
    cluster.kubectl(*wait, timeout=READY_SECONDS + 10)
