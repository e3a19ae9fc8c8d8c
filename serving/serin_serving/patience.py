"""How long callers may take. All connections are looked at together: a timer for each request would be the dearer."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Protocol

LOOK_SECONDS = 0.5
HEAD_SECONDS_MAX = 10.0
"""From the connecting, or the first byte of a further request, to the end of the request's head."""
UNREAD_SECONDS_MAX = 30.0
"""For which a caller may leave an answer unread that no longer fits the buffers."""


@dataclass(slots=True)
class Deadlines:
    """Since when a connection is in a state that must end; loop times in seconds, None where it is not."""

    head_since: float | None = None
    """A head is awaited."""
    idle_since: float | None = None
    """Nothing is, after an answer."""
    unread_since: float | None = None
    """An answer waits for the caller to read."""


class Slow(Protocol):
    """A connection that can be told that its caller was too slow."""

    deadlines: Deadlines
    transport: asyncio.Transport
    timeout_keep_alive: int

    def refuse_slow_head(self) -> None:
        """The head did not come."""


class Patience:
    """Ends the connections whose callers were too slow."""

    def __init__(
        self,
        head_seconds: float = HEAD_SECONDS_MAX,
        unread_seconds: float = UNREAD_SECONDS_MAX,
        look_seconds: float = LOOK_SECONDS,
    ) -> None:
        """Take how long a head and an unread answer may take, and how often to look."""
        self._head_seconds = head_seconds
        self._unread_seconds = unread_seconds
        self._look_seconds = look_seconds
        self._watched: set[Slow] = set()
        self._timer: asyncio.TimerHandle | None = None

    def watch(self, connection: Slow) -> None:
        """Look at this connection from now on."""
        self._watched.add(connection)
        if self._timer is None:
            self._wait()

    def forget(self, connection: Slow) -> None:
        """Look at it no more."""
        self._watched.discard(connection)

    def _wait(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(self._look_seconds, self._look)

    def _look(self) -> None:
        now = asyncio.get_running_loop().time()
        for connection in list(self._watched):
            self._end_if_slow(connection, now)
        self._timer = None
        if self._watched:
            self._wait()

    def _end_if_slow(self, connection: Slow, now: float) -> None:
        deadlines = connection.deadlines
        if _passed(deadlines.unread_since, self._unread_seconds, now):
            # What waits to be written would keep it open for ever.
            connection.transport.abort()
        elif _passed(deadlines.head_since, self._head_seconds, now):
            connection.refuse_slow_head()
        elif _passed(deadlines.idle_since, connection.timeout_keep_alive, now):
            connection.transport.close()


def _passed(since: float | None, seconds: float, now: float) -> bool:
    return since is not None and now - since > seconds
