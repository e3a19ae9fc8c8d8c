"""The one process of a namespace cluster that the machine sees: its end is the end of all others.

Run as `python -m serin_cli.cluster.supervisor PLAN`. It opens the forwarded ports on the machine's loopback
address, leaves the machine's network for an empty one, starts the first process of a new process and mount
namespace there, and then only carries connections. The kernel kills the first process when this one dies, and
with it all the rest.
"""

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

from serin_cli.cluster.forward import Forward, listen, serve
from serin_cli.cluster.namespaces import enter_new_network
from serin_cli.cluster.packages import find
from serin_cli.cluster.processes import children, reference, write_references


def first_process(plan_file: Path) -> list[str]:
    """Return the command that starts the first process, tied to the life of the one that runs it."""
    return [
        find("setpriv") or "setpriv",
        "--pdeathsig=KILL",
        find("unshare") or "unshare",
        "--pid",
        "--fork",
        "--mount",
        "--mount-proc",
        "--kill-child=KILL",
        sys.executable,
        "-m",
        "serin_cli.cluster.first_process",
        str(plan_file),
    ]


async def supervise(plan_file: Path, plan: dict[str, Any]) -> int:
    """Run the cluster until its first process ends, and return that one's exit code."""
    record = Path(plan["processes"])
    own = reference(os.getpid())
    write_references(record, {"supervisor": own})
    forwards = [Forward(**forward) for forward in plan["forwards"]]
    listeners = [listen(forward) for forward in forwards]
    enter_new_network()
    log = (Path(plan["logs"]) / "first-process.log").open("ab")
    process = await asyncio.create_subprocess_exec(
        *first_process(plan_file), stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log
    )
    born = await _first_child(process.pid)
    write_references(record, {"supervisor": own, "fork": reference(process.pid), **born})
    servers = [await serve(listener, forward) for listener, forward in zip(listeners, forwards, strict=True)]
    code = await process.wait()
    for server in servers:
        server.close()
    return code


async def _first_child(pid: int) -> dict[str, Any]:
    """Wait for the process that `unshare` forks: once it is gone, so is everything in the namespace."""
    for _ in range(200):
        if found := children(pid):
            return {"first": found[0]}
        await asyncio.sleep(0.02)
    return {}


def main(plan_file: Path) -> int:
    """Run what the plan file says."""
    return asyncio.run(supervise(plan_file, json.loads(plan_file.read_text())))


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
