"""The cluster made of namespaces: what works in it, and that its end leaves nothing on the machine.

It runs beside a cluster that a person may have up, under a name and ports of its own.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from serin_cli.cluster import binaries, metrics, netns, node_config, packages, teardown
from serin_cli.cluster.access import Cluster
from serin_cli.cluster.choose import Choice
from serin_cli.cluster.containerd import image_names
from serin_cli.cluster.errors import ClusterError
from serin_cli.cluster.images import Image, ensure_image
from serin_cli.cluster.paths import Paths, paths_for
from serin_cli.cluster.processes import ProcessRef, children, read_references, wait_until
from serin_cli.cluster.progress import Progress
from serin_cli.cluster.up import Wishes, bring_up, clean, locked

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(400)]

MODULES = (binaries.KUBERNETES, binaries.PAUSE, binaries.COREDNS, binaries.METRICS_SERVER, binaries.TRAEFIK)

# Asks the cluster's name server for one name, and fails unless it answers with an address.
NAME_QUERY = """
import socket, struct
name = b"".join(bytes([len(part)]) + part for part in b"traefik.serin-gateway.svc.cluster.local".split(b"."))
query = struct.pack(">HHHHHH", 7, 0x0100, 1, 0, 0, 0) + name + b"\\0" + struct.pack(">HH", 1, 1)
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asked:
    asked.settimeout(5)
    asked.sendto(query, ("203.0.113.10", 53))
    answer = asked.recv(512)
