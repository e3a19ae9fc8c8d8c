"""A listener over real sockets, and callers who are slow or send too much."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest
import uvicorn

from serin_serving import drain
from serin_serving.http_connection import HEAD_BYTES_MAX, HEADERS_MAX, bounded
from serin_serving.patience import Patience
from serin_serving.wire import Answer, BodyReader, Common, GoneError, send_answer

DEADLINE_SECONDS = 20
SOON = 0.05
ANSWER_BYTES = 32 * 1024 * 1024


class Echo:
    """Answers with the body it got, or with much where the path asks for that."""

    def __init__(self) -> None:
        self._bodies = BodyReader(100_000, 200_000)
        self.gone = 0
        self.asked = asyncio.Event()
        self.paths: list[tuple[str, bytes]] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.paths.append((scope["path"], scope["query_string"]))
        self.asked.set()
        try:
            body = await self._bodies.read(scope, receive)
        except GoneError:
            self.gone += 1
            return
        headers = [(b"x-bad", b"a\r\nb: c")] if scope["path"] == "/bad" else []
        much = b"x" * ANSWER_BYTES if scope["path"] == "/much" else body
        await send_answer(scope, send, Answer(200, much, headers), Common([]))


@dataclass(frozen=True)
class Place:
    port: int
    connections: Any
    """Those that are open."""


@asynccontextmanager
async def listening(echo: Echo, connections_max: int = 8, **patience: float) -> AsyncIterator[Place]:
    """A listener for the length of the block."""
    listener = drain.Listener(
        echo,  # type: ignore[arg-type]
        1,
        bounded(connections_max, Patience(**{"look_seconds": 0.01, **patience})),
    )
    socket = drain.listen("127.0.0.1", 0)
    serving = asyncio.create_task(listener.serve(sockets=[socket]))
    try:
        yield Place(socket.getsockname()[1], listener.server_state.connections)
    finally:
        listener.should_exit = True
        await serving


async def exchange(port: int, *parts: bytes, ends: bool = True) -> bytes:
    """Send the parts and read until the server closes, or, where it does not, until a body "end" has come."""
    async with asyncio.timeout(DEADLINE_SECONDS):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            for part in parts:
                writer.write(part)
                await writer.drain()
            return await reader.read() if ends else await reader.readuntil(b"\r\n\r\nend")
        except ConnectionResetError:
            return b""
        finally:
            writer.close()


def post(body: bytes, *headers: str, path: str = "/") -> bytes:
    lines = [f"POST {path} HTTP/1.1", "host: a", f"content-length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


CHUNKED = b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n"
ANSWERED = {
    "a body in the same piece as its head": [post(b"end")],
    "a body that comes after its head": [post(b"end")[:-3], b"e", b"nd"],
    "a head that comes byte by byte": [bytes([byte]) for byte in post(b"end")],
    "a body in chunks of one byte": [CHUNKED, *(b"1\r\n%c\r\n" % byte for byte in b"end"), b"0\r\n\r\n"],
    "a body that comes although the caller would wait to be asked": [post(b"end", "expect: 100-continue")],
    "two requests in one piece": [post(b"first") + post(b"end")],
    "as many headers as there may be": [post(b"end", *(f"h{n}: v" for n in range(HEADERS_MAX - 2)))],
}


@pytest.mark.parametrize("name", ANSWERED)
async def test_it_answers(name: str) -> None:
    async with listening(Echo()) as place:
        assert (await exchange(place.port, *ANSWERED[name], ends=False)).endswith(b"\r\n\r\nend")


REFUSED = {
    "a head that is larger than the limit": ([post(b"", f"h: {'v' * HEAD_BYTES_MAX}")], b"431"),
    "a header that never ends": ([b"POST / HTTP/1.1\r\nh: ", *[b"v" * 8192] * 64], b"431"),
    "a path that never ends": ([b"POST /", *[b"v" * 8192] * 64], b"431"),
    "more headers than there may be": ([post(b"", *(f"h{n}: v" for n in range(HEADERS_MAX)))], b"431"),
    "what is no HTTP": ([b"\x16\x03\x01 hello\r\n\r\n"], b"400"),
}


@pytest.mark.parametrize("name", REFUSED)
async def test_it_refuses_and_closes(name: str) -> None:
    parts, status = REFUSED[name]
    echo = Echo()
    async with listening(echo) as place:
        # A server that closes while the caller still sends may take its own answer from it.
        found = await exchange(place.port, *parts)
        assert found.startswith(b"HTTP/1.1 " + status) or (found == b"" and len(parts) > 1)
        assert (await exchange(place.port, post(b"end"), ends=False)).endswith(b"end")
    assert echo.paths == [("/", b"")]


async def test_trailers_that_never_end_are_cut_off() -> None:
    echo = Echo()
    async with listening(echo) as place:
        found = await exchange(place.port, CHUNKED, b"1\r\na\r\n0\r\nh: ", *[b"v" * 8192] * 64)
        # Whoever was asked for an answer already gives none; in one piece it is a refusal.
        assert found == b"" or found.startswith(b"HTTP/1.1 431")
    assert echo.gone == len(echo.paths)


SLOW: dict[str, tuple[list[bytes], bytes]] = {
    "sends nothing is hung up on": ([], b""),
    "begins a head and goes on never is told so": ([b"POST / HTTP/1.1\r\nhost: a\r\n"], b"HTTP/1.1 408"),
    "begins a second head and goes on never is told so": ([post(b"end"), b"POST / HT"], b"HTTP/1.1 408"),
}


@pytest.mark.parametrize("name", SLOW)
async def test_a_caller_that(name: str) -> None:
    parts, answer = SLOW[name]
    async with listening(Echo(), head_seconds=SOON) as place:
        found = await exchange(place.port, *parts)
    assert answer in found
    assert bool(found) == bool(answer)


async def test_a_caller_that_is_being_answered_is_not_slow_of_head() -> None:
    async with listening(Echo(), head_seconds=SOON) as place:
        reader, writer = await asyncio.open_connection("127.0.0.1", place.port)
        writer.write(post(b"end")[:-3])
        # Others come and are ended meanwhile: this one has sent its head.
        assert await exchange(place.port) == b""
        writer.write(b"end")
        assert (await reader.readuntil(b"\r\n\r\nend")).startswith(b"HTTP/1.1 200")
        writer.close()


async def test_a_caller_that_reads_no_answer_is_hung_up_on() -> None:
    echo = Echo()
    async with listening(echo, unread_seconds=SOON) as place, asyncio.timeout(DEADLINE_SECONDS):
        # The kernel buffers a part of the answer; the rest waits in the server.
        _, writer = await asyncio.open_connection("127.0.0.1", place.port, limit=1024)
        writer.write(post(b"", path="/much"))
        await echo.asked.wait()
        # uvicorn tells nobody when a connection is gone.
        while place.connections:  # noqa: ASYNC110
            await asyncio.sleep(SOON / 10)
        writer.close()


async def test_one_connection_too_many_is_told_when_to_come_back() -> None:
    async with listening(Echo(), connections_max=1) as place:
        _, writer = await asyncio.open_connection("127.0.0.1", place.port)
        found = await exchange(place.port)
        assert found.startswith(b"HTTP/1.1 503")
        assert b"\r\nretry-after: 1\r\n" in found
        writer.close()
        await writer.wait_closed()
        await until(lambda: exchange(place.port, post(b"end", "connection: close")), b"200")


async def until(ask: Callable[[], Awaitable[bytes]], status: bytes) -> None:
    async with asyncio.timeout(DEADLINE_SECONDS):
        while not (await ask()).startswith(b"HTTP/1.1 " + status):
            pass


async def test_a_caller_that_waits_to_be_asked_for_the_body_is_asked() -> None:
    async with listening(Echo()) as place, asyncio.timeout(DEADLINE_SECONDS):
        reader, writer = await asyncio.open_connection("127.0.0.1", place.port)
        writer.write(post(b"end", "expect: 100-continue")[:-3])
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(b"end")
        assert (await reader.readuntil(b"\r\n\r\nend")).startswith(b"HTTP/1.1 200")
        writer.close()


async def test_a_path_is_read_as_uvicorn_reads_it() -> None:
    echo = Echo()
    async with listening(echo) as place:
        await exchange(place.port, post(b"end", path="/a%20b?c=d"), ends=False)
        await exchange(place.port, post(b"end", path="/" + "p" * 1000), ends=False)
    assert echo.paths == [("/a b", b"c=d"), ("/" + "p" * 1000, b"")]


async def test_a_header_cannot_be_split_in_two() -> None:
    async with listening(Echo()) as place:
        assert (await exchange(place.port, post(b"", path="/bad"))).startswith(b"HTTP/1.1 500")


async def test_an_old_caller_is_answered_and_hung_up_on() -> None:
    async with listening(Echo()) as place:
        found = await exchange(place.port, b"POST / HTTP/1.0\r\ncontent-length: 3\r\n\r\nend")
    assert found.startswith(b"HTTP/1.1 200")
    assert b"\r\nconnection: close\r\n" in found


def test_uvicorn_still_has_what_the_connection_builds_on() -> None:
    from uvicorn.protocols.http import httptools_impl as parts

    assert {"run_asgi", "send", "receive"} <= set(vars(parts.RequestResponseCycle))
    assert uvicorn.__version__
