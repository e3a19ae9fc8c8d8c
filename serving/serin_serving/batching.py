"""Tick batching: requests that one turn of the event loop brought in share one call of the model.

There is no timer. A lone request waits for nothing, and under load the batch grows by itself.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from serin_serving.errors import RequestError
from serin_serving.layout import Matrix
from serin_serving.model import Answers

BATCH_ROWS_MAX = 1024
QUEUE_ROWS_MAX = 8192

Predict = Callable[[Matrix], Answers]


class Batcher:
    """A bounded queue in front of one model; made and used inside a running loop."""

    def __init__(self, predict: Predict, *, threaded: bool, queue_rows_max: int = QUEUE_ROWS_MAX) -> None:
        self._predict = predict
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[tuple[Matrix, asyncio.Future[Answers], bool]] = deque()
        self._waiting_rows = 0
        self._queue_rows_max = queue_rows_max
        self._armed = False
        # One worker: one thread at a time calls the model, and requests queue up where they are bounded.
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="model") if threaded else None

    def submit(self, matrix: Matrix, *, alone: bool = False) -> asyncio.Future[Answers]:
        """Queue m rows; `alone` keeps them out of everyone else's call.

        Raises:
            RequestError: the queue is full (503).
        """
        rows = len(matrix)
        # A request is let in while anything fits, so that one larger than the queue is not refused for ever.
        if self._waiting and self._waiting_rows + rows > self._queue_rows_max:
            raise RequestError(503, "the queue of this server is full; try again in a second")
        future: asyncio.Future[Answers] = self._loop.create_future()
        self._waiting.append((matrix, future, alone))
        self._waiting_rows += rows
        if not self._armed:
            self._armed = True
            self._loop.call_soon(self._flush)
        return future

    def close(self) -> None:
        """Let the worker thread end."""
        if self._worker is not None:
            self._worker.shutdown(wait=False)

    def _flush(self) -> None:
        members = self._take()
        matrices = [matrix for matrix, _ in members]
        if self._worker is None:
            self._settle(members, answer_members(self._predict, matrices))
            return
        running = self._loop.run_in_executor(self._worker, answer_members, self._predict, matrices)
        running.add_done_callback(lambda done: self._settle(members, done.result()))

    def _take(self) -> list[tuple[Matrix, asyncio.Future[Answers]]]:
        members: list[tuple[Matrix, asyncio.Future[Answers]]] = []
        rows = 0
        while self._waiting:
            matrix, future, alone = self._waiting[0]
            if members and (alone or rows + len(matrix) > BATCH_ROWS_MAX):
                break
            self._waiting.popleft()
            self._waiting_rows -= len(matrix)
            members.append((matrix, future))
            rows += len(matrix)
            if alone:
                break
        return members

    def _settle(
        self,
        members: list[tuple[Matrix, asyncio.Future[Answers]]],
        outcomes: Sequence[Answers | Exception],
    ) -> None:
        for (_, future), outcome in zip(members, outcomes, strict=True):
            if future.done():
                continue
            if isinstance(outcome, Exception):
                future.set_exception(outcome)
            else:
                future.set_result(outcome)
        self._armed = bool(self._waiting)
        if self._armed:
            self._loop.call_soon(self._flush)


def answer_members(predict: Predict, matrices: list[Matrix]) -> Sequence[Answers | Exception]:
    """Answer several requests with one call; where it fails, singly, so that a bad row harms its own only."""
    if len(matrices) == 1:
        return [_answer(predict, matrices[0])]
    together = _answer(predict, np.concatenate(matrices))
    if isinstance(together, Exception):
        return [_answer(predict, matrix) for matrix in matrices]
    parts: list[Answers] = []
    start = 0
    for matrix in matrices:
        parts.append(together.part(start, start + len(matrix)))
        start += len(matrix)
    return parts


def _answer(predict: Predict, matrix: Matrix) -> Answers | Exception:
    # Every failure belongs to the requests of this call and is answered there; the server goes on.
    try:
        return predict(matrix)
    except Exception as error:  # noqa: BLE001
        return error
