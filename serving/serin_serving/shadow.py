"""The candidate's side of the shadow traffic: answer what stable was asked, and compare at once.

No caller sees these answers, they make no prediction ids, and they count under the shadow's cohort alone.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable, Sequence

from serin_contract import mirrored
from serin_contract.ids import ROWS_MAX, Prediction
from serin_contract.keys import KeyRing
from serin_contract.mirrored import AGE_SECONDS_MAX, NONCE_BYTES, Mirrored
from serin_contract.seals import ForgedError
from serin_contract.stats import MalformedReason
from serin_serving.counts import Counts, valid_cohort
from serin_serving.errors import RequestError
from serin_serving.layout import Matrix
from serin_serving.metrics import Metrics
from serin_serving.model import Answers
from serin_serving.recent import Recent

ROWS_AT_ONCE_MAX = 4096
"""Half of what the model's queue holds: callers find room whatever is mirrored."""
REQUESTS_AT_ONCE_MAX = 64

_NONCE_BUCKETS = 2**14
_log = logging.getLogger(__name__)

Predict = Callable[[bytes], Awaitable[tuple[Matrix, Answers]]]
"""From a request's body to its rows and their answers."""


class Shadow:
    """Takes mirrored requests and counts how the candidate answers them.

    A row that the candidate cannot answer, because it refuses the input or fails, is compared and does not agree:
    stable answered it.
    """

    def __init__(
        self,
        predict: Predict,
        counts: Counts,
        metrics: Metrics,
        *,
        classifies: bool,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._predict = predict
        self._counts = counts
        self._metrics = metrics
        self._classifies = classifies
        self._clock = clock
        self._started_at = clock()
        self._seen = Recent(_NONCE_BUCKETS)
        self._requests = 0
        self._rows = 0

    async def take(self, data: bytes, mac: str, ring: KeyRing) -> None:
        """Answer and count one mirrored request.

        Args:
            data: the message as it was posted.
            mac: the value of `http.MIRRORED_MAC_HEADER`; empty where there was none.
            ring: the keys in use.

        Raises:
            RequestError: it was not counted: not signed by us (401), malformed or of another time (400), counted
                already (409), or there is no room (503).
        """
        message = _read(data, mac, ring)
        self._check_time(message.sent_at)
        rows = len(message.predictions) or 1
        if self._requests >= REQUESTS_AT_ONCE_MAX or (self._rows and self._rows + rows > ROWS_AT_ONCE_MAX):
            raise RequestError(503, "too many mirrored requests are being answered")
        if not self._seen.add(message.nonce):
            raise RequestError(409, "this mirrored request has been counted")
        self._requests += 1
        self._rows += rows
        try:
            await self._answer(message)
        finally:
            self._requests -= 1
            self._rows -= rows

    def _check_time(self, sent_at: float) -> None:
        # What was sent before this process began may have been counted by the one before it.
        if not max(self._started_at, self._clock() - AGE_SECONDS_MAX) <= sent_at <= self._clock() + AGE_SECONDS_MAX:
            raise RequestError(400, f"`sent_at` is not within {AGE_SECONDS_MAX:.0f} s of this server's time and start")

    async def _answer(self, message: Mirrored) -> None:
        began, status = time.perf_counter(), 200
        malformed: MalformedReason = "other"
        answers: Answers | None = None
        try:
            matrix, answers = await self._predict(message.body)
        except RequestError as error:
            if error.status == 503:
                raise
            status, malformed = error.status, error.malformed
        # The candidate's failure is what the shadow is there to find.
        except Exception:  # noqa: BLE001
            _log.exception("a mirrored request failed")
            status = 500
        now = self._clock()
        self._counts.answered(message.cohort, status, time.perf_counter() - began, now, malformed=malformed)
        if answers is not None:
            self._counts.predicted(message.cohort, matrix, answers, now)
        self._compare(message, None if answers is None else answers.values, now)

    def _compare(self, message: Mirrored, answers: list[Prediction] | None, now: float) -> None:
        theirs = message.predictions
        failed = bool(theirs) and answers is None
        agreed = share_agreed(answers or [], theirs, 0.0 if self._classifies else message.tolerance)
        self._metrics.shadow_received.inc()
        self._metrics.shadow_failed.inc(failed)
        self._metrics.shadow_compared.inc(bool(theirs))
        self._metrics.shadow_agreed.inc(agreed)
        sums = self._counts.shadow(message.cohort, now)
        if sums is None:
            return
        sums.received += 1
        sums.failed += failed
        sums.compared += bool(theirs)
        sums.agreed += agreed


def share_agreed(ours: Sequence[Prediction], theirs: Sequence[Prediction], tolerance: float) -> float:
    """Which share of stable's m rows the candidate answered the same: Σ 1/m over them; 0 where there are none.

    Args:
        ours: the candidate's answers; empty where it gave none.
        theirs: stable's.
        tolerance: numbers a and b agree within tolerance · max(|a|, |b|). With 0 they must be equal.
    """
    if not theirs or len(ours) != len(theirs):
        return 0.0
    return sum(agree(a, b, tolerance) for a, b in zip(ours, theirs, strict=True)) / len(theirs)


def agree(ours: Prediction, theirs: Prediction, tolerance: float) -> bool:
    """Whether two answers to one row are the same: equal, or numbers that are close enough."""
    if ours == theirs:
        return True
    if tolerance <= 0 or isinstance(ours, (str, bool)) or isinstance(theirs, (str, bool)):
        return False
    return abs(ours - theirs) <= tolerance * max(abs(ours), abs(theirs))


def _read(data: bytes, mac: str, ring: KeyRing) -> Mirrored:
    try:
        message = mirrored.decode(data, mac, ring)
    except ForgedError as error:
        raise RequestError(401, str(error)) from error
    except ValueError as error:
        raise RequestError(400, str(error)) from error
    if not valid_cohort([message.cohort.encode()]):
        raise RequestError(400, "the cohort of this mirrored request is malformed")
    if len(message.nonce) != NONCE_BYTES or len(message.predictions) > ROWS_MAX:
        raise RequestError(400, "the nonce or the predictions of this mirrored request are malformed")
    return message
