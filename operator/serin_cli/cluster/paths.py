"""Where a local cluster keeps its files: all under the user's cache directory, none in the work tree."""

import os
from dataclasses import dataclass
from pathlib import Path

DEFAULT_NAME = "serin"


def cache_root() -> Path:
    """Return the directory under which everything of the local clusters lies."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "serin"


def repository_root() -> Path | None:
    """Return the root of the source tree that this program runs from, or None without one."""
    root = Path(__file__).resolve().parents[3]
    return root if (root / "operator" / "serin_cli").is_dir() else None


@dataclass(frozen=True)
class Paths:
    """The files of one cluster; `down` removes all but `containerd_root` and what clusters share."""

    name: str
    cache: Path

    @property
    def binaries(self) -> Path:
        """Programs built from pinned modules, one directory per content hash; shared by all clusters."""
        return self.cache / "bin"

    @property
    def images(self) -> Path:
        """Image archives, the base image and buildah's own store; shared by all clusters."""
        return self.cache / "images"

    @property
    def home(self) -> Path:
        """The directory of this cluster."""
        return self.cache / "cluster" / self.name

    @property
    def containerd_root(self) -> Path:
        """Content and snapshots of containerd, kept by `down` so that images need not be imported again."""
        return self.home / "containerd"

    @property
    def live(self) -> Path:
        """Everything that only makes sense while the cluster runs."""
        return self.home / "live"

    @property
    def lock(self) -> Path:
        """Held while one command changes this cluster."""
        return self.cache / "cluster" / f"{self.name}.lock"

    @property
    def record(self) -> Path:
        """What `up` made: mode, ports, versions."""
        return self.live / "cluster.json"

    @property
    def processes(self) -> Path:
        """Which processes belong to this cluster; written by the supervisor before it does anything else."""
        return self.live / "processes.json"

    @property
    def kubeconfig(self) -> Path:
        """Administrator access from this machine."""
        return self.live / "kubeconfig"

    @property
    def certificates(self) -> Path:
        """The cluster's certificate authority and what it signed."""
        return self.live / "pki"

    @property
    def config(self) -> Path:
        """Rendered configuration of the cluster's programs."""
        return self.live / "config"

    @property
    def logs(self) -> Path:
        """One log file per program, and the pods' logs."""
        return self.live / "logs"

    @property
    def containerd_socket(self) -> Path:
        """Where containerd listens; on disk, so that images can be imported from outside the namespaces."""
        return self.live / "containerd.sock"

    @property
    def image_record(self) -> Path:
        """Which inputs each image in containerd was built from; lives as long as containerd's content."""
        return self.containerd_root / "serin-images.json"


def paths_for(name: str = DEFAULT_NAME) -> Paths:
    """Return the files of the cluster called `name`."""
    return Paths(name=name, cache=cache_root())
