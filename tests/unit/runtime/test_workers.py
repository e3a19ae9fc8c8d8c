"""The workers: one deployment's trouble is its own, and a pass is never cut without need."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable

import pytest
from tests.support.virtual_time import VirtualTime, settle

from serin_operator.errors import ApiError, ConflictError, NotLeadingError
from serin_operator.runtime import logs
from serin_operator.runtime.http import Health
from serin_operator.runtime.metrics import Metrics
from serin_operator.runtime.queue import Key, WorkQueue
from serin_operator.runtime.workers import Again, Pool

A, B = Key("default", "a"), Key("default", "b")


class Bench:
    """A pool whose work a test writes."""

    def __init__(self, work: Callable[[Key], Awaitable[Again]], count: int = 2) -> None:
        self.time = VirtualTime()
        self.queue = WorkQueue(self.time, uniform=lambda: 0.5)
        self.metrics = Metrics()
        self.health = Health(self.time.time, 300.0, 60.0)
        self.pool = Pool(count, self.queue, work, self.health, self.metrics)
        self.pool.start()

    def steps(self, outcome: str) -> float | None:
        return self.metrics.registry.get_sample_value("serin_operator_steps_total", {"outcome": outcome})


async def test_a_pass_says_when_the_next_one_is() -> None:
    passes: list[float] = []

    async def work(_: Key) -> Again:
        passes.append(bench.time.time())
        return Again(after_seconds=5.0)

    bench = Bench(work)
    bench.queue.add(A)
    await bench.time.pass_by(11.0)
    assert passes == [1000.0, 1005.0, 1010.0]
    await bench.pool.stop(0.1)


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (ConflictError("newer"), "conflict"),
        (ApiError(503, "Unavailable", "later"), "api_error"),
        (NotLeadingError("lost"), "not_leading"),
        (KeyError("a bug"), "bug"),
    ],
)
async def test_whatever_a_pass_raises_it_is_tried_again_and_others_go_on(error: Exception, outcome: str) -> None:
    done: list[Key] = []

    async def work(key: Key) -> Again:
        if key == A and not bench.steps(outcome):
            raise error
        done.append(key)
        return Again()

    bench = Bench(work, count=1)
    bench.queue.add(A)
    bench.queue.add(B)
    await bench.time.pass_by(0.1)
    assert done == [B]
    await bench.time.pass_by(0.3)
    assert done == [B, A]
    assert bench.steps(outcome) == 1.0
    await bench.pool.stop(0.1)


async def test_a_refusal_pauses_longer_each_time_but_no_longer_than_the_pass_asks() -> None:
    passes: list[float] = []

    async def work(_: Key) -> Again:
        passes.append(bench.time.time() - 1000.0)
        return Again(after_seconds=3.0, failed=True)

    bench = Bench(work)
    bench.queue.add(A)
    await bench.time.pass_by(12.0)
    assert passes == [0.0, 0.25, 0.75, 1.75, 3.75, 6.75, 9.75]
    await bench.pool.stop(0.1)


async def test_a_pass_under_way_may_end_and_no_new_one_begins() -> None:
    go, passes = asyncio.Event(), []

    async def work(key: Key) -> Again:
        passes.append(key)
        await go.wait()
        return Again()

    bench = Bench(work, count=1)
    bench.queue.add(A)
    bench.queue.add(B)
    await settle()
    stopping = asyncio.create_task(bench.pool.stop(5.0))
    await settle()
    assert not stopping.done()
    go.set()
    await stopping
    assert passes == [A]
    assert bench.steps("ok") == 1.0


async def test_a_pass_that_does_not_end_is_cut_off() -> None:
    async def work(_: Key) -> Again:
        await asyncio.Event().wait()
        return Again()

    bench = Bench(work)
    bench.queue.add(A)
    await settle()
    await bench.pool.stop(0.01)
    assert bench.health.working_since == {}


async def test_logs_name_the_deployment_and_the_pass() -> None:
    lines: list[dict[str, str]] = []

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(json.loads(logs.JsonFormatter().format(record)))

    log = logging.getLogger("serin-test-logs")
    log.addHandler(Listener())
    log.propagate = False

    async def work(_: Key) -> Again:
        try:
            raise ValueError("with a traceback")
        except ValueError:
            log.exception("it broke")
        return Again()

    bench = Bench(work)
    bench.queue.add(A)
    await settle()
    log.error("outside")
    await bench.pool.stop(0.1)
    inside, outside = lines
    assert inside["object"] == "default/a"
    assert len(inside["reconcileID"]) == 8
    assert "ValueError: with a traceback" in inside["traceback"]
    assert "object" not in outside
