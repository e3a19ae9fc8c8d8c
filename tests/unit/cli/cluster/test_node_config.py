import ipaddress
import json
import tomllib
from pathlib import Path

import pytest

from serin_cli.cluster import addresses, certificates, node_config
from serin_cli.cluster.paths import Paths

PATHS = Paths("serin", Path("/cache"))
SYSTEM = {"etcd": "/usr/bin/etcd", "containerd": "/usr/bin/containerd"}
DOCUMENTATION = [ipaddress.ip_network(net) for net in ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24")]


def test_containerd_keeps_its_files_to_the_cluster():
    text = node_config.containerd_toml(PATHS, Path("/usr/lib/cni"), "/usr/sbin/runc")
    config = tomllib.loads(text)
    assert config["root"] == "/cache/cluster/serin/containerd"
    assert config["state"].startswith("/run/")
    assert config["grpc"]["address"] == str(PATHS.containerd_socket)
    cri = config["plugins"]["io.containerd.grpc.v1.cri"]
    assert cri["sandbox_image"] == node_config.PAUSE_IMAGE
    assert cri["cni"] == {"bin_dir": "/usr/lib/cni", "conf_dir": "/cache/cluster/serin/live/config/cni"}


def test_the_network_needs_no_firewall_program_and_forgets_its_addresses():
    (plugin,) = json.loads(node_config.network_conflist())["plugins"]
    assert plugin["ipMasq"] is False
    assert plugin["ipam"]["dataDir"].startswith(node_config.COVERED)


def test_the_kubelet_never_judges_the_shared_disk():
    config = json.loads(node_config.kubelet_configuration(PATHS))
    assert config["imageGCHighThresholdPercent"] == 100
    assert config["evictionHard"]["nodefs.available"] == "0%"
    assert config["cgroupRoot"] == node_config.cgroup(PATHS)
    assert config["authentication"]["anonymous"] == {"enabled": False}


def test_the_proxy_leaves_the_machines_connection_tracking_alone():
    config = json.loads(node_config.proxy_configuration(PATHS))
    assert config["conntrack"] == {"maxPerCore": 0, "min": 0}
    assert config["mode"] == "nftables"


def test_programs_start_in_an_order_in_which_each_finds_what_it_needs():
    names = [component.name for component in node_config.components(PATHS, Path("/bin"), SYSTEM)]
    assert names.index("etcd") < names.index("kube-apiserver") < names.index("kube-controller-manager")
    assert names.index("containerd") < names.index("kubelet")
    assert set(names) > {"kube-scheduler", "kube-proxy"}


def test_the_api_server_believes_and_uses_the_certificate_that_is_made_for_its_extensions():
    (server,) = (it for it in node_config.components(PATHS, Path("/bin"), SYSTEM) if it.name == "kube-apiserver")
    flags = dict(word.removeprefix("--").split("=", 1) for word in server.argv[1:])
    made = {subject.file: subject for subject in certificates.subjects("serin", ())}
    used = made[Path(flags["proxy-client-cert-file"]).stem]
    assert flags["requestheader-allowed-names"] == used.common_name
    assert Path(flags["requestheader-client-ca-file"]).stem == used.authority
    assert flags["requestheader-client-ca-file"] != flags["client-ca-file"]


def test_every_program_is_named_by_its_full_path():
    for component in node_config.components(PATHS, Path("/cache/bin/k"), SYSTEM):
        assert component.argv[0].startswith("/")


@pytest.mark.parametrize(
    "value", [addresses.NODE, addresses.NODE_GATEWAY, addresses.API_SERVICE, addresses.DNS_SERVICE]
)
def test_every_address_is_of_a_documentation_range(value):
    assert any(ipaddress.ip_address(value) in network for network in DOCUMENTATION)


@pytest.mark.parametrize("value", [addresses.POD_RANGE, addresses.SERVICE_RANGE])
def test_every_range_is_a_documentation_range(value):
    assert ipaddress.ip_network(value) in DOCUMENTATION


def test_no_two_clusters_share_a_control_group():
    places = [Paths("one", Path("/a")), Paths("two", Path("/a")), Paths("one", Path("/b"))]
    assert len({node_config.cgroup(paths) for paths in places}) == 3
