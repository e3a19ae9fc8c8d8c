"""Where the bundles lie so that pods can mount them: a directory that the cluster's one node sees."""

from __future__ import annotations

import shutil
from pathlib import Path

from serin_cli.cluster.access import Cluster
from serin_cli.cluster.errors import ClusterError
from serin_cli.demo.models import NAME

EXAMPLE_PATH = "/var/lib/serin/models"


def directory(cluster: Cluster) -> Path:
    """The empty directory for the bundles; it goes with the cluster.

    Raises:
        ClusterError: the nodes of this cluster do not see the files of this machine.
    """
    if cluster.mode != "netns":
        raise ClusterError(
            f"The demo keeps its models in a directory that the node shares with this machine, which mode "
            f"{cluster.mode} does not offer. Use: serin cluster up --mode netns"
        )
    place = cluster.paths.live / "models"
    shutil.rmtree(place / NAME, ignore_errors=True)
    place.mkdir(mode=0o755, parents=True, exist_ok=True)
    return place


def manifest(example: str, place: Path) -> str:
    """The example's volume and claim with the directory of this cluster."""
    if EXAMPLE_PATH not in example:
        raise ClusterError(f"examples/storage.yaml does not name {EXAMPLE_PATH}; the demo puts its directory there")
    return example.replace(EXAMPLE_PATH, str(place))
