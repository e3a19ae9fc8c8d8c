"""Stable's side against a candidate's pod that does as the test says, on loopback."""

from __future__ import annotations

import asyncio
import random
import time
import tracemalloc
from collections.abc import AsyncIterator, Callable
from typing import Any

import numpy as np
import pytest
import uvloop
from tests.unit.serving.test_counts import counts

from serin_contract import mirrored
from serin_contract.announcements import ShadowOrder
from serin_contract.keys import KeyRing
from serin_contract.mirrored import Mirrored
from serin_serving.counts import Counts
from serin_serving.errors import RequestError
from serin_serving.exchange import Exchange
from serin_serving.load import Load
from serin_serving.metrics import Metrics
from serin_serving.mirror import HELD_BYTES_MAX, QUEUE_ENTRIES_MAX, Body, Mirror
from serin_serving.model import Answers

COHORT = "wine-2.1.s"
MATRIX = np.ones((1, 1))
ANSWERS = Answers([1], np.ones(1), np.ones(1, dtype=np.int64))
DEADLINE_SECONDS = 20.0


class Pod:
    """A candidate's pod: answers every message with one status, or never where that is None."""

    def __init__(self, ring: KeyRing, status: int | None = 204, last: bool = False) -> None:
        self.taken: list[Mirrored] = []
        self.connections = 0
        self.status = status
        self._ring = ring
        self._last = last
        self._writers: list[asyncio.StreamWriter] = []

    async def __aenter__(self) -> Pod:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.target = f"127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        self.hang_up()
        await self._server.wait_closed()

    def hang_up(self) -> None:
        for writer in self._writers:
            writer.close()
        self._writers.clear()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._writers.append(writer)
        try:
            while self.status is not None:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                headers = dict(line.split(": ") for line in head.splitlines()[1:-1])
                data = await reader.readexactly(int(headers["content-length"]))
                self.taken.append(mirrored.decode(data, headers["x-serin-mirrored-mac"], self._ring))
                closing = "connection: close\r\n" if self._last else ""
                length = "" if self.status == 204 else "content-length: 0\r\n"
                writer.write(f"HTTP/1.1 {self.status} Such\r\n{length}{closing}\r\n".encode())
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()


class SetLoad(Load):
    """A loop that is behind if the test says so: a busy machine must not fail these tests."""

    def watch(self) -> None:
        """Look at nothing."""


class Stable:
    """Stable's side with its counters."""

    def __init__(self, ring: KeyRing, clock: Callable[[], float] = time.time) -> None:
        self.counts: Counts = counts(kept=8)
        self.mirror = Mirror(self.counts, Metrics("wine", "wine-1"), lambda: ring, SetLoad(), clock)

    def follow(self, *targets: str, cohort: str = COHORT, percent: int = 100, **changes: Any) -> ShadowOrder:
        order = ShadowOrder(cohort, percent, list(targets), **{"until": time.time() + 60, **changes})
        self.mirror.follow(order)
        return order

    async def answer(self, number: int = 1, body: Body = b"body") -> None:
        """Answer that many callers at once."""
        for _ in range(number):
            self.mirror.answered(body, MATRIX, ANSWERS, 0.001)
        await asyncio.sleep(0)

    def counted(self, cohort: str = COHORT) -> Any:
        return self.counts.snapshot("r", "pod", "start").cohorts.get(cohort)

    def sent(self, cohort: str = COHORT) -> tuple[int, int]:
        """Requests that were sent, and those that were dropped."""
        counted = self.counted(cohort)
        return (0, 0) if counted is None or counted.shadow is None else (counted.shadow.sent, counted.shadow.dropped)

    async def settled(self, number: int, cohort: str = COHORT) -> tuple[int, int]:
        """As `sent`, once so many requests have been sent or dropped."""
        await until(lambda: sum(self.sent(cohort)) >= number)
        return self.sent(cohort)


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(DEADLINE_SECONDS):
        # What is waited for happens on another connection of this loop and tells nobody.
        while not holds():  # noqa: ASYNC110
            await asyncio.sleep(0.001)


@pytest.fixture
async def stable(ring: KeyRing) -> AsyncIterator[Stable]:
    made = Stable(ring)
    yield made
    made.mirror.follow(None)
    await asyncio.sleep(0)


