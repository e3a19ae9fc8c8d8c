from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
import pytest

from serin_serving.batching import BATCH_ROWS_MAX, Batcher
from serin_serving.errors import RequestError
from serin_serving.model import Answers


class Doubler:
    """Answers twice each row's number and refuses what is below zero."""

    def __init__(self) -> None:
        self.calls: list[int] = []

    def __call__(self, matrix: Any) -> Answers:
        self.calls.append(len(matrix))
        if (matrix < 0).any():
            raise RequestError(400, "below zero")
        return Answers((matrix[:, 0] * 2).tolist(), matrix[:, 0])


def rows(*values: float) -> Any:
    return np.array(values).reshape(-1, 1)


@pytest.mark.parametrize("threaded", [False, True])
async def test_requests_of_one_tick_share_a_call(threaded: bool) -> None:
    model = Doubler()
    batcher = Batcher(model, threaded=threaded)
    found = await asyncio.gather(*(batcher.submit(rows(n, n + 0.5)) for n in range(5)))
    batcher.close()
    assert [answers.values for answers in found] == [[2 * n, 2 * n + 1] for n in range(5)]
    assert model.calls == [10]


async def test_a_bad_row_fails_its_own_request_only() -> None:
    batcher = Batcher(Doubler(), threaded=False)
    found = await asyncio.gather(*(batcher.submit(rows(n)) for n in (1, -1, 3)), return_exceptions=True)
    assert [type(outcome) for outcome in found] == [Answers, RequestError, Answers]


async def test_a_request_that_must_stand_alone_does() -> None:
    model = Doubler()
    batcher = Batcher(model, threaded=False)
    await asyncio.gather(*(batcher.submit(rows(n), alone=n == 2) for n in range(5)))
    assert model.calls == [2, 1, 2]


async def test_a_call_has_no_more_rows_than_the_limit_unless_one_request_has() -> None:
    model = Doubler()
    batcher = Batcher(model, threaded=False)
    sizes = [1000, 24, 1, 4096, 1]
    await asyncio.gather(*(batcher.submit(np.ones((size, 1))) for size in sizes))
    assert model.calls == [BATCH_ROWS_MAX, 1, 4096, 1]


async def test_a_full_queue_asks_the_caller_to_come_back() -> None:
    batcher = Batcher(Doubler(), threaded=False, queue_rows_max=3)
    first = batcher.submit(rows(1, 2))
    with pytest.raises(RequestError) as caught:
        batcher.submit(rows(3, 4))
    assert caught.value.status == 503
    assert (await first).values == [2, 4]
    assert (await batcher.submit(rows(1, 2, 3, 4))).values == [2, 4, 6, 8]


async def test_a_bug_in_the_model_reaches_its_callers() -> None:
    def broken(_matrix: Any) -> Answers:
        raise ZeroDivisionError

    batcher = Batcher(broken, threaded=True)
    with pytest.raises(ZeroDivisionError):
        await batcher.submit(rows(1))
    batcher.close()
