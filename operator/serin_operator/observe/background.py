"""Questions that are asked in the background, so that a source which is slow or silent holds up no decision."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Question = TypeVar("Question")
Answer = TypeVar("Answer")

KEPT_SECONDS = 600.0
"""What was answered to a key that nobody asks for is forgotten after this time."""


@dataclass
class _Asked(Generic[Question, Answer]):
    """The latest question of one key."""

    question: Question
    at: float
    task: asyncio.Task[Answer]
    answer: Answer | None
    seen_at: float


class Background(Generic[Key, Question, Answer]):
    """The latest answer by key; each is asked for again once its time has come."""

    def __init__(self, work: Callable[[Question], Awaitable[Answer]], clock: Callable[[], float]) -> None:
        """`work` answers a question and never raises; `clock` gives seconds that only rise."""
        self._work, self._clock = work, clock
        self._asked: dict[Key, _Asked[Question, Answer]] = {}

    def ask(self, key: Key, question: Question, between_seconds: float) -> Answer | None:
        """What this question was last answered; None while it is asked for the first time.

        Another question under the same key begins anew. To be called inside a running loop.
        """
        now = self._clock()
        self._forget(now)
        asked = self._asked.get(key)
        if asked is not None and asked.question != question:
            asked.task.cancel()
            asked = None
        answer = None
        if asked is not None:
            asked.seen_at = now
            if asked.task.done():
                asked.answer = asked.task.result()
            answer = asked.answer
            if not asked.task.done() or now - asked.at < between_seconds:
                return answer
        self._asked[key] = _Asked(question, now, asyncio.create_task(self._answered(question)), answer, now)
        return answer

    async def close(self) -> None:
        """End what is under way."""
        tasks = [asked.task for asked in self._asked.values()]
        self._asked.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _answered(self, question: Question) -> Answer:
        return await self._work(question)

    def _forget(self, now: float) -> None:
        for key in [key for key, asked in self._asked.items() if now - asked.seen_at > KEPT_SECONDS]:
            self._asked.pop(key).task.cancel()
