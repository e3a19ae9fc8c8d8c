"""Stable's side of the shadow traffic: a copy of requests and answers goes to the candidate's pods.

No caller waits for it: everything here happens after the answer is on its way, in bounded memory, and only while
the event loop has time to spare. What cannot be sent is dropped and counted.
"""

from __future__ import annotations

import asyncio
import logging
import os
import random
import time
from collections.abc import Callable

import msgspec

from serin_contract import http, mirrored
from serin_contract.announcements import ShadowOrder
from serin_contract.ids import Prediction
from serin_contract.keys import KeyRing
from serin_contract.mirrored import BODY_BYTES_MAX, MIRRORED_BYTES_MAX, NONCE_BYTES, Mirrored
from serin_serving.counts import Counts
from serin_serving.errors import RequestError
from serin_serving.exchange import Exchange
from serin_serving.layout import Matrix
from serin_serving.load import Load
from serin_serving.metrics import Metrics
from serin_serving.model import Answers

QUEUE_ENTRIES_MAX = 256
HELD_BYTES_MAX = 8 * 1024 * 1024
"""Bodies and answers that wait or are being sent."""
AGE_SECONDS_MAX = 2.0
"""What has waited longer is dropped: the candidate is too slow, or gone."""
SEND_SECONDS_MAX = 2.0
REST_SECONDS = 1.0
"""How long a connection rests after a failure, so that a pod that is gone takes few requests from the others."""
CONNECTIONS_MAX = 16
CONNECTIONS_EACH_MAX = 4

Body = bytes | Callable[[], bytes | None]
"""A request as the protocol's JSON, or what makes that of it; None where JSON cannot say it."""

_BYTES_PER_PREDICTION = 32
_log = logging.getLogger(__name__)


class Drawn(msgspec.Struct, frozen=True):
    """A request of the sample that waits to be sent."""

    order: ShadowOrder
    body: bytes
    predictions: list[Prediction]
    answered_at: float
    """Unix time in seconds."""

    @property
    def bytes(self) -> int:
        """About what it holds in memory."""
        return len(self.body) + _BYTES_PER_PREDICTION * len(self.predictions)