@pytest.fixture
async def pod(ring: KeyRing) -> AsyncIterator[Pod]:
    async with Pod(ring) as running:
        yield running


@pytest.fixture
async def blackhole(ring: KeyRing) -> AsyncIterator[Pod]:
    """Takes connections and never reads."""
    async with Pod(ring, status=None) as running:
        yield running


async def test_each_request_is_sent_with_its_answer_and_counts_as_any_of_its_cohort(stable: Stable, pod: Pod) -> None:
    order = stable.follow(pod.target, tolerance=0.25)
    began = time.time()
    await stable.answer(3)
    assert await stable.settled(3) == (3, 0)
    first = pod.taken[0]
    assert (first.cohort, first.body, first.predictions, first.tolerance) == (COHORT, b"body", [1], order.tolerance)
    assert began <= first.sent_at <= time.time()
    assert len({message.nonce for message in pod.taken}) == 3
    counted = stable.counted()
    assert (counted.requests, counted.predictions, counted.rows, counted.failed) == (3, 3.0, 3, 0)
    assert sum(counted.own_bins.prediction) == pytest.approx(3)


async def test_the_sample_is_as_large_as_ordered(stable: Stable, pod: Pod) -> None:
    random.seed(7)
    stable.follow(pod.target, percent=20)
    await stable.answer(5000)
    # Five standard deviations of a binomial of 5000 and 0.2 are 141.
    assert abs(stable.counted().requests - 1000) < 141


async def test_without_an_order_nothing_is_sent_or_counted(stable: Stable, pod: Pod) -> None:
    await stable.answer(3)
    assert stable.counted() is None
    assert pod.connections == 0


OUTCOMES = {
    "a model that broke": (ZeroDivisionError(), 1),
    "an answer that is no finite number": (RequestError(500, "no"), 1),
    "a refusal": (RequestError(400, "no"), 0),
    "no room in the queue": (RequestError(503, "no"), 0),
}


@pytest.mark.parametrize("name", OUTCOMES)
async def test_only_a_failure_of_the_model_is_mirrored_without_an_answer(stable: Stable, pod: Pod, name: str) -> None:
    error, mirrored_requests = OUTCOMES[name]
    stable.follow(pod.target)
    stable.mirror.failed(b"body", error, 0.001)
    await stable.answer()
    assert await stable.settled(mirrored_requests + 1) == (mirrored_requests + 1, 0)
    assert stable.counted().failed == mirrored_requests
    assert sorted(message.predictions for message in pod.taken) == [[]] * mirrored_requests + [[1]]


async def test_connections_are_kept(stable: Stable, pod: Pod) -> None:
    stable.follow(pod.target)
    for number in range(1, 31):
        await stable.answer()
        await stable.settled(number)
        stable.follow(pod.target)
    assert pod.connections <= 4
    assert stable.sent() == (30, 0)


async def test_a_connection_that_the_pod_ends_is_made_anew(stable: Stable, ring: KeyRing) -> None:
    async with Pod(ring, last=True) as pod:
        stable.follow(pod.target)
        await stable.answer(8)
        assert await stable.settled(8) == (8, 0)
        assert pod.connections == 8


async def test_a_connection_that_was_lost_while_idle_costs_nothing(pod: Pod, ring: KeyRing) -> None:
    exchange = Exchange(pod.target)
    data, mac = mirrored.encode(Mirrored(COHORT, b"", [], 0.0, b""), ring)
    headers = {"x-serin-mirrored-mac": mac}
    assert await exchange.post("/", headers, data, 10.0) == 204
    answers = exchange._answers
    assert answers is not None
    pod.hang_up()
    await until(lambda: answers.lost)
    assert await exchange.post("/", headers, data, 10.0) == 204
    exchange.close()


STATUSES = {
    "no room": 503,
    "counted already": 409,
    "a signature that does not hold": 401,
    "a candidate without it": 404,
}


@pytest.mark.parametrize("name", STATUSES)
async def test_what_the_candidate_does_not_take_is_dropped(stable: Stable, ring: KeyRing, name: str) -> None:
    async with Pod(ring, status=STATUSES[name]) as pod:
        stable.follow(pod.target)
        await stable.answer(4)
        assert await stable.settled(4) == (0, 4)
        assert stable.counted().requests == 4


