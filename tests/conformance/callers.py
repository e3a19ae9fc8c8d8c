"""Callers of the gateway: a fixed number of requests, or a fixed rate whatever the answers take.

Requests are POSTs, as inference is: neither a client nor a gateway may repeat one that failed, so that every
lost request is seen.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import aiohttp
from scipy import stats
from tests.conformance.api import Json

ANSWER_SECONDS = 10.0
AT_ONCE = 16
CHANCE_OF_FALSE_ALARM = 1e-6
"""Of one comparison of a share with its weight, for a gateway that draws at random."""

_BODY = b'{"inputs": []}'


@dataclass(frozen=True)
class Request:
    """One request and what became of it; times are of the monotonic clock, in seconds."""

    sent_at: float
    answered_at: float
    status: int
    """0 where no answer came."""
    arm: str
    """Which backend says that it answered; empty where none does."""
    error: str = ""

    @property
    def failed(self) -> bool:
        """Whether the caller was left without a good answer."""
        return self.status != 200


@dataclass(frozen=True)
class Told:
    """What a backend says it saw, and what came with the answer."""

    status: int
    """0 where no answer came."""
    content: Json
    headers: Sequence[tuple[str, str]]

    @property
    def arm(self) -> str:
        """The arm that answered; empty where no backend did."""
        return str(self.content.get("arm", ""))

    def saw(self, name: str) -> list[str]:
        """The values of a request header as the backend saw them."""
        sent: list[list[str]] = self.content.get("headers", [])
        return [value for known, value in sent if known.lower() == name.lower()]

    def came_with(self, name: str) -> list[str]:
        """The values of a response header as the caller saw them."""
        return [value for known, value in self.headers if known.lower() == name.lower()]


@dataclass
class Load:
    """Requests at a constant rate; the list grows while they run."""

    requests: list[Request] = field(default_factory=list)

    def since(self, moment: float) -> list[Request]:
        """Those sent at that time or later."""
        return [request for request in self.requests if request.sent_at >= moment]

    @property
    def failures(self) -> list[Request]:
        """Those without a good answer."""
        return [request for request in self.requests if request.failed]


class Callers:
    """Sends requests to one gateway."""

    def __init__(self, address: str) -> None:
        self._url = address.rstrip("/") + "/v2/"

    async def count(
        self, host: str, number: int, *, fresh: bool = False, headers: Mapping[str, str] | None = None
    ) -> list[Request]:
        """Send so many requests, some at once, over kept connections or a fresh one each."""
        async with _session(AT_ONCE, fresh) as session:
            left = iter(range(number))

            async def caller() -> list[Request]:
                return [await self._send(session, host, headers) for _ in left]

            return [request for one in await asyncio.gather(*(caller() for _ in range(AT_ONCE))) for request in one]

    async def ask(self, host: str, headers: Sequence[tuple[str, str]] = (), path: str = "") -> Told:
        """Send one request over a connection of its own and return all that is known of it."""
        try:
            return await self._ask(host, headers, path)
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            return Told(0, {"error": f"{type(error).__name__}: {error}"}, [])

    async def _ask(self, host: str, headers: Sequence[tuple[str, str]], path: str) -> Told:
        async with (
            _session(1, fresh=True) as session,
            session.post(self._url + path, data=_BODY, headers=[("Host", host), *headers]) as answer,
        ):
            text = await answer.text()
            try:
                content = json.loads(text)
            except ValueError:
                content = {}
            return Told(answer.status, content if isinstance(content, dict) else {}, list(answer.headers.items()))

    @asynccontextmanager
    async def open_loop(self, host: str, rate: float) -> AsyncIterator[Load]:
        """Send requests at a constant rate until the block ends, every fifth over a fresh connection."""
        load, ended = Load(), asyncio.Event()
        async with _session(0, fresh=False) as kept, _session(0, fresh=True) as fresh:
            sending = asyncio.create_task(self._keep_sending(host, rate, load, ended, (kept, kept, kept, kept, fresh)))
            try:
                yield load
            finally:
                ended.set()
                await sending

    async def _keep_sending(
        self, host: str, rate: float, load: Load, ended: asyncio.Event, sessions: Sequence[aiohttp.ClientSession]
    ) -> None:
        async def one(session: aiohttp.ClientSession) -> None:
            load.requests.append(await self._send(session, host, None))

        began, number = time.monotonic(), 0
        async with asyncio.TaskGroup() as group:
            while not ended.is_set():
                # The schedule is of the clock alone: slow answers must not thin the load.
                while number / rate <= time.monotonic() - began:
                    group.create_task(one(sessions[number % len(sessions)]))
                    number += 1
                await asyncio.sleep(max(0.0, began + number / rate - time.monotonic()))

    async def one_by_one(self, host: str, ended: asyncio.Event) -> tuple[list[Request], int]:
        """Send one request after the other over one connection; returns them and how many connections it took."""
        opened = 0

        async def count_it(*_: object) -> None:
            nonlocal opened
            opened += 1

        watching = aiohttp.TraceConfig()
        watching.on_connection_create_end.append(count_it)
        sent = []
        async with _session(1, fresh=False, watching=watching) as session:
            while not ended.is_set():
                sent.append(await self._send(session, host, None))
                await asyncio.sleep(0.01)
        return sent, opened

    async def _send(self, session: aiohttp.ClientSession, host: str, headers: Mapping[str, str] | None) -> Request:
        sent_at = time.monotonic()
        try:
            async with session.post(self._url, data=_BODY, headers={"Host": host, **(headers or {})}) as answer:
                await answer.read()
                return Request(sent_at, time.monotonic(), answer.status, answer.headers.get("x-arm", ""))
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            return Request(sent_at, time.monotonic(), 0, "", f"{type(error).__name__}: {error}")


def _session(connections: int, fresh: bool, watching: aiohttp.TraceConfig | None = None) -> aiohttp.ClientSession:
    connector = aiohttp.TCPConnector(limit=connections, force_close=fresh)
    limit = aiohttp.ClientTimeout(total=ANSWER_SECONDS)
    # Not through a proxy of the environment: the gateway itself is asked.
    return aiohttp.ClientSession(
        connector=connector,
        timeout=limit,
        trust_env=False,
        cookie_jar=aiohttp.DummyCookieJar(),
        trace_configs=[watching] if watching else None,
    )


def bound(number: int, share: float) -> tuple[int, int]:
    """The smallest and the largest count of `number` independent draws that agree with `share`.

    The central interval of the binomial distribution; outside it lies less than CHANCE_OF_FALSE_ALARM. A gateway
    that deals in turns instead of drawing stays well inside.
    """
    low, high = stats.binom.interval(1 - CHANCE_OF_FALSE_ALARM, number, share)
    return int(low), int(high)


def last_answer_seconds(requests: Sequence[Request], arm: str, changed_at: float, until: float) -> float:
    """Seconds from a change to the last answer of `arm` among the requests sent before `until`; 0 without one."""
    after = [
        request.answered_at - changed_at
        for request in requests
        if request.arm == arm and request.sent_at < until and request.answered_at > changed_at
    ]
    return max(after, default=0.0)


def described(requests: Sequence[Request]) -> str:
    """How often each status came from each arm, as in `200 from a: 50`."""
    counted = Counter(
        f"{request.status} from {request.arm}" if request.arm else f"{request.status or 'no answer'} from the gateway"
        for request in requests
    )
    return ", ".join(f"{what}: {times}" for what, times in sorted(counted.items())) or "no request"


def median(values: Sequence[float]) -> float:
    """The middle value."""
    ordered = sorted(values)
    return ordered[len(ordered) // 2]
