from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.serving.running import Running
from tests.unit.serving.test_counts import counts

from serin_contract import mirrored, seals
from serin_contract.keys import KeyRing, derive_ring
from serin_contract.mirrored import Mirrored
from serin_contract.stats import ShadowCounts
from serin_serving.counts import Counts
from serin_serving.errors import RequestError
from serin_serving.metrics import Metrics
from serin_serving.model import Answers
from serin_serving.shadow import REQUESTS_AT_ONCE_MAX, ROWS_AT_ONCE_MAX, Shadow, agree, share_agreed

OTHER = derive_ring({"m2": b"2" * 32}, "m2", "uid-of-beer")
NOW = 1000.0
COHORT = "wine-2.1.s"

PAIRS = {
    "the same class": (1, 1, 0.0, True),
    "another class": (1, 2, 0.0, False),
    "another class, whatever the tolerance": ("light", "dark", 1.0, False),
    "a boolean is no number to be close to": (True, 0, 1.0, False),
    "equal numbers": (0.1, 0.1, 0.0, True),
    "two zeros": (0.0, -0.0, 0.0, True),
    "numbers of neighbours without a tolerance": (0.1, 0.1 + 2**-56, 0.0, False),
    "a difference at the tolerance": (75.0, 100.0, 0.25, True),
    "a difference above the tolerance": (74.9, 100.0, 0.25, False),
    "the tolerance is of the larger, not of ours": (100.0, 75.0, 0.25, True),
    "numbers of both signs": (-1.0, 1.0, 0.5, False),
    "small against zero is not close": (1e-300, 0.0, 0.5, False),
    "a text against a number": ("1", 1.0, 1.0, False),
}


@pytest.mark.parametrize("name", PAIRS)
def test_answers_agree_or_not(name: str) -> None:
    ours, theirs, tolerance, expected = PAIRS[name]
    assert agree(ours, theirs, tolerance) is expected


numbers = st.floats(allow_nan=False, allow_infinity=False, width=32)


@given(numbers, numbers, st.floats(0, 1))
def test_agreement_has_no_sides_and_grows_with_the_tolerance(a: float, b: float, tolerance: float) -> None:
    assert agree(a, b, tolerance) == agree(b, a, tolerance)
    assert agree(a, b, tolerance) <= agree(a, b, 2 * tolerance + 1e-9)
    assert agree(a, a, tolerance)


SHARES = {
    "one of two rows": ([1, 2], [1, 1], 0.5),
    "all of three rows, exactly": ([1, 2, 3], [1, 2, 3], 1.0),
    "an answer of fewer rows": ([1], [1, 1], 0.0),
    "no answer": ([], [1], 0.0),
    "nothing to compare with": ([1], [], 0.0),
}


@pytest.mark.parametrize("name", SHARES)
def test_each_row_agrees_by_its_share(name: str) -> None:
    ours, theirs, expected = SHARES[name]
    assert share_agreed(ours, theirs, 0.0) == expected


def message(**changes: Any) -> Mirrored:
    values: dict[str, Any] = {"cohort": COHORT, "body": b"1", "predictions": [1], "sent_at": NOW, "nonce": b"n" * 12}
    return Mirrored(**{**values, **changes})


class Candidate:
    """The candidate's side with a model that does as the test says: the body is the number of rows, all of class 1."""

    def __init__(self, model: Callable[[int], Answers] | None = None, *, classifies: bool = True) -> None:
        self.counts: Counts = counts()
        self.metrics = Metrics("wine", "wine-2")
        self.now = NOW - 100
        self.may_answer = asyncio.Event()
        self.may_answer.set()
        self._model = model or (lambda rows: Answers([1] * rows, np.ones(rows), np.ones(rows, dtype=np.int64)))
        self._shadow = Shadow(self._predict, self.counts, self.metrics, classifies=classifies, clock=lambda: self.now)
        self.now = NOW

    async def take(self, sent: Mirrored, ring: KeyRing, signer: KeyRing | None = None) -> int:
        """The status of the answer."""
        try:
            await self._shadow.take(*mirrored.encode(sent, signer or ring), ring)
        except RequestError as error:
            return error.status
        return 204

    async def take_bytes(self, data: bytes, mac: str, ring: KeyRing) -> int:
        with pytest.raises(RequestError) as refused:
            await self._shadow.take(data, mac, ring)
        return refused.value.status

    def counted(self) -> Any:
        return self.counts.snapshot("r", "pod", "start").cohorts.get(COHORT)

    async def _predict(self, body: bytes) -> tuple[Any, Answers]:
        await self.may_answer.wait()
        return np.ones((int(body), 1)), self._model(int(body))


