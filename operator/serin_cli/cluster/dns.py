"""A name server for Services, in clusters that bring none of their own."""

from serin_cli.cluster import binaries
from serin_cli.cluster.access import Cluster
from serin_cli.cluster.gateway import MANIFESTS
from serin_cli.cluster.program_images import ensure_program_image
from serin_cli.cluster.progress import Progress

READY_SECONDS = 60


def install(cluster: Cluster, progress: Progress) -> None:
    """Start the name server and wait until it answers; raise ClusterError if it does not within a minute."""
    ensure_program_image(binaries.COREDNS, cluster.paths, progress)
    with progress.stage("Name server"):
        cluster.kubectl("apply", "--server-side", "-f", str(MANIFESTS / "dns.yaml"))
        rollout = ["rollout", "status", "deployment/coredns", f"--timeout={READY_SECONDS}s"]
        cluster.kubectl("--namespace=kube-system", *rollout, timeout=READY_SECONDS + 10)
