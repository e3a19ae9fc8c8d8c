"""Bring a cluster up, whatever its kind, and take it down again."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fcntl import LOCK_EX, LOCK_NB, flock

from serin_cli.cluster import (
    binaries,
    containerd,
    dns,
    gateway,
    metrics,
    netns,
    operator_install,
    packages,
    teardown,
)
from serin_cli.cluster.access import Cluster, load
from serin_cli.cluster.choose import Choice
from serin_cli.cluster.errors import ClusterError
from serin_cli.cluster.others import delete_kind, make_kind, use_context
from serin_cli.cluster.paths import Paths
from serin_cli.cluster.program_images import ensure_program_image
from serin_cli.cluster.progress import Progress


@dataclass(frozen=True)
class Wishes:
    """What the user asked `up` for; ports that are None are chosen freely."""

    context: str | None = None
    api_port: int | None = None
    gateway_port: int | None = None
    with_gateway: bool = True
    with_operator: bool = True


@contextmanager
def locked(paths: Paths) -> Iterator[None]:
    """Let only one command at a time change the cluster; raise ClusterError if another one is at it."""
    paths.lock.parent.mkdir(parents=True, exist_ok=True)
    with paths.lock.open("w") as lock:
        try:
            flock(lock, LOCK_EX | LOCK_NB)
        except BlockingIOError as error:
            raise ClusterError(f"Another command is changing the cluster {paths.name!r}. Wait for it.") from error
        yield


def bring_up(paths: Paths, choice: Choice, wishes: Wishes, progress: Progress) -> Cluster:
    """Make the chosen cluster with gateway and operator; one that runs already is completed."""
    running = _running(paths, choice)
    cluster = running or _make(paths, choice, wishes, progress)
    if cluster.mode == "netns":
        _complete_netns(cluster, progress)
    metrics.install(cluster, progress)
    if wishes.with_gateway:
        gateway.install(cluster, progress)
    if wishes.with_operator:
        operator_install.install(cluster, progress, fresh=running is None)
    return cluster


def take_down(paths: Paths) -> bool:
    """End the cluster, however far it got; say whether there was one. A user's context is left alone."""
    try:
        cluster: Cluster | None = load(paths.name)
    except ClusterError:
        cluster = None
    if cluster is not None and cluster.mode == "kind":
        delete_kind(paths)
    return teardown.stop(paths)


def clean(paths: Paths, *, cache: bool) -> None:
    """End the cluster and remove its images; with `cache` also programs and images shared by all clusters.

    Raises ClusterError if the cache is to go while another cluster runs from it.
    """
    others = [path.parent.name for path in (paths.cache / "cluster").glob("*/live") if path != paths.live]
    if cache and others:
        raise ClusterError(f"The cluster {others[0]!r} uses the cache: serin cluster down --name {others[0]}")
    take_down(paths)
    teardown.remove_files(paths.home)
    if cache:
        for directory in (paths.binaries, paths.images, paths.cache / "gateway-api", paths.cache / "go"):
            teardown.remove_files(directory)


def _running(paths: Paths, choice: Choice) -> Cluster | None:
    """Return the recorded cluster if it is of the chosen kind and still answers."""
    try:
        cluster = load(paths.name)
        cluster.kubectl("get", "--raw=/readyz", timeout=10)
    except ClusterError:
        return None
    if cluster.mode != choice.mode:
        raise ClusterError(f"A cluster of mode {cluster.mode} is up. End it first: serin cluster down")
    return cluster


def _make(paths: Paths, choice: Choice, wishes: Wishes, progress: Progress) -> Cluster:
    if choice.mode == "netns":
        return _make_netns(paths, choice, wishes, progress)
    if choice.mode == "kind":
        return make_kind(paths, choice, progress)
    assert wishes.context is not None
    return use_context(paths, choice, wishes.context, progress)


def _make_netns(paths: Paths, choice: Choice, wishes: Wishes, progress: Progress) -> Cluster:
    packages.install_missing(progress)
    # All is built before anything runs, as the compiler would leave the cluster no processor.
    modules = [binaries.KUBERNETES, binaries.PAUSE, binaries.COREDNS, binaries.METRICS_SERVER, binaries.HELM]
    modules += [binaries.TRAEFIK] if wishes.with_gateway else []
    for module in modules:
        binaries.build(module, paths, progress)
    with progress.stage("Certificates and configuration"):
        netns.prepare(paths)
    with progress.stage("Control plane") as stage:
        api_port, gateway_port = netns.start(paths, wishes.api_port, wishes.gateway_port)
        cluster = Cluster(
            name=paths.name,
            mode="netns",
            reason=choice.reason,
            kubeconfig=str(paths.kubeconfig),
            context="serin",
            kubectl_program=str(binaries.built(binaries.KUBERNETES, paths) / "kubectl"),
            helm_program=str(binaries.built(binaries.HELM, paths) / "helm"),
            api_port=api_port,
            gateway_port=gateway_port,
            versions={"kubernetes": binaries.KUBERNETES_VERSION, "traefik": binaries.TRAEFIK_VERSION},
        )
        cluster.save()
        netns.wait_for_api(cluster, stage)
        stage.finish(f"Kubernetes {binaries.KUBERNETES_VERSION} at https://127.0.0.1:{api_port}")
    return cluster


def _complete_netns(cluster: Cluster, progress: Progress) -> None:
    """Do what a namespace cluster needs beyond its API server, also for one whose `up` was interrupted."""
    containerd.wait_ready(cluster.paths)
    ensure_program_image(binaries.PAUSE, cluster.paths, progress)
    with progress.stage("Node") as stage:
        netns.wait_for_node(cluster, stage)
        stage.finish("Ready")
    dns.install(cluster, progress)