class Mirror:
    """Draws the sample, queues and sends it; made and used inside a running loop.

    Whatever protocol a request came in, the candidate is sent the JSON of the Open Inference Protocol.

    Every request of the sample counts under the shadow's cohort as on any pod, sent or not, so that both arms
    count over one sample; a body above BODY_BYTES_MAX is in no sample, and neither is one that JSON cannot say. The
    seconds are those from the whole body to the model's answer, in both arms: the way to the caller is no part of
    them.
    """

    def __init__(
        self,
        counts: Counts,
        metrics: Metrics,
        ring: Callable[[], KeyRing],
        load: Load,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._counts = counts
        self._metrics = metrics
        self._ring = ring
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._load = load
        self._order: ShadowOrder | None = None
        self._end: asyncio.TimerHandle | None = None
        self._queue: asyncio.Queue[Drawn] = asyncio.Queue(QUEUE_ENTRIES_MAX)
        self._held_bytes = 0
        self._senders: list[asyncio.Task[None]] = []

    def follow(self, order: ShadowOrder | None) -> None:
        """Let this order hold in place of the last one; None, or one that is over, ends the shadow traffic at once."""
        last = self._order
        if order is not None and order.until <= self._clock():
            order = None
        self._order = order
        if self._end is not None:
            self._end.cancel()
            self._end = None
        if last is not None and (order is None or order.cohort != last.cohort):
            self._empty()
        if (order.targets if order else None) != (last.targets if last else None):
            self._turn_to(order.targets if order else [])
        if order is None:
            self._load.rest()
            return
        self._end = self._loop.call_later(order.until - self._clock(), self._over, order)
        self._load.watch()

    def answered(self, body: Body, matrix: Matrix, answers: Answers, seconds: float) -> None:
        """Draw, or not, a request that was answered; the work is done after the answer is on its way."""
        if self._order is not None:
            self._loop.call_soon(self._take, body, matrix, answers, seconds)

    def failed(self, body: Body, error: Exception, seconds: float) -> None:
        """Draw, or not, a request for which the model failed; one that was refused, or found no room, is no trial."""
        if self._order is not None and (not isinstance(error, RequestError) or error.status == 500):
            self._loop.call_soon(self._take, body, None, None, seconds)

    def _over(self, order: ShadowOrder) -> None:
        if self._order is order:
            _log.info("the shadow traffic of %s is over: its time has passed", order.cohort)
            self.follow(None)

    def _take(self, asked: Body, matrix: Matrix | None, answers: Answers | None, seconds: float) -> None:
        order, now = self._order, self._clock()
        # Sampling needs no secret.
        if order is None or now >= order.until or random.random() * 100 >= order.percent:  # noqa: S311
            return
        body = asked if isinstance(asked, bytes) else asked()
        drawn = Drawn(order, body or b"", [] if answers is None else answers.values, now)
        if body is None or len(body) > BODY_BYTES_MAX:
            self._settle(drawn, taken=False)
            return
        self._counts.answered(order.cohort, 500 if answers is None else 200, seconds, now)
        if matrix is not None and answers is not None:
            self._counts.predicted(order.cohort, matrix, answers, now)
        self._put(drawn)

    def _put(self, drawn: Drawn) -> None:
        # The newest is kept: the oldest is the nearest to being dropped for its age.
        while self._queue.full() or (not self._queue.empty() and self._held_bytes + drawn.bytes > HELD_BYTES_MAX):
            self._drop(self._queue.get_nowait())
        if self._load.behind or self._held_bytes + drawn.bytes > HELD_BYTES_MAX:
            self._settle(drawn, taken=False)
            return
        self._held_bytes += drawn.bytes
        self._queue.put_nowait(drawn)

    def _empty(self) -> None:
        while not self._queue.empty():
            self._drop(self._queue.get_nowait())

    def _drop(self, drawn: Drawn) -> None:
        self._held_bytes -= drawn.bytes
        self._settle(drawn, taken=False)

    def _settle(self, drawn: Drawn, *, taken: bool) -> None:
        (self._metrics.shadow_sent if taken else self._metrics.shadow_dropped).inc()
        sums = self._counts.shadow(drawn.order.cohort, drawn.answered_at)
        if sums is None:
            return
        sums.sent += taken
        sums.dropped += not taken

    def _turn_to(self, targets: list[str]) -> None:
        for sender in self._senders:
            sender.cancel()
        # Each pod of stable takes other ones where they are many, so that all get some.
        chosen = random.sample(targets, min(len(targets), CONNECTIONS_MAX))
        each = min(CONNECTIONS_EACH_MAX, CONNECTIONS_MAX // max(1, len(chosen)))
        self._senders = [self._loop.create_task(self._send_to(target)) for target in chosen for _ in range(each)]

    async def _send_to(self, target: str) -> None:
        """Send what waits, to one pod; each pod takes as much as it can from the queue that all share."""
        try:
            exchange = Exchange(target)
        except ValueError:
            _log.warning("a target of the shadow traffic is no host:port and gets nothing")
            return
        try:
            while True:
                drawn = await self._queue.get()
                if not await self._send(exchange, drawn):
                    await asyncio.sleep(REST_SECONDS)
        finally:
            exchange.close()

    async def _send(self, exchange: Exchange, drawn: Drawn) -> bool:
        """Whether the connection is fit for the next one."""
        taken = False
        try:
            if self._clock() - drawn.answered_at > AGE_SECONDS_MAX:
                return True
            data, mac = mirrored.encode(_message(drawn), self._ring())
            if len(data) > MIRRORED_BYTES_MAX:
                return True
            headers = {"content-type": "application/msgpack", http.MIRRORED_MAC_HEADER: mac}
            status = await exchange.post(http.MIRRORED_PATH, headers, data, SEND_SECONDS_MAX)
            taken = status == 204
        except (OSError, TimeoutError):
            return False
        # A message that cannot be made costs itself only; the next one is sent.
        except Exception:  # noqa: BLE001
            _log.exception("a mirrored request was not sent")
            return False
        finally:
            self._held_bytes -= drawn.bytes
            self._settle(drawn, taken=taken)
        return taken


def _message(drawn: Drawn) -> Mirrored:
    return Mirrored(
        cohort=drawn.order.cohort,
        body=drawn.body,
        predictions=drawn.predictions,
        sent_at=drawn.answered_at,
        nonce=os.urandom(NONCE_BYTES),
        tolerance=drawn.order.tolerance,
    )