assert struct.unpack(">H", answer[6:8])[0] == 1, answer
print(socket.inet_ntoa(answer[-4:]))
"""


@dataclass(frozen=True)
class Machine:
    """What a cluster could leave behind outside its own directory."""

    mounts: list[str]
    cgroups: list[str]
    links: str
    firewall: str
    settings: dict[str, str]
    covered: list[str]


def look_at_machine() -> Machine:
    settings = {name: Path("/proc/sys") / name for name in node_config.KERNEL_SETTINGS}
    return Machine(
        mounts=[line.split(" - ")[0] for line in Path("/proc/self/mountinfo").read_text().splitlines()],
        cgroups=sorted(str(path) for path in Path("/sys/fs/cgroup").rglob("*serin-cluster-serin-test*")),
        links=output("ip", "-o", "link"),
        firewall=output("nft", "list", "ruleset"),
        settings={name: path.read_text() for name, path in settings.items() if path.exists()},
        covered=sorted(str(path) for place in ("/run", "/var/log") for path in Path(place).glob("*")),
    )


def output(*argv: str) -> str:
    program = packages.find(argv[0])
    assert program is not None
    done = subprocess.run([program, *argv[1:]], capture_output=True, text=True, timeout=30, check=True)
    # A link's counters and states of others may change; which links there are may not.
    return "\n".join(line.split(":")[1] if argv[0] == "ip" else line for line in done.stdout.splitlines())


def descendants(process: ProcessRef) -> list[ProcessRef]:
    """Return all processes that come from `process`, those in pods too."""
    born = children(process.pid)
    return born + [later for child in born for later in descendants(child)]


@pytest.fixture(scope="module")
def paths() -> Iterator[Paths]:
    if os.geteuid() != 0:
        pytest.skip("network namespaces need root")
    paths = paths_for("serin-test")
    lacking = [module.name for module in MODULES if not binaries.built(module, paths).exists()]
    if lacking or packages.missing():
        pytest.skip("the cluster's programs are not there yet; `serin cluster up` builds and installs them")
    with locked(paths):
        clean(paths, cache=False)
        yield paths
        clean(paths, cache=False)
    paths.lock.unlink()


@pytest.fixture(scope="module")
def before(paths: Paths) -> Machine:
    return look_at_machine()


@pytest.fixture(scope="module")
def cluster(paths: Paths, before: Machine) -> Cluster:
    return bring_up(paths, Choice("netns", "tested"), Wishes(with_operator=False), Progress())


# Prints the status code with which a URL is answered.
STATUS_QUERY = """
import sys, urllib.request as r, urllib.error as e
try: print(r.urlopen(sys.argv[1], timeout=10).status)
except e.HTTPError as error: print(error.code)
"""


def status_of(url: str) -> int:
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code


def test_the_gateway_answers_on_the_machines_loopback_address(cluster):
    # No route exists, and saying so is the gateway's answer.
    assert status_of(cluster.gateway_url) == 404


def test_the_gateway_answers_inside_by_its_service(cluster):
    done = cluster.run_inside(["python3", "-c", STATUS_QUERY, cluster.gateway_url_inside])
    assert done.stdout.strip() == "404", done.stderr


def test_the_gateway_answers_where_its_status_says(cluster):
    told = "jsonpath={.status.addresses[0].value}:{.spec.listeners[0].port}"
    place = cluster.kubectl("-n", "serin-gateway", "get", "gateway/public", "-o", told)
    done = cluster.run_inside(["python3", "-c", STATUS_QUERY, f"http://{place}"])
    assert done.stdout.strip() == "404", f"{place}: {done.stderr}"


def test_a_services_name_is_known_inside(cluster):
    done = cluster.run_inside(["python3", "-c", NAME_QUERY])
    assert f"http://{done.stdout.strip()}:8000" == cluster.gateway_url_inside, done.stderr


def test_there_is_no_way_out_of_the_cluster(cluster):
    program = "import socket; socket.create_connection(('192.0.2.77', 80), timeout=5)"
    assert cluster.run_inside(["python3", "-c", program]).returncode != 0
    # A pod's link is named veth and eight random digits, so only the whole name tells it from a machine's eth0.
    links = re.findall(r"^\d+: ([^:@]+)", cluster.run_inside(["ip", "-o", "link"]).stdout, re.MULTILINE)
    assert "node0" in links
    assert "eth0" not in links


def test_logs_and_commands_reach_the_pods(cluster):
    version = ["exec", "deployment/traefik", "--", "/usr/local/bin/traefik", "version"]
    assert "3.6.7" in cluster.kubectl("-n", "serin-gateway", *version)
    assert "CoreDNS" in cluster.kubectl("-n", "kube-system", "logs", "deployment/coredns")


def test_a_pod_that_fails_is_told_by_its_log(cluster):
    image = "docker.io/library/traefik:v3.6.7"
    cluster.kubectl("run", "failing", f"--image={image}", "--restart=Never", "--", "--no-such-flag")
    phase = ["wait", "--for=jsonpath={.status.phase}=Failed", "pod/failing", "--timeout=30s"]
    cluster.kubectl(*phase)
    assert "no-such-flag" in cluster.kubectl("logs", "failing")
    cluster.kubectl("delete", "pod", "failing", "--wait=false")


def test_an_autoscaler_learns_what_pods_use_and_scales_them(cluster):
    metrics.wait_ready(cluster)
    where = ["-n", "kube-system"]
    name, cpu, memory = cluster.kubectl(*where, "top", "pod", "-l", "k8s-app=kube-dns", "--no-headers").split()
    assert name.startswith("coredns-")
    assert cpu.endswith("m")
    assert int(memory.removesuffix("Mi")) > 0
    # Any running program uses more memory than this, so as many pods are wanted as are allowed.
    cluster.kubectl(*where, "autoscale", "deployment/coredns", "--memory=1Mi", "--min=1", "--max=2")
    wanted = ["wait", "--for=jsonpath={.spec.replicas}=2", "deployment/coredns", "--timeout=60s"]
    cluster.kubectl(*where, *wanted, timeout=70)
    cluster.kubectl(*where, "delete", "hpa/coredns")


def test_a_second_up_finds_the_cluster_running(cluster, paths):
    again = bring_up(paths, Choice("netns", "tested"), Wishes(with_operator=False), Progress())
    assert again == cluster


def test_images_built_at_the_same_time_all_arrive(cluster, tmp_path):
    (tmp_path / "Dockerfile").write_text("FROM scratch\nCOPY Dockerfile /\n")
    tags = [f"localhost/serin-test-{count}:1" for count in range(3)]
    images = [Image(tag, tmp_path / "Dockerfile", tmp_path, ()) for tag in tags]
    with ThreadPoolExecutor() as pool:
        built = list(pool.map(lambda image: ensure_image(cluster, image, Progress()), images))
        again = list(pool.map(lambda image: ensure_image(cluster, image, Progress()), images))
    assert built == [True] * 3
    assert again == [False] * 3
    assert image_names(cluster.paths) >= set(tags)


def test_one_kill_ends_every_process_and_nothing_is_left(cluster, paths, before):
    references = read_references(paths.processes)
    inside = [references["first"], *descendants(references["first"])]
    names = {Path(f"/proc/{process.pid}/comm").read_text().strip() for process in inside}
    assert names > {
        "etcd",
        "kube-apiserver",
        "kubelet",
        "kube-proxy",
        "containerd",
        "traefik",
        "coredns",
        "metrics-server",
    }
    os.kill(references["supervisor"].pid, signal.SIGKILL)
    assert wait_until(lambda: not any(process.alive() for process in inside), 15)
    assert teardown.stop(paths) is True
    assert look_at_machine() == before
    assert not paths.live.exists()
    with pytest.raises(ClusterError, match="serin cluster up"):
        cluster.run_inside(["true"])


def test_what_an_interrupted_up_left_is_removed(paths, before):
    netns.prepare(paths)
    netns.start(paths, None, None)
    assert wait_until(lambda: "first" in read_references(paths.processes), 15)
    first = read_references(paths.processes)["first"]
    # The next `up` begins with this.
    netns.prepare(paths)
    assert not first.alive()
    assert read_references(paths.processes) == {}
    teardown.stop(paths)
    assert look_at_machine() == before
