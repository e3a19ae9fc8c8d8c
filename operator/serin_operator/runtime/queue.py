"""The keyed work queue, with the semantics of client-go's.

A key waits at most once, however often it is added; it is never handed to two workers at a time, and one that
is added while it is being worked on is handed out again afterwards. A key has at most one timer, and the
earliest wins: handing the key out clears it, because the pass that follows sees all that the timer stood for.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Callable
from typing import NamedTuple, Protocol

FIRST_PAUSE_SECONDS = 0.25
PAUSE_SECONDS_MAX = 60.0


class Key(NamedTuple):
    """Names one ModelDeployment."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


class Timer(Protocol):
    """What `call_later` gives."""

    def cancel(self) -> None:
        """The call is not made."""


class Clock(Protocol):
    """The part of an event loop that the queue needs; tests bring their own time."""

    def time(self) -> float:
        """Monotonic seconds."""

    def call_later(self, delay: float, callback: Callable[[], None]) -> Timer:
        """Call back after so many seconds."""


class WorkQueue:
    """Keys that want a pass. Not for use from several threads."""

    def __init__(self, clock: Clock, uniform: Callable[[], float] = random.random) -> None:
        """`uniform` gives the jitter, from 0 to 1."""
        self._clock = clock
        self._uniform = uniform
        self._ready: deque[Key] = deque()
        self._dirty: set[Key] = set()
        self._processing: set[Key] = set()
        self._timers: dict[Key, tuple[float, Timer]] = {}
        self._failures: dict[Key, int] = {}
        self._waiters: deque[asyncio.Future[None]] = deque()

    def add(self, key: Key) -> None:
        """The key wants a pass now."""
        if key in self._dirty:
            return
        self._dirty.add(key)
        if key not in self._processing:
            self._ready.append(key)
            self._wake()

    def add_after(self, key: Key, delay_seconds: float) -> None:
        """The key wants a pass after that time, unless something asks for one earlier."""
        if delay_seconds <= 0:
            self.add(key)
            return
        due = self._clock.time() + delay_seconds
        if key in self._timers:
            earlier, timer = self._timers[key]
            if earlier <= due:
                return
            timer.cancel()
        self._timers[key] = (due, self._clock.call_later(delay_seconds, lambda: self._fire(key)))

    def add_failed(self, key: Key) -> float:
        """The key's pass failed: try again after a pause that doubles each time. Returns the pause."""
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        # Past some forty doublings the product would overflow; the cap is reached long before.
        pause = min(PAUSE_SECONDS_MAX, FIRST_PAUSE_SECONDS * 2.0 ** min(failures, 40))
        jittered = pause * (0.75 + 0.5 * self._uniform())
        self.add_after(key, jittered)
        return jittered

    def forget(self, key: Key) -> None:
        """The key's pass went well: its next failure starts from the first pause."""
        self._failures.pop(key, None)

    async def get(self) -> Key:
        """The next key; the caller works on it alone until it calls `done`."""
        while not self._ready:
            waiter = asyncio.get_running_loop().create_future()
            self._waiters.append(waiter)
            try:
                await waiter
            except asyncio.CancelledError:
                # A wake-up that this waiter can no longer use belongs to the next one.
                if waiter.done() and not waiter.cancelled() and self._ready:
                    self._wake()
                raise
        key = self._ready.popleft()
        self._dirty.discard(key)
        self._processing.add(key)
        if key in self._timers:
            self._timers.pop(key)[1].cancel()
        return key

    def done(self, key: Key) -> None:
        """The worker is through with the key."""
        self._processing.discard(key)
        if key in self._dirty:
            self._ready.append(key)
            self._wake()

    @property
    def depth(self) -> int:
        """Keys that wait for a worker."""
        return len(self._ready)

    def due(self, key: Key) -> float | None:
        """When the key's timer fires, on the queue's clock, or None where it has none."""
        return self._timers[key][0] if key in self._timers else None

    def _fire(self, key: Key) -> None:
        self._timers.pop(key, None)
        self.add(key)

    def _wake(self) -> None:
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return
