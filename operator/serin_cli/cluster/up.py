"""Bring a cluster up, whatever its kind, and take it down again."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fcntl import LOCK_EX, LOCK_NB, flock
from pathlib import Path

from serin_cli.cluster import (
    binaries,
    containerd,
    dns,
    gateway,
    netns,
    operator_install,
    packages,
    teardown,
)
from serin_cli.cluster.access import Cluster, load
from serin_cli.cluster.choose import Choice
from serin_cli.cluster.errors import ClusterError
from serin_cli.cluster.paths import Paths, repository_root
from serin_cli.cluster.program_images import ensure_program_image
from serin_cli.cluster.progress import Progress
from serin_cli.cluster.run import run

KIND_GATEWAY_PORT = 8000
KIND_SECONDS = 600


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
        dns.install(cluster, progress)
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
        run(["kind", "delete", "cluster", "--name", paths.name], timeout=KIND_SECONDS)
    return teardown.stop(paths)


def clean(paths: Paths, *, cache: bool) -> None:
    """End the cluster and remove its images; with `cache` also programs and images shared by all clusters."""
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
    kubectl = shutil.which("kubectl") or str(binaries.build(binaries.KUBERNETES, paths, progress) / "kubectl")
    helm = shutil.which("helm") or str(binaries.build(binaries.HELM, paths, progress) / "helm")
    if choice.mode == "kind":
        return _make_kind(paths, choice, kubectl, helm, progress)
    return _use_context(paths, choice, wishes, kubectl, helm)


def _make_netns(paths: Paths, choice: Choice, wishes: Wishes, progress: Progress) -> Cluster:
    packages.install_missing(progress)
    kubernetes = binaries.build(binaries.KUBERNETES, paths, progress)
    # All is built before anything runs, as the compiler would leave the cluster no processor.
    binaries.build(binaries.COREDNS, paths, progress)
    if wishes.with_gateway:
        binaries.build(binaries.TRAEFIK, paths, progress)
    helm = binaries.build(binaries.HELM, paths, progress)
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
            kubectl_program=str(kubernetes / "kubectl"),
            helm_program=str(helm / "helm"),
            api_port=api_port,
            gateway_port=gateway_port,
            versions={"kubernetes": binaries.KUBERNETES_VERSION, "traefik": binaries.TRAEFIK_VERSION},
        )
        cluster.save()
        netns.wait_for_api(cluster, stage)
        stage.finish(f"Kubernetes {binaries.KUBERNETES_VERSION} at https://127.0.0.1:{api_port}")
    containerd.wait_ready(paths)
    ensure_program_image(binaries.PAUSE, paths, progress)
    with progress.stage("Node") as stage:
        netns.wait_for_node(cluster, stage)
        stage.finish("Ready")
    return cluster


def _make_kind(paths: Paths, choice: Choice, kubectl: str, helm: str, progress: Progress) -> Cluster:
    paths.live.mkdir(parents=True, exist_ok=True)
    root = repository_root()
    cluster = Cluster(
        name=paths.name,
        mode="kind",
        reason=choice.reason,
        kubeconfig=str(paths.kubeconfig),
        context=f"kind-{paths.name}",
        kubectl_program=kubectl,
        helm_program=helm,
        gateway_port=KIND_GATEWAY_PORT if root else 0,
        versions={"traefik": binaries.TRAEFIK_VERSION},
    )
    # Recorded first, so that `down` also ends what was only half made.
    cluster.save()
    known = run(["kind", "get", "clusters"], timeout=60).split()
    with progress.stage("kind cluster"):
        if paths.name in known:
            run(["kind", "export", "kubeconfig", "--name", paths.name, "--kubeconfig", paths.kubeconfig])
        else:
            argv: list[str | Path] = ["kind", "create", "cluster", "--name", paths.name, "--wait", "180s"]
            argv += ["--config", root / "kind-config.yaml"] if root else []
            run([*argv, "--kubeconfig", paths.kubeconfig], timeout=KIND_SECONDS)
    return cluster


def _use_context(paths: Paths, choice: Choice, wishes: Wishes, kubectl: str, helm: str) -> Cluster:
    assert wishes.context is not None
    # A copy with this one context only, so that no later change of the user's default can redirect a command.
    view = [kubectl, "config", "view", "--minify", "--flatten", "--raw", f"--context={wishes.context}"]
    access = run(view, timeout=30)
    paths.live.mkdir(parents=True, exist_ok=True)
    paths.kubeconfig.touch(mode=0o600)
    paths.kubeconfig.write_text(access)
    cluster = Cluster(
        name=paths.name,
        mode="context",
        reason=choice.reason,
        kubeconfig=str(paths.kubeconfig),
        context=wishes.context,
        kubectl_program=kubectl,
        helm_program=helm,
    )
    cluster.save()
    cluster.kubectl("get", "--raw=/readyz", timeout=30)
    return cluster
