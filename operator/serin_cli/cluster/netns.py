"""Make a cluster of processes in namespaces of this machine, and end it."""

import json
import subprocess
import sys
from dataclasses import asdict

from serin_cli.cluster import addresses, binaries, certificates, node_config, teardown
from serin_cli.cluster.access import Cluster
from serin_cli.cluster.errors import ClusterError
from serin_cli.cluster.forward import Forward, choose_port
from serin_cli.cluster.packages import find, plugin_directory
from serin_cli.cluster.paths import Paths
from serin_cli.cluster.processes import read_references, wait_until
from serin_cli.cluster.progress import Stage
from serin_cli.cluster.run import succeeds

PREFERRED_API_PORT = 16443
PREFERRED_GATEWAY_PORT = 8000
READY_SECONDS = 180.0
SUPERVISOR = "serin_cli.cluster.supervisor"
SUPERVISOR_SECONDS = 30.0
# A Unix socket's path has a fixed room in the kernel.
LONGEST_SOCKET_PATH = 100


def prepare(paths: Paths) -> None:
    """Lay out certificates and configuration of a new cluster, after removing what an earlier one left."""
    if len(str(paths.containerd_socket)) > LONGEST_SOCKET_PATH:
        raise ClusterError(f"The cache directory's path is too long for a socket: {paths.cache}. Set XDG_CACHE_HOME.")
    teardown.stop(paths)
    for directory in (paths.live, paths.config / "cni", paths.logs / "pods", paths.containerd_root):
        directory.mkdir(parents=True, exist_ok=True)
    paths.live.chmod(0o700)
    names = (addresses.NODE, addresses.HOST, addresses.API_SERVICE)
    certificates.create(paths.certificates, certificates.subjects(paths.name, names))
    _write_configuration(paths)


def start(paths: Paths, api_port: int | None, gateway_port: int | None) -> tuple[int, int]:
    """Start the supervisor of a prepared cluster and return its ports on the loopback address."""
    api = choose_port(api_port, PREFERRED_API_PORT, addresses.HOST)
    gateway = choose_port(gateway_port, PREFERRED_GATEWAY_PORT, addresses.HOST)
    access = certificates.kubeconfig(paths.certificates, f"https://{addresses.HOST}:{api}", "admin")
    certificates.write_private(paths.kubeconfig, access)
    plan = _plan(paths, api, gateway)
    plan_file = paths.config / "plan.json"
    plan_file.write_text(json.dumps(plan, indent=2))
    with (paths.logs / "supervisor.log").open("ab") as log:
        # In a session of its own and no child of ours: it stays when this program or the user's terminal ends.
        subprocess.run(
            [find("setsid") or "setsid", "--fork", sys.executable, "-m", SUPERVISOR, str(plan_file)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd="/",
            check=True,
            timeout=30,
        )
    # It records itself before it does anything else.
    if not wait_until(lambda: _supervised(paths), SUPERVISOR_SECONDS):
        raise ClusterError(f"The cluster's supervisor did not start:\n{log_tail(paths)}")
    return api, gateway


def wait_for_api(cluster: Cluster, stage: Stage) -> None:
    """Wait until the API server says that it is ready."""
    stage.say("waiting for the API server")
    _wait(cluster, cluster.kubectl_command("get", "--raw=/readyz"), "The API server did not become ready")


def wait_for_node(cluster: Cluster, stage: Stage) -> None:
    """Wait until the node reports Ready and pods may name the default service account."""
    stage.say("waiting for the node")
    _wait(cluster, cluster.kubectl_command("get", f"node/{cluster.name}"), "The node did not register")
    ready = cluster.kubectl_command("wait", "--for=condition=Ready", f"node/{cluster.name}", "--timeout=5s")
    _wait(cluster, ready, "The node did not become Ready")
    account = cluster.kubectl_command("get", "serviceaccount/default")
    _wait(cluster, account, "The controllers made no default service account")


def log_tail(paths: Paths, lines: int = 8) -> str:
    """Return the end of every log of the cluster's programs, for an error message."""
    parts = []
    for log in sorted(paths.logs.glob("*.log")):
        tail = log.read_text(errors="replace").splitlines()[-lines:]
        parts.append(f"--- {log}\n" + "\n".join(line[:300] for line in tail))
    return "\n".join(parts)


def _wait(cluster: Cluster, argv: list[str], failure: str) -> None:
    paths = cluster.paths

    def settled() -> bool:
        return succeeds(argv, timeout=15) or not _supervised(paths)

    if not wait_until(settled, READY_SECONDS, every=0.3) or not _supervised(paths):
        raise ClusterError(f"{failure}. The ends of the logs:\n{log_tail(paths)}")


def _supervised(paths: Paths) -> bool:
    supervisor = read_references(paths.processes).get("supervisor")
    return supervisor is not None and supervisor.alive()


def _write_configuration(paths: Paths) -> None:
    plugins = plugin_directory()
    runc = find("runc")
    assert plugins is not None
    assert runc is not None
    config = paths.config
    (config / "containerd.toml").write_text(node_config.containerd_toml(paths, plugins, runc))
    (config / "cni" / "serin.conflist").write_text(node_config.network_conflist())
    (config / "kubelet.json").write_text(node_config.kubelet_configuration(paths))
    (config / "proxy.json").write_text(node_config.proxy_configuration(paths))
    (config / "resolv.conf").write_text("")
    server = f"https://{addresses.NODE}:{addresses.API_PORT}"
    for user in ("controller-manager", "scheduler", "kubelet", "proxy"):
        access = certificates.kubeconfig(paths.certificates, server, user)
        certificates.write_private(config / f"{user}.kubeconfig", access)


def _plan(paths: Paths, api_port: int, gateway_port: int) -> dict[str, object]:
    """Return all that the supervisor and the first process must know."""
    system = {name: find(name) or name for name in ("etcd", "containerd")}
    components = node_config.components(paths, binaries.built(binaries.KUBERNETES, paths), system)
    forwards = [
        Forward(addresses.HOST, api_port, addresses.NODE, addresses.API_PORT),
        Forward(addresses.HOST, gateway_port, addresses.NODE, addresses.GATEWAY_NODE_PORT),
    ]
    return {
        "processes": str(paths.processes),
        "logs": str(paths.logs),
        "ip": find("ip"),
        "ctr": find("ctr"),
        "covered": list(node_config.COVERED),
        "kernel_settings": node_config.KERNEL_SETTINGS,
        "cgroup": node_config.cgroup(paths),
        "network": node_config.NETWORK_COMMANDS,
        "network_settings": node_config.NETWORK_SETTINGS,
        "forwards": [asdict(forward) for forward in forwards],
        "components": [asdict(component) for component in components],
    }
