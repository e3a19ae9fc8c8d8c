"""Callers who send at set times whatever the answers do, on fresh connections and from a pool of kept ones."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

SECONDS_MAX = 20


class Caller:
    """One HTTP/1.1 connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def ask(self, request: bytes) -> tuple[int, bool]:
        """The status, and whether the connection goes on."""
        self.writer.write(request)
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
        length = int(head.split("content-length: ")[1].split("\r\n")[0])
        await self.reader.readexactly(length)
        return int(head.split(" ")[1]), "connection: close" not in head


class OpenLoop:
    """Sends one request every `1 / rate` seconds of each kind; a lost one is noted and never tried again."""

    def __init__(self, request: bytes, port: Callable[[], int], rate: float) -> None:
        """`port` says where a new connection goes."""
        self._request = request
        self._port = port
        self._rate = rate
        self._idle: list[Caller] = []
        self._running: set[asyncio.Task[None]] = set()
        self.answered = {"fresh": 0, "kept": 0}
        self.opened = {"fresh": 0, "kept": 0}
        self.lost: list[str] = []

    async def send_until(self, end: asyncio.Event) -> None:
        """Send until the event, and wait for the last answers."""
        began, sent = time.monotonic(), 0
        while not end.is_set():
            for kind in ("fresh", "kept"):
                task = asyncio.create_task(self._send(kind))
                self._running.add(task)
                task.add_done_callback(self._running.discard)
            sent += 1
            # By the plan and not by the last answer: a stall finds as many requests as it lasts.
            await asyncio.sleep(max(0, began + sent / self._rate - time.monotonic()))
        await asyncio.gather(*self._running)
        for caller in self._idle:
            caller.writer.close()

    async def _send(self, kind: str) -> None:
        try:
            async with asyncio.timeout(SECONDS_MAX):
                caller = await self._caller(kind)
                status, goes_on = await caller.ask(self._request)
        except (OSError, EOFError, TimeoutError) as error:
            self.lost.append(f"{kind}: {type(error).__name__}")
            return
        if status == 200:
            self.answered[kind] += 1
        else:
            self.lost.append(f"{kind}: {status}")
        if kind == "kept" and goes_on:
            self._idle.append(caller)
        else:
            caller.writer.close()

    async def _caller(self, kind: str) -> Caller:
        # A client's pool leaves out what the server has closed.
        while kind == "kept" and self._idle:
            caller = self._idle.pop(0)
            if not caller.reader.at_eof():
                return caller
            caller.writer.close()
        self.opened[kind] += 1
        return Caller(*await asyncio.open_connection("127.0.0.1", self._port()))
