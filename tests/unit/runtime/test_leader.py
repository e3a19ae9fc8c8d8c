"""The Lease: who may write, and for how long."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from tests.support.virtual_time import VirtualTime, settle

from serin_operator.errors import ApiError, ConflictError
from serin_operator.runtime import leader
from serin_operator.runtime.leader import LEASE_SECONDS, Elector, Record, Seen

OTHERS = Record(holder="other", renewed="t1", transitions=0, seconds=15.0)


@pytest.mark.parametrize(
    ("seen", "record", "now", "move"),
    [
        pytest.param(None, None, 100.0, "take", id="no Lease yet: create it"),
        pytest.param(None, OTHERS, 100.0, "stand by", id="a holder seen for the first time is given its whole time"),
        pytest.param(Seen(OTHERS, 100.0), OTHERS, 114.9, "stand by", id="the holder's time is not over"),
        pytest.param(Seen(OTHERS, 100.0), OTHERS, 115.0, "take", id="no renewal for the whole time: take it"),
        pytest.param(
            Seen(OTHERS, 100.0), replace(OTHERS, renewed="t2"), 130.0, "stand by", id="a renewal starts the time anew"
        ),
        pytest.param(
            Seen(OTHERS, 100.0),
            replace(OTHERS, holder=""),
            101.0,
            "take",
            id="a Lease that was released is free at once",
        ),
        pytest.param(None, replace(OTHERS, holder="me"), 100.0, "renew", id="our own Lease, after a restart, is ours"),
    ],
)
def test_what_to_do_about_the_lease(seen: Seen | None, record: Record | None, now: float, move: str) -> None:
    assert leader.step(seen, record, "me", now)[1] == move


def test_taking_over_counts_a_transition_and_renewing_does_not() -> None:
    lease = leader.written(None, "ns", "lease", "a", 1.5, "take")
    assert lease["spec"]["leaseTransitions"] == 0
    assert lease["spec"]["renewTime"] == "1970-01-01T00:00:01.500000Z"
    lease["metadata"]["resourceVersion"] = "7"
    renewed = leader.written(lease, "ns", "lease", "a", 2.5, "renew")
    taken = leader.written(lease, "ns", "lease", "b", 2.5, "take")
    assert (renewed["spec"]["leaseTransitions"], taken["spec"]["leaseTransitions"]) == (0, 1)
    assert renewed["spec"]["acquireTime"] == lease["spec"]["acquireTime"] != renewed["spec"]["renewTime"]
    assert taken["metadata"]["resourceVersion"] == "7"


class Store:
    """One Lease, with versions, and an outage by process."""

    def __init__(self, time: VirtualTime) -> None:
        self.lease: dict[str, Any] | None = None
        self.time = time
        self.down: set[str] = set()
        self.slow_seconds = 0.0

    def of(self, who: str) -> View:
        return View(self, who)


class View:
    """The store as one process sees it."""

    def __init__(self, store: Store, who: str) -> None:
        self.store, self.who = store, who

    async def get_lease(self, namespace: str, name: str, within_seconds: float) -> dict[str, Any] | None:  # noqa: ARG002
        await self._reach(within_seconds)
        return copy.deepcopy(self.store.lease)

    async def put_lease(self, lease: Mapping[str, Any], within_seconds: float) -> dict[str, Any]:
        await self._reach(within_seconds)
        current = self.store.lease
        wanted = lease["metadata"].get("resourceVersion")
        if (current["metadata"]["resourceVersion"] if current else None) != wanted:
            raise ConflictError("another version")
        new = copy.deepcopy(dict(lease))
        new["metadata"]["resourceVersion"] = str(int(wanted or 0) + 1)
        self.store.lease = new
        return copy.deepcopy(new)

    async def _reach(self, within_seconds: float) -> None:
        if self.who in self.store.down:
            await self.store.time.sleep(within_seconds)
            raise ApiError(0, "Unreachable", "no answer")
        await self.store.time.sleep(self.store.slow_seconds)


@pytest.fixture
def time() -> VirtualTime:
    return VirtualTime()


@pytest.fixture
def store(time: VirtualTime) -> Store:
    return Store(time)


class Process:
    """One process that wants the Lease."""

    def __init__(self, store: Store, me: str) -> None:
        self.elector = Elector(store.of(me), "ns", "lease", me, store.time.time, store.time.time, store.time.sleep)
        self.task = asyncio.create_task(self.elector.run())

    @property
    def may_write(self) -> bool:
        return self.elector.valid_seconds() > 0

    async def kill(self) -> None:
        self.task.cancel()
        await settle()


async def test_one_of_two_leads_and_keeps_leading(time: VirtualTime, store: Store) -> None:
    processes = [Process(store, "a"), Process(store, "b")]
    for _ in range(60):
        await time.pass_by(1.0)
        assert [process.may_write for process in processes] == [True, False]
    for process in processes:
        await process.kill()


async def test_after_a_kill_the_other_acts_within_twenty_seconds(time: VirtualTime, store: Store) -> None:
    first, second = Process(store, "a"), Process(store, "b")
    await time.pass_by(30.0)
    await first.kill()
    waited = 0.0
    while not second.may_write:
        await time.pass_by(0.1)
        waited += 0.1
        # The dead one's clock goes on too: it could not have written for as long as it might be alive.
        assert not (first.may_write and second.may_write)
    assert LEASE_SECONDS - 2.5 <= waited <= 17.5
    await second.kill()


async def test_a_released_lease_passes_on_with_the_next_look(time: VirtualTime, store: Store) -> None:
    first, second = Process(store, "a"), Process(store, "b")
    await time.pass_by(30.0)
    await first.kill()
    release = asyncio.create_task(first.elector.release())
    await time.pass_by(0.1)
    assert release.done()
    assert not first.may_write
    await time.pass_by(2.1)
    assert second.may_write
    await second.kill()


async def test_a_container_that_is_restarted_takes_its_own_lease_up_at_once(time: VirtualTime, store: Store) -> None:
    first = Process(store, "a")
    await time.pass_by(30.0)
    await first.kill()
    again = Process(store, "a")
    await time.pass_by(0.1)
    assert again.may_write
    await again.kill()


async def test_a_leader_that_is_cut_off_stops_writing_before_another_starts(time: VirtualTime, store: Store) -> None:
    first, second = Process(store, "a"), Process(store, "b")
    await time.pass_by(30.0)
    store.down.add("a")
    for _ in range(300):
        await time.pass_by(0.1)
        assert not (first.may_write and second.may_write)
    assert second.may_write
    assert first.task.done(), "the process is told to end"
    store.down.clear()
    await time.pass_by(30.0)
    assert not first.may_write, "a lost Lease is never taken up again"
    await second.kill()


async def test_a_short_outage_is_survived(time: VirtualTime, store: Store) -> None:
    first = Process(store, "a")
    await time.pass_by(30.0)
    store.down.add("a")
    await time.pass_by(6.0)
    store.down.clear()
    await time.pass_by(6.0)
    assert first.may_write
    assert not first.task.done()
    await first.kill()


async def test_a_write_has_no_more_time_than_the_lease_leaves(time: VirtualTime, store: Store) -> None:
    store.slow_seconds = 0.5
    first = Process(store, "a")
    await time.pass_by(1.0)
    # The Lease runs from before the call that renewed it, and that was a second ago.
    assert first.elector.valid_seconds() == LEASE_SECONDS - 1.0
    await first.kill()


async def test_a_leader_that_finds_another_in_the_lease_stops_at_once(time: VirtualTime, store: Store) -> None:
    first = Process(store, "a")
    await time.pass_by(5.0)
    assert store.lease is not None
    store.lease["spec"]["holderIdentity"] = "usurper"
    store.lease["metadata"]["resourceVersion"] = "99"
    await time.pass_by(4.1)
    assert not first.may_write
    assert first.task.done()


async def test_of_two_that_take_a_free_lease_one_wins(time: VirtualTime, store: Store) -> None:
    store.slow_seconds = 0.2
    processes = [Process(store, name) for name in "abcd"]
    await time.pass_by(1.0)
    assert sum(process.may_write for process in processes) == 1
    for process in processes:
        await process.kill()


async def test_a_release_without_an_answer_does_no_harm(time: VirtualTime, store: Store) -> None:
    first = Process(store, "a")
    await time.pass_by(5.0)
    await first.kill()
    store.down.add("a")
    release = asyncio.create_task(first.elector.release())
    await time.pass_by(5.0)
    assert release.done()
    assert release.exception() is None