async def test_a_pod_that_is_gone_takes_few_requests_from_the_others(stable: Stable, ring: KeyRing, pod: Pod) -> None:
    async with Pod(ring) as gone:
        pass
    stable.follow(gone.target, pod.target)
    for number in range(1, 101):
        await stable.answer()
        await stable.settled(number)
    sent, dropped = stable.sent()
    assert (sent + dropped, dropped <= 12) == (100, True)


async def test_many_pods_share_the_connections(stable: Stable) -> None:
    stable.follow(*(f"127.0.0.1:{port}" for port in range(1, 41)))
    assert len(stable.mirror._senders) == 16


async def test_a_blackhole_holds_bounded_memory(stable: Stable, blackhole: Pod) -> None:
    stable.follow(blackhole.target)
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    for number in range(1000):
        await stable.answer(1, number.to_bytes(2, "big") * 50_000)
        assert stable.mirror._held_bytes <= HELD_BYTES_MAX
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    # Of 100 MB are held what waits and what is being sent, and of the latter a signed copy.
    assert after - before < 1.5 * HELD_BYTES_MAX
    assert stable.counted().requests == 1000
    assert stable.sent()[0] == 0
    newest = stable.mirror._queue._queue[-1]  # type: ignore[attr-defined]
    assert newest.body == (999).to_bytes(2, "big") * 50_000


async def test_a_blackhole_holds_a_bounded_number_and_drops_the_oldest(stable: Stable, blackhole: Pod) -> None:
    stable.follow(blackhole.target)
    for number in range(1000):
        await stable.answer(1, str(number).encode())
    waiting = list(stable.mirror._queue._queue)  # type: ignore[attr-defined]
    assert [int(drawn.body) for drawn in waiting] == list(range(1000 - QUEUE_ENTRIES_MAX, 1000))
    in_flight = 4
    assert stable.sent() == (0, 1000 - QUEUE_ENTRIES_MAX - in_flight)


async def test_what_waited_too_long_is_dropped(ring: KeyRing, pod: Pod) -> None:
    now = time.time()
    late = Stable(ring, lambda: now)
    late.follow(pod.target)
    await asyncio.sleep(0)
    late.mirror._take(b"body", MATRIX, ANSWERS, 0.001)
    now += 2.1
    assert await late.settled(1) == (0, 1)
    assert pod.taken == []
    late.mirror.follow(None)


async def test_a_body_that_is_too_large_is_dropped_and_in_no_sample(stable: Stable, pod: Pod) -> None:
    stable.follow(pod.target)
    await stable.answer(1, b"x" * (1024 * 1024 + 1))
    assert stable.sent() == (0, 1)
    assert stable.counted().requests == 0
    await stable.answer(1, b"x" * 1024 * 1024)
    assert await stable.settled(2) == (1, 1)


async def test_a_server_that_is_behind_sends_nothing(stable: Stable, pod: Pod) -> None:
    stable.follow(pod.target)
    stable.mirror._load.behind = True
    await stable.answer(3)
    assert stable.sent() == (0, 3)
    assert pod.taken == []


ENDS = {
    "None": lambda stable, _pod: stable.mirror.follow(None),
    "an order that is over": lambda stable, pod: stable.follow(pod.target, until=time.time()),
    "an order of another cohort": lambda stable, pod: stable.follow(pod.target, cohort="wine-3.1.s", percent=0),
}


@pytest.mark.parametrize("name", ENDS)
async def test_it_ends_the_shadow_traffic_at_once(stable: Stable, pod: Pod, name: str) -> None:
    stable.follow(pod.target)
    for _ in range(20):
        stable.mirror._take(b"body", MATRIX, ANSWERS, 0.001)
    ENDS[name](stable, pod)
    await stable.answer(5)
    assert await stable.settled(20) == (0, 20)
    assert stable.counted().requests == 20
    assert pod.taken == []


async def test_an_order_ends_by_itself(stable: Stable, pod: Pod) -> None:
    stable.follow(pod.target, until=time.time() + 0.05)
    await stable.answer(4)
    await stable.settled(4)
    senders = stable.mirror._senders
    await until(lambda: stable.mirror._order is None)
    await until(lambda: all(sender.done() for sender in senders))
    await stable.answer(4)
    assert stable.counted().requests == 4