REFUSED = {
    "one signed for another deployment": (message(), OTHER, 401),
    "one that is too old": (message(sent_at=NOW - 30.1), None, 400),
    "one from the future": (message(sent_at=NOW + 30.1), None, 400),
    "one that has no time": (message(sent_at=float("nan")), None, 400),
    "a malformed cohort": (message(cohort="a b"), None, 400),
    "no cohort": (message(cohort=""), None, 400),
    "a short nonce": (message(nonce=b"n"), None, 400),
    "more predictions than rows may be": (message(predictions=[1] * 4097), None, 400),
}


@pytest.mark.parametrize("name", REFUSED)
async def test_it_refuses_and_does_not_count(ring: KeyRing, name: str) -> None:
    sent, signer, status = REFUSED[name]
    candidate = Candidate()
    assert await candidate.take(sent, ring, signer) == status
    assert candidate.counted() is None
    labels = {"deployment": "wine", "revision": "wine-2"}
    assert candidate.metrics.registry.get_sample_value("serin_server_shadow_received_total", labels) == 0


async def test_a_changed_byte_breaks_the_signature(ring: KeyRing) -> None:
    data, mac = mirrored.encode(message(), ring)
    candidate = Candidate()
    assert await candidate.take_bytes(data[:-1] + bytes([data[-1] ^ 1]), mac, ring) == 401
    assert await candidate.take_bytes(data, "", ring) == 401
    assert candidate.counted() is None


async def test_signed_bytes_that_are_no_message_are_refused(ring: KeyRing) -> None:
    mac = seals.seal(b"1", ring, mirrored._PERSON)
    assert await Candidate().take_bytes(b"1", mac, ring) == 400


async def test_what_was_sent_before_the_start_may_have_counted_before_it(ring: KeyRing) -> None:
    candidate = Candidate()
    candidate.now = NOW - 80
    assert await candidate.take(message(sent_at=NOW - 101), ring) == 400
    assert await candidate.take(message(sent_at=NOW - 99), ring) == 204


async def test_a_repetition_counts_once_even_while_the_first_is_being_answered(ring: KeyRing) -> None:
    candidate = Candidate()
    candidate.may_answer.clear()
    first = asyncio.create_task(candidate.take(message(), ring))
    await asyncio.sleep(0)
    assert await candidate.take(message(), ring) == 409
    candidate.may_answer.set()
    assert await first == 204
    assert await candidate.take(message(), ring) == 409
    assert await candidate.take(message(nonce=b"m" * 12), ring) == 204
    assert candidate.counted().shadow == ShadowCounts(received=2, compared=2, agreed=2)


