"""End a namespace cluster and take away what it left: processes, control groups, files."""

import shutil
from pathlib import Path

from serin_cli.cluster.errors import ClusterError
from serin_cli.cluster.node_config import cgroup
from serin_cli.cluster.paths import Paths
from serin_cli.cluster.processes import end_all, read_references, wait_until

CGROUP_ROOT = Path("/sys/fs/cgroup")
CGROUP_SECONDS = 15.0


def stop(paths: Paths) -> bool:
    """End the cluster's processes and remove all that only makes sense while it runs.

    Returns whether there was anything to end. Raises ClusterError if something of it cannot be removed.
    """
    references = read_references(paths.processes)
    end_all(list(references.values()))
    groups = remove_cgroups(cgroup(paths).strip("/"))
    existed = paths.live.exists()
    remove_files(paths.live)
    return bool(references) or bool(groups) or existed


def remove_files(directory: Path) -> None:
    """Remove a directory, unless something is mounted in it: the files of a mount are not ours to delete."""
    mounted = mounts_below(directory, Path("/proc/self/mountinfo").read_text())
    if mounted:
        raise ClusterError(f"{mounted[0]} is still mounted. Unmount it, then run: serin cluster down")
    if directory.exists():
        shutil.rmtree(directory)


def mounts_below(directory: Path, mountinfo: str) -> list[str]:
    """Return the mount points at or below `directory` among the lines of a `mountinfo` file."""
    points = [line.split()[4] for line in mountinfo.splitlines() if line.strip()]
    return [point for point in points if Path(point).is_relative_to(directory)]


def cgroups(name: str, root: Path = CGROUP_ROOT) -> list[Path]:
    """Return the control groups called `name`, in every hierarchy of version 1 or 2 that is mounted."""
    hierarchies = [root, *(path for path in root.glob("*") if path.is_dir() and not path.is_symlink())]
    return [path / name for path in hierarchies if (path / name).is_dir()]


def remove_cgroups(name: str, root: Path = CGROUP_ROOT) -> list[Path]:
    """Remove the control groups called `name` from the leaves up, once the kernel lets go of them."""
    found = cgroups(name, root)
    for group in found:
        if not wait_until(lambda group=group: _removed(group), CGROUP_SECONDS):  # type: ignore[misc]
            raise ClusterError(f"The control group {group} is still in use. Run again: serin cluster down")
    return found


def _removed(group: Path) -> bool:
    directories = [path for path in group.rglob("*") if path.is_dir()]
    for directory in sorted(directories, key=lambda path: len(path.parts), reverse=True):
        _remove_one(directory)
    _remove_one(group)
    return not group.exists()


def _remove_one(directory: Path) -> None:
    try:
        directory.rmdir()
    except FileNotFoundError:
        return
    except OSError:
        # A process in it is still ending; the caller asks again.
        return