async def test_a_renewed_order_keeps_what_waits(stable: Stable, pod: Pod) -> None:
    stable.follow(pod.target)
    for _ in range(20):
        stable.mirror._take(b"body", MATRIX, ANSWERS, 0.001)
    stable.follow(pod.target, until=time.time() + 90)
    assert await stable.settled(20) == (20, 0)


async def test_a_request_that_cannot_be_signed_is_dropped_and_the_next_is_sent(ring: KeyRing, pod: Pod) -> None:
    rings = iter([KeyRing("gone", {}), ring, ring])
    counted: Counts = counts()
    stable = Stable(ring)
    stable.counts, stable.mirror = counted, Mirror(counted, Metrics("wine", "wine-1"), lambda: next(rings), SetLoad())
    stable.follow(pod.target)
    await stable.answer(3)
    assert await stable.settled(3) == (2, 1)
    stable.mirror.follow(None)


async def test_a_loop_that_computes_all_the_time_is_behind_and_recovers() -> None:
    load = Load()
    load.watch()
    busy_until = time.perf_counter() + 0.15
    while time.perf_counter() < busy_until:
        pass
    await until(lambda: load.behind)
    await until(lambda: not load.behind)
    load.rest()


LOOPS = {"the loop that serves": uvloop.new_event_loop, "Python's own": asyncio.new_event_loop}


@pytest.mark.parametrize("name", LOOPS)
def test_it_sends_on(ring: KeyRing, name: str) -> None:
    async def send() -> tuple[int, int]:
        async with Pod(ring) as pod:
            stable = Stable(ring)
            stable.follow(pod.target)
            await stable.answer(20)
            sent = await stable.settled(20)
            stable.mirror.follow(None)
            await asyncio.sleep(0)
            return sent

    with asyncio.Runner(loop_factory=LOOPS[name]) as runner:
        assert runner.run(send()) == (20, 0)


ADDRESSES = {
    "an IPv4 address": ("10.0.0.7:8081", ("10.0.0.7", 8081)),
    "an IPv6 address": ("[fd00::7]:8081", ("fd00::7", 8081)),
}


@pytest.mark.parametrize("name", ADDRESSES)
def test_a_target_may_be(name: str) -> None:
    target, expected = ADDRESSES[name]
    exchange = Exchange(target)
    assert (exchange._host, exchange._port) == expected


@pytest.mark.parametrize("target", ["", "10.0.0.7", ":8081", "10.0.0.7:", "a\r\nb:1"])
def test_no_target_is(target: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011
        Exchange(target)


ANSWERS_OF_STRANGERS = {
    "no HTTP": b"220 mail ready\r\n",
    "an endless header": b"HTTP/1.1 200 OK\r\n" + b"x: " + b"y" * 100_000,
    "no answer at all": b"",
}


@pytest.mark.parametrize("name", ANSWERS_OF_STRANGERS)
async def test_a_stranger_at_the_address_is_an_error_of_the_connection(name: str) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(ANSWERS_OF_STRANGERS[name])
        if not ANSWERS_OF_STRANGERS[name]:
            writer.close()
        await reader.read()
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        exchange = Exchange(f"127.0.0.1:{server.sockets[0].getsockname()[1]}")
        with pytest.raises(OSError):  # noqa: PT011
            await exchange.post("/", {}, b"", 10.0)
        exchange.close()


async def test_an_answer_that_does_not_come_is_given_up(blackhole: Pod) -> None:
    exchange = Exchange(blackhole.target)
    with pytest.raises(TimeoutError):
        await exchange.post("/", {}, b"", 0.01)


async def test_what_came_by_another_protocol_goes_as_the_json_that_is_made_of_it(stable: Stable, pod: Pod) -> None:
    stable.follow(pod.target)
    await stable.answer(body=lambda: b"made")
    assert await stable.settled(1) == (1, 0)
    assert [message.body for message in pod.taken] == [b"made"]


async def test_what_json_cannot_say_is_in_no_sample(stable: Stable, pod: Pod) -> None:
    stable.follow(pod.target)
    await stable.answer(body=lambda: None)
    assert await stable.settled(1) == (0, 1)
    assert stable.counted().requests == 0
