"""Processes known by their id and start time, so that a reused id is never mistaken for ours."""

import json
import os
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from serin_cli.cluster.errors import ClusterError


@dataclass(frozen=True)
class ProcessRef:
    """A process id and the kernel's start time of it (clock ticks since boot)."""

    pid: int
    start: int

    def alive(self) -> bool:
        """Say whether this very process still runs; a zombie does not."""
        stat = read_stat(self.pid)
        return stat is not None and stat.start == self.start and stat.state not in "ZX"

    def kill(self) -> None:
        """End the process at once, if it still runs."""
        if self.alive():
            os.kill(self.pid, signal.SIGKILL)


@dataclass(frozen=True)
class Stat:
    """The part of `/proc/PID/stat` that tells processes apart."""

    state: str
    parent: int
    start: int


def parse_stat(text: str) -> Stat:
    """Read a line of `/proc/PID/stat`, whose second field may itself hold spaces and brackets."""
    fields = text.rpartition(")")[2].split()
    return Stat(state=fields[0], parent=int(fields[1]), start=int(fields[19]))


def read_stat(pid: int) -> Stat | None:
    """Return what the kernel says of `pid`, or None if there is no such process."""
    try:
        return parse_stat(Path(f"/proc/{pid}/stat").read_text())
    except (FileNotFoundError, ProcessLookupError):
        return None


def reference(pid: int) -> ProcessRef:
    """Return a reference to the running process `pid`; raise ProcessLookupError if there is none."""
    stat = read_stat(pid)
    if stat is None:
        raise ProcessLookupError(pid)
    return ProcessRef(pid, stat.start)


def children(pid: int) -> list[ProcessRef]:
    """Return the direct children of `pid`."""
    pids = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    stats = [(child, read_stat(child)) for child in pids]
    return [ProcessRef(child, stat.start) for child, stat in stats if stat and stat.parent == pid]


def write_references(path: Path, references: dict[str, ProcessRef]) -> None:
    """Record processes by role; the file is replaced at once, never half written."""
    draft = path.with_suffix(".draft")
    draft.write_text(json.dumps({role: asdict(ref) for role, ref in references.items()}))
    draft.replace(path)


def read_references(path: Path) -> dict[str, ProcessRef]:
    """Return the recorded processes by role; none if nothing was recorded."""
    try:
        recorded = json.loads(path.read_text())
    except (FileNotFoundError, json.JSONDecodeError):
        return {}
    return {role: ProcessRef(**ref) for role, ref in recorded.items()}


def end_all(references: Sequence[ProcessRef], seconds: float = 15.0) -> None:
    """Kill processes and wait until the last one is gone; raise ClusterError if one outlives `seconds`."""
    for ref in references:
        ref.kill()
    if not wait_until(lambda: not any(ref.alive() for ref in references), seconds):
        left = ", ".join(str(ref.pid) for ref in references if ref.alive())
        raise ClusterError(f"Process {left} did not end within {seconds:.0f} s of being killed. Try again.")


def wait_until(holds: Callable[[], bool], seconds: float, every: float = 0.05) -> bool:
    """Ask until `holds()` is true or `seconds` have passed, and return the last answer."""
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(every)
    return True
