"""The connections that callers hold: which were open when the split changed, and which cohorts came on each.

Where no gateway splits, kube-proxy does, by connection: a kept connection stays with its arm. So the server can
ask each one that was open at some time to be made anew, and counts connections beside requests.
"""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.config import Config
from uvicorn.server import ServerState

from serin_serving.http_connection import HttpConnection
from serin_serving.http_cycles import Direct
from serin_serving.patience import Patience

COHORTS_REMEMBERED = 32
"""By one connection, the latest: as many as a pod keeps counters for."""

_KEY = "serin_connection"


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


def protocol(connections: Connections, direct: Direct | None = None) -> type[HttpConnection]:
    """The protocol of one connection, with that connection in the state of each request; `direct` goes before ASGI."""
    patience = Patience()

    class KnownConnection(HttpConnection):
        def __init__(
            self,
            config: Config,
            server_state: ServerState,
            app_state: dict[str, Any],
            _loop: asyncio.AbstractEventLoop | None = None,
        ) -> None:
            state = {**app_state, _KEY: connections.open()}
            super().__init__(config, server_state, state, patience, _loop, direct=direct)

    return KnownConnection


def state_of(connection: Connection) -> dict[str, Connection]:
    """The state of a request that came on it."""
    return {_KEY: connection}


def connection_of(state: dict[str, Connection]) -> Connection:
    """The connection in a request's state."""
    return state[_KEY]
