"""Inference requests as visits: which cohort one counts in, and whether its caller was counted there already.

Requests of one caller depend on each other, and an e-process stays valid only where the weights of dependent
samples sum to at most 1 (Hölder's inequality). So a caller that can be told apart counts with the first request it
makes in each cohort, and with no other.
"""

from __future__ import annotations

import functools
import logging
import time
from collections.abc import Iterable
from dataclasses import dataclass

from serin_contract import callers
from serin_contract.callers import Caller, Stickiness
from serin_contract.keys import KeyRing
from serin_contract.stats import COHORTS_KEPT
from serin_serving.announced import Announcements
from serin_serving.connections import Connection, connection_of
from serin_serving.counts import DROPPED_KEPT, valid_cohort
from serin_serving.headers import COHORT, COOKIE, STICKINESS, named
from serin_serving.wire import Scope

CALLERS_REMEMBERED = 1_000_000
"""They take 76 MiB; few pods ever hold a tenth."""
COOKIE_BYTES_MAX = 16 * 1024
"""Of a request's Cookie headers, together; longer ones are not looked at."""

_NONE: list[bytes] = []

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class Visit:
    """One inference request while it is being answered."""

    arrived_at: float
    """Seconds of time.perf_counter."""
    cohort: str
    connection: Connection
    told_apart: bool = False
    """Whether the route asks to tell callers apart."""
    counted: bool = True
    """False where the caller was counted in this cohort already."""
    caller_id: str = ""
    set_cookie: bytes | None = None
    """For the answer."""
    rows: int = 0
    """Answered with predictions."""
    model_began: float = 0.0
    """Seconds of time.perf_counter: the whole body had come."""
    model_seconds: float = 0.0
    """From then to the model's answer."""


class CountedCallers:
    """Callers who came with a cookie of another cohort and were counted: their clients may never take the new one.

    Bounded over all cohorts. Where it is full the cohort that was used longest ago is closed, and nobody counts in
    it any more; where that is the only one, nobody who is not remembered does. Either way none counts twice.
    """

    def __init__(self, callers_max: int = CALLERS_REMEMBERED, cohorts_max: int = COHORTS_KEPT) -> None:
        self._callers_max = callers_max
        self._cohorts_max = cohorts_max
        # Digests by Python's own keyed hash: 64 bits, and the ids are random already.
        self._digests: dict[str, set[int]] = {}
        self._closed: dict[str, None] = {}
        self._remembered = 0
        self.turned_away = 0
        """How many requests counted nowhere because there was no room."""

    def add(self, cohort: str, caller_id: str) -> bool:
        """Remember a caller; False where it must not count: it did already, or there is no room."""
        if cohort in self._closed:
            return self._turn_away()
        # The latest used stands last.
        digests = self._digests[cohort] = self._digests.pop(cohort, set())
        digest = hash(caller_id)
        if digest in digests:
            return False
        if len(self._digests) > self._cohorts_max:
            self._close_oldest()
        while self._remembered >= self._callers_max:
            if len(self._digests) == 1:
                return self._turn_away()
            self._close_oldest()
        digests.add(digest)
        self._remembered += 1
        return True

    def forget(self, cohort: str, caller_id: str) -> None:
        """Take back that a caller counted."""
        digests = self._digests.get(cohort, set())
        if hash(caller_id) in digests:
            digests.remove(hash(caller_id))
            self._remembered -= 1

    def _close_oldest(self) -> None:
        oldest = next(iter(self._digests))
        self._remembered -= len(self._digests.pop(oldest))
        self._closed[oldest] = None
        if len(self._closed) > DROPPED_KEPT:
            del self._closed[next(iter(self._closed))]

    def _turn_away(self) -> bool:
        if not self.turned_away:
            _log.warning("no room to remember more callers: those who come with an older cookie count no more")
        self.turned_away += 1
        return False


