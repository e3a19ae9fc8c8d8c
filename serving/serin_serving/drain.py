"""Two listeners in one loop, and an end that loses no request.

Endpoint removal and SIGTERM reach a pod at once and neither waits for the other. So the server turns unready,
tells every caller to close its connection, goes on accepting for a while, and only then stops.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import socket
from collections.abc import Iterator
from typing import TYPE_CHECKING

import uvicorn

from serin_serving.app import App, inference_app, inference_paths, stats_app
from serin_serving.connections import protocol
from serin_serving.direct import DirectInference
from serin_serving.http_connection import bounded
from serin_serving.server import Server

if TYPE_CHECKING:
    from serin_serving.grpc_service import GrpcListener

STATS_SECONDS_MAX = 2
"""How long the last answers on the stats port may take: only the operator asks there."""

STATS_CONNECTIONS_MAX = 256
"""Of the operator, of scrapers, of probes, and of the pods that mirror."""

KEEP_ALIVE_SECONDS = 75
"""Longer than proxies keep idle connections, so that they close them and not this server."""

_log = logging.getLogger(__name__)


class Listener(uvicorn.Server):
    """A uvicorn server that leaves signals to the drain."""

    def __init__(self, app: App, in_flight_seconds: float, http: type[asyncio.Protocol]) -> None:
        """`in_flight_seconds` is how long requests that are being answered may take once nothing is accepted."""
        super().__init__(
            uvicorn.Config(
                app,
                http=http,
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                timeout_keep_alive=KEEP_ALIVE_SECONDS,
                timeout_graceful_shutdown=math.ceil(in_flight_seconds),
            )
        )

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Handle no signal."""
        yield


class Drain:
    """Whether the end was asked for, and whether it may not wait."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._begun = asyncio.Event()
        self._hurried = asyncio.Event()

    def ask(self) -> None:
        """Begin the drain; asked a second time, skip its wait."""
        if self._begun.is_set():
            self._hurried.set()
            return
        _log.info("draining: unready from now on, still answering")
        self._server.start_draining()
        self._begun.set()

    async def passed(self, seconds: float) -> None:
        """Return that many seconds after the drain began, or as soon as it was asked for again."""
        await self._begun.wait()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._hurried.wait(), seconds)


async def serve(
    server: Server,
    drain: Drain,
    inference: socket.socket,
    stats: socket.socket,
    drain_seconds: float,
    longest_request_seconds: float,
    grpc: GrpcListener | None = None,
) -> None:
    """Answer on both sockets, and by gRPC where that listens, until the drain is over and the last answers are out."""
    callers = inference_app(server)
    direct = DirectInference(server, callers, inference_paths(server))
    front = Listener(callers, longest_request_seconds, protocol(server.connections, direct))
    back = Listener(stats_app(server), STATS_SECONDS_MAX, bounded(STATS_CONNECTIONS_MAX))
    back_task = asyncio.create_task(back.serve(sockets=[stats]))
    front_task = asyncio.create_task(front.serve(sockets=[inference]))
    waiting = asyncio.create_task(drain.passed(drain_seconds))
    ports = {"inference_port": _port(inference), "stats_port": _port(stats)}
    if grpc is not None:
        await grpc.start()
        ports["grpc_port"] = grpc.port
    _log.info("ready", extra={"fields": ports})
    # A listener that ends by itself is a fault; its exception must not wait for a signal.
    await asyncio.wait({waiting, front_task, back_task}, return_when=asyncio.FIRST_COMPLETED)
    front.should_exit = True
    if grpc is not None:
        await grpc.stop(longest_request_seconds)
    await front_task
    # Stats are answered to the very end, so that the last requests are counted by whoever polls.
    back.should_exit = True
    await back_task
    waiting.cancel()
    server.close()
    _log.info("drained")


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; an empty host takes every address, IPv6 as well as IPv4 where there is both.

    Raises:
        OSError: the port is taken or may not be used.
    """
    if host or not socket.has_dualstack_ipv6():
        return socket.create_server((host, port), backlog=2048)
    return socket.create_server(("", port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=2048)


def _port(listening: socket.socket) -> int:
    port: int = listening.getsockname()[1]
    return port
