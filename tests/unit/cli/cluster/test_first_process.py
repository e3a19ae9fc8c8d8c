import socket

import pytest

from serin_cli.cluster.first_process import answers, control_groups


def test_version_one_gets_a_group_in_every_hierarchy(tmp_path):
    for controller in ("cpu", "memory"):
        (tmp_path / controller).mkdir()
    (tmp_path / "cpuacct").symlink_to("cpu")
    control_groups("/serin-cluster-x", tmp_path)
    assert sorted(str(path.relative_to(tmp_path)) for path in tmp_path.glob("*/serin-cluster-x")) == [
        "cpu/serin-cluster-x",
        "cpuacct/serin-cluster-x",
        "memory/serin-cluster-x",
    ]


def test_all_pods_together_weigh_more_than_one_process(tmp_path):
    group = tmp_path / "cpu" / "serin-cluster-x"
    group.mkdir(parents=True)
    (group / "cpu.shares").write_text("1024")
    control_groups("/serin-cluster-x", tmp_path)
    assert (group / "cpu.shares").read_text() == "8192"


def test_version_two_hands_down_what_the_kubelet_wants_and_no_more(tmp_path):
    (tmp_path / "cgroup.controllers").write_text("cpuset cpu io memory pids misc\n")
    control_groups("/serin-cluster-x", tmp_path)
    assert (tmp_path / "serin-cluster-x").is_dir()
    assert (tmp_path / "cgroup.subtree_control").read_text() == "+cpuset +cpu +memory +pids"


@pytest.mark.parametrize("address", ["127.0.0.1:{port}", "https://127.0.0.1:{port}/readyz"])
def test_a_port_without_a_listener_does_not_answer(address):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        assert not answers(address.format(port=unused.getsockname()[1]))


def test_listeners_answer_by_port_and_by_path(tmp_path):
    path = str(tmp_path / "socket")
    with socket.socket() as port, socket.socket(socket.AF_UNIX) as file:
        port.bind(("127.0.0.1", 0))
        port.listen()
        file.bind(path)
        file.listen()
        assert answers(f"127.0.0.1:{port.getsockname()[1]}")
        assert answers(path)
