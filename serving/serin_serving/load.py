"""Whether the event loop has time for work that nobody waits for."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

TICK_SECONDS = 0.1
LAG_SECONDS_MAX = 0.02
"""A timer that fires later than this finds the loop behind."""
SHARE_MAX = 0.85
"""A loop that computes, or waits for a core, for more than this share of the time has none of it to give away."""

_SCHEDULED = Path("/proc/thread-self/schedstat")


class Load:
    """Looks ten times a second at how late the loop is and how much of a core it wants."""

    def __init__(self) -> None:
        self.behind = False
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._looked_at = self._wanted = 0.0

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
        self._looked_at, self._wanted = time.perf_counter(), _wanted()
        self._timer = self._loop.call_later(TICK_SECONDS, self._look)

    def _look(self) -> None:
        passed = time.perf_counter() - self._looked_at
        share = (_wanted() - self._wanted) / passed
        self.behind = passed > TICK_SECONDS + LAG_SECONDS_MAX or share > SHARE_MAX
        self._wait()


def _wanted() -> float:
    """Seconds that this thread has run or waited for a core; where the kernel does not say, that it has run."""
    try:
        running, waiting, _ = _SCHEDULED.read_text().split()
    except (OSError, ValueError):
        return time.thread_time()
    return (int(running) + int(waiting)) / 1e9
