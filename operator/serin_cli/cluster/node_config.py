"""Render what the cluster's programs are configured with; nothing here touches the machine."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from serin_cli.cluster import addresses, certificates
from serin_cli.cluster.paths import Paths

PAUSE_IMAGE = "localhost/serin-pause:1"

# The kubelet wants these kernel-wide settings. It is shown them as set already, so that it changes nothing on
# the machine that lends its kernel to the cluster.
KERNEL_SETTINGS = {
    "vm/overcommit_memory": "1",
    "vm/panic_on_oom": "0",
    "kernel/panic": "10",
    "kernel/panic_on_oops": "1",
    "kernel/keys/root_maxkeys": "1000000",
    "kernel/keys/root_maxbytes": "25000000",
}

# Directories whose files would outlive the cluster: inside, an empty one of its own lies over each.
COVERED = ("/run", "/var/log")

# The node's address sits on a bridge of its own. There is a default route, as the API server chooses its
# address by one, but nothing answers at its end.
NETWORK_COMMANDS = [
    "link set lo up",
    "link add node0 type bridge",
    f"address add {addresses.NODE_WITH_PREFIX} dev node0",
    "link set node0 up",
    f"route add default via {addresses.NODE_GATEWAY}",
]
NETWORK_SETTINGS = {"ipv4/ip_forward": "1"}


@dataclass(frozen=True)
class Component:
    """One program of the cluster; the next one starts once `ready` answers.

    `ready` is a TCP address (`host:port`), a Unix socket's path or an HTTPS URL; empty: do not wait.
    """

    name: str
    argv: tuple[str, ...]
    ready: str = ""
    env: Mapping[str, str] = field(default_factory=dict)


def cgroup(paths: Paths) -> str:
    """Return the control group that holds all containers of a cluster; no two state directories share one."""
    place = hashlib.sha256(str(paths.home).encode()).hexdigest()[:8]
    return f"/serin-cluster-{paths.name}-{place}"


def containerd_toml(paths: Paths, plugins: Path, runc: str) -> str:
    """Return containerd's configuration; every directory in it is the cluster's own."""
    cri = 'plugins."io.containerd.grpc.v1.cri"'
    return f"""version = 2
root = "{paths.containerd_root}"
state = "/run/containerd"
disabled_plugins = [
  "io.containerd.internal.v1.opt",
  "io.containerd.snapshotter.v1.aufs",
  "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.devmapper",
  "io.containerd.snapshotter.v1.zfs",
]

[grpc]
  address = "{paths.containerd_socket}"

[{cri}]
  sandbox_image = "{PAUSE_IMAGE}"
  restrict_oom_score_adj = true

[{cri}.containerd]
  snapshotter = "overlayfs"
  default_runtime_name = "runc"

