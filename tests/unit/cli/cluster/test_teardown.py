from pathlib import Path

import pytest

from serin_cli.cluster import teardown
from serin_cli.cluster.paths import Paths

MOUNTS = """\
22 1 254:0 / / rw,relatime - ext4 /dev/vda rw
23 22 0:5 / /proc rw - proc proc rw
30 22 0:9 / /cache/cluster/serin/live/kubelet/pods/x rw - tmpfs tmpfs rw
31 22 0:9 / /cache/cluster/serin-two/live rw - tmpfs tmpfs rw
"""


def test_only_mounts_below_the_directory_count():
    assert teardown.mounts_below(Path("/cache/cluster/serin"), MOUNTS) == ["/cache/cluster/serin/live/kubelet/pods/x"]
    assert teardown.mounts_below(Path("/cache/cluster/other"), MOUNTS) == []


@pytest.fixture
def hierarchies(tmp_path):
    """Two hierarchies with the group of a cluster in each, one link, and a group of somebody else."""
    for controller in ("cpu", "memory"):
        (tmp_path / controller / "serin-cluster-serin" / "kubepods" / "pod1").mkdir(parents=True)
        (tmp_path / controller / "somebody").mkdir()
    (tmp_path / "cpu,cpuacct").symlink_to("cpu")
    return tmp_path


def test_groups_are_found_in_every_hierarchy_once(hierarchies):
    found = teardown.cgroups("serin-cluster-serin", hierarchies)
    assert sorted(path.parent.name for path in found) == ["cpu", "memory"]


def test_groups_go_from_the_leaves_up_and_others_stay(hierarchies):
    teardown.remove_cgroups("serin-cluster-serin", hierarchies)
    assert teardown.cgroups("serin-cluster-serin", hierarchies) == []
    assert (hierarchies / "cpu" / "somebody").exists()
    assert teardown.remove_cgroups("serin-cluster-serin", hierarchies) == []


def test_ending_what_never_was_finds_nothing(tmp_path):
    assert teardown.stop(Paths("never-made", tmp_path)) is False


def test_the_end_keeps_images_and_removes_what_only_lives_with_the_cluster(tmp_path):
    paths = Paths("half-made", tmp_path)
    paths.containerd_root.mkdir(parents=True)
    paths.live.mkdir()
    paths.processes.write_text('{"supervisor": {"pid": 1, "start": 1}}')
    assert teardown.stop(paths) is True
    assert paths.containerd_root.exists()
    assert not paths.live.exists()
