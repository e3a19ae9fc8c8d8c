"""The kinds of cluster that others make: kind, and a context that the user has."""

import shutil
from pathlib import Path

from serin_cli.cluster import binaries
from serin_cli.cluster.access import Cluster
from serin_cli.cluster.certificates import write_private
from serin_cli.cluster.choose import Choice
from serin_cli.cluster.paths import Paths, repository_root
from serin_cli.cluster.progress import Progress
from serin_cli.cluster.run import run

KIND_GATEWAY_PORT = 8000
KIND_SECONDS = 600.0


def make_kind(paths: Paths, choice: Choice, progress: Progress) -> Cluster:
    """Make a kind cluster, or take up the one that is there; raise ClusterError with kind's own words."""
    root = repository_root()
    cluster = Cluster(
        name=paths.name,
        mode="kind",
        reason=choice.reason,
        kubeconfig=str(paths.kubeconfig),
        context=f"kind-{paths.name}",
        kubectl_program=_kubectl(paths, progress),
        helm_program=_helm(paths, progress),
        # Without the source tree there is no configuration that maps the port.
        gateway_port=KIND_GATEWAY_PORT if root else 0,
        versions={"traefik": binaries.TRAEFIK_VERSION},
    )
    # Recorded first, so that `down` also ends what was only half made.
    cluster.save()
    with progress.stage("kind cluster"):
        if paths.name in run(["kind", "get", "clusters"], timeout=60).split():
            run(["kind", "export", "kubeconfig", "--name", paths.name, "--kubeconfig", paths.kubeconfig])
            return cluster
        argv: list[str | Path] = ["kind", "create", "cluster", "--name", paths.name, "--wait", "180s"]
        argv += ["--config", root / "kind-config.yaml"] if root else []
        run([*argv, "--kubeconfig", paths.kubeconfig], timeout=KIND_SECONDS)
    return cluster


def delete_kind(paths: Paths) -> None:
    """End the kind cluster; one that is gone already is no error."""
    run(["kind", "delete", "cluster", "--name", paths.name], timeout=KIND_SECONDS)


def use_context(paths: Paths, choice: Choice, context: str, progress: Progress) -> Cluster:
    """Use the cluster behind a context of the user's; raise ClusterError if it does not answer."""
    kubectl = _kubectl(paths, progress)
    # A copy with this one context only, so that no later change of the user's default can redirect a command.
    view = [kubectl, "config", "view", "--minify", "--flatten", "--raw", f"--context={context}"]
    write_private(paths.kubeconfig, run(view, timeout=30))
    cluster = Cluster(
        name=paths.name,
        mode="context",
        reason=choice.reason,
        kubeconfig=str(paths.kubeconfig),
        context=context,
        kubectl_program=kubectl,
        helm_program=_helm(paths, progress),
    )
    cluster.save()
    cluster.kubectl("get", "--raw=/readyz", timeout=30)
    return cluster


def _kubectl(paths: Paths, progress: Progress) -> str:
    return shutil.which("kubectl") or str(binaries.build(binaries.KUBERNETES, paths, progress) / "kubectl")


def _helm(paths: Paths, progress: Progress) -> str:
    return shutil.which("helm") or str(binaries.build(binaries.HELM, paths, progress) / "helm")
