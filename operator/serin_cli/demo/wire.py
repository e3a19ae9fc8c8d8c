"""A small HTTP/1.1 client over asyncio streams: a general one would cost as much processor time as the gateway."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from urllib.parse import urlsplit

IDLE_SECONDS_MAX = 15.0
"""A connection idle for longer is not used again: its other end may be closing it at this very moment."""

_BODY_BYTES_MAX = 16 * 1024 * 1024


class WireError(Exception):
    """No whole answer came over the connection."""


@dataclass(frozen=True)
class Response:
    """One whole answer; header names are in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes


@dataclass
class _Connection:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    used_at: float = 0.0


class Client:
    """Sends requests to one address, over connections that are kept or over fresh ones."""

    def __init__(self, url: str, host: str) -> None:
        """Prepare for requests to the address in `url` with the header `Host: host`."""
        parts = urlsplit(url)
        if parts.scheme != "http" or not parts.hostname:
            raise ValueError(f"the gateway's address must be http://<address>[:<port>], not {url!r}")
        self._address = parts.hostname
        self._port = parts.port or 80
        self._host = host.encode()
        self._idle: list[_Connection] = []

    async def send(
        self, method: bytes, path: bytes, body: bytes, *, fresh: bool = False, more: bytes = b""
    ) -> Response:
        """Send one request and read its answer; the caller sets the time limit.

        `more` are whole further header lines, each ended by CR LF.

        Raises:
            OSError: no connection.
            WireError: the connection ended before the answer did, or carried something else than HTTP.
        """
        connection = None if fresh else self._kept()
        if connection is None:
            connection = _Connection(*await asyncio.open_connection(self._address, self._port))
        head = b"%s %s HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n%s\r\n"
        connection.writer.write(
            head % (method, path, self._host, len(body), more + (b"Connection: close\r\n" if fresh else b"")) + body
        )
        try:
            response = await _read(connection.reader)
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError) as error:
            connection.writer.close()
            raise WireError(f"the connection ended within an answer ({type(error).__name__})") from error
        except BaseException:
            # Half an answer may be on its way, so that this connection can carry no other.
            connection.writer.close()
            raise
        self._give_back(connection, fresh or response.headers.get("connection", "").lower() == "close")
        return response

    def close(self) -> None:
        """Close the connections that are kept."""
        while self._idle:
            self._idle.pop().writer.close()

    def _kept(self) -> _Connection | None:
        """The connection used last; the ones below it grow old and are closed."""
        limit = time.monotonic() - IDLE_SECONDS_MAX
        while self._idle:
            connection = self._idle.pop()
            if connection.used_at >= limit and not connection.reader.at_eof() and not connection.writer.is_closing():
                return connection
            connection.writer.close()
        return None

    def _give_back(self, connection: _Connection, close: bool) -> None:
        if close:
            connection.writer.close()
            return
        connection.used_at = time.monotonic()
        self._idle.append(connection)


async def _read(reader: asyncio.StreamReader) -> Response:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *lines = head[:-4].split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    status = int(first.split(" ", 2)[1])
    if headers.get("transfer-encoding", "").lower() == "chunked":
        return Response(status, headers, await _read_chunks(reader))
    length = int(headers.get("content-length", "0"))
    if not 0 <= length <= _BODY_BYTES_MAX:
        raise ValueError("no sensible content length")
    return Response(status, headers, await reader.readexactly(length))


async def _read_chunks(reader: asyncio.StreamReader) -> bytes:
    body = b""
    while size := int((await reader.readuntil(b"\r\n")).split(b";")[0], 16):
        if len(body) + size > _BODY_BYTES_MAX:
            raise ValueError("the body is too long")
        body += (await reader.readexactly(size + 2))[:-2]
    while await reader.readuntil(b"\r\n") != b"\r\n":
        pass
    return body