class Visits:
    """What is known of each inference request when it arrives, and of all of them together."""

    def __init__(self, revision: str, announcements: Announcements, counted: CountedCallers) -> None:
        self._revision = revision
        self._announcements = announcements
        self._counted = counted
        self._last_at = time.monotonic()
        self.requests = 0
        """Answered since the start."""
        self.in_flight = 0

    def arrive(self, scope: Scope, ring: KeyRing, *, pinned: bool = False) -> Visit:
        """Begin a visit; the cohort in force now is the one it counts in.

        Args:
            scope: of ASGI, or its headers and state alone.
            ring: the keys in use.
            pinned: whether the caller names the revision that is to answer. Then no split chose it, and the request
                counts in no cohort.
        """
        found = named(scope)
        cohort = "" if pinned else self._announcements.cohort_of(valid_cohort(found.get(COHORT, _NONE)))
        visit = Visit(time.perf_counter(), cohort, connection_of(scope["state"]))
        if STICKINESS in found:
            stickiness = _stickiness_of(found[STICKINESS])
            if stickiness is not None:
                self._tell_apart(visit, stickiness, found.get(COOKIE, _NONE), ring)
        self.in_flight += 1
        return visit

    def gone(self, visit: Visit) -> None:
        """The caller hung up before its request had come: it was no request."""
        if visit.counted and visit.caller_id:
            self._counted.forget(visit.cohort, visit.caller_id)

    def end(self) -> None:
        """End a visit, however it went."""
        self.in_flight -= 1
        self._last_at = time.monotonic()

    @property
    def idle_seconds(self) -> float:
        """Since the last visit ended, or since the start; 0 during a visit."""
        return 0.0 if self.in_flight else time.monotonic() - self._last_at

    def _tell_apart(self, visit: Visit, stickiness: Stickiness, cookies: list[bytes], ring: KeyRing) -> None:
        visit.told_apart = True
        mark = _mark(visit.cohort)
        caller = known_caller(cookies, stickiness.cookie, ring)
        if caller is None:
            # Whoever never takes the cookie is a new caller every time: nothing tells it from one.
            caller = callers.draw(stickiness, self._revision)
        elif not visit.cohort:
            return
        elif caller.mark == mark:
            visit.counted = False
            return
        else:
            visit.caller_id = caller.id
            visit.counted = self._counted.add(visit.cohort, caller.id)
        visit.set_cookie = _set_cookie(stickiness.cookie, callers.cookie_value(Caller(caller.id, mark), ring))


def known_caller(headers: Iterable[bytes], name: str, ring: KeyRing) -> Caller | None:
    """The caller of the first cookie of that name that was drawn by us."""
    looked_at = 0
    for header in headers:
        looked_at += len(header)
        if looked_at > COOKIE_BYTES_MAX:
            return None
        for pair in header.decode("latin-1").split(";"):
            key, _, value = pair.partition("=")
            if key.strip(" \t") == name:
                caller = callers.caller_of(_unquoted(value.strip(" \t")), ring)
                if caller is not None:
                    return caller
    return None


def _unquoted(value: str) -> str:
    return value[1:-1] if len(value) >= 2 and value[0] == value[-1] == '"' else value


def _set_cookie(name: str, value: str) -> bytes:
    return f"{name}={value}; Path=/; Max-Age={callers.MAX_AGE_SECONDS}; HttpOnly; SameSite=Lax".encode()


def _stickiness_of(headers: list[bytes]) -> Stickiness | None:
    # The length first, so that nobody fills the cache's memory.
    if len(headers) != 1 or len(headers[0]) > callers.HEADER_CHARS_MAX:
        return None
    return _parsed(headers[0])


@functools.lru_cache(maxsize=64)
def _parsed(header: bytes) -> Stickiness | None:
    return callers.parse_header(header.decode("latin-1"))


@functools.lru_cache(maxsize=64)
def _mark(cohort: str) -> str:
    return callers.mark_of(cohort)
