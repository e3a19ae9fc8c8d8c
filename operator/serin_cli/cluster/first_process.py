"""The first process of the cluster's process namespace: hides what would leak, then runs the programs.

Run as `python -m serin_cli.cluster.first_process PLAN`. When it dies, the kernel ends every process of the
cluster, and their mounts go with the mount namespace. It imports only the standard library, to start fast.
"""

import json
import os
import socket
import ssl
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any, NoReturn

RESTART_SECONDS = 1.0
READY_SECONDS = 60.0
CPU_SHARES, CPU_WEIGHT = 8192, 800
"""Of all pods together, in version 1 and 2: as 8 processes of the machine. The default of one starves them all."""

KUBELET_CONTROLLERS = ("cpu", "cpuset", "hugetlb", "memory", "pids")


class Program:
    """A program of the cluster, its log and its present process."""

    def __init__(self, plan: dict[str, Any], logs: Path) -> None:
        self.name: str = plan["name"]
        self.argv: list[str] = plan["argv"]
        self.ready: str = plan["ready"]
        self.log = logs / f"{self.name}.log"
        self.environment = {**os.environ, **plan["env"]}
        self.pid = 0
        self.started = 0.0

    def start(self) -> None:
        """Start the program; its output is appended to its log."""
        append = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        actions = [
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, str(self.log), append, 0o644),
            (os.POSIX_SPAWN_DUP2, 1, 2),
        ]
        # Not by subprocess, which would collect the child itself: here all are collected in one place.
        self.pid = os.posix_spawn(self.argv[0], self.argv, self.environment, file_actions=actions)
        self.started = time.monotonic()

    def wait_ready(self) -> bool:
        """Wait until the program answers; say whether it did in time."""
        deadline = time.monotonic() + READY_SECONDS
        while self.ready and not answers(self.ready):
            if time.monotonic() > deadline:
                return False
            reap([self])
            time.sleep(0.05)
        return True


def answers(address: str) -> bool:
    """Say whether something answers at an HTTPS URL, TCP address or Unix socket."""
    if address.startswith("https:"):
        return _serves(address)
    family = socket.AF_UNIX if address.startswith("/") else socket.AF_INET
    host, _, port = address.rpartition(":")
    target: Any = address if family == socket.AF_UNIX else (host, int(port))
    with socket.socket(family, socket.SOCK_STREAM) as connection:
        connection.settimeout(1.0)
        try:
            connection.connect(target)
        except OSError:
            return False
    return True


def _serves(url: str) -> bool:
    # Only whether it is up is asked, on this machine's loopback address: nothing secret is sent.
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        with urllib.request.urlopen(url, timeout=2.0, context=context) as answer:  # noqa: S310 - https
            return bool(answer.status == 200)
    except OSError:
        return False


def reap(programs: list[Program]) -> None:
    """Collect ended children without waiting, orphans too, and start again those that are ours."""
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        for program in programs:
            if program.pid == pid:
                _restart(program, status)


def _restart(program: Program, status: int) -> None:
    code = os.waitstatus_to_exitcode(status)
    with program.log.open("a") as log:
        log.write(f"--- {program.name} ended with {code}; it is started again ---\n")
    time.sleep(max(0.0, RESTART_SECONDS - (time.monotonic() - program.started)))
    program.start()


def cover(plan: dict[str, Any]) -> None:
    """Lay empty file systems over what would leak, and files over the kernel settings that are not ours."""
    for directory in plan["covered"]:
        _mount("-t", "tmpfs", "-o", "mode=755", "tmpfs", directory)
    settings = Path("/run/kernel-settings")
    settings.mkdir()
    for number, (name, value) in enumerate(plan["kernel_settings"].items()):
        real = Path("/proc/sys") / name
        if real.exists():
            shown = settings / str(number)
            shown.write_text(f"{value}\n")
            _mount("--bind", str(shown), str(real))


def control_groups(name: str, root: Path = Path("/sys/fs/cgroup")) -> None:
    """Make the group that holds all containers, in every hierarchy, as the kubelet only looks for it."""
    offered = root / "cgroup.controllers"
    if not offered.exists():
        for hierarchy in root.iterdir():
            if not hierarchy.is_symlink():
                (hierarchy / name.strip("/")).mkdir(exist_ok=True)
                _weigh(hierarchy / name.strip("/") / "cpu.shares", CPU_SHARES)
        return
    # In version 2 a group has only the controllers that its parent hands down, and the kubelet wants all of these.
    wanted = [controller for controller in offered.read_text().split() if controller in KUBELET_CONTROLLERS]
    (root / "cgroup.subtree_control").write_text(" ".join(f"+{controller}" for controller in wanted))
    (root / name.strip("/")).mkdir(exist_ok=True)
    _weigh(root / name.strip("/") / "cpu.weight", CPU_WEIGHT)


def _weigh(file: Path, weight: int) -> None:
    """Set a group's weight where its hierarchy has one."""
    if file.exists():
        file.write_text(str(weight))


def network(plan: dict[str, Any]) -> None:
    """Give the empty network namespace the node's address; there is no way out of it."""
    for line in plan["network"]:
        subprocess.run([plan["ip"], *line.split()], check=True, timeout=10)
    for name, value in plan["network_settings"].items():
        (Path("/proc/sys/net") / name).write_text(value)


def remove_old_containers(plan: dict[str, Any], containerd: Program) -> None:
    """Remove containers that an earlier cluster left, then let containerd read its store afresh."""
    ctr = [plan["ctr"], "--address", containerd.ready, "--namespace", "k8s.io", "containers"]
    listed = subprocess.run([*ctr, "list", "--quiet"], check=True, timeout=60, capture_output=True, text=True)
    if not (old := listed.stdout.split()):
        return
    subprocess.run([*ctr, "delete", *old], check=False, timeout=120, capture_output=True)
    os.kill(containerd.pid, 9)
    os.waitpid(containerd.pid, 0)
    containerd.start()
    containerd.wait_ready()


def _mount(*words: str) -> None:
    subprocess.run(["mount", *words], check=True, timeout=10)


def main(path: Path) -> NoReturn:
    """Bring the cluster up as `path` plans it, and keep it so until killed."""
    plan = json.loads(path.read_text())
    cover(plan)
    control_groups(plan["cgroup"])
    network(plan)
    programs: list[Program] = []
    for entry in plan["components"]:
        program = Program(entry, Path(plan["logs"]))
        program.start()
        programs.append(program)
        if program.wait_ready() and program.name == "containerd":
            remove_old_containers(plan, program)
    while True:
        reap(programs)
        time.sleep(0.2)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
