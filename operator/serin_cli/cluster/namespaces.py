"""The kernel's namespaces: make them, find them, run a program inside."""

import ctypes
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

from serin_cli.cluster.errors import ClusterError
from serin_cli.cluster.packages import find
from serin_cli.cluster.processes import ProcessRef

CLONE_NEWNET = 0x40000000


def enter_new_network() -> None:
    """Move the calling thread, and what it starts from now on, to a new and empty network namespace.

    It has no name in the file system: it ends with its last process, so that nothing is left to clean.
    Raises OSError where the kernel refuses, as it does for anyone but root.
    """
    library = ctypes.CDLL(None, use_errno=True)
    if library.unshare(CLONE_NEWNET) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def inside(supervisor: ProcessRef, argv: Sequence[str | Path]) -> list[str]:
    """Return the command that runs `argv` in the network of a running cluster; files stay the machine's own.

    Raises ClusterError if the cluster does not run.
    """
    if not supervisor.alive():
        raise ClusterError("The cluster does not run. Start it with: serin cluster up")
    nsenter = find("nsenter") or "nsenter"
    return [nsenter, f"--net=/proc/{supervisor.pid}/ns/net", "--", *(str(word) for word in argv)]


def run_inside(
    supervisor: ProcessRef, argv: Sequence[str | Path], *, timeout: float
) -> subprocess.CompletedProcess[str]:
    """Run `argv` in the cluster's network for at most `timeout` seconds, and return how it ended."""
    return subprocess.run(inside(supervisor, argv), check=False, capture_output=True, text=True, timeout=timeout)
