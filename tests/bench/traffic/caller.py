"""Callers at a constant rate, whether or not earlier requests were answered; each request is remembered.

Runs as a process of its own, where the callers are: settings as one line of JSON on standard input, the log as
MessagePack on standard output once standard input has closed.
"""

from __future__ import annotations

import asyncio
import random
import sys
import time
from collections.abc import Coroutine
from typing import Any

import msgspec

from serin_cli.demo.wire import Client, Response, WireError

TIMEOUT_SECONDS = 10.0


class Settings(msgspec.Struct, frozen=True):
    """What to send, and how often."""

    url: str
    host: str
    path: str
    bodies: list[str]
    """Drawn at random, with replacement."""
    rate: float
    """Requests a second, evenly spaced."""
    fresh_share: float = 0.2
    """Share of the requests that open a connection of their own."""
    callers: int = 0
    """So many callers who each keep the cookie that they are given; 0 keeps none."""
    seed: int = 1


class Request(msgspec.Struct, frozen=True, array_like=True):
    """One request as its caller saw it."""

    due: float
    """Unix time at which it was to be sent."""
    seconds: float
    """From then to its whole answer."""
    revision: str
    """That answered; empty where none did."""
    trouble: str
    """Why it failed, in words; empty where it was answered with 200."""
    fresh: bool
    caller: int = -1
    """Which caller it was, where they keep cookies."""


class Caller:
    """Sends until it is told to stop."""

    def __init__(self, settings: Settings) -> None:
        self.log: list[Request] = []
        self._settings = settings
        self._client = Client(settings.url, settings.host)
        self._random = random.Random(settings.seed)
        self._bodies = [body.encode() for body in settings.bodies]
        self._tasks: set[asyncio.Task[None]] = set()
        self._cookies: dict[int, str] = {}

    async def run(self, stop: asyncio.Event) -> None:
        """Send at the rate; then wait for the last answers."""
        began, number = time.monotonic(), 0
        while not stop.is_set():
            due = began + number / self._settings.rate
            if (left := due - time.monotonic()) > 0:
                await asyncio.sleep(left)
            self._start(self._ask(due))
            number += 1
        while self._tasks:
            await asyncio.wait(self._tasks)
        self._client.close()

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _ask(self, due: float) -> None:
        fresh = self._random.random() < self._settings.fresh_share
        body = self._bodies[self._random.randrange(len(self._bodies))]
        who = self._random.randrange(self._settings.callers) if self._settings.callers else -1
        answer = await self._try(body, who, fresh=fresh)
        seconds = time.monotonic() - due
        revision, trouble = "", ""
        if isinstance(answer, str):
            trouble = answer
        else:
            revision = answer.headers.get("x-serin-revision", answer.headers.get("x-arm", ""))
            if who >= 0 and "set-cookie" in answer.headers:
                self._cookies[who] = answer.headers["set-cookie"].partition(";")[0]
            if answer.status != 200:
                trouble = f"HTTP {answer.status}"
        self.log.append(Request(time.time() - seconds, seconds, revision, trouble, fresh, who))

    async def _try(self, body: bytes, who: int, *, fresh: bool) -> Response | str:
        cookie = self._cookies.get(who)
        more = f"Cookie: {cookie}\r\n".encode() if cookie else b""
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS):
                return await self._client.send(b"POST", self._settings.path.encode(), body, fresh=fresh, more=more)
        except TimeoutError:
            return "no answer in time"
        except (OSError, WireError) as error:
            return str(error) or type(error).__name__


async def _main() -> None:
    lines = asyncio.StreamReader(limit=64 * 1024 * 1024)
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    caller, stop = Caller(msgspec.json.decode(await lines.readline(), type=Settings)), asyncio.Event()
    running = asyncio.create_task(caller.run(stop))
    await lines.read()
    stop.set()
    await running
    sys.stdout.buffer.write(msgspec.msgpack.encode(caller.log))


if __name__ == "__main__":
    asyncio.run(_main())
