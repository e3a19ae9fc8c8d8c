"""The connections that callers hold: which were open when the split changed, and which cohorts came on each.

Where no gateway splits, kube-proxy does, by connection: a kept connection stays with its arm. So the server can
ask each one that was open at some time to be made anew, and counts connections beside requests.
"""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

COHORTS_REMEMBERED = 32
"""By one connection, the latest: as many as a pod keeps counters for."""

HEAD_BYTES_MAX = 64 * 1024
"""Of a request's first line and headers, while they come in several pieces; a piece is never larger than 256 KiB."""

_KEY = "serin_connection"
_ERROR = b'{"error":"the headers of this request are too large"}'
_HEAD_TOO_LARGE = b"\r\n".join(
    [
        b"HTTP/1.1 431 Request Header Fields Too Large",
        b"content-type: application/json",
        b"content-length: %d" % len(_ERROR),
        b"connection: close",
        b"",
        _ERROR,
    ]
)


class Connection:
    """One connection from its accepting to its end."""

    __slots__ = ("_cohorts", "number")

    def __init__(self, number: int) -> None:
        self.number = number
        self._cohorts: dict[str, None] = {}

    def meets(self, cohort: str) -> bool:
        """Whether this is the first request of that cohort on this connection."""
        if cohort in self._cohorts:
            return False
        self._cohorts[cohort] = None
        if len(self._cohorts) > COHORTS_REMEMBERED:
            del self._cohorts[next(iter(self._cohorts))]
        return True


class Connections:
    """Numbers connections as they open, so that those open at some moment are told by a comparison."""

    def __init__(self) -> None:
        self._opened = 0
        self._kept_from = 0

    def open(self) -> Connection:
        """The next connection."""
        connection = Connection(self._opened)
        self._opened += 1
        return connection

    def renew(self) -> None:
        """From here on every connection that is open is stale."""
        self._kept_from = self._opened

    def is_stale(self, connection: Connection) -> bool:
        """Whether its next answer should be its last."""
        return connection.number < self._kept_from


def protocol(connections: Connections) -> type[HttpToolsProtocol]:
    """The protocol of one connection, as uvicorn has it, with that connection in the state of each request."""

    class KnownConnection(HttpToolsProtocol):
        def __init__(
            self,
            config: Config,
            server_state: ServerState,
            app_state: dict[str, Any],
            _loop: asyncio.AbstractEventLoop | None = None,
        ) -> None:
            super().__init__(config, server_state, {**app_state, _KEY: connections.open()}, _loop)
            self._head_bytes = 0

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            # The method is known once the whole head was read.
            if self.scope is None or "method" in self.scope:
                self._head_bytes = 0
                return
            self._head_bytes += len(data)
            if self._head_bytes > HEAD_BYTES_MAX and not self.transport.is_closing():
                self.transport.write(_HEAD_TOO_LARGE)
                self.transport.close()

    return KnownConnection


def state_of(connection: Connection) -> dict[str, Connection]:
    """The state of a request that came on it."""
    return {_KEY: connection}


def connection_of(state: dict[str, Connection]) -> Connection:
    """The connection in a request's state."""
    return state[_KEY]
