"""Callers that are told apart by a cookie: each counts once in a cohort."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.serving.running import Case, Reply, Running, run, settings

from serin_contract import announcements, callers, ids, stats
from serin_contract.announcements import Announcement
from serin_contract.callers import Caller, Stickiness
from serin_contract.keys import KeyRing, derive_ring
from serin_serving import startup
from serin_serving.announced import Announcements
from serin_serving.app import inference_app
from serin_serving.connections import Connections
from serin_serving.keys import Keys
from serin_serving.server import Server
from serin_serving.visits import COOKIE_BYTES_MAX, CountedCallers, Visits, known_caller

RING = derive_ring({"m1": b"1" * 32, "m2": b"2" * 32}, "m2", "uid-of-wine")
OTHER = derive_ring({"m2": b"2" * 32}, "m2", "uid-of-beer")
ROW = [13.2, 1.78, 2.14, 11.2, 100, 2.65, 2.76, 0.26, 1.28, 4.38, 1.05, 3.4, 1050]
STICKY = callers.header_value(Stickiness("serin", "wine-1", 20, 10))
MINE = Caller("21." + "m" * 12, "")
OURS = callers.cookie_value(MINE, RING)


@pytest.fixture(scope="module")
def pod(wine: Case, keys_file: Path) -> Iterator[Running]:
    with run(wine, keys_file) as running:
        yield running


@pytest.fixture
def cohort(pod: Running) -> str:
    return pod.cohort()


@pytest.fixture
def fresh(wine: Case, keys_file: Path) -> Iterator[Running]:
    """A pod that no other test calls."""
    with run(wine, keys_file) as running:
        yield running


def call(pod: Running, cohort: str, cookie: str | None = None, body: object = None, **headers: str) -> Reply:
    tensor = {"name": "x", "shape": [1, 13], "datatype": "FP64", "data": ROW}
    if cookie is not None:
        headers["cookie"] = cookie
    headers = {"x_serin_stickiness": STICKY, "x_serin_cohort": cohort, **headers}
    return pod.call("POST", pod.path("infer"), {"inputs": [tensor]} if body is None else body, **headers)


def cookie_of(reply: Reply) -> str:
    return reply.headers["set-cookie"].partition(";")[0]


def test_a_caller_that_is_not_known_is_given_a_cookie_of_the_arm_that_answered(pod: Running, cohort: str) -> None:
    reply = call(pod, cohort)
    name, *attributes = reply.headers["set-cookie"].split("; ")
    caller = callers.caller_of(name.removeprefix("serin="), RING)
    assert caller is not None
    assert int(caller.id[:2]) in callers.audience(20, 10)
    assert caller.mark == callers.mark_of(cohort)
    assert attributes == ["Path=/", "Max-Age=15552000", "HttpOnly", "SameSite=Lax"]


def test_the_first_request_of_a_caller_counts_and_no_other(pod: Running, cohort: str) -> None:
    first = call(pod, cohort)
    later = [call(pod, cohort, cookie_of(first)) for _ in range(3)]
    refused = call(pod, cohort, cookie_of(first), body={})
    counted = pod.stats()["cohorts"][cohort]
    assert [reply.status for reply in (first, *later, refused)] == [200, 200, 200, 200, 400]
    assert (counted["requests"], counted["callers"], counted["repeated"]) == (1, 1, 4)
    assert (counted["predictions"], counted["rows"], counted["refused"]) == (1.0, 1, 0)
    assert (sum(counted["latency"]), sum(counted["own_bins"]["prediction"])) == (1, 1.0)
    assert [ids.verify(RING, reply.prediction_id).weight for reply in (first, *later)] == [1, 0, 0, 0]
    assert "set-cookie" not in later[0].headers


def test_labels_of_repeated_requests_are_accepted_and_count_nowhere(pod: Running, cohort: str) -> None:
    first = call(pod, cohort)
    later = call(pod, cohort, cookie_of(first))
    for reply in (first, later):
        posted = pod.call("POST", "/v1/feedback", {"id": reply.prediction_id, "label": 0})
        assert posted.json == {"accepted": 1, "duplicates": 0, "refused": []}
    assert pod.stats()["cohorts"][cohort]["labels"]["wine-1"]["labelled"] == 1


def test_a_caller_counts_anew_in_each_cohort_and_keeps_its_bucket(pod: Running) -> None:
    earlier, later = pod.cohort(), pod.cohort()
    first = cookie_of(call(pod, earlier))
    second = cookie_of(call(pod, later, first))
    call(pod, later, second)
    call(pod, later, first)
    cohorts = pod.stats()["cohorts"]
    assert (cohorts[earlier]["callers"], cohorts[earlier]["repeated"]) == (1, 0)
    # The last call came with the older cookie: its client does not take the new one.
    assert (cohorts[later]["callers"], cohorts[later]["repeated"]) == (1, 2)
    assert first.split(".")[:2] == second.split(".")[:2]


def test_a_caller_that_another_pod_counted_counts_no_more(pod: Running, cohort: str) -> None:
    elsewhere = callers.cookie_value(Caller(MINE.id, callers.mark_of(cohort)), RING)
    call(pod, cohort, f"serin={elsewhere}")
    assert pod.stats()["cohorts"][cohort]["callers"] == 0


def test_a_caller_that_was_refused_is_known_when_it_tries_again(pod: Running, cohort: str) -> None:
    refused = call(pod, cohort, body={})
    again = call(pod, cohort, cookie_of(refused))
    counted = pod.stats()["cohorts"][cohort]
    assert (refused.status, again.status) == (400, 200)
    assert (counted["requests"], counted["refused"], counted["predictions"], counted["repeated"]) == (1, 1, 0.0, 1)


STRANGERS = {
    "no cookie": None,
    "a forged one": f"serin={OURS[:-1]}{'A' if OURS[-1] != 'A' else 'B'}",
    "one of another deployment": f"serin={callers.cookie_value(MINE, OTHER)}",
    "one under another name": f"serin2={OURS}",
    "one with letters of another alphabet": "serin=21.\xe9",
}


@pytest.mark.parametrize("name", STRANGERS)
def test_every_request_is_a_new_caller_with(pod: Running, cohort: str, name: str) -> None:
    replies = [call(pod, cohort, STRANGERS[name]) for _ in range(2)]
    counted = pod.stats()["cohorts"][cohort]
    assert (counted["requests"], counted["callers"], counted["repeated"]) == (2, 2, 0)
    assert len({cookie_of(reply) for reply in replies}) == 2


COOKIES = {
    "one cookie": ([f"serin={OURS}"], True),
    "between others": ([f"a=b; serin={OURS}; c=d"], True),
    "without the space": ([f"a=b;serin={OURS};c=d"], True),
    "in quotes": ([f'serin="{OURS}"'], True),
    "in the second header": (["a=b", f"serin={OURS}"], True),
    "after another of its name": ([f"serin=theirs; serin={OURS}"], True),
    "before another of its name": ([f"serin={OURS}; serin=theirs"], True),
    "as a part of another name": ([f"xserin={OURS}"], False),
    "as a value of another": ([f"a=serin={OURS}"], False),
    "with one quote": ([f'serin="{OURS}'], False),
    "without a value": (["serin"], False),
    "beyond the bytes that are looked at": (["a=" + "b" * COOKIE_BYTES_MAX, f"serin={OURS}"], False),
}


@pytest.mark.parametrize("name", COOKIES)
def test_the_caller_is_read_from(name: str) -> None:
    headers, known = COOKIES[name]
    assert known_caller([header.encode() for header in headers], "serin", RING) == (MINE if known else None)


UNSTUCK = {
    "no header": {},
    "a malformed header": {"x_serin_stickiness": "serin;wine-1;x;10"},
    "an empty header": {"x_serin_stickiness": ""},
    "a header that is too long": {"x_serin_stickiness": STICKY + ";" * 600},
}


@pytest.mark.parametrize("name", UNSTUCK)
def test_requests_count_and_not_callers_with(pod: Running, cohort: str, name: str) -> None:
    tensor = {"name": "x", "shape": [1, 13], "datatype": "FP64", "data": ROW}
    for _ in range(2):
        headers = {"x_serin_cohort": cohort, "cookie": f"serin={OURS}", **UNSTUCK[name]}
        reply = pod.call("POST", pod.path("infer"), {"inputs": [tensor]}, **headers)
        assert "set-cookie" not in reply.headers
    counted = pod.stats()["cohorts"][cohort]
    assert (counted["requests"], counted["callers"], counted["repeated"]) == (2, 0, 0)


def test_the_announced_cohort_is_the_one_that_callers_count_in(fresh: Running, ring: KeyRing) -> None:
    fresh.announce(ring, cohort="told")
    call(fresh, "claimed", cookie_of(call(fresh, "claimed")))
    cohorts = fresh.stats()["cohorts"]
    assert cohorts.keys() == {"told"}
    assert (cohorts["told"]["callers"], cohorts["told"]["repeated"]) == (1, 1)


def test_where_no_cohort_is_nobody_counts_and_the_bucket_is_still_drawn(fresh: Running) -> None:
    reply = call(fresh, "")
    assert "set-cookie" not in call(fresh, "", cookie_of(reply)).headers
    assert fresh.stats()["cohorts"] == {}


def visits(counted: CountedCallers | None = None) -> tuple[Visits, Announcements, Connections]:
    connections = Connections()
    announced = Announcements("pod-1", connections)
    return Visits("wine-1", announced, counted or CountedCallers()), announced, connections


def scope(connections: Connections, *headers: tuple[str, str]) -> dict[str, object]:
    found = [(name.encode(), value.encode()) for name, value in headers]
    return {"headers": found, "state": {"serin_connection": connections.open()}}


def test_a_request_counts_in_the_cohort_that_held_when_it_came() -> None:
    each, announced, connections = visits()
    announced.take(*announcements.encode(Announcement("pod-1", 1, "early"), RING), RING)
    visit = each.arrive(scope(connections), RING)
    announced.take(*announcements.encode(Announcement("pod-1", 2, "late"), RING), RING)
    assert visit.cohort == "early"
    assert each.arrive(scope(connections), RING).cohort == "late"


def test_a_caller_that_hung_up_counts_with_its_next_request() -> None:
    each, _, connections = visits()
    sticky = ("x-serin-stickiness", STICKY), ("x-serin-cohort", "c"), ("cookie", f"serin={OURS}")
    gone = each.arrive(scope(connections, *sticky), RING)
    each.gone(gone)
    assert (gone.counted, each.arrive(scope(connections, *sticky), RING).counted) == (True, True)
    repeated = each.arrive(scope(connections, *sticky), RING)
    each.gone(repeated)
    assert not each.arrive(scope(connections, *sticky), RING).counted


def test_a_pod_is_not_idle_while_it_answers() -> None:
    each, _, connections = visits()
    each.arrive(scope(connections), RING)
    assert (each.in_flight, each.idle_seconds) == (1, 0.0)
    each.end()
    assert each.in_flight == 0
    assert each.idle_seconds > 0


def test_a_caller_that_hung_up_is_no_request_and_leaves_nothing_in_flight(wine: Case, keys_file: Path) -> None:
    async def hang_up() -> tuple[int, int, int]:
        configured = settings(wine, keys_file)
        server = Server(configured, startup.load(configured), Keys(keys_file, 0.0))
        app, came = inference_app(server), scope(server.connections, ("x-serin-cohort", "c"))

        async def receive() -> dict[str, object]:
            assert server.visits.in_flight == 1
            return {"type": "http.disconnect"}

        async def send(_message: object) -> None:
            raise AssertionError("nobody is there to answer")

        await app({**came, "path": "/v2/models/wine/infer", "method": "POST"}, receive, send)
        server.close()
        return server.visits.in_flight, server.visits.requests, len(stats.decode(server.stats()).cohorts)

    assert asyncio.run(hang_up()) == (0, 0, 0)


def test_the_idle_facts_are_in_the_stats(fresh: Running) -> None:
    before = fresh.stats()
    fresh.infer([ROW])
    fresh.call("GET", "/v2/health/ready")
    after = fresh.stats()
    assert (before["requests"], after["requests"], after["in_flight"]) == (0, 1, 0)
    assert 0 < after["idle_seconds"] < 10


def test_where_there_is_no_room_a_caller_counts_nowhere_and_one_line_says_so(caplog: pytest.LogCaptureFixture) -> None:
    counted = CountedCallers(callers_max=2)
    with caplog.at_level(logging.WARNING):
        assert [counted.add("c", name) for name in "abcdab"] == [True, True, False, False, False, False]
    assert counted.turned_away == 2
    assert len(caplog.records) == 1


def test_an_older_cohort_makes_room_and_counts_nobody_any_more() -> None:
    counted = CountedCallers(callers_max=2)
    assert counted.add("old", "a")
    assert counted.add("new", "a")
    assert counted.add("new", "b")
    assert not counted.add("old", "z")


def test_the_cohort_that_was_used_longest_ago_is_closed_first() -> None:
    counted = CountedCallers(cohorts_max=2)
    assert counted.add("a", "x")
    assert counted.add("b", "x")
    assert not counted.add("a", "x")
    assert counted.add("c", "x")
    assert counted.add("a", "y")
    assert not counted.add("b", "y")


@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("stuvw")), max_size=60),
    st.integers(1, 6),
    st.integers(1, 3),
)
def test_no_caller_counts_twice_in_a_cohort_however_little_room_there_is(
    requests: list[tuple[str, str]], room: int, cohorts: int
) -> None:
    counted = CountedCallers(callers_max=room, cohorts_max=cohorts)
    counting = [request for request in requests if counted.add(*request)]
    assert len(counting) == len(set(counting))


class Crowd:
    """Callers with a cookie each, at two pods of one revision."""

    def __init__(self) -> None:
        self._pods = visits(), visits()
        self._cookies = [callers.cookie_value(Caller(f"2{number}." + "m" * 12, ""), RING) for number in range(4)]
        self.weights: dict[tuple[str, int], int] = {}
        """By cohort and caller: the sum over its requests."""

    def call(self, cohort: str, caller: int, pod: int, *, takes_cookies: bool) -> None:
        each, _, connections = self._pods[pod]
        cookie = f"serin={self._cookies[caller]}"
        headers = ("x-serin-stickiness", STICKY), ("x-serin-cohort", cohort), ("cookie", cookie)
        visit = each.arrive(scope(connections, *headers), RING)
        self.weights[cohort, caller] = self.weights.get((cohort, caller), 0) + visit.counted
        if visit.set_cookie is not None and takes_cookies:
            self._cookies[caller] = visit.set_cookie.decode().partition(";")[0].removeprefix("serin=")


@given(st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 3), st.booleans()), max_size=40))
def test_at_one_pod_the_weights_of_a_caller_sum_to_one_whether_or_not_it_takes_the_cookie(
    requests: list[tuple[str, int, bool]],
) -> None:
    crowd = Crowd()
    for cohort, caller, takes_cookies in requests:
        crowd.call(cohort, caller, 0, takes_cookies=takes_cookies)
    assert set(crowd.weights.values()) <= {1}


@given(st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 3), st.integers(0, 1)), max_size=40))
def test_at_all_pods_together_they_sum_to_one_where_it_takes_the_cookie(requests: list[tuple[str, int, int]]) -> None:
    crowd = Crowd()
    # Cohorts follow one another: none comes back.
    for cohort, caller, pod in sorted(requests, key=lambda request: request[0]):
        crowd.call(cohort, caller, pod, takes_cookies=True)
    assert set(crowd.weights.values()) <= {1}
