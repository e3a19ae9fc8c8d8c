"""What a server's processes use, as /proc tells it, and their end."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from pathlib import Path
from typing import NamedTuple

_TICKS = os.sysconf("SC_CLK_TCK")
END_SECONDS = 10.0


class Member(NamedTuple):
    """One process; its start tells it from a later one of the same number."""

    pid: int
    start: str


def family(pid: int) -> list[Member]:
    """The process, all that descend from it, and all of its session: it was started in one of its own."""
    found = {int(entry.name): _stat(int(entry.name)) for entry in Path("/proc").iterdir() if entry.name.isdigit()}
    # Fields from the third on: state, parent, group, session.
    mine = {member for member, fields in found.items() if member == pid or fields[3:4] == [str(pid)]}
    while True:
        more = {member for member, fields in found.items() if fields and int(fields[1]) in mine} - mine
        if not more:
            return [Member(member, found[member][19]) for member in sorted(mine) if found.get(member)]
        mine |= more


def cpu_seconds(pid: int) -> float:
    """Processor time of the whole family so far, of children that have ended as well."""
    # utime, stime, cutime and cstime are fields 14 to 17 of the line.
    return sum(int(number) for member in family(pid) for number in _stat(member.pid)[11:15]) / _TICKS


def memory_mb(pid: int) -> float:
    """Proportional set size of the family: what several processes share counts once."""
    kilobytes = 0
    for member in family(pid):
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/{member.pid}/smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    kilobytes += int(line.split()[1])
    return kilobytes / 1024


def end(process: subprocess.Popen[bytes]) -> None:
    """Ask the process to end, and kill whatever of its family is left after a while."""
    members = family(process.pid)
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(END_SECONDS)
    for member in members:
        if _stat(member.pid)[19:20] == [member.start]:
            with contextlib.suppress(OSError):
                os.kill(member.pid, signal.SIGKILL)
    process.wait(END_SECONDS)


def _stat(pid: int) -> list[str]:
    """The fields of its line from the third on; none where it is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []
