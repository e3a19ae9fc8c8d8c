"""Whether the model server's memory stays bounded under mixed load: `python -m tests.bench.serving.soak --minutes 10`.

Callers send good and bad requests, labels, cookies and cohorts without end, and some connect and say nothing. It
prints the memory over time and its slope over the second half. Tables of a fixed size fill in the first minutes
(the labels' alone has 16 MiB), so only a run of JUDGED_MINUTES or more ends with 1 where the slope is above the bound.
With `--capture` the server also keeps as many rows as it may and mirrors all requests to a pod that never answers.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import threading
import time
from collections import Counter
from contextlib import closing, suppress
from http.client import HTTPConnection
from pathlib import Path
from socket import create_connection, create_server

import numpy as np
from tests.bench.serving import processes, servers
from tests.bench.serving.models import NAME, RING, Served, prepare
from tests.bench.serving.servers import PATH, Started

from serin_contract import announcements, http
from serin_contract.announcements import Announcement, ShadowOrder
from serin_contract.sampled import SAMPLE_ROWS_MAX

CALLERS = 8
SILENT = 4
SLOPE_MB_PER_MINUTE_MAX = 1.0
JUDGED_MINUTES = 10.0
SAMPLES = 40
COHORTS = 10_000
SHADOW = f"{NAME}-2.1.s"
"""The cohort under which the shadow traffic counts."""


class Caller:
    """One thread of callers; each request is drawn anew."""

    def __init__(self, model: Served, server: Started, seed: int, cohorts: int) -> None:
        self._draw = random.Random(seed)
        self._cohorts = cohorts
        self._port = server.port
        self._bodies = {rows: request.body.read_bytes() for rows, request in model.requests.items()}
        self._id = ""
        self.statuses: Counter[str] = Counter()

    def run(self, ended: threading.Event) -> None:
        """Call until told to end; a connection is kept for some requests."""
        while not ended.is_set():
            with closing(HTTPConnection("127.0.0.1", self._port, timeout=60)) as connection:
                for _ in range(50):
                    if ended.is_set():
                        return
                    with suppress(ConnectionError):
                        self._one(connection)

    def _one(self, connection: HTTPConnection) -> None:
        kind = self._draw.choices(("good", "broken", "wrong", "label", "lost"), (80, 5, 5, 8, 2))[0]
        path, body = PATH, self._bodies[self._draw.choice((1, 32))]
        if kind == "broken":
            body = body[: self._draw.randrange(len(body))]
        elif kind == "wrong":
            body = b'{"inputs": [{"name": "x", "shape": [1, 2], "datatype": "FP64", "data": [1, 2]}]}'
        elif kind == "label":
            path, body = "/v1/feedback", json.dumps({"id": self._id, "row": 0, "label": 1}).encode()
        elif kind == "lost":
            path = f"/{self._draw.random()}"
        cohort = f"{NAME}-2.{self._draw.randrange(self._cohorts)}.a"
        headers = {
            "x-serin-cohort": cohort,
            "x-serin-stickiness": f"serin;{NAME}-2;0;50",
            "cookie": f"serin={self._draw.random()}",
        }
        connection.request("POST", path, body, headers)
        response = connection.getresponse()
        answer = response.read()
        self._id = response.getheader("x-serin-prediction-id") or self._id
        self.statuses[f"{kind} {response.status}"] += 1
        if response.status >= 500 and response.status != 503:
            raise RuntimeError(f"{kind}: {response.status} {answer[:200]!r}")


def silent(server: Started, ended: threading.Event) -> None:
    """Connect and say half of something, or nothing, over and over."""
    while not ended.is_set():
        with suppress(OSError), closing(create_connection(("127.0.0.1", server.port), timeout=2)) as connection:
            connection.sendall(b"POST / HTTP/1.1\r\nx: "[: random.randrange(20)])
            ended.wait(1)


def mirror(stats_port: int, target: str, minutes: float) -> None:
    """Have all requests mirrored to the target for that long."""
    order = ShadowOrder(SHADOW, 100, [target], time.time() + 60 * minutes)
    body, mac = announcements.encode(Announcement("bench-pod", 1, shadow=order), RING)
    with closing(HTTPConnection("127.0.0.1", stats_port, timeout=10)) as connection:
        connection.request("POST", http.ANNOUNCEMENT_PATH, body, {http.ANNOUNCEMENT_MAC_HEADER: mac})
        response = connection.getresponse()
        if response.status != 200:
            raise RuntimeError(f"the announcement was refused: {response.read()!r}")


def mirrored(stats_port: int) -> int:
    """Requests of the shadow traffic so far: a pod that never answers took none of them."""
    with closing(HTTPConnection("127.0.0.1", stats_port, timeout=10)) as connection:
        connection.request("GET", http.STATS_PATH)
        counted = json.loads(connection.getresponse().read())["cohorts"][SHADOW]["shadow"]
    return int(counted["dropped"])


def soak(
    model: Served, server: Started, minutes: float, cohorts: int
) -> tuple[list[tuple[float, float]], Counter[str]]:
    """Memory in MB by minutes, and what was answered."""
    ended = threading.Event()
    callers = [Caller(model, server, seed, cohorts) for seed in range(CALLERS)]
    threads = [threading.Thread(target=caller.run, args=(ended,)) for caller in callers]
    threads += [threading.Thread(target=silent, args=(server, ended)) for _ in range(SILENT)]
    for thread in threads:
        thread.start()
    memory: list[tuple[float, float]] = []
    begun = time.monotonic()
    try:
        while (passed := (time.monotonic() - begun) / 60) < minutes:
            memory.append((passed, processes.memory_mb(server.pid)))
            sys.stderr.write(f"{passed:6.2f} min {memory[-1][1]:8.1f} MB\n")
            time.sleep(minutes * 60 / SAMPLES)
    finally:
        ended.set()
        for thread in threads:
            thread.join()
    return memory, sum((caller.statuses for caller in callers), Counter())


def main() -> int:
    """Print the slope; 1 where it is above the bound."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--capture", action="store_true", help="keep rows, and mirror to a pod that never answers")
    wishes = parser.parse_args()
    minutes: float = wishes.minutes
    stats_port = servers.free_port()
    settings = {"SERIN_STATS_PORT": str(stats_port)}
    if wishes.capture:
        settings["SERIN_SAMPLE_ROWS"] = str(SAMPLE_ROWS_MAX)
    with tempfile.TemporaryDirectory() as scratch, create_server(("127.0.0.1", 0)) as silence:
        model = prepare("linear", Path(scratch) / "linear")
        with servers.running("serin", servers.serin(None, settings), model, Path(scratch) / "serin") as server:
            if wishes.capture:
                mirror(stats_port, f"127.0.0.1:{silence.getsockname()[1]}", minutes + 1)
            # Rows are kept of one cohort at a time: in a new one the sample would begin anew.
            memory, statuses = soak(model, server, minutes, 1 if wishes.capture else COHORTS)
            if wishes.capture:
                print(f"mirrored to nobody: {mirrored(stats_port)}")
    later = np.array(memory[len(memory) // 2 :])
    slope = float(np.polyfit(later[:, 0], later[:, 1], 1)[0])
    for kind, count in sorted(statuses.items()):
        print(f"{kind}: {count}")
    print(
        f"{memory[0][1]:.1f} MB at first, {memory[-1][1]:.1f} MB at last, {slope:+.3f} MB a minute in the second half"
    )
    return int(minutes >= JUDGED_MINUTES and slope > SLOPE_MB_PER_MINUTE_MAX)


if __name__ == "__main__":
    sys.exit(main())
