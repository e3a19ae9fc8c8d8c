"""One kept HTTP connection to another pod, for small requests of which only the status matters.

The serving image holds no HTTP client. httptools, which reads requests here already, reads answers as well.
"""

from __future__ import annotations

import asyncio
from typing import cast

import httptools

ANSWER_BYTES_MAX = 16 * 1024


class Exchange:
    """Posts to one `host:port`, one request at a time, and connects again where the connection was lost."""

    def __init__(self, target: str) -> None:
        """Split the address; an IPv6 address stands in brackets.

        Raises:
            ValueError: it is no `host:port`.
        """
        host, _, port = target.rpartition(":")
        self._host, self._port = host.removeprefix("[").removesuffix("]"), int(port)
        if not self._host or not target.isascii() or not target.isprintable():
            raise ValueError("a target must be host:port")
        self._target = target
        self._answers: _Answers | None = None

    async def post(self, path: str, headers: dict[str, str], body: bytes, seconds: float) -> int:
        """Send one request; the status of its answer.

        Raises:
            OSError: no connection, or it was lost, or the answer is none of HTTP.
            TimeoutError: no answer within that many seconds, the connecting included.
        """
        lines = {"host": self._target, "content-length": str(len(body)), **headers}
        head = f"POST {path} HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        try:
            async with asyncio.timeout(seconds):
                answers = await self._connected()
                return await answers.ask([head.encode("latin-1") + b"\r\n", body])
        except BaseException:
            # An answer that comes late must not be taken for that of the next request.
            self.close()
            raise

    def close(self) -> None:
        """Give the connection up."""
        if self._answers is not None:
            self._answers.abort()
            self._answers = None

    async def _connected(self) -> _Answers:
        if self._answers is None or self._answers.lost:
            loop = asyncio.get_running_loop()
            _, self._answers = await loop.create_connection(_Answers, self._host, self._port)
        return self._answers


class _Answers(asyncio.Protocol):
    """Reads one answer after the other."""

    def __init__(self) -> None:
        self.lost = False
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._bytes = 0
        self._status: asyncio.Future[int] | None = None

    def ask(self, parts: list[bytes]) -> asyncio.Future[int]:
        self._bytes = 0
        self._status = asyncio.get_running_loop().create_future()
        if self._transport is None or self.lost:
            self._status.set_exception(ConnectionResetError("the connection is lost"))
        else:
            self._transport.writelines(parts)
        return self._status

    def abort(self) -> None:
        self.lost = True
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are none of asyncio's by class.
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._bytes += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self.abort()
        if self._bytes > ANSWER_BYTES_MAX:
            self.abort()

    def on_message_complete(self) -> None:
        """Called by the parser."""
        if not self._parser.should_keep_alive():
            self.abort()
        if self._status is not None and not self._status.done():
            self._status.set_result(self._parser.get_status_code())

    def connection_lost(self, _error: Exception | None) -> None:
        self.lost = True
        if self._status is not None and not self._status.done():
            self._status.set_exception(ConnectionResetError("the connection was lost before the answer"))
