"""The queue: one pass per key at a time, no wish lost, one timer per key."""

from __future__ import annotations

import asyncio

import pytest
from tests.support.virtual_time import VirtualTime, settle

from serin_operator.runtime.queue import PAUSE_SECONDS_MAX, Key, WorkQueue

A, B = Key("default", "a"), Key("default", "b")


@pytest.fixture
def time() -> VirtualTime:
    return VirtualTime()


@pytest.fixture
def queue(time: VirtualTime) -> WorkQueue:
    return WorkQueue(time, uniform=lambda: 0.5)


async def drained(queue: WorkQueue) -> list[Key]:
    """Take what waits, and be done with each."""
    taken = []
    while queue.depth:
        key = await queue.get()
        taken.append(key)
        queue.done(key)
    return taken


async def test_a_key_added_many_times_is_handed_out_once(queue: WorkQueue) -> None:
    for key in (A, B, A, A):
        queue.add(key)
    assert await drained(queue) == [A, B]


async def test_a_key_added_during_its_pass_is_handed_out_again_and_only_afterwards(queue: WorkQueue) -> None:
    queue.add(A)
    await queue.get()
    queue.add(A)
    queue.add(A)
    assert queue.depth == 0
    queue.done(A)
    assert await drained(queue) == [A]


async def test_two_workers_never_hold_the_same_key(queue: WorkQueue) -> None:
    first, second = asyncio.create_task(queue.get()), asyncio.create_task(queue.get())
    await settle()
    queue.add(A)
    queue.add(A)
    await settle()
    assert sorted([first.done(), second.done()]) == [False, True]
    queue.add(B)
    await settle()
    assert {first.result(), second.result()} == {A, B}


async def test_a_worker_that_is_cut_off_while_it_waits_loses_no_key(queue: WorkQueue) -> None:
    first, second = asyncio.create_task(queue.get()), asyncio.create_task(queue.get())
    await settle()
    queue.add(A)
    first.cancel()
    await settle()
    assert second.result() == A


@pytest.mark.parametrize(
    ("delays", "due_after"),
    [
        pytest.param([5.0], 5.0, id="one wish is kept"),
        pytest.param([5.0, 2.0], 2.0, id="an earlier wish replaces a later one"),
        pytest.param([2.0, 5.0], 2.0, id="a later wish does not put off an earlier one"),
        pytest.param([3.0] * 50, 3.0, id="many wishes are one timer"),
    ],
)
async def test_the_earliest_timer_wins(
    queue: WorkQueue, time: VirtualTime, delays: list[float], due_after: float
) -> None:
    for delay in delays:
        queue.add_after(A, delay)
    assert time.timers == 1
    await time.pass_by(due_after - 0.01)
    assert queue.depth == 0
    await time.pass_by(0.02)
    assert await drained(queue) == [A]
    await time.pass_by(60)
    assert queue.depth == 0


async def test_a_delay_of_nothing_is_now(queue: WorkQueue) -> None:
    queue.add_after(A, 0.0)
    assert queue.depth == 1


async def test_handing_a_key_out_clears_its_timer(queue: WorkQueue, time: VirtualTime) -> None:
    queue.add_after(A, 10.0)
    queue.add(A)
    await drained(queue)
    await time.pass_by(20)
    assert queue.depth == 0


async def test_a_timer_set_during_the_pass_stays(queue: WorkQueue, time: VirtualTime) -> None:
    queue.add(A)
    key = await queue.get()
    queue.add_after(A, 1.0)
    queue.done(key)
    await time.pass_by(1.0)
    assert await drained(queue) == [A]


async def test_pauses_double_up_to_a_bound_and_start_again_after_success(queue: WorkQueue) -> None:
    pauses = [queue.add_failed(A) for _ in range(60)]
    assert pauses[:5] == [0.25, 0.5, 1.0, 2.0, 4.0]
    assert max(pauses) == PAUSE_SECONDS_MAX
    queue.forget(A)
    assert queue.add_failed(A) == 0.25


@pytest.mark.parametrize(("uniform", "pause"), [(0.0, 0.1875), (1.0, 0.3125)])
async def test_pauses_have_jitter(time: VirtualTime, uniform: float, pause: float) -> None:
    assert WorkQueue(time, uniform=lambda: uniform).add_failed(A) == pause


async def test_one_keys_failures_do_not_slow_another(queue: WorkQueue, time: VirtualTime) -> None:
    for _ in range(10):
        queue.add_failed(A)
    queue.add_failed(B)
    await time.pass_by(0.26)
    # A asked for its first pause first, and the earliest of its wishes counts.
    assert set(await drained(queue)) == {A, B}
