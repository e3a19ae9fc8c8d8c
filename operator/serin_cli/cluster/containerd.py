"""Talk to the containerd of a namespace cluster from outside its namespaces."""

from collections.abc import Iterable
from pathlib import Path

from serin_cli.cluster.errors import ClusterError
from serin_cli.cluster.packages import find
from serin_cli.cluster.paths import Paths
from serin_cli.cluster.processes import wait_until
from serin_cli.cluster.run import run, succeeds

READY_SECONDS = 60.0


def command(paths: Paths) -> list[str]:
    """Return the beginning of a command to containerd, in the namespace that the kubelet uses."""
    return [find("ctr") or "ctr", "--address", str(paths.containerd_socket), "--namespace", "k8s.io"]


def wait_ready(paths: Paths) -> None:
    """Wait until containerd answers; raise ClusterError if it does not."""
    if not wait_until(lambda: succeeds([*command(paths), "version"], timeout=10), READY_SECONDS, every=0.2):
        raise ClusterError(f"containerd did not start. Its log: {paths.logs}/containerd.log")


def image_names(paths: Paths) -> set[str]:
    """Return the names of the images that containerd has."""
    return set(run([*command(paths), "images", "list", "-q"], timeout=60).split())


def remove_images(paths: Paths, names: Iterable[str]) -> None:
    """Remove images by name; what no other image shares of their content goes too."""
    for name in names:
        run([*command(paths), "images", "remove", "--sync", name], timeout=120)


def import_archive(paths: Paths, archive: Path) -> None:
    """Put the images of an archive into containerd under the names that the archive gives them."""
    run([*command(paths), "images", "import", archive], timeout=600)
