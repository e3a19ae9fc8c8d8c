"""Install the Gateway API and Traefik as its implementation, alike on every kind of cluster."""

import http.client
import json
import urllib.error
import urllib.request
from pathlib import Path

from serin_cli.cluster import addresses, binaries
from serin_cli.cluster.access import Cluster
from serin_cli.cluster.errors import ClusterError
from serin_cli.cluster.processes import wait_until
from serin_cli.cluster.program_images import ensure_program_image
from serin_cli.cluster.progress import Progress

MANIFESTS = Path(__file__).parent / "manifests"
NAMESPACE = "serin-gateway"
READY_SECONDS = 120


def install(cluster: Cluster, progress: Progress) -> None:
    """Install the gateway and wait until its Gateway `public` is programmed.

    Raises ClusterError if it does not get there within two minutes.
    """
    definitions = binaries.gateway_definitions(cluster.paths, progress)
    if cluster.mode == "netns":
        ensure_program_image(binaries.TRAEFIK, cluster.paths, progress)
    with progress.stage("Gateway") as stage:
        stage.say("applying the Gateway API's definitions")
        cluster.kubectl("apply", "--server-side", "-f", str(definitions))
        wait = ["wait", f"--timeout={READY_SECONDS}s"]
        cluster.kubectl(*wait, "--for=condition=Established", "-f", str(definitions), timeout=READY_SECONDS + 10)
        stage.say("starting Traefik")
        cluster.kubectl("apply", "--server-side", "-f", str(MANIFESTS / "gateway.yaml"))
        where = ["-n", NAMESPACE]
        if cluster.mode == "netns":
            # Elsewhere the node's address is not ours to give away.
            cluster.kubectl(*where, "patch", "service/traefik", "--type=merge", f"--patch={node_address_patch()}")
        rollout = ["rollout", "status", "deployment/traefik", f"--timeout={READY_SECONDS}s"]
        cluster.kubectl(*where, *rollout, timeout=READY_SECONDS + 10)
        stage.say("waiting for the Gateway to be programmed")
        programmed = ["--for=condition=Programmed", "gateway/public"]
        cluster.kubectl(*where, *wait, *programmed, timeout=READY_SECONDS + 10)
        if cluster.gateway_port:
            stage.say("waiting for its first answer")
            wait_for_answer(cluster.gateway_url)
        stage.finish(f"{NAMESPACE}/public")


def node_address_patch() -> str:
    """Return the change by which kube-proxy serves the gateway at the node's address, under the listener's port.

    That address is the one which the Gateway's status tells, so whoever reads it can call the gateway there.
    """
    return json.dumps({"spec": {"externalIPs": [addresses.NODE]}})


def wait_for_answer(url: str) -> None:
    """Wait until the gateway answers anything at all; its Service is the last to know that it is ready."""
    if not wait_until(lambda: _answers(url), READY_SECONDS, every=0.1):
        raise ClusterError(f"The gateway is ready but does not answer at {url}. Does another program use the port?")


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5.0):  # noqa: S310 - the address is our own
            return True
    except urllib.error.HTTPError as error:
        # A route for this address need not exist.
        error.close()
        return True
    except (OSError, http.client.HTTPException):
        return False
