"""Whether the event loop has time for work that nobody waits for."""

from __future__ import annotations

import asyncio
import time

TICK_SECONDS = 0.1
LAG_SECONDS_MAX = 0.02
"""A timer that fires later than this finds the loop behind."""
SHARE_MAX = 0.85
"""A loop that computes for more than this share of the time has no capacity to give away."""


class Load:
    """Looks ten times a second at how late the loop is and how much of a core it takes."""

    def __init__(self) -> None:
        self.behind = False
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._looked_at = self._computed = 0.0

    def watch(self) -> None:
        """Begin to look, where that has not begun."""
        if self._timer is None:
            self.behind = False
            self._wait()

    def rest(self) -> None:
        """Look no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _wait(self) -> None:
        self._looked_at, self._computed = time.perf_counter(), time.thread_time()
        self._timer = self._loop.call_later(TICK_SECONDS, self._look)

    def _look(self) -> None:
        passed = time.perf_counter() - self._looked_at
        share = (time.thread_time() - self._computed) / passed
        self.behind = passed > TICK_SECONDS + LAG_SECONDS_MAX or share > SHARE_MAX
        self._wait()
