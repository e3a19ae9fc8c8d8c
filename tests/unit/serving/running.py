"""A server on ephemeral loopback ports in a thread of its own, and a caller that speaks to it."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from serin_contract import announcements
from serin_contract.announcements import Announcement
from serin_contract.keys import KeyRing
from serin_serving import drain, startup, traces
from serin_serving.keys import Keys
from serin_serving.server import Server
from serin_serving.settings import Settings


@dataclass(frozen=True)
class Case:
    """A bundle, and what went into it."""

    name: str
    path: Path
    digest: str
    model: Any = field(repr=False)
    rows: Any = field(repr=False)
    labels: Any = field(repr=False)


@dataclass(frozen=True)
class Reply:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> str:
        return str(self.json["error"])

    @property
    def prediction_id(self) -> str:
        return str(self.json["parameters"]["prediction_id"])


@dataclass
class Running:
    """A running server's ports."""

    case: Case
    inference_port: int
    stats_port: int
    grpc_port: int | None = None
    cohorts: int = field(default=0)
    announced: int = field(default=0)
    drain: Callable[[], object] = field(default=lambda: None)
    """Begin the drain, as SIGTERM does."""

    def call(self, method: str, path: str, body: Any = None, *, stats: bool = False, **headers: str) -> Reply:
        """One request on a fresh connection; `headers` have '_' for '-'."""
        port = self.stats_port if stats else self.inference_port
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        try:
            connection.request(method, path, data, {name.replace("_", "-"): value for name, value in headers.items()})
            response = connection.getresponse()
            found = {name.lower(): value for name, value in response.getheaders()}
            return Reply(response.status, found, response.read())
        finally:
            connection.close()

    def infer(self, rows: Any, cohort: str | None = None, **document: Any) -> Reply:
        """Post numeric rows as one tensor."""
        values = [[None if cell != cell else float(cell) for cell in row] for row in rows]
        tensor = {"name": "x", "shape": [len(values), len(values[0])], "datatype": "FP64", "data": values}
        headers = {} if cohort is None else {"x_serin_cohort": cohort}
        return self.call("POST", self.path("infer"), {"inputs": [tensor], **document}, **headers)

    def path(self, last: str = "") -> str:
        return f"/v2/models/{self.case.name}" + (f"/{last}" if last else "")

    def cohort(self) -> str:
        """A name that no other test uses."""
        self.cohorts += 1
        return f"test.{self.cohorts}.x"

    def announce(self, ring: KeyRing, **announcement: Any) -> Reply:
        """Announce to this pod; the sequence is the next one where none is given."""
        self.announced += 1
        document = Announcement(**{"pod_uid": "pod-1", "sequence": self.announced, **announcement})
        body, mac = announcements.encode(document, ring)
        return self.call("POST", "/serin/v1/announcement", body, stats=True, x_serin_announcement_mac=mac)

    def stats(self) -> Any:
        return self.call("GET", "/serin/v1/stats", stats=True).json


def settings(case: Case, keys_file: Path, **changes: Any) -> Settings:
    values: dict[str, Any] = {
        "deployment": case.name,
        "revision": f"{case.name}-1",
        "pod_uid": "pod-1",
        "bundle_dir": case.path,
        "bundle_digest": case.digest,
        "keys_file": keys_file,
        "stable_profile_file": None,
        "drain_seconds": 0.0,
        "inference_port": 0,
        "stats_port": 0,
        "host": "127.0.0.1",
    }
    return Settings(**{**values, **changes})


_ending: list[threading.Thread] = []


def wait_for_ends() -> None:
    """Wait until the servers whose blocks are over have ended, and say nothing more."""
    while _ending:
        _ending.pop().join(timeout=20)


@contextlib.contextmanager
def run(case: Case, keys_file: Path, **changes: Any) -> Iterator[Running]:
    """Serve the bundle for the length of the block.

    The end is begun when the block is over, and not waited for: it takes a third of a second in which nothing is done.
    """
    configured = settings(case, keys_file, **changes)
    loaded = startup.load(configured)
    inference, stats = drain.listen("127.0.0.1", 0), drain.listen("127.0.0.1", 0)
    started: Future[tuple[asyncio.AbstractEventLoop, drain.Drain, int | None]] = Future()

    async def main() -> None:
        server = Server(configured, loaded, Keys(keys_file, time.monotonic()))
        server.traces = traces.from_env(os.environ, configured, server.metrics)
        end = drain.Drain(server)
        grpc = None
        if configured.grpc_port is not None:
            # Loaded by the servers that speak it alone, as in the program.
            from serin_serving.grpc_service import GrpcListener

            grpc = GrpcListener(server, configured.host, configured.grpc_port)
        started.set_result((asyncio.get_running_loop(), end, grpc and grpc.port))
        seconds = configured.drain_seconds, configured.longest_request_seconds
        await drain.serve(server, end, inference, stats, *seconds, grpc)

    thread = threading.Thread(target=lambda: asyncio.run(main()))
    thread.start()
    loop, end, grpc_port = started.result(timeout=10)
    try:
        ports = inference.getsockname()[1], stats.getsockname()[1]
        yield Running(case, *ports, grpc_port=grpc_port, drain=lambda: loop.call_soon_threadsafe(end.ask))
    finally:
        loop.call_soon_threadsafe(end.ask)
        _ending.append(thread)
