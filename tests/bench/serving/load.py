"""One cell: wrk calls one server for some seconds, and what that took."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.bench.serving import processes, servers
from tests.bench.serving.models import Request
from tests.bench.serving.servers import PATH, Started

_SCRIPT = Path(__file__).parent / "request.lua"
SPARE_SECONDS = 30


@dataclass(frozen=True)
class Measured:
    """What one server did in one cell."""

    requests_per_second: float
    p50_ms: float
    p99_ms: float
    cpu_us: float
    """Processor time of the server's processes for one request."""
    failed: int


def measure(wrk: str, server: Started, request: Request, connections: int, seconds: float) -> Measured:
    """Call for that long over that many kept connections.

    Raises:
        RuntimeError: the server's answer is not scikit-learn's, or wrk ended badly.
    """
    found = servers.answers(server.port, request)
    if found != request.expected:
        raise RuntimeError(f"{server.name} answers otherwise than scikit-learn")
    _wrk(wrk, server.port, request, connections, min(1.0, seconds / 2))
    before = processes.cpu_seconds(server.pid)
    told = _wrk(wrk, server.port, request, connections, seconds)
    used = processes.cpu_seconds(server.pid) - before
    return Measured(
        requests_per_second=told["requests"] / told["seconds"],
        p50_ms=told["p50_ms"],
        p99_ms=told["p99_ms"],
        cpu_us=used / max(1, told["requests"]) * 1e6,
        failed=int(told["failed"]),
    )


def _wrk(wrk: str, port: int, request: Request, connections: int, seconds: float) -> dict[str, float]:
    whole = max(1, round(seconds))
    command = [wrk, "-t1", f"-c{connections}", f"-d{whole}s", "--timeout", "10s", "-s", str(_SCRIPT)]
    done = subprocess.run(
        [*command, f"http://127.0.0.1:{port}{PATH}"],
        env={**os.environ, "BENCH_BODY": str(request.body)},
        capture_output=True,
        timeout=whole + SPARE_SECONDS,
    )
    if done.returncode:
        raise RuntimeError(f"wrk failed: {done.stderr.decode(errors='replace')[-500:]}")
    told: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return told