[{cri}.containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"

[{cri}.containerd.runtimes.runc.options]
  BinaryName = "{runc}"
  SystemdCgroup = false

[{cri}.cni]
  bin_dir = "{plugins}"
  conf_dir = "{paths.config}/cni"
"""


def network_conflist() -> str:
    """Return the pod network: one routed pair of interfaces per pod.

    With a bridge, answers between two pods of this one node would go past the node's address translation, and
    connections from pod to pod by a Service would hang.
    """
    pods = {
        "type": "host-local",
        "ranges": [[{"subnet": addresses.POD_RANGE}]],
        "routes": [{"dst": "0.0.0.0/0"}],
    }
    # Which addresses are taken is forgotten with the cluster.
    plugin = {"type": "ptp", "ipMasq": False, "ipam": {**pods, "dataDir": "/run/cni-addresses"}}
    return json.dumps({"cniVersion": "1.0.0", "name": "serin", "plugins": [plugin]}, indent=2)


def kubelet_configuration(paths: Paths) -> str:
    """Return the kubelet's configuration, for a node that shares disk and memory with a person's own work."""
    pki = paths.certificates
    return json.dumps(
        {
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "containerRuntimeEndpoint": f"unix://{paths.containerd_socket}",
            "authentication": {
                "anonymous": {"enabled": False},
                "webhook": {"enabled": True},
                "x509": {"clientCAFile": f"{pki}/ca.crt"},
            },
            "authorization": {"mode": "Webhook"},
            "tlsCertFile": f"{pki}/kubelet.crt",
            "tlsPrivateKeyFile": f"{pki}/kubelet.key",
            "failCgroupV1": False,
            "cgroupDriver": "cgroupfs",
            "cgroupsPerQOS": True,
            "cgroupRoot": cgroup(paths),
            "enforceNodeAllocatable": [],
            "failSwapOn": False,
            "localStorageCapacityIsolation": False,
            # Pressure and image collection would judge a disk that the cluster does not own.
            "evictionHard": {"memory.available": "10Mi", "nodefs.available": "0%", "imagefs.available": "0%"},
            "imageGCHighThresholdPercent": 100,
            "imageGCLowThresholdPercent": 99,
            "clusterDNS": [addresses.DNS_SERVICE],
            "clusterDomain": "cluster.local",
            "resolvConf": f"{paths.config}/resolv.conf",
            "podLogsDir": f"{paths.logs}/pods",
            "volumePluginDir": f"{paths.live}/volume-plugins",
            "readOnlyPort": 0,
            "rotateCertificates": False,
        },
        indent=2,
    )


def proxy_configuration(paths: Paths) -> str:
    """Return kube-proxy's configuration; limits of connection tracking are the machine's and stay so."""
    return json.dumps(
        {
            "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
            "kind": "KubeProxyConfiguration",
            "mode": "nftables",
            "clientConnection": {"kubeconfig": f"{paths.config}/proxy.kubeconfig"},
            "clusterCIDR": addresses.POD_RANGE,
            "hostnameOverride": paths.name,
            "conntrack": {"maxPerCore": 0, "min": 0},
        },
        indent=2,
    )


def components(paths: Paths, kubernetes: Path, system: Mapping[str, str]) -> list[Component]:
    """Return the cluster's programs in the order of their start; `system` has the paths of Debian's."""
    containerd = (system["containerd"], "--config", f"{paths.config}/containerd.toml")
    return [
        _etcd(paths, system["etcd"]),
        Component("containerd", containerd, ready=str(paths.containerd_socket)),
        _api_server(paths, kubernetes),
        _controller_manager(paths, kubernetes),
        Component("kube-scheduler", (f"{kubernetes}/kube-scheduler", *_controller_flags(paths, "scheduler"))),
        _kubelet(paths, kubernetes),
        Component("kube-proxy", (f"{kubernetes}/kube-proxy", f"--config={paths.config}/proxy.json")),
    ]


def _etcd(paths: Paths, program: str) -> Component:
    client, peer = "http://127.0.0.1:2379", "http://127.0.0.1:2380"
    flags = {
        "name": "serin",
        "data-dir": f"{paths.live}/etcd",
        "listen-client-urls": client,
        "advertise-client-urls": client,
        "listen-peer-urls": peer,
        "initial-advertise-peer-urls": peer,
        "initial-cluster": f"serin={peer}",
        "auto-compaction-retention": "1h",
    }
    # The cluster is thrown away after use, so waiting for the disk at every write would buy nothing.
    argv = (program, *_flags(flags), "--unsafe-no-fsync")
    return Component("etcd", argv, ready="127.0.0.1:2379")


def _api_server(paths: Paths, kubernetes: Path) -> Component:
    pki = paths.certificates
    flags = {
        "etcd-servers": "http://127.0.0.1:2379",
        "advertise-address": addresses.NODE,
        "secure-port": str(addresses.API_PORT),
        "service-cluster-ip-range": addresses.SERVICE_RANGE,
        "authorization-mode": "Node,RBAC",
        "enable-admission-plugins": "NodeRestriction",
        "client-ca-file": f"{pki}/ca.crt",
        "tls-cert-file": f"{pki}/apiserver.crt",
        "tls-private-key-file": f"{pki}/apiserver.key",
        "kubelet-certificate-authority": f"{pki}/ca.crt",
        "kubelet-client-certificate": f"{pki}/apiserver-kubelet-client.crt",
        "kubelet-client-key": f"{pki}/apiserver-kubelet-client.key",
        "kubelet-preferred-address-types": "InternalIP",
        "service-account-issuer": "https://kubernetes.default.svc.cluster.local",
        "service-account-key-file": f"{pki}/service-account.pub",
        "service-account-signing-key-file": f"{pki}/service-account.key",
        "anonymous-auth": "true",
        "profiling": "false",
    }
    ready = f"https://127.0.0.1:{addresses.API_PORT}/readyz"
    argv = (f"{kubernetes}/kube-apiserver", *_flags(flags), *_flags(_extension_flags(paths)))
    return Component("kube-apiserver", argv, ready=ready)


def _extension_flags(paths: Paths) -> dict[str, str]:
    """Return how the API server hands requests to extensions of it, such as the one for metrics.

    It tells them in headers who asks, and they believe a caller with the one certificate for that.
    """
    pki = paths.certificates
    return {
        "requestheader-client-ca-file": f"{pki}/{certificates.FRONT_PROXY_AUTHORITY}.crt",
        "requestheader-allowed-names": certificates.FRONT_PROXY,
        "requestheader-username-headers": "X-Remote-User",
        "requestheader-group-headers": "X-Remote-Group",
        "requestheader-extra-headers-prefix": "X-Remote-Extra-",
        "proxy-client-cert-file": f"{pki}/{certificates.FRONT_PROXY}.crt",
        "proxy-client-key-file": f"{pki}/{certificates.FRONT_PROXY}.key",
        # To a pod's address at once, so that kube-proxy need not have heard of it.
        "enable-aggregator-routing": "true",
    }


def _controller_manager(paths: Paths, kubernetes: Path) -> Component:
    pki = paths.certificates
    flags = {
        "root-ca-file": f"{pki}/ca.crt",
        "service-account-private-key-file": f"{pki}/service-account.key",
        "cluster-signing-cert-file": f"{pki}/ca.crt",
        "cluster-signing-key-file": f"{pki}/ca.key",
        "use-service-account-credentials": "true",
    }
    argv = (
        f"{kubernetes}/kube-controller-manager",
        *_controller_flags(paths, "controller-manager"),
        *_flags(flags),
    )
    return Component("kube-controller-manager", argv)


def _controller_flags(paths: Paths, user: str) -> tuple[str, ...]:
    access = f"{paths.config}/{user}.kubeconfig"
    flags = {
        "kubeconfig": access,
        "authentication-kubeconfig": access,
        "authorization-kubeconfig": access,
        "leader-elect": "false",
        "bind-address": "127.0.0.1",
        "profiling": "false",
    }
    return _flags(flags)


def _kubelet(paths: Paths, kubernetes: Path) -> Component:
    flags = {
        "config": f"{paths.config}/kubelet.json",
        "kubeconfig": f"{paths.config}/kubelet.kubeconfig",
        "root-dir": f"{paths.live}/kubelet",
        "hostname-override": paths.name,
        "node-ip": addresses.NODE,
    }
    return Component("kubelet", (f"{kubernetes}/kubelet", *_flags(flags)))


def _flags(flags: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(f"--{name}={value}" for name, value in flags.items())
