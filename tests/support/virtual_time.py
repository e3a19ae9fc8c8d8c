"""Time that passes only when a test says so: no test sleeps."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import Callable


class Handle:
    """A call that is due."""

    def __init__(self) -> None:
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True


class VirtualTime:
    """A monotonic clock with timers and sleepers."""

    def __init__(self, start: float = 1000.0) -> None:
        self._now = start
        self._order = itertools.count()
        self._due: list[tuple[float, int, Handle, Callable[[], None]]] = []

    def time(self) -> float:
        return self._now

    def call_later(self, delay: float, callback: Callable[[], None]) -> Handle:
        handle = Handle()
        heapq.heappush(self._due, (self._now + delay, next(self._order), handle, callback))
        return handle

    async def sleep(self, seconds: float) -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.call_later(seconds, lambda: future.done() or future.set_result(None))
        await future

    @property
    def timers(self) -> int:
        """Calls that are due some time."""
        return sum(not handle.cancelled for _, _, handle, _ in self._due)

    async def pass_by(self, seconds: float) -> None:
        """Let so much time pass; what is due on the way happens in order, and its tasks run."""
        until = self._now + seconds
        await settle()
        while self._due and self._due[0][0] <= until:
            due, _, handle, callback = heapq.heappop(self._due)
            self._now = max(self._now, due)
            if not handle.cancelled:
                callback()
                await settle()
        self._now = until
        await settle()


async def settle() -> None:
    """Let every task run until it waits for time or for the world."""
    for _ in range(20):
        await asyncio.sleep(0)
