"""The load: what it sends, what it counts as a failure, and that every label comes."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass

import pytest
from tests.unit.cli.demo.gateway import Heard, Reply, answer_well, gateway

from serin_cli.demo.counts import UNANSWERED, Snapshot
from serin_cli.demo.drive import Change, Drive, Settings, encode_row
from serin_contract.bundle import Column
from serin_contract.http import FEEDBACK_PATH, REVISION_HEADER
from serin_serving.layout import Layout
from serin_serving.oip import decode_infer

ENOUGH = 40


@dataclass
class Told:
    heard: Heard
    counted: Snapshot


async def drive_until_enough(answer=answer_well, *, labels: tuple[int, ...] = (7, 8), **settings) -> Told:
    """Run a load against a gateway until it was asked often enough, and to its end."""
    stop = asyncio.Event()

    def counting(heard: Heard, path: str, body: bytes) -> Reply | None:
        if sum(" " + path in first for first, _, _ in heard.requests) >= ENOUGH and path.endswith("/infer"):
            stop.set()
        return answer(heard, path, body)

    async with gateway(counting) as heard:
        rows = [[float(place), None] for place in range(len(labels))]
        drive = Drive(
            Settings(heard.url, "digits.example.com", "digits", rows, list(labels), **{"rate": 300.0, **settings})
        )
        await drive.run(stop)
    return Told(heard, drive.snapshot())


QUICK = {"label_delay": (0.0, 0.0)}


async def test_counts_answers_and_posts_every_label() -> None:
    told = await drive_until_enough(**QUICK)
    arm = told.counted.arm("digits-a")
    assert told.counted.requests == arm.requests >= ENOUGH
    assert told.counted.failed == 0
    assert arm.labels_posted == len(told.heard.labels) == arm.requests
    assert 0 < arm.correct < arm.requests
    assert {item["label"] for item in told.heard.labels} == {7, 8}
    assert arm.first_at <= arm.last_at


async def test_refused_label_is_no_failed_request() -> None:
    told = await drive_until_enough(labels=(7, 9), **QUICK)
    arm = told.counted.arm("digits-a")
    assert arm.labels_refused == sum(item["label"] == 9 for item in told.heard.labels) > 0
    assert told.counted.failed == 0


async def test_connections_are_kept_but_for_the_asked_share() -> None:
    told = await drive_until_enough(fresh_share=0.5, **QUICK)
    assert 0 < told.counted.fresh < told.counted.requests
    assert told.heard.connections >= told.counted.fresh


async def test_answer_other_than_200_is_a_failure_of_its_revision() -> None:
    def overloaded(heard: Heard, path: str, body: bytes) -> Reply:
        if path.endswith("/infer"):
            return 503, {REVISION_HEADER: "digits-a"}, b'{"error": "busy"}'
        return answer_well(heard, path, body)

    told = await drive_until_enough(overloaded)
    arm = told.counted.arm("digits-a")
    assert arm.failures == arm.requests == told.counted.failed
    assert "HTTP 503 from digits-a" in told.counted.troubles[-1]
    assert told.heard.labels == []


async def test_lost_connection_is_a_failure_of_nobody() -> None:
    def hang_up(heard: Heard, path: str, body: bytes) -> Reply | None:
        return None if path.endswith("/infer") else answer_well(heard, path, body)

    told = await drive_until_enough(hang_up)
    assert told.counted.arm(UNANSWERED).failures == told.counted.requests > 0


async def test_answer_without_a_prediction_id_is_a_failure() -> None:
    def anonymous(heard: Heard, path: str, body: bytes) -> Reply:
        status, headers, said = answer_well(heard, path, body)
        return status, {REVISION_HEADER: headers[REVISION_HEADER]}, said

    told = await drive_until_enough(anonymous)
    assert told.counted.failures == told.counted.requests


async def test_feedback_without_a_receipt_is_a_failure() -> None:
    def deaf(heard: Heard, path: str, body: bytes) -> Reply:
        if path == FEEDBACK_PATH and body:
            return 502, {REVISION_HEADER: "digits-a"}, b"Bad Gateway"
        return answer_well(heard, path, body)

    told = await drive_until_enough(deaf, **QUICK)
    assert told.counted.feedback_failures == told.counted.feedback_posts > 0
    assert told.counted.arm("digits-a").labels_posted == 0
    assert "feedback: HTTP 502" in told.counted.troubles[-1]


async def test_nothing_is_counted_before_the_gateway_leads_somewhere() -> None:
    asked = 0

    def waking(heard: Heard, path: str, body: bytes) -> Reply:
        nonlocal asked
        asked += 1
        return (404, {}, b"") if asked < 3 else answer_well(heard, path, body)

    told = await drive_until_enough(waking, **QUICK)
    assert told.counted.ready
    assert told.counted.failed == 0


async def test_labels_can_fail_to_come() -> None:
    told = await drive_until_enough(label_share=0.0)
    assert told.heard.labels == []
    assert told.counted.requests >= ENOUGH


async def test_labels_of_wrong_predictions_may_come_later_than_the_others() -> None:
    told = await drive_until_enough(label_delay=(0.0, 0.0), wrong_label_delay=(0.7, 0.7))
    labels = [item["label"] for item in told.heard.labels]
    assert set(labels) == {7, 8}, "7 is what every row is answered with, so 8 is wrong"
    assert labels == sorted(labels)


async def test_change_keeps_what_it_does_not_name() -> None:
    drive = Drive(Settings("http://127.0.0.1:1", "h", "digits", [[1]], [1], rate=5.0))
    drive.change(Change(label_share=0.25))
    drive.change(Change(rate=0.0))
    assert (drive._rate, drive._label_share) == (0.0, 0.25)


@pytest.mark.parametrize("row", [[0, 16, 3], [0.5, None, 3.0]])
def test_row_is_one_that_the_model_server_reads(row: list[float | None]) -> None:
    columns = [Column(f"pixel_{place}", "FP64") for place in range(3)]
    request = decode_infer(encode_row(row, "FP64"), Layout(columns))
    assert request.matrix.shape == (1, 3)
    assert request.probabilities is False
    assert json.loads(encode_row(row, "FP64"))["inputs"][0]["data"] == row
