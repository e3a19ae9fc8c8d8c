"""Where the bundles lie so that pods can mount them: a directory of the cluster's one node."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from serin_cli.cluster.access import Cluster
from serin_cli.cluster.choose import look
from serin_cli.cluster.errors import ClusterError
from serin_cli.cluster.run import run
from serin_cli.demo.models import NAME

EXAMPLE_PATH = "/var/lib/serin/models"


@dataclass(frozen=True)
class Place:
    """A directory to write bundles to, and what the node calls it."""

    local: Path
    on_node: str
    container: str | None = None
    """The container that is the node, where it does not see this machine's files."""

    def publish(self) -> None:
        """Bring what was written to the node, if it is not there already."""
        if self.container is None:
            return
        engine = look().engine or "docker"
        run([engine, "exec", self.container, "rm", "-rf", f"{self.on_node}/{NAME}"])
        run([engine, "exec", self.container, "mkdir", "-p", self.on_node])
        run([engine, "cp", str(self.local / NAME), f"{self.container}:{self.on_node}/"])


def prepare_place(cluster: Cluster) -> Place:
    """An empty place for the bundles; it goes with the cluster.

    Raises:
        ClusterError: the cluster was not made here, so that nothing is known of its nodes.
    """
    local = cluster.paths.live / "models"
    if cluster.mode == "netns":
        place = Place(local, str(local))
    elif cluster.mode == "kind":
        place = Place(local, EXAMPLE_PATH, f"{cluster.name}-control-plane")
    else:
        raise ClusterError(
            "The demo keeps its models in a directory of the node, and knows none of a cluster that it did not make. "
            "Start one of its own: serin cluster down && serin cluster up"
        )
    # Bundles are never overwritten, and those of an older version of the demo may be there.
    shutil.rmtree(local / NAME, ignore_errors=True)
    local.mkdir(mode=0o755, parents=True, exist_ok=True)
    return place


def manifest(example: str, place: Place) -> str:
    """The example's volume and claim with the directory of this cluster."""
    if EXAMPLE_PATH not in example:
        raise ClusterError(f"examples/storage.yaml does not name {EXAMPLE_PATH}; the demo puts its directory there")
    return example.replace(EXAMPLE_PATH, place.on_node)
