"""The workers: they take keys from the queue, let the step work on them and see to the next time.

This is the one place where any exception is caught: a bug in one deployment's pass is logged with its
traceback and tried again with growing pauses, and every other deployment goes on.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import cast

from serin_operator.errors import ApiError, ConflictError, NotLeadingError
from serin_operator.runtime import logs
from serin_operator.runtime.http import Health
from serin_operator.runtime.metrics import Metrics
from serin_operator.runtime.queue import Key, WorkQueue

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Again:
    """When the key wants its next pass."""

    after_seconds: float | None = None
    """None waits for an event or the resync."""
    failed: bool = False
    """The pass ended with a refusal: come back with growing pauses."""


Work = Callable[[Key], Awaitable[Again]]


class Pool:
    """The workers as one thing that can be started and stopped."""

    def __init__(self, count: int, queue: WorkQueue, pass_over: Work, health: Health, metrics: Metrics) -> None:
        """`pass_over` does one pass over the deployment of a key."""
        self._count, self._queue, self._pass_over = count, queue, pass_over
        self._health, self._metrics = health, metrics
        self._tasks: list[asyncio.Task[None]] = []
        self._busy: set[asyncio.Task[None]] = set()
        self._stopping = False

    def start(self) -> None:
        """From now on keys are worked on."""
        for number in range(self._count):
            self._tasks.append(asyncio.create_task(self._work(), name=f"worker {number}"))

    async def stop(self, grace_seconds: float) -> None:
        """Let passes that are under way end for so long, then cut them off: each is safe to be cut anywhere."""
        self._stopping = True
        for task in self._tasks:
            if task not in self._busy:
                task.cancel()
        if self._busy:
            await asyncio.wait(self._busy, timeout=grace_seconds)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()

    async def _work(self) -> None:
        """One worker, until the pool stops."""
        me = cast("asyncio.Task[None]", asyncio.current_task())
        while not self._stopping:
            key = await self._queue.get()
            self._busy.add(me)
            try:
                await self._measured(key)
            finally:
                self._busy.discard(me)
                self._queue.done(key)

    async def _measured(self, key: Key) -> None:
        self._metrics.queue_depth.set(self._queue.depth)
        started = self._health.working_since[str(key)] = self._health.monotonic()
        try:
            with logs.about(str(key), secrets.token_hex(4)):
                outcome = await _pass(self._queue, key, self._pass_over, self._health.step_deadline_seconds)
        finally:
            del self._health.working_since[str(key)]
        self._metrics.steps.labels(outcome).inc()
        self._metrics.step_seconds.observe(self._health.monotonic() - started)


async def _pass(queue: WorkQueue, key: Key, pass_over: Work, deadline_seconds: float) -> str:
    """One pass, and the key's next time; returns how it ended, for the metrics."""
    try:
        async with asyncio.timeout(deadline_seconds):
            again = await pass_over(key)
    except ConflictError as error:
        log.info("decided on what is no longer so, looking again: %s", error)
        outcome = "conflict"
    except NotLeadingError as error:
        log.warning("%s", error)
        outcome = "not_leading"
    except ApiError as error:
        log.warning("the API server: %s", error)
        outcome = "api_error"
    except TimeoutError:
        log.warning("the pass took more than %.0f s", deadline_seconds)
        outcome = "timeout"
    except Exception:
        log.exception("a bug in the pass; it is tried again with growing pauses")
        outcome = "bug"
    else:
        outcome = "failed" if again.failed else "ok"
        if not again.failed:
            queue.forget(key)
        if again.after_seconds is not None:
            queue.add_after(key, again.after_seconds)
    if outcome != "ok":
        queue.add_failed(key)
    return outcome