CROWDS = {
    "too many requests": (REQUESTS_AT_ONCE_MAX, 1),
    "too many rows": (2, ROWS_AT_ONCE_MAX // 2),
}


@pytest.mark.parametrize("name", CROWDS)
async def test_what_finds_no_room_is_stables_drop_and_not_counted(ring: KeyRing, name: str) -> None:
    requests, rows = CROWDS[name]
    candidate = Candidate()
    candidate.may_answer.clear()
    body, predictions = str(rows).encode(), [1] * rows
    crowd = [message(nonce=bytes([number] * 12), body=body, predictions=predictions) for number in range(requests)]
    tasks = [asyncio.create_task(candidate.take(sent, ring)) for sent in crowd]
    await asyncio.sleep(0)
    late = message(nonce=b"late" * 3, body=body, predictions=predictions)
    assert await candidate.take(late, ring) == 503
    candidate.may_answer.set()
    assert await asyncio.gather(*tasks) == [204] * requests
    assert await candidate.take(late, ring) == 204
    assert candidate.counted().requests == requests + 1


def raises(error: Exception) -> Callable[[int], Answers]:
    def model(_rows: int) -> Answers:
        raise error

    return model


FAILURES = {
    "it refuses what stable took": (RequestError(400, "no", "extra_column"), {"extra_column": 1}, 0),
    "it answers no finite number": (RequestError(500, "no"), {}, 1),
    "it breaks": (ZeroDivisionError(), {}, 1),
}


@pytest.mark.parametrize("name", FAILURES)
async def test_a_row_that_the_candidate_cannot_answer_does_not_agree(ring: KeyRing, name: str) -> None:
    error, malformed, failed = FAILURES[name]
    candidate = Candidate(raises(error))
    assert await candidate.take(message(predictions=[1, 1]), ring) == 204
    counted = candidate.counted()
    assert counted.shadow == ShadowCounts(received=1, failed=1, compared=1, agreed=0)
    assert (counted.requests, counted.refused, counted.failed, counted.predictions) == (1, len(malformed), failed, 0)
    assert sum(counted.latency) == 1
    assert counted.malformed == malformed


async def test_a_full_queue_of_the_model_is_no_failure_of_the_candidate(ring: KeyRing) -> None:
    candidate = Candidate(raises(RequestError(503, "full")))
    assert await candidate.take(message(), ring) == 503
    assert candidate.counted() is None


async def test_where_stable_failed_the_candidate_counts_and_compares_nothing(ring: KeyRing) -> None:
    candidate = Candidate()
    assert await candidate.take(message(predictions=[]), ring) == 204
    assert candidate.counted().shadow == ShadowCounts(received=1)
    assert candidate.counted().predictions == 1


async def test_a_mirrored_request_counts_as_any_of_its_cohort(ring: KeyRing) -> None:
    candidate = Candidate()
    assert await candidate.take(message(body=b"4", predictions=[1, 0, 1, 1]), ring) == 204
    counted = candidate.counted()
    assert (counted.requests, counted.predictions, counted.rows, sum(counted.latency)) == (1, 1.0, 4, 1)
    assert counted.shadow == ShadowCounts(received=1, compared=1, agreed=0.75)
    assert sum(counted.own_bins.prediction) == pytest.approx(1)


TASKS = {"a regressor's values may be close": (False, 1.0), "a classifier's numbers are names": (True, 0.0)}


@pytest.mark.parametrize("name", TASKS)
async def test_the_tolerance_is_for_values(ring: KeyRing, name: str) -> None:
    classifies, agreed = TASKS[name]
    candidate = Candidate(classifies=classifies)
    await candidate.take(message(predictions=[2], tolerance=0.5), ring)
    assert candidate.counted().shadow.agreed == agreed


def test_a_message_reads_back_as_it_was_written(ring: KeyRing) -> None:
    sent = message(predictions=[True, 1, 1.0, 0.1, "1", -(2**62)], tolerance=0.25)
    read = mirrored.decode(*mirrored.encode(sent, ring), ring)
    assert read == sent
    assert [type(value) for value in read.predictions] == [bool, int, float, float, str, int]


def post(server: Running, ring: KeyRing, now: float, **changes: Any) -> Any:
    body = {"inputs": [{"name": "x", "shape": [1, 13], "datatype": "FP64", "data": server.case.rows[0].tolist()}]}
    values = {
        "sent_at": now,
        "body": msgspec.json.encode(body),
        "predictions": [0],
        "nonce": server.cohort().ljust(12)[-12:].encode(),
    }
    data, mac = mirrored.encode(message(**{**values, **changes}), ring)
    return server.call("POST", "/serin/v1/mirrored", data, stats=True, x_serin_mirrored_mac=mac)


def test_the_stats_port_takes_mirrored_requests_and_callers_facts_stay(
    server: Running, ring: KeyRing, now: float
) -> None:
    cohort, before = server.cohort(), server.stats()
    reply = post(server, ring, now, cohort=cohort)
    assert (reply.status, reply.body) == (204, b"")
    assert "content-length" not in reply.headers
    assert "x-serin-prediction-id" not in reply.headers
    after = server.stats()
    counted = after["cohorts"][cohort]
    assert (counted["requests"], counted["rows"], counted["connections"], counted["callers"]) == (1, 1, 0, 0)
    assert counted["shadow"]["agreed"] == 1.0
    assert after["requests"] == before["requests"]
    assert after["in_flight"] == 0
    assert after["idle_seconds"] > before["idle_seconds"]


def test_the_stats_port_refuses_mirrored_requests_that_are_forged_or_too_long(server: Running) -> None:
    forged = server.call("POST", "/serin/v1/mirrored", b"x", stats=True, x_serin_mirrored_mac="m2.x")
    assert forged.status == 401
    assert server.call("POST", "/serin/v1/mirrored", b"x", stats=True).status == 401
    assert server.call("POST", "/serin/v1/mirrored", b"x" * (2 * 1024 * 1024 + 1), stats=True).status == 413
    assert server.call("POST", "/serin/v1/mirrored", b"x").status == 404
